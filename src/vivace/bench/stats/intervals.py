"""Intervals of a benchmark's figures, and whether two runs differ by more than their noise.

The cases belong to the benchmark and are always the same, so they are not resampled: they are fixed strata. Variation
within a case is resampled by the **stratified block bootstrap** (Efron and Tibshirani, *An Introduction to the
Bootstrap*, 1993, ch. 8). Blocks are consecutive stretches of a case, long enough to be nearly independent. A resample
draws as many blocks as a case has, with replacement, in every case; its figure is the mean over the cases of the mean
over the drawn blocks.

A mean of n drawn blocks varies less than a mean of n new ones, by sqrt((n - 1) / n); the deviations are scaled up
accordingly. They are centred on the case's own value, which for a percentile is not the mean of its blocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vivace.bench.document import Interval, Measurement, MetricInfo

RESAMPLES = 2000
"""Number of resamples, for which the interval's ends repeat to a few per cent of its width from seed to seed."""
LEVEL = 0.95
TOLERANCE = 1e-6
"""Tolerance within which two runs of the same code and seed agree; smaller differences count as none, whatever the
interval."""

Verdict = Literal["better", "worse", "noise", "unsure"]
"""Result of a comparison. `noise`: within the variation of one system. `unsure`: the figures differ, without blocks to
judge by."""

_Samples = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Change:
    """Difference of one metric between two rows, over the cases both were measured on."""

    metric: str
    case: str | None
    """Case it was measured on; None: over all cases."""
    a: float
    b: float
    difference: float
    """b - a; for the direction `target`, the difference of the distances from the target."""
    low: float
    high: float
    verdict: Verdict
    """Verdict on b, compared with a."""
    cases: int
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()


def summarise(measurements: Iterable[Measurement], *, resamples: int = RESAMPLES, seed: int = 0) -> list[Interval]:
    """Return every metric over its cases with its 95 % interval, in order of appearance.

    Cases to which a metric does not apply are left out; a metric that never applies has no interval. Without blocks the
    interval is the value itself. A metric's interval does not depend on the other metrics.
    """
    by_metric: dict[str, list[Measurement]] = {}
    for measurement in measurements:
        if measurement.value is not None:
            by_metric.setdefault(measurement.metric, []).append(measurement)
    intervals = []
    for key, group in by_metric.items():
        rng = _rng(key, seed)
        value = math.fsum(m.value for m in group if m.value is not None) / len(group)
        deviation = np.mean([_deviations(_blocks(m), _draws(len(_blocks(m)), resamples, rng)) for m in group], axis=0)
        low, high = _range(value + deviation, value)
        intervals.append(Interval(metric=key, value=value, low=low, high=high, cases=len(group)))
    return intervals


def compare_metric(
    a: Sequence[Measurement],
    b: Sequence[Measurement],
    info: MetricInfo,
    *,
    case: str | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Change | None:
    """Return the difference of `info`'s metric from `a` to `b`, on one case or over all; None without common cases.

    Cases are paired, and so are blocks if both have the same ones: the difficulty of a stretch is common to both and
    cancels.
    """
    before, after = (
        {m.case: m for m in run if m.metric == info.key and m.value is not None and case in (None, m.case)}
        for run in (a, b)
    )
    shared = [name for name in before if name in after]
    if not shared:
        return None
    rng = _rng(info.key, seed)
    judged = False
    old, new = [], []
    for name in shared:
        blocks_old, blocks_new = _paired_blocks(before[name], after[name])
        judged = judged or len(blocks_old) > 1 or len(blocks_new) > 1
        draws = _draws(len(blocks_old), resamples, rng)
        same = len(blocks_new) == len(blocks_old)
        # the value itself first, then the resampled values
        old.append(_value(before[name]) + np.append(0.0, _deviations(blocks_old, draws)))
        drawn = draws if same else _draws(len(blocks_new), resamples, rng)
        new.append(_value(after[name]) + np.append(0.0, _deviations(blocks_new, drawn)))
    difference, low, high = _difference(np.array(old), np.array(new), info)
    return Change(
        metric=info.key,
        case=case,
        a=math.fsum(_value(before[name]) for name in shared) / len(shared),
        b=math.fsum(_value(after[name]) for name in shared) / len(shared),
        difference=difference,
        low=low,
        high=high,
        verdict=_verdict(difference, low, high, info, judged=judged),
        cases=len(shared),
        only_a=tuple(name for name in before if name not in after),
        only_b=tuple(name for name in after if name not in before),
    )


def _verdict(difference: float, low: float, high: float, info: MetricInfo, *, judged: bool) -> Verdict:
    if abs(difference) <= TOLERANCE:
        return "noise"
    if not judged:
        return "unsure"
    if low <= 0.0 <= high:
        return "noise"
    return "better" if (difference > 0) == (info.direction == "higher") else "worse"


def _difference(old: _Samples, new: _Samples, info: MetricInfo) -> tuple[float, float, float]:
    """Return the mean difference of `[cases 1 + resamples]` and its interval; of distances if there is a target.

    Noise increases every distance, and small ones most: a value exactly on target would always beat one that is on
    target within noise. The interval is therefore the reflected one (the *basic* bootstrap), which removes the bias.
    For squared distances it removes all of it, so those decide whether the interval may exclude zero.
    """
    if info.direction != "target":
        differences = (new - old).mean(axis=0)
        return (float(differences[0]), *_range(differences[1:], float(differences[0])))
    far_old, far_new = (np.abs(values - (info.target or 0.0)) for values in (old, new))
    difference, low, high = _reflected((far_new - far_old).mean(axis=0))
    _, low_squared, high_squared = _reflected((far_new**2 - far_old**2).mean(axis=0))
    if low_squared <= 0.0 <= high_squared:
        low, high = min(low, 0.0), max(high, 0.0)
    return difference, low, high


def _reflected(differences: _Samples) -> tuple[float, float, float]:
    value = float(differences[0])
    low, high = _range(2 * value - differences[1:], value)
    return value, low, high


def _value(measurement: Measurement) -> float:
    assert measurement.value is not None
    return measurement.value


def _blocks(measurement: Measurement) -> _Samples:
    return np.array([block for block in measurement.blocks if block is not None])


def _paired_blocks(a: Measurement, b: Measurement) -> tuple[_Samples, _Samples]:
    """Return the blocks with values in both, or each one's own if they were cut differently."""
    if len(a.blocks) != len(b.blocks):
        return _blocks(a), _blocks(b)
    pairs = [(x, y) for x, y in zip(a.blocks, b.blocks, strict=True) if x is not None and y is not None]
    return np.array([x for x, _ in pairs]), np.array([y for _, y in pairs])


def _rng(key: str, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, *key.encode()])


def _draws(blocks: int, resamples: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the blocks that each resample draws, `[resamples blocks]`."""
    draws: NDArray[np.int64] = rng.integers(0, max(blocks, 1), (resamples, blocks))
    return draws


def _deviations(blocks: _Samples, draws: NDArray[np.int64]) -> _Samples:
    """Return the deviation of each resample's mean, `[resamples]`; zero with fewer than two blocks."""
    count = len(blocks)
    if count < 2:
        return np.zeros(len(draws))
    deviations: _Samples = (blocks[draws].mean(axis=1) - blocks.mean()) * math.sqrt(count / (count - 1))
    return deviations


def _range(samples: _Samples, value: float) -> tuple[float, float]:
    """Return the percentile interval, extended to the value if skew has left it outside."""
    low, high = np.quantile(samples, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return min(float(low), value), max(float(high), value)
