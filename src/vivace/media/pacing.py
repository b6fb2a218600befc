"""When the pictures of a file are due: delivered as if they happened now, sent no faster than a receiver shows them."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from dataclasses import replace

from vivace.media.audio import Sound
from vivace.media.clock import Clock, Sleep
from vivace.media.frame import Frame
from vivace.media.source import Source

MAX_LATENESS_S = 0.5
"""Beyond this the whole timetable shifts: after a suspended laptop or a slow disk the stream goes on from now,
instead of rushing through what is long past."""


class Timetable:
    """When frames are due, counted from the first. After one that is later than `MAX_LATENESS_S` all are due later."""

    def __init__(self, clock: Clock, sleep: Sleep, *, ahead_s: float = 0.0) -> None:
        """Wait for frames by `clock` and `sleep`, up to `ahead_s` before they are due."""
        self._clock = clock
        self._sleep = sleep
        self._ahead_s = ahead_s
        self._start_s: float | None = None

    def wait(self, pts_s: float) -> float:
        """Wait until a frame may be shown; return when it was due."""
        now_s = self._clock()
        if self._start_s is None:
            self._start_s = now_s - pts_s
        due_s = self._start_s + pts_s
        if due_s - self._ahead_s > now_s:
            self._sleep(due_s - self._ahead_s - now_s)
        elif now_s - due_s > MAX_LATENESS_S:
            self._start_s = now_s - pts_s
            due_s = now_s
        return due_s


class PacedSource(Source):
    """Another source, paced to its presentation times (`vivace run FILE --live`).

    `capture_time_s` of a frame becomes the moment it was due. A late picture is delivered at once; later than
    `MAX_LATENESS_S`, the timetable shifts.
    """

    def __init__(self, source: Source, *, clock: Clock = time.monotonic, sleep: Sleep | None = None) -> None:
        """Pace `source` by `clock`. `sleep` waits; the default one is cut short by `close()`."""
        super().__init__(replace(source.info, live=True))
        self.warnings = source.warnings
        self._source = source
        self._woken = threading.Event()
        self._timetable = Timetable(clock, sleep if sleep is not None else self._woken.wait)

    def deliver_at(self, size: tuple[int, int] | None) -> None:
        """Ask the inner source."""
        self._source.deliver_at(size)

    def open_audio(self) -> Sound | None:
        """Return the inner source's audio."""
        return self._source.open_audio()

    def close(self) -> None:
        """Close the inner source; a wait in progress ends at once."""
        self._woken.set()
        super().close()
        self._source.close()

    def _read(self) -> Generator[Frame, None, None]:
        for frame in self._source:
            yield replace(frame, capture_time_s=self._timetable.wait(frame.pts_s))
