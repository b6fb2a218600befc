"""Histograms of times with logarithmic buckets: constant memory and time per call, percentiles to about 1 %."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

_LOWEST_MS = 0.001
_RATIO = 1.02
_LOG_RATIO = math.log(_RATIO)
_MIDDLES_MS = _LOWEST_MS * _RATIO ** (np.arange(1 + math.ceil(math.log(3_600_000 / _LOWEST_MS, _RATIO))) - 0.5)
_MIDDLES_MS[0] = 0.0
"""Geometric middles of the buckets, ms; the first bucket holds times up to `_LOWEST_MS`."""


class Histogram:
    """Histogram of times with buckets of 2 %, from 1 µs to 1 h. Not thread-safe."""

    def __init__(self, times_ms: Iterable[float] = ()) -> None:
        self.count = 0
        self.sum_ms = 0.0
        self._counts = array("q", bytes(8 * len(_MIDDLES_MS)))
        self._min_ms = math.inf
        self._max_ms = 0.0
        for time_ms in times_ms:
            self.add(time_ms)

    def add(self, time_ms: float) -> None:
        """Count one time; a negative one (clocks of two machines) counts as 0."""
        if time_ms > _LOWEST_MS:
            bucket = min(len(self._counts) - 1, 1 + int(math.log(time_ms / _LOWEST_MS) / _LOG_RATIO))
        else:
            time_ms, bucket = max(0.0, time_ms), 0
        self._counts[bucket] += 1
        self.count += 1
        self.sum_ms += time_ms
        if time_ms < self._min_ms:
            self._min_ms = time_ms
        if time_ms > self._max_ms:
            self._max_ms = time_ms

    def merge(self, other: Histogram) -> None:
        """Add the counts of another histogram."""
        counts = np.frombuffer(self._counts, np.int64)
        counts += np.frombuffer(other._counts, np.int64)
        self.count += other.count
        self.sum_ms += other.sum_ms
        self._min_ms = min(self._min_ms, other._min_ms)
        self._max_ms = max(self._max_ms, other._max_ms)

    def percentile(self, share: float) -> float | None:
        """Return the time that a share (0 to 1) of all times does not exceed, to about 1 %; None if there are none."""
        if self.count == 0:
            return None
        bucket = np.searchsorted(np.cumsum(self._counts), max(1, math.ceil(share * self.count)))
        return min(max(float(_MIDDLES_MS[bucket]), self._min_ms), self._max_ms)

    def counts_up_to(self, edges_ms: Sequence[float]) -> list[int]:
        """Return how many times are at most each of the rising `edges_ms`, to about 1 % of the edge."""
        below = np.concatenate([[0], np.cumsum(self._counts)])
        return [int(below[buckets]) for buckets in np.searchsorted(_MIDDLES_MS, edges_ms, side="right")]

    def summary(self, *shares: int, digits: int = 3) -> dict[str, float | None]:
        """Return percentiles by name, e.g. `summary(50, 95)` gives `{"p50": …, "p95": …}`, in ms, rounded."""
        values = {f"p{share}": self.percentile(share / 100) for share in shares}
        return {name: None if value is None else round(value, digits) for name, value in values.items()}


def merged(accounts: Iterable[Mapping[str, Histogram]]) -> dict[str, Histogram]:
    """Return one histogram per name, merged over several accounts."""
    found: dict[str, Histogram] = {}
    for account in accounts:
        for name, times in account.items():
            found.setdefault(name, Histogram()).merge(times)
    return found
