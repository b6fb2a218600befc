"""An update is prepared before it is in force, or refused without any change."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from fakes import FakeModel, pictures
from vivace.errors import CapacityError
from vivace.stream import Stream
from vivace.stream.automation import Witness


def test_going_back_to_the_natural_size_is_made_ready_or_refused_like_any_other() -> None:
    model = FakeModel()
    with Stream(model, prompt="red", size=(16, 8)) as stream:
        stream.push(pictures(1)[0].rgb)
        natural = stream._processor.natural_size
        assert natural == (32, 16), "the source's"
        open_state = model.open

        def full(size: tuple[int, int], *, seed: int = 0) -> object:
            raise CapacityError("no memory")

        model.open = full  # type: ignore[method-assign]
        with pytest.raises(CapacityError):
            stream.update(size=None)
        assert stream.controls.size == (16, 8)
        assert stream.push(pictures(1)[0].rgb)[0].size == (16, 8)
        model.open = open_state  # type: ignore[method-assign]
        opened = len(model.opened)
        stream.update(size=None)
        assert model.opened[opened:] == [natural], "in the caller's thread, before the frame"
        assert stream.push(pictures(1)[0].rgb)[0].size == natural
        assert model.opened[opened:] == [natural]


class Continuing(FakeModel):
    """Model for which "more" stands for the prompt in force, "back" for the one before."""

    def whole_request(self, text: str, now: str | None, before: str | None) -> str | None:
        return {"more": now, "back": before}.get(text, text)


def test_a_prompt_that_refers_to_one_before_it_is_set_answered_and_told_as_a_whole_one() -> None:
    told = []

    class Telling(Witness):
        def updated(self, update_index: int, frame_index: int, given: Mapping[str, object]) -> None:
            told.append(given["prompt"])

    with Stream(Continuing(), prompt="red", witness=Telling()) as stream:
        for text, whole, prompt in (
            ("blue", None, "blue"),
            ("more", "blue", "blue"),
            ("green", None, "green"),
            ("back", "blue", "blue"),
            ("back", "green", "green"),
            (None, None, None),
            ("back", "green", "green"),
            ("back", "", None),
        ):
            ack = stream.update(prompt=text)
            assert ack.whole_prompt == whole
            assert (ack.prompt and ack.prompt.text) == prompt
            assert (stream.controls.prompt and stream.controls.prompt.text) == prompt
            assert told.pop() == prompt
