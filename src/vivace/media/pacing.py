"""Delivering the pictures of a file when they are due, as if they happened now."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from dataclasses import replace

from vivace.media.audio import AudioTrack
from vivace.media.clock import Clock, Sleep
from vivace.media.frame import Frame
from vivace.media.source import Source

MAX_LATENESS_S = 0.5
"""Beyond this the whole timetable shifts: after a suspended laptop or a slow disk the stream goes on from now,
instead of rushing through what is long past."""


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
        self._clock = clock
        self._woken = threading.Event()
        self._sleep: Sleep = sleep if sleep is not None else self._woken.wait

    def deliver_at(self, size: tuple[int, int] | None) -> None:
        """Ask the inner source."""
        self._source.deliver_at(size)

    def open_audio(self) -> AudioTrack | None:
        """Return the inner source's audio."""
        return self._source.open_audio()

    def close(self) -> None:
        """Close the inner source; a wait in progress ends at once."""
        self._woken.set()
        super().close()
        self._source.close()

    def _read(self) -> Generator[Frame, None, None]:
        start_s: float | None = None
        for frame in self._source:
            now_s = self._clock()
            if start_s is None:
                start_s = now_s - frame.pts_s
            due_s = start_s + frame.pts_s
            if due_s > now_s:
                self._sleep(due_s - now_s)
            elif now_s - due_s > MAX_LATENESS_S:
                start_s = now_s - frame.pts_s
                due_s = now_s
            yield replace(frame, capture_time_s=due_s)
