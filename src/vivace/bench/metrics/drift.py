"""Permanent change over minutes: slopes of four properties of the output, relative to the source's."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from vivace.bench.metrics.footage import Reading
from vivace.bench.metrics.pixels import gradient, luma
from vivace.bench.stats.values import theil_sen
from vivace.media.frame import Rgb

Look = Literal["brightness", "contrast", "saturation", "sharpness"]
LOOKS: tuple[Look, ...] = get_args(Look)

BLOCKS = 8
MIN_CYCLES = 3
"""Fewest points over time for a slope."""
_POINTS = 48
"""Points over time if the source does not repeat."""


@dataclass(frozen=True, slots=True)
class Drift:
    """Drift of one property."""

    percent_per_min: float
    blocks: list[float]
    """The same from separate parts of the frames, each over the whole time, from which an interval is resampled."""


@dataclass(frozen=True, slots=True)
class Followed:
    """Properties of an output over time, relative to its source's and to their own level."""

    times_min: NDArray[np.float64]
    """Times `[points]`, minutes."""
    relative: NDArray[np.float64]
    """Ratios `[points frames 4]`, about 1: the frames whose median is a point, by property."""

    def percent(self) -> dict[str, NDArray[np.float64]]:
        """Return each property's points by the key of its drift, in percent of its level, `[points]`."""
        points = 100 * (np.median(self.relative, axis=1) - 1)
        return {f"drift_{name}": points[:, number] for number, name in enumerate(LOOKS)}


def look(rgb: Rgb) -> NDArray[np.float64]:
    """Return brightness, contrast, saturation and sharpness of a picture, `[4]` in the order of `LOOKS`.

    Mean luma, 0 to 255; standard deviation of luma (RMS contrast, Peli 1990); mean of largest minus smallest channel;
    mean slope of luma divided by its contrast, so that a change of contrast does not count as one of sharpness.
    """
    grey = luma(rgb)
    x, y = gradient(grey)
    contrast = float(grey.std(dtype=np.float64))
    colour = rgb.max(axis=2).astype(np.int16) - rgb.min(axis=2)
    sharpness = float(np.sqrt(x * x + y * y).mean(dtype=np.float64)) / (contrast + 1)
    return np.array([grey.mean(dtype=np.float64), contrast, colour.mean(dtype=np.float64), sharpness])


def looks(frames: Iterable[Rgb]) -> NDArray[np.float64]:
    """Return the properties of all frames, `[t 4]`. Frames are consumed one by one; none is kept."""
    return np.array([look(rgb) for rgb in frames]).reshape(-1, len(LOOKS))


def drift(
    source: NDArray[np.float64], output: NDArray[np.float64], fps: float, period: int | None = None
) -> dict[str, Drift]:
    """Return the drift of each property by its key (`drift_brightness`, …), percent per minute, target 0.

    The ratio of output to source is followed over time. In a loop of `period` frames each ratio is divided by the
    median of its phase, so that only equal pictures are compared, and the median over a cycle is one point; otherwise
    the clip is cut into 48 points. The slope through the points is that of Theil and Sen: the median slope of all
    pairs, robust to up to 29 % of outliers.

    Args:
        source: `[t 4]`, the properties of the source, frame by frame.
        output: `[t 4]`, the properties of the output.
        fps: frames per second of both.
        period: frames after which the source repeats; None if it does not.

    Returns:
        NaN and no blocks for a property with fewer than `MIN_CYCLES` points.
    """
    followed = follow(source, output, fps, period)
    cycles, step = followed.relative.shape[:2]
    groups = [part for part in np.array_split(np.arange(step), BLOCKS) if part.size]
    found = {}
    for number, name in enumerate(LOOKS):
        if cycles < MIN_CYCLES:
            found[f"drift_{name}"] = Drift(float("nan"), [])
            continue
        relative = followed.relative[..., number]
        slopes = [_slope(np.median(relative[:, part], axis=1), followed.times_min) for part in groups]
        found[f"drift_{name}"] = Drift(_slope(np.median(relative, axis=1), followed.times_min), slopes)
    return found


def follow(source: NDArray[np.float64], output: NDArray[np.float64], fps: float, period: int | None = None) -> Followed:
    """Return the points over time whose slopes `drift` returns; the arguments are the same."""
    # An offset of one level (a hundredth for sharpness) keeps a picture without colour from having infinite drift.
    floor = np.array([1.0, 1.0, 1.0, 0.01])
    ratios = (output + floor) / (source + floor)
    step = period or max(1, len(ratios) // _POINTS)
    cycles = len(ratios) // step
    stacked = ratios[: cycles * step].reshape(cycles, step, len(LOOKS))
    if cycles:
        stacked = stacked / np.median(stacked, axis=0 if period else (0, 1), keepdims=True)
    return Followed(np.arange(cycles) * step / fps / 60, stacked)


def _slope(values: NDArray[np.float64], times_min: NDArray[np.float64]) -> float:
    return 100 * theil_sen(times_min, values)


def _reading(name: Look, meaning: str) -> Reading:
    return Reading(
        key=f"drift_{name}",
        title=f"Drift of {name}",
        unit="%/min",
        direction="target",
        target=0.0,
        needs=(),
        source="ours; Theil 1950, Sen 1968",
        meaning=meaning,
    )


READINGS = (
    _reading("brightness", "How fast the output gets brighter (+) or darker (-) than its source; 0: not at all."),
    _reading("contrast", "How fast contrast grows (+) or fades (-) against the source; 0: not at all."),
    _reading("saturation", "How fast colours get stronger (+) or fade (-) against the source; 0: not at all."),
    _reading("sharpness", "How fast detail piles up (+) or washes out (-) against the source; 0: not at all."),
)
