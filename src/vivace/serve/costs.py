"""Time of a model's step by output size: measured at start, and kept current by the steps that are taken."""

from __future__ import annotations

import math
from collections import defaultdict, deque
from statistics import median

from vivace.media.size import Size

REMEMBERED_STEPS = 120
"""Steps remembered, of all sizes together: what a machine did long ago says nothing of it."""


class StepCosts:
    """Measured step times of one model on one device.

    A size that was not painted lately is taken to cost in proportion to its area, seen from the painted one nearest to
    it; below the default size a step costs no less, unless it was measured to.
    """

    def __init__(self, size: Size, step_ms: float) -> None:
        """Begin with the calibrated time of a step at full effort and the default `(width, height)`, px."""
        self.default_size = size
        self._steps: deque[tuple[Size, float]] = deque([(size, step_ms)], maxlen=REMEMBERED_STEPS)
        self._medians: dict[Size, float] = {size: step_ms}

    def observe(self, size: Size, step_ms: float, effort: float = 1.0) -> None:
        """Take the time of a step.

        Time falls by less than effort does, so that a step at lower effort gives an upper bound, which counts where it
        shows the machine to be faster than was thought: a server that started in a bad minute recovers from it.
        """
        bound_ms = step_ms / effort
        if effort >= 1.0 or bound_ms < self.ms(size):
            self._steps.append((size, bound_ms))
            self._medians.clear()

    def ms(self, size: Size) -> float:
        """Return the time of a step at full effort for an output of `(width, height)` px."""
        if not self._medians:
            times: defaultdict[Size, list[float]] = defaultdict(list)
            for painted, step_ms in self._steps:
                times[painted].append(step_ms)
            self._medians.update((painted, median(each)) for painted, each in times.items())
        known = self._medians.get(size)
        if known is None:
            area = self._area(size)
            nearest = min(self._medians, key=lambda painted: abs(math.log(self._area(painted) / area)))
            known = self._medians[nearest] * area / self._area(nearest)
        return known

    @property
    def step_ms(self) -> float:
        """Time of a step at the default size."""
        return self.ms(self.default_size)

    @property
    def growth(self) -> float:
        """Power of the area with which larger sizes were measured to take longer; 1 where none was painted lately."""
        self.ms(self.default_size)
        largest = max(self._medians, key=self._area)
        ratio = self._area(largest) / self._area(self.default_size)
        if ratio < 1.5 or self.step_ms <= 0:
            return 1.0
        return min(2.0, max(0.0, math.log(max(self.ms(largest), 1e-3) / self.step_ms) / math.log(ratio)))

    def _area(self, size: Size) -> int:
        return max(math.prod(size), math.prod(self.default_size))
