"""Time in media: clocks as parameters, and presentation times that always rise."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

Clock = Callable[[], float]
"""Returns seconds of a monotonic clock."""
Sleep = Callable[[float], object]
"""Waits for so many seconds."""


RESTART_STEPS = 10
"""A time stamp this many frame durations in the past is a clock that started over, not jitter."""


def exact(ratio: Any) -> Fraction:
    """Return a rational number of FFmpeg's as a Fraction; PyAV has a type of its own from version 19 on."""
    return Fraction(ratio.numerator, ratio.denominator)


class Timeline:
    """Makes presentation times strictly increasing, whatever the stream says.

    Streams repeat, omit and reset their time stamps; everything downstream (muxers above all) needs them to rise.
    """

    def __init__(self, time_base: Fraction, step: int) -> None:
        """Start a timeline in units of `time_base`; `step`, a frame's usual duration, stands in for missing stamps."""
        self.time_base = time_base
        self._step = max(1, step)
        self._last: int | None = None
        self._offset = 0

    def place(self, pts: int | None) -> int:
        """Return `pts`, moved as little as needed to come after everything placed before."""
        if self._last is None:
            self._last = 0 if pts is None else pts
            return self._last
        placed = self._last + self._step if pts is None else pts + self._offset
        if placed <= self._last:
            if self._last - placed > RESTART_STEPS * self._step:
                self._offset += self._last + self._step - placed
                placed = self._last + self._step
            else:
                placed = self._last + 1
        self._last = placed
        return placed

    def resume(self, next_pts: int | None, gap_s: float) -> None:
        """Make `next_pts`, the first stamp of a stream opened anew, follow the last one by `gap_s` seconds."""
        if self._last is None:
            return
        gap = max(self._step, round(gap_s / self.time_base))
        self._offset = self._last + gap - (0 if next_pts is None else next_pts)
