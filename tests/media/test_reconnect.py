"""Network outputs survive broken connections: sent and dropped pictures, messages, and the end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from typing import Any

import pytest

from fakes import FakeClock
from patience import PATIENCE_S
from vivace.errors import SinkWriteError, SourceNotFoundError
from vivace.media.frame import Frame
from vivace.media.open import open_sink
from vivace.media.reconnect import STEADY_S, LineSink, ReconnectingSink

from .clips import frames_of, grey


class Line(LineSink):
    """Connection that breaks at one of its frames, before or after the other side has received any."""

    name = "line"

    def __init__(self, breaks_at: int | None = None, *, reaches: bool = True) -> None:
        self.taken: list[int] = []
        self.closed = threading.Event()
        self._breaks_at = breaks_at
        self._reaches = reaches

    def write(self, frame: Frame) -> None:
        if len(self.taken) == self._breaks_at:
            raise SinkWriteError("line: gone")
        self.taken.append(frame.index)
        self.frames_written += 1
        self.connected = self._reaches

    def close(self) -> None:
        self.closed.set()


class Run:
    """Sink over given connections, with pictures 40 ms apart."""

    def __init__(self, *lines: Line | Exception, delays_s: tuple[float, ...] = (1.0, 2.0)) -> None:
        self.lines, self.told, self.clock = lines, list[str](), FakeClock()
        left = iter(lines)

        def open_line() -> Line:
            line = next(left)
            if isinstance(line, Exception):
                raise line
            return line

        self.sink = ReconnectingSink(
            open_line, warn=self.told.append, delays_s=delays_s, clock=self.clock, sleep=lambda _: None
        )
        self._next = 0

    def write(self, count: int) -> None:
        for frame in frames_of([grey(1)] * count, range(self._next, self._next + count)):
            self._next += 1
            self.sink.write(frame)
            self.clock.advance(0.04)


def test_frames_go_on_over_the_next_connection_and_those_between_are_left_out() -> None:
    first, second = Line(breaks_at=10), Line()
    run = Run(first, second)
    run.write(100)
    run.sink.close()
    assert first.taken == list(range(10))
    assert second.taken == list(range(35, 100)), "a second after the loss at the eleventh frame"
    assert run.sink.frames_written == 75
    assert first.closed.wait(PATIENCE_S)
    assert second.closed.is_set()
    assert run.told == [
        "line: gone; connecting again in 1 s, everything else goes on",
        "line: connected again; 25 frames were left out",
    ]


def test_waits_grow_and_come_to_an_end() -> None:
    run = Run(Line(breaks_at=1), SourceNotFoundError("line: no sound"), Line(breaks_at=0))
    with pytest.raises(SinkWriteError, match="gone; not back after 2 attempts"):
        run.write(1000)
    assert [text for text in run.told if "connecting again" in text] == [
        "line: gone; connecting again in 1 s, everything else goes on",
        "line: no sound; connecting again in 2 s, everything else goes on",
    ]
    assert run.clock() - 100 == pytest.approx(3.0, abs=0.2)
    run.sink.close()


def test_an_end_without_a_connection_is_an_error() -> None:
    run = Run(Line(breaks_at=2), Line())
    run.write(10)
    with pytest.raises(SinkWriteError, match="not connected at the end, and 8 frames were left out"):
        run.sink.close()
    run.sink.close()


def test_what_was_never_reached_is_an_error_at_once() -> None:
    with pytest.raises(SinkWriteError, match=r"^line: gone$"):
        Run(Line(breaks_at=3, reaches=False), Line()).write(10)


def test_a_connection_that_lasted_gives_all_attempts_back_and_one_that_did_not_gives_none() -> None:
    steady = Line(breaks_at=round(STEADY_S / 0.04) + 10)
    run = Run(Line(breaks_at=1), Line(breaks_at=1), steady, Line(breaks_at=1), Line(breaks_at=1))
    with pytest.raises(SinkWriteError, match="not back after 2 attempts"):
        run.write(1000)
    assert len(steady.taken) > STEADY_S / 0.04
    run.sink.close()
    with pytest.raises(SinkWriteError, match="closed"):
        run.write(1)


def test_nothing_waits_for_the_end_of_a_connection_that_was_lost() -> None:
    class Hanging(Line):
        def close(self) -> None:
            self.closed.wait(PATIENCE_S)

    hanging, after = Hanging(breaks_at=1), Line()
    run = Run(hanging, after)
    run.write(60)
    assert after.taken
    hanging.closed.set()
    run.sink.close()


def test_a_server_that_is_started_again_gets_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """MPEG-TS over TCP: the first connection is closed by the other side, the second one is read to its end."""
    monkeypatch.setattr("vivace.media.reconnect.SINK_DELAYS_S", (0.01,))
    told: list[str] = []
    received = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as server:
        again = threading.Event()

        def serve() -> None:
            first, _ = server.accept()
            with first:
                first.recv(1000)
            second, _ = server.accept()
            with second:
                while data := second.recv(65536):
                    received.extend(data)
                    again.set()

        peer = threading.Thread(target=serve)
        peer.start()
        with open_sink(f"tcp://127.0.0.1:{server.getsockname()[1]}", fps=25, warn=told.append) as sink:
            write_until(sink, lambda: again.is_set() and "connected" in told[-1])
        peer.join(PATIENCE_S)
    assert received[:1] == b"\x47", "the beginning of a transport stream, which a receiver can decode"
    assert "connecting again" in told[0]
    assert "connected again" in told[-1]


def write_until(sink: Any, enough: Callable[[], bool]) -> None:
    for frame in frames_of([grey(20 * (number % 10)) for number in range(round(PATIENCE_S * 25))]):
        sink.write(frame)
        if enough():
            return
    raise AssertionError("it never happened")
