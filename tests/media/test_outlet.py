"""A sink in its own thread."""

from __future__ import annotations

import threading

import pytest

from fakes import pictures
from vivace.errors import SinkWriteError
from vivace.media.frame import Frame
from vivace.media.outlet import Outlet
from vivace.media.sink import Sink

LIMIT_S = 20.0


class Held(Sink):
    """Sink that writes with permission, and fails at a frame."""

    name = "held"

    def __init__(self, *, fails_at: int | None = None) -> None:
        self.written: list[int] = []
        self.closed = 0
        self.reached, self.may = threading.Event(), threading.Event()
        self._fails_at = fails_at

    def write(self, frame: Frame) -> None:
        self.reached.set()
        assert self.may.wait(LIMIT_S)
        if frame.index == self._fails_at:
            raise SinkWriteError("held: the disk is full")
        self.written.append(frame.index)

    def close(self) -> None:
        self.closed += 1


def test_a_slow_live_sink_loses_frames_and_never_makes_the_stream_wait() -> None:
    sink = Held()
    lost: list[int] = []
    outlet = Outlet(lambda: sink, name="test", live=True, on_drop=lambda: lost.append(1))
    frames = pictures(6)
    assert outlet.put(frames[0])
    assert sink.reached.wait(LIMIT_S)
    assert all(outlet.put(frame) for frame in frames[1:])
    sink.may.set()
    outlet.finish()
    assert outlet.join(LIMIT_S)
    assert sink.written == [0, 5]
    assert (outlet.frames_written, outlet.frames_dropped, len(lost), sink.closed) == (2, 4, 4, 1)
    assert outlet.error is None
    assert not outlet.put(frames[0])


def test_a_file_has_a_busy_moment_before_it_loses_frames() -> None:
    sink = Held()
    outlet = Outlet(lambda: sink, name="test", live=True, slack=3)
    frames = pictures(6)
    assert outlet.put(frames[0])
    assert sink.reached.wait(LIMIT_S)
    assert all(outlet.put(frame) for frame in frames[1:])
    sink.may.set()
    outlet.finish()
    assert outlet.join(LIMIT_S)
    assert sink.written == [0, 3, 4, 5]
    assert outlet.frames_dropped == 2


def test_otherwise_every_frame_is_written_in_order() -> None:
    sink = Held()
    sink.may.set()
    outlet = Outlet(lambda: sink, name="test", live=False)
    assert all(outlet.put(frame) for frame in pictures(20))
    outlet.finish()
    outlet.finish()
    assert outlet.join(LIMIT_S)
    assert sink.written == list(range(20))
    assert outlet.frames_dropped == 0


@pytest.mark.parametrize("live", [True, False])
def test_a_failure_ends_the_outlet_and_is_kept(live: bool) -> None:
    sink = Held(fails_at=0)
    ended: list[BaseException | None] = []
    sink.may.set()
    outlet = Outlet(lambda: sink, name="test", live=live, on_end=ended.append)
    outlet.put(pictures(1)[0])
    assert outlet.join(LIMIT_S)
    assert not outlet.put(pictures(2)[1])
    assert "the disk is full" in str(outlet.error)
    assert (ended, sink.closed) == ([outlet.error], 1)


def test_a_sink_that_cannot_be_opened_is_a_failure_too() -> None:
    def refuse() -> Sink:
        raise SinkWriteError("no such folder")

    outlet = Outlet(refuse, name="test", live=True)
    assert outlet.join(LIMIT_S)
    assert str(outlet.error) == "no such folder"


@pytest.mark.parametrize("why", ["enough", "finished"])
def test_it_ends_where_the_sink_or_its_owner_has_had_enough(why: str) -> None:
    sink = Held()
    sink.may.set()
    sink.finished = why == "finished"
    outlet = Outlet(lambda: sink, name="test", live=False, enough=lambda: why == "enough")
    outlet.put(pictures(1)[0])
    assert outlet.join(LIMIT_S)
    assert (sink.written, sink.closed, outlet.error) == ([0], 1, None)
