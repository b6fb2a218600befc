"""Hold the frame budget: spend less when frames take too long, and come back when there is room.

A pure function of the step times it is told; it neither reads a clock nor waits. Going down is quick, because a late
frame is a dropped frame. Going up is slow, and slower each time it turns out to have been too early, so that the
stream settles instead of swinging.

An effort above 1.0 is a larger picture: as many times the natural area, at full effort. Another area takes time
to get ready, so it is asked for, and comes into force when whoever makes frames says so; a larger one that is no longer
wanted by then is asked for no more.

What the next effort up would cost is told from the least that each effort has cost so far, not from what it cost last:
a stream often falls because something else held the machine up, and the times of that moment say nothing of the effort.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median


@dataclass(frozen=True, slots=True)
class DeadlinePolicy:
    """How quickly to react; the defaults are for 10 to 60 frames a second."""

    window: int = 5
    """Frames looked at: their median decides, so two hiccups of the machine among them change nothing."""
    limit: float = 0.9
    """Share of the budget that a frame may take: the more of it is taken, the longer frames wait for one another."""
    headroom: float = 0.8
    """Share of the budget that a frame must be expected to fit in before more is spent."""
    patience_s: float = 2.0
    """Time within budget before more is spent."""
    max_patience_s: float = 60.0
    """Patience doubles each time a rise had to be taken back, up to this."""
    trial_s: float = 5.0
    """A rise taken back within this time was too early."""


@dataclass(frozen=True, slots=True)
class Decision:
    """One change of effort."""

    frame_index: int
    before: float
    after: float
    reason: str


class DeadlineController:
    """Chooses one of a model's efforts, frame by frame. Used by one thread; `decisions` may be read by any."""

    KEPT_DECISIONS = 64

    def __init__(
        self,
        efforts: Sequence[float],
        budget_ms: float | None,
        policy: DeadlinePolicy | None = None,
    ) -> None:
        """Start at full effort and the natural area.

        Args:
            efforts: Shares of the full work, falling; those above 1.0 are areas.
            budget_ms: Time a frame may take; None never spends less.
            policy: How quickly to react.
        """
        if 1.0 not in efforts or any(a <= b for a, b in pairwise(efforts)):
            raise ValueError(f"efforts must fall, the full one among them: {tuple(efforts)}")
        self.budget_ms = budget_ms
        self.decisions: tuple[Decision, ...] = ()
        self._efforts = tuple(efforts)
        self._policy = policy or DeadlinePolicy()
        self._level = self._efforts.index(1.0)
        self._asked: int | None = None
        """The level whose area is being got ready."""
        self._larger_from_s = -math.inf
        """From when on a larger area may be asked for."""
        self._recent_ms: deque[float] = deque(maxlen=self._policy.window)
        self._least_ms = [math.inf] * len(self._efforts)
        """Of every effort, the least median of a window."""
        self._good_since_s: float | None = None
        self._rose_s: float | None = None
        self._patience_s = self._policy.patience_s

    @property
    def effort(self) -> float:
        """The effort to make the next frame with, at most 1.0."""
        return min(1.0, self._efforts[self._level])

    @property
    def area(self) -> float:
        """The area wanted, in natural ones; at least 1.0."""
        return max(1.0, self._efforts[self._level if self._asked is None else self._asked])

    def area_set(self, area: float, *, time_s: float, frame_index: int = 0) -> None:
        """Say that frames are made with an area from now on."""
        asked, self._asked = self._asked, None
        if asked is None or max(1.0, self._efforts[asked]) != area:
            return
        if asked < self._level:
            self._rose_s = time_s
        self._move(asked, frame_index, f"area {area:g} is ready")

    def area_refused(self, *, time_s: float) -> None:
        """Say that the area asked for cannot be had; a larger one is asked for again after the longest patience."""
        self._asked = self._rose_s = None
        self._larger_from_s = time_s + self._policy.max_patience_s

    def observe(self, step_ms: float, *, time_s: float, frame_index: int = 0) -> None:
        """Take the time a frame took at the present effort, measured at `time_s` of a monotonic clock."""
        if self.budget_ms is None or len(self._efforts) == 1:
            return
        self._recent_ms.append(step_ms)
        if len(self._recent_ms) < self._policy.window:
            return
        typical_ms = median(self._recent_ms)
        self._least_ms[self._level] = min(self._least_ms[self._level], typical_ms)
        if typical_ms > self._policy.limit * self.budget_ms:
            self._good_since_s = None
            self._fall(frame_index)
            return
        if self._good_since_s is None:
            self._good_since_s = time_s
        # Changing over to another area is seen, so a larger one has to prove itself for longer.
        trial_s = self._policy.trial_s if self._efforts[self._level] <= 1.0 else self._policy.max_patience_s
        if self._rose_s is not None and time_s - self._rose_s >= trial_s:
            self._rose_s = None
            self._patience_s = self._policy.patience_s
        if self._asked is None and self._level > 0 and time_s - self._good_since_s >= self._patience_s:
            self._rise(time_s, frame_index)

    def _fall(self, frame_index: int) -> None:
        if self._rose_s is not None:
            self._patience_s = min(2 * self._patience_s, self._policy.max_patience_s)
        self._rose_s = None
        if self._asked is not None and self._asked < self._level:
            self._asked = None  # getting it ready takes time that there is not
        if self._level + 1 < len(self._efforts):
            typical_ms = median(self._recent_ms)
            self._go(self._level + 1, frame_index, f"{typical_ms:.1f} ms a frame, budget {self.budget_ms:.1f} ms")

    def _rise(self, time_s: float, frame_index: int) -> None:
        assert self.budget_ms is not None
        expected_ms = median(self._recent_ms) * self._dearer()
        larger = self._efforts[self._level - 1] > 1.0
        if expected_ms > self._policy.headroom * self.budget_ms or (larger and time_s < self._larger_from_s):
            return
        self._rose_s = time_s
        self._go(self._level - 1, frame_index, f"{expected_ms:.1f} ms expected, budget {self.budget_ms:.1f} ms")

    def _dearer(self) -> float:
        """Return how many times as dear a frame is at the next effort up."""
        # More effort never costs less, so the least of all higher efforts is one of the next one, too. Part of the work
        # does not shrink with effort, so the cost rises by no more than effort does.
        above_ms = min(self._least_ms[: self._level])
        most = self._efforts[self._level - 1] / self._efforts[self._level]
        return min(max(1.0, above_ms / self._least_ms[self._level]), most)

    def _go(self, level: int, frame_index: int, reason: str) -> None:
        """Move, or ask for the area that is needed first."""
        if max(1.0, self._efforts[level]) == max(1.0, self._efforts[self._level]):
            self._move(level, frame_index, reason)
        else:
            self._asked = level

    def _move(self, level: int, frame_index: int, reason: str) -> None:
        decision = Decision(frame_index, self._efforts[self._level], self._efforts[level], reason)
        self.decisions = (*self.decisions[1 - self.KEPT_DECISIONS :], decision)
        self._level = level
        self._recent_ms.clear()
        self._good_since_s = None
