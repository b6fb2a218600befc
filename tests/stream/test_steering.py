"""An update is prepared before it is in force, or refused without any change."""

from __future__ import annotations

import pytest

from fakes import FakeModel, pictures
from vivace.errors import CapacityError
from vivace.stream import Stream


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
