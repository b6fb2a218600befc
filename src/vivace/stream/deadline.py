"""Deadline control: lower effort when frames take too long, raise it again when there is headroom.

The controller depends only on the step times it is given: it reads no clock and never waits. It goes down quickly,
because a late frame is a dropped frame. It goes up slowly, and more slowly each time a rise had to be reverted, so that
it settles instead of oscillating.

An effort above 1.0 means a larger picture: that multiple of the natural area, at full effort. Another area takes time
to set up, so the controller requests it and switches when the processor reports it ready. A larger area that is no
longer wanted by then is not requested again.

The cost of the next effort up is predicted from the lowest cost seen at each effort, not from the latest: effort often
falls because other programs held up the machine, and times from such a moment say nothing about the effort.
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
    """Parameters of the controller; the defaults suit 10 to 60 frames/s."""

    window: int = 5
    """Frames in the median that decides: up to two outliers among them change nothing."""
    limit: float = 0.9
    """Largest share of the budget that a frame may take; the higher it is, the longer frames queue."""
    headroom: float = 0.8
    """Largest share of the budget that a frame is predicted to take for effort to rise."""
    patience_s: float = 2.0
    """Time within budget before effort rises, s."""
    max_patience_s: float = 60.0
    """Upper limit on the patience, s, which doubles each time a rise is reverted."""
    trial_s: float = 5.0
    """Trial period, s: a rise reverted within it was too early."""


@dataclass(frozen=True, slots=True)
class Decision:
    """A change of effort."""

    frame_index: int
    before: float
    after: float
    reason: str


class DeadlineController:
    """Controller that chooses one of a model's efforts for each frame. Used by one thread; any may read `decisions`."""

    KEPT_DECISIONS = 64

    def __init__(
        self,
        efforts: Sequence[float],
        budget_ms: float | None,
        policy: DeadlinePolicy | None = None,
    ) -> None:
        """Start at full effort and the natural area.

        Args:
            efforts: Shares of the full work, in falling order; values above 1.0 are areas.
            budget_ms: Time a frame may take, ms; None always runs at full effort.
            policy: Parameters of the controller.
        """
        if 1.0 not in efforts or any(a <= b for a, b in pairwise(efforts)):
            raise ValueError(f"efforts must fall, the full one among them: {tuple(efforts)}")
        self.budget_ms = budget_ms
        self.decisions: tuple[Decision, ...] = ()
        self._efforts = tuple(efforts)
        self._policy = policy or DeadlinePolicy()
        self._level = self._efforts.index(1.0)
        self._asked: int | None = None
        """Level that was requested while its area is being set up."""
        self._larger_from_s = -math.inf
        """Earliest time at which a larger area may be requested, s."""
        self._recent_ms: deque[float] = deque(maxlen=self._policy.window)
        self._least_ms = [math.inf] * len(self._efforts)
        """Lowest window median of each effort, ms."""
        self._good_since_s: float | None = None
        self._rose_s: float | None = None
        self._patience_s = self._policy.patience_s

    @property
    def effort(self) -> float:
        """Effort for the next frame, at most 1.0."""
        return min(1.0, self._efforts[self._level])

    @property
    def area(self) -> float:
        """Wanted area as a multiple of the natural one; at least 1.0."""
        return max(1.0, self._efforts[self._level if self._asked is None else self._asked])

    def area_set(self, area: float, *, time_s: float, frame_index: int = 0) -> None:
        """Report that frames are made with this area from now on."""
        asked, self._asked = self._asked, None
        if asked is None or max(1.0, self._efforts[asked]) != area:
            return
        if asked < self._level:
            self._rose_s = time_s
        self._move(asked, frame_index, f"area {area:g} is ready")

    def area_refused(self, *, time_s: float) -> None:
        """Report that the requested area is not available; the next request waits for `max_patience_s`."""
        self._asked = self._rose_s = None
        self._larger_from_s = time_s + self._policy.max_patience_s

    def observe(self, step_ms: float, *, time_s: float, frame_index: int = 0) -> None:
        """Take the time of a frame at the present effort, measured at `time_s` of a monotonic clock."""
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
        # A change of area is visible, so a larger one is on trial for longer.
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
            self._asked = None  # setting it up takes time that is missing now
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
        """Return the predicted ratio of a frame's cost at the next effort up to its cost now."""
        # More effort never costs less, so the lowest cost of any higher effort bounds that of the next one. Part of the
        # work does not scale with effort, so the cost rises by no more than effort does.
        above_ms = min(self._least_ms[: self._level])
        most = self._efforts[self._level - 1] / self._efforts[self._level]
        return min(max(1.0, above_ms / self._least_ms[self._level]), most)

    def _go(self, level: int, frame_index: int, reason: str) -> None:
        """Move to a level, or request the area it needs first."""
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
