"""A model may compose the look from the prompt and its own controls; the stream fades it like a prompt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fakes import FakeModel
from vivace import Stream
from vivace.models.base import Prompt
from vivace.models.controls import ControlSpec

SIZE = (16, 16)
GREY = np.full((16, 16, 3), 100, np.uint8)


class ComposingModel(FakeModel):
    """Model that adds a number of its own to the prompt's red."""

    def __init__(self) -> None:
        super().__init__(options=(ControlSpec(name="redder", help="How much."),))
        self.asked = 0

    def compose(self, prompt: Prompt | None, options: Mapping[str, Any]) -> NDArray[np.float32] | None:
        self.asked += 1
        own = options.get("redder")
        if own is None:
            return None if prompt is None else prompt.embeds
        base = np.zeros(3, np.float32) if prompt is None else prompt.embeds
        return np.asarray(base + np.array([own, 0, 0], np.float32), np.float32)


def red(stream: Stream, time_s: float | None = None) -> list[float]:
    stream.push(GREY, time_s)
    model = stream.model
    assert isinstance(model, ComposingModel)
    return [float(chunk.embeds[0]) for chunk in model.chunks]


def test_a_control_paints_without_a_prompt_and_none_of_both_is_the_source() -> None:
    with Stream(ComposingModel(), size=SIZE, crossfade_s=0) as stream:
        np.testing.assert_array_equal(stream.push(GREY)[0].rgb, GREY)
        assert red(stream) == []
        stream.update(options={"redder": 0.5})
        assert red(stream) == [0.5]
        stream.update(options={"redder": None})
        np.testing.assert_array_equal(stream.push(GREY)[0].rgb, GREY)


def test_what_is_composed_fades_and_is_composed_at_changes_alone() -> None:
    model = ComposingModel()
    with Stream(model, prompt="red", size=SIZE, crossfade_s=1) as stream:
        assert red(stream, 0.0) == [1.0]
        asked = model.asked
        stream.update(options={"redder": 0.8})
        for time_s in (0.25, 0.5, 1.0, 1.5):
            seen = red(stream, time_s)
        np.testing.assert_allclose(seen, [1.0, 1.2, 1.4, 1.8, 1.8], atol=1e-5)
        assert model.asked == asked + 1
        stream.update(strength=0.5)
        assert red(stream, 2.0)[-1] == seen[-1]
        assert model.asked == asked + 2
