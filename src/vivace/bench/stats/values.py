"""Percentiles and trends for timing benchmarks."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

BLOCKS = 10
"""Stretches a run is cut into, for intervals of its figures."""
MIN_BLOCK = 10
"""Fewest values of a stretch with a figure of its own."""
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Value:
    """Plain form of `document.Measurement`, so that a measuring process need not import the document."""

    metric: str
    case: str
    value: float | None
    blocks: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Spread:
    """Percentiles of a distribution."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Trend:
    """Rate of growth."""

    slope: float
    """Slope in units of y per unit of x."""
    slopes: list[float]
    """Slopes of independent pairs of stretches half the run apart, from which an interval is resampled."""


def spread(values: Sequence[float]) -> Spread:
    """Return the percentiles of `values` by the nearest-rank rule.

    Raises:
        ValueError: no values.
    """
    return Spread(*(percentile(values, share) for share in PERCENTILES))


def percentile(values: Sequence[float], share: int) -> float:
    """Return the value that `share` % of `values` do not exceed, by the nearest-rank rule.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("no values to take percentiles of")
    return sorted(values)[max(0, math.ceil(share * len(values) / 100) - 1)]


def stretches(values: Sequence[float], count: int = BLOCKS) -> list[Sequence[float]]:
    """Return `values` cut into at most `count` equal stretches of at least `MIN_BLOCK`, without the remainder.

    Fewer than two stretches are returned as none, since they give no interval.
    """
    count = min(count, len(values) // MIN_BLOCK)
    if count < 2:
        return []
    length = len(values) // count
    return [values[number * length : (number + 1) * length] for number in range(count)]


def over_blocks(metric: str, case: str, values: Sequence[float], figure: Callable[[Sequence[float]], float]) -> Value:
    """Return a figure of all `values`, with the same figure of every stretch; None if there are no values."""
    whole = figure(values) if values else None
    return Value(metric, case, whole, [figure(stretch) for stretch in stretches(values)])


def percentile_values(metric: str, case: str, values: Sequence[float]) -> list[Value]:
    """Return `metric_p50`, `metric_p95` and `metric_p99` of `values`, with blocks; empty without values."""
    if not values:
        return []
    return [over_blocks(f"{metric}_p{share}", case, values, partial(percentile, share=share)) for share in PERCENTILES]


def theil_sen(x: ArrayLike, y: ArrayLike) -> float:
    """Return the median slope over all pairs of points, a trend robust to up to 29 % of outliers.

    scipy has it as well, but timing must work without scipy.

    Source: Sen 1968, "Estimates of the regression coefficient based on Kendall's tau".

    Raises:
        ValueError: fewer than two points, or all at the same x.
    """
    import numpy as np

    xs, ys = np.asarray(x, np.float64), np.asarray(y, np.float64)
    first, second = np.triu_indices(len(xs), k=1)
    run, rise = xs[second] - xs[first], ys[second] - ys[first]
    if not (run != 0).any():
        raise ValueError(f"{len(xs)} points at no two places have no slope")
    return float(np.median(rise[run != 0] / run[run != 0]))


def trend(x: Sequence[float], y: Sequence[float]) -> Trend:
    """Return the rate of growth of `y` along rising `x`, robust against outliers.

    The points are cut into 20 stretches, each reduced to its medians. The slope is Theil–Sen's over those; `slopes` are
    those of stretch `k` against stretch `k + n/2`, each from points no other uses.

    Raises:
        ValueError: fewer than 4 points.
    """
    if len(x) != len(y) or len(x) < 4:
        raise ValueError(f"{len(x)} and {len(y)} points have no trend; give at least 4 of both")
    count = min(2 * BLOCKS, len(x)) // 2 * 2
    length = len(x) // count
    starts = [number * length for number in range(count)]
    places = [median(x[start : start + length]) for start in starts]
    levels = [median(y[start : start + length]) for start in starts]
    half = count // 2
    slopes = [(levels[k + half] - levels[k]) / (places[k + half] - places[k]) for k in range(half)]
    return Trend(theil_sen(places, levels), slopes)


def intervals_ms(times_s: Sequence[float]) -> list[float]:
    """Return the intervals between consecutive rising `times_s`, ms."""
    return [(after - before) * 1000.0 for before, after in pairwise(times_s)]
