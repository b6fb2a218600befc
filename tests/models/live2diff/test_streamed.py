"""Live2Diff in the live loop: acknowledgements are exact, cuts lose nothing, and changes arrive with their frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fakes import FakeSource, picture, pictures
from live2diff_tiny import tiny_model
from vivace.media.frame import Frame
from vivace.models.live2diff.model import Live2DiffModel
from vivace.stream import Stream

SIZE = (64, 64)
CHANGE_AT = 6


@pytest.fixture(scope="module")
def model() -> Live2DiffModel:
    return tiny_model((30, 36, 42))


def blocks(index: int) -> np.ndarray:
    """Return a picture, different for every index, of one scene."""
    return np.kron(picture(index, (8, 8)), np.ones((8, 8, 1), np.uint8))


def steered(model: Live2DiffModel, **change: Any) -> list[Frame]:
    """Return the output of ten frames, of which the seventh is the first with a change."""
    out: list[Frame] = []
    with Stream(model, prompt="a felt world", size=SIZE, crossfade_s=0, detect_cuts=False) as stream:
        for index in range(10):
            if change and index == CHANGE_AT:
                assert stream.update(**change).frame_index == CHANGE_AT
            out += stream.push(blocks(index))
        return out + stream.flush()


@pytest.mark.parametrize(
    "change", [{"prompt": "ink and paper"}, {"strength": 0.8}, {"seed": 5}, {"strength": 0.0}, {"prompt": None}]
)
def test_a_change_begins_with_the_frame_its_ack_names(model: Live2DiffModel, change: dict[str, Any]) -> None:
    plain, changed = steered(model), steered(model, **change)
    assert [frame.index for frame in changed] == list(range(10))
    assert [frame.control_index for frame in changed] == [int(index >= CHANGE_AT) for index in range(10)]
    differs = [not np.array_equal(a.rgb, b.rgb) for a, b in zip(plain, changed, strict=True)]
    assert differs == [index >= CHANGE_AT for index in range(10)]


def test_two_scenes_in_one_stream_are_what_they_are_in_two(model: Live2DiffModel) -> None:
    def scene(seed: int, frames: list[Frame]) -> list[Frame]:
        still = np.kron(
            np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8), np.ones((16, 16, 1), np.uint8)
        )
        return [replace(frame, rgb=still) for frame in frames]

    def play(frames: list[Frame]) -> list[Frame]:
        with Stream(model, prompt="a felt world", size=SIZE) as stream:
            out = list(stream.run(FakeSource(frames, size=SIZE), live=False))
            resets.append(dict(stream.stats().resets))
        return out

    resets: list[dict[str, int]] = []
    first, second = scene(1, pictures(22)[:10]), scene(2, pictures(22)[10:])
    together, apart = play(first + second), play(first) + play(second)
    assert resets == [{"cut": 1}, {}, {}]
    assert [frame.index for frame in together] == list(range(22))
    for a, b in zip(together, apart, strict=True):
        np.testing.assert_array_equal(a.rgb, b.rgb)
