"""A session's pictures on their way to the engine: numbered as they come, the newest once more for a change."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from vivace.media.frame import Frame
from vivace.serve.engine import Engine, SessionQueue

MICROSECOND = Fraction(1, 1_000_000)
"""Time base of a session's pictures, s."""


class Intake:
    """Numbering of one session's pictures, and its queue at the engine. For one thread at a time."""

    def __init__(self, engine: Engine, queue: SessionQueue) -> None:
        self.began_s: float | None = None
        """Capture time of the first picture, s, monotonic, which is presentation time 0; None before it."""
        self._engine = engine
        self._queue = queue
        self._next_index = 0
        self._last_pts = -1
        self._newest: Frame | None = None
        """The newest picture, until it is painted once more."""
        self._again: Frame | None = None
        """The last picture that was to be painted once more."""

    def skip(self) -> None:
        """Count a picture that is left out."""
        self._next_index += 1

    def offer(self, frame: Frame) -> bool:
        """Leave a picture for the engine; return whether another one was lost, which it had not painted yet."""
        if self.began_s is None:
            self.began_s = frame.capture_time_s
        self._newest = frame
        displaced = self._engine.offer(self._queue, self._numbered(frame, self.began_s))
        return displaced is not None and displaced is not self._again

    def repeat(self, now_s: float) -> None:
        """Have the newest picture painted once more, where there is time: a change is then seen before the next one."""
        frame, self._newest = self._newest, None
        if frame is not None and self.began_s is not None and self._engine.has_time(self._queue):
            as_of_now = replace(frame, capture_time_s=now_s, marks={"receive": now_s})
            self._again = self._numbered(as_of_now, self.began_s)
            self._engine.repeat(self._queue, self._again)

    def _numbered(self, frame: Frame, began_s: float) -> Frame:
        index, self._next_index = self._next_index, self._next_index + 1
        # Presentation times rise even where capture times do not.
        self._last_pts = max(self._last_pts + 1, round((frame.capture_time_s - began_s) / MICROSECOND))
        return replace(frame, index=index, pts=self._last_pts)
