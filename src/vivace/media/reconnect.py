"""Connections that break: when they are made again, and a sink that goes on over the next one."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from threading import Thread
from typing import TypeVar

from vivace.errors import SinkError, SinkWriteError, SourceError, SourceLostError, SourceStalledError
from vivace.media.clock import Clock, Sleep
from vivace.media.frame import Frame
from vivace.media.pacing import Timetable
from vivace.media.picture import Warn
from vivace.media.sink import Sink

SOURCE_DELAYS_S = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Waits before each attempt, s, eight seconds in all: a camera that reboots takes longer, one whose Wi-Fi hiccups does
not, and who has stopped sending for good is not waited for long."""
SINK_DELAYS_S = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 30.0, 30.0, 30.0, 30.0)
"""Three minutes in all, during which frames are left out: a server that is started again, a line that is cut."""
STEADY_S = 10.0
"""Age of a connection, s, from which its loss is a new one, with all attempts before it."""

T = TypeVar("T")


class Attempts:
    """Attempts to connect again, each after a longer wait than the one before."""

    def __init__(self, delays_s: tuple[float, ...]) -> None:
        """Allow one attempt for each delay, s."""
        self.made = 0
        self._delays_s = delays_s

    def next_delay_s(self) -> float | None:
        """Count an attempt and return the wait before it; None where all are used up."""
        if self.made == len(self._delays_s):
            return None
        self.made += 1
        return self._delays_s[self.made - 1]

    def succeeded(self) -> None:
        """Allow all of them again."""
        self.made = 0


def connected_again(
    connect: Callable[[], T],
    attempts: Attempts,
    broken: SourceError,
    *,
    name: str,
    warn: Warn,
    wait: Callable[[float], object],
    stopped: Callable[[], bool],
) -> T | None:
    """Return what `connect` gives a source whose connection broke; None once the source is stopped.

    Args:
        connect: makes the connection, or raises a SourceError.
        attempts: those that are left.
        broken: what the connection ended with.
        name: of the source.
        warn: told that it broke, and that it is back.
        wait: waits some seconds, or until the source is stopped.
        stopped: tells whether it is.

    Raises:
        SourceStalledError, SourceLostError: no attempt is left.
    """
    warn(f"{broken}; connecting again")
    while not stopped() and (delay_s := attempts.next_delay_s()) is not None:
        wait(delay_s)
        if stopped():
            break
        try:
            made = connect()
        except SourceError as error:
            broken = error
            continue
        warn(f"{name}: connected again ({broken})")
        return made
    if stopped():
        return None
    kind = SourceStalledError if isinstance(broken, SourceStalledError) else SourceLostError
    raise kind(f"{name}: lost, and not back after {attempts.made} attempts to connect again; last: {broken}")


class LineSink(Sink):
    """A sink over one connection, whose loss is a SinkWriteError."""

    live = True
    connected = False
    """True once the other side has taken something."""


class ReconnectingSink(Sink):
    """A network output that outlives its connections. Frames are left out while there is none.

    A first connection that cannot be made is an error at once: the address may be wrong.
    """

    live = True

    def __init__(
        self,
        open_line: Callable[[], LineSink],
        *,
        warn: Warn,
        delays_s: tuple[float, ...] | None = None,
        clock: Clock = time.monotonic,
        sleep: Sleep = time.sleep,
    ) -> None:
        """Open the first line.

        Args:
            open_line: opens a sink that connects when it is given its first frame.
            warn: told, in sentences for people, what becomes of the connection.
            delays_s: waits before each attempt to connect again, s; None: `SINK_DELAYS_S`.
            clock: what waits are measured by.
            sleep: waits.

        Raises:
            SinkError, SourceError: as `open_line`.
        """
        self._open_line = open_line
        self._warn = warn
        self._attempts = Attempts(SINK_DELAYS_S if delays_s is None else delays_s)
        self._clock = clock
        self._sleep = sleep
        self._line: LineSink | None = open_line()
        self._opened_s = clock()
        self.name = self._line.name
        self._was_connected = False
        self._outage: _Outage | None = None
        """Since a line was lost, until the next one stands."""
        self._written_before = 0
        """Frames that lines before this one have sent."""
        self._ending: list[Thread] = []
        self._given_up = False
        self._closed = False

    def write(self, frame: Frame) -> None:
        """Send a frame, or leave it out while there is no connection."""
        if self._closed or self._given_up:
            raise SinkWriteError(f"{self.name}: already closed")
        line = self._line or self._next_line()
        if line is not None:
            try:
                line.write(frame)
            except SinkError as error:
                self._lose(error)
            else:
                self.frames_written = self._written_before + line.frames_written
                if line.connected:
                    self._stands()
                return
        assert self._outage is not None
        self._outage.timetable.wait(frame.pts_s)
        self._outage.left_out += 1

    def _next_line(self) -> LineSink | None:
        """Open the next line if it is time to."""
        assert self._outage is not None
        if self._clock() >= self._outage.due_s:
            try:
                self._line, self._opened_s = self._open_line(), self._clock()
            except (SinkError, SourceError) as error:
                self._lose(error)
        return self._line

    def _stands(self) -> None:
        self._was_connected = True
        if self._outage is not None:
            self._warn(f"{self.name}: connected again; {self._outage.left_out} frames were left out")
            self._outage = None
        if self._clock() - self._opened_s > STEADY_S:
            self._attempts.succeeded()

    def _lose(self, error: SinkError | SourceError) -> None:
        """Give the line up, and plan the next one.

        Raises:
            SinkError, SourceError: none ever stood, or no attempt is left.
        """
        line, self._line = self._line, None
        if line is not None:
            self._was_connected |= line.connected
            self._written_before += line.frames_written
            self.frames_written = self._written_before
            # In a thread: its end may wait for a network that is not there.
            self._ending.append(Thread(target=_close_quietly, args=(line,), name="vivace-line", daemon=True))
            self._ending[-1].start()
        delay_s = self._attempts.next_delay_s() if self._was_connected else None
        self._given_up = delay_s is None
        if not self._was_connected:
            raise error
        if delay_s is None:
            raise SinkWriteError(f"{error}; not back after {self._attempts.made} attempts to connect again")
        self._outage = self._outage or _Outage(Timetable(self._clock, self._sleep))
        self._outage.due_s = self._clock() + delay_s
        self._warn(f"{error}; connecting again in {delay_s:g} s, everything else goes on")

    def close(self) -> None:
        """Close the line, and wait for the end of those that were lost. Raises SinkWriteError where there is none."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._line is not None:
                self._line.close()
            elif self._outage is not None and not self._given_up:
                lost = f"it was not connected at the end, and {self._outage.left_out} frames were left out"
                raise SinkWriteError(f"{self.name}: {lost}")
        finally:
            if self._line is not None:  # at its end it may turn out that nothing was taken
                self.frames_written = self._written_before + self._line.frames_written
            for thread in self._ending:
                thread.join()


@dataclass(slots=True)
class _Outage:
    """A time without a connection."""

    timetable: Timetable
    """Paces frames that nobody takes: those of a file would be through at once."""
    left_out: int = 0
    due_s: float = 0.0
    """Time of the next attempt."""


def _close_quietly(line: Sink) -> None:
    with suppress(SinkError):  # it was lost, which has been said
        line.close()
