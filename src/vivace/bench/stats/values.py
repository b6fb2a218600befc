"""Percentiles and trends: what every benchmark of time needs."""

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
"""Stretches a run is cut into, so that an interval can be drawn around its figures."""
MIN_BLOCK = 10
"""Values a stretch needs to have a figure of its own."""
PERCENTILES = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class Value:
    """A `document.Measurement` before it is one: plain, so that a measuring process need not import the document."""

    metric: str
    case: str
    value: float | None
    blocks: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Spread:
    """What most, nearly all and all but one in a hundred stay under."""

    p50: float
    p95: float
    p99: float


@dataclass(frozen=True, slots=True)
class Trend:
    """How fast something grows."""

    slope: float
    """Units of y a unit of x."""
    slopes: list[float]
    """The same slope from independent pairs of stretches half the run apart; an interval is drawn from them."""


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
    """Cut `values` into at most `count` equal stretches of at least `MIN_BLOCK`; a rest at the end is left out.

    Fewer than two stretches are none: of one, no interval can be drawn.
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
    """Return `metric_p50`, `metric_p95` and `metric_p99` of `values`, with blocks; none without values."""
    if not values:
        return []
    return [over_blocks(f"{metric}_p{share}", case, values, partial(percentile, share=share)) for share in PERCENTILES]


def theil_sen(x: ArrayLike, y: ArrayLike) -> float:
    """Return the median slope over all pairs of points: a trend that up to 29 % of wild points cannot move.

    scipy has it, too; time is measured where there is no scipy.

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
    """Return how fast `y` grows along rising `x`, robust against outliers.

    The points are cut into 20 stretches, and each reduced to its medians. The slope is Theil–Sen's over those; `slopes`
    are those of stretch `k` against stretch `k + n/2`, each from points no other uses.

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
    """Return the ms between neighbours of rising `times_s`."""
    return [(after - before) * 1000.0 for before, after in pairwise(times_s)]
