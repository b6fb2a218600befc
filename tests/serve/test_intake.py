"""A session's pictures on their way to the engine: which are lost, and when the newest is painted once more."""

from __future__ import annotations

from fractions import Fraction

import pytest

from fakes import FakeClock, picture
from vivace.media.frame import Frame
from vivace.serve.engine import Engine, SessionQueue
from vivace.serve.intake import Intake


class Desk:
    """An engine that paints nothing by itself, and a session's intake."""

    def __init__(self) -> None:
        self.clock = FakeClock(100.0)
        self.engine = Engine("fake", self.clock)
        self.queue = SessionQueue(lambda _frame: None, lambda _error: None, 0.04)
        self.engine.add(self.queue)
        self.intake = Intake(self.engine, self.queue)

    def offer(self, tag: int) -> bool:
        """Give a picture of this moment; return whether another one is lost for it."""
        return self.intake.offer(Frame(picture(0), 0, 0, Fraction(1, 25), self.clock(), tag=tag))

    def take(self) -> tuple[int | None, int, int]:
        """Return tag, index and time of the frame that waits, as if it were painted now."""
        frame = self.queue.frames.popleft()
        return frame.tag, frame.index, frame.pts


def test_a_picture_that_was_painted_and_is_replaced_before_its_second_time_is_not_lost() -> None:
    desk = Desk()
    assert not desk.offer(1)
    assert desk.take() == (1, 0, 0)
    desk.clock.advance(0.01)
    desk.intake.repeat(desk.clock())
    assert not desk.offer(2), "the picture before it was painted once"
    assert desk.offer(3), "the second was not"
    assert desk.take() == (3, 3, 10_002)


def test_a_picture_is_painted_once_more_at_most_and_never_before_one_that_waits() -> None:
    desk = Desk()
    desk.intake.repeat(desk.clock())
    assert not desk.queue.frames
    desk.offer(1)
    desk.intake.repeat(desk.clock())
    assert desk.take() == (1, 0, 0), "it waits, and is painted with the change"
    desk.intake.repeat(desk.clock())
    assert not desk.queue.frames
    desk.offer(2)
    desk.take()
    desk.intake.repeat(desk.clock())
    assert desk.take() == (2, 2, 2)


@pytest.mark.parametrize("busy", ["steps", "others", "gone"])
def test_nothing_is_painted_once_more_where_others_would_wait_for_it(busy: str) -> None:
    desk = Desk()
    desk.offer(1)
    desk.take()
    if busy == "steps":
        desk.engine._step_s = 0.06  # one picture has come, from which the engine takes ten a second
    elif busy == "gone":
        desk.engine.leave(desk.queue, lambda: None)
    else:
        other = SessionQueue(lambda _frame: None, lambda _error: None, 0.04)
        desk.engine.add(other)
        desk.engine.offer(other, Frame(picture(0), 0, 0, Fraction(1, 25), 100.0))
    desk.intake.repeat(desk.clock())
    assert not desk.queue.frames
