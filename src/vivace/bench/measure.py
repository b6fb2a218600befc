"""Percentiles, windows and process memory: what every benchmark needs."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import median

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Spread:
    """What most, nearly all and all but one in a hundred stay under."""

    p50: float
    p95: float
    p99: float


def spread(values: Sequence[float]) -> Spread:
    """Return the percentiles of `values` by the nearest-rank rule.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("no values to take percentiles of")
    ordered = sorted(values)
    ranked = [ordered[max(0, math.ceil(share * len(ordered)) - 1)] for share in (0.50, 0.95, 0.99)]
    return Spread(*ranked)


def intervals_ms(times_s: Sequence[float]) -> list[float]:
    """Return the ms between neighbours of rising `times_s`."""
    return [(after - before) * 1000.0 for before, after in pairwise(times_s)]


def window_median(values: Sequence[float], centre: int, width: int) -> float:
    """Return the median of `width` values around index `centre`, the window moved inward at the ends.

    Raises:
        ValueError: fewer than `width` values.
    """
    if len(values) < width:
        raise ValueError(f"{len(values)} values do not fill a window of {width}")
    first = min(max(0, centre - width // 2), len(values) - width)
    return median(values[first : first + width])


def resident_mib() -> float:
    """Return the memory this process has resident now, MiB; NaN where the system does not say."""
    return _status_mib("VmRSS")


def peak_resident_mib() -> float:
    """Return the most memory this process ever had resident, MiB; NaN where the system does not say."""
    peak = _status_mib("VmHWM")
    if not math.isnan(peak) or sys.platform == "win32":
        return peak
    import resource

    # kilobytes on Linux and the BSDs, bytes on macOS
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / MIB


def _status_mib(field: str) -> float:
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text("utf-8").splitlines():
            if line.startswith(f"{field}:"):
                return int(line.split()[1]) / 1024
    return math.nan
