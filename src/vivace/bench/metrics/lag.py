"""Lag of the output's content in frames, found from its structure, whatever its style."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vivace.bench.metrics.footage import Footage, Frames, Metric, Series
from vivace.bench.metrics.orientation import orientation
from vivace.bench.metrics.pixels import nothing

MAX_LAG = 6
WINDOW = 3
"""Frames to either side over which agreement is averaged before its peak is located."""
_BLUR_PX = 1.0
"""Blur before matching, px. Fine structure gives a sharp peak, which styles that keep only coarse edges shift less."""
_STILL = 2e-3
"""Drop in agreement with its own past below which a source counts as static."""
_SHARE = 0.15
"""Share of the source's variation in agreement below which an output follows nothing."""


def content_lag(footage: Footage) -> Series:
    """Return how many frames the output's content is behind the source, -0.5 to 6.5, target 0.

    `c_i(k)`, the agreement (see `orientation.agreement`) of output frame i with source frame i - k, is averaged over i
    ± `WINDOW` for k = -1 … 7; the peak among 0 … 6 is refined by the parabola through its neighbours. A mean of two
    consecutive source frames is 0.5 late. A frozen output has the largest lag, or none that can be found. NaN where the
    source does not move, where the output has no structure that follows it, and in the first 7 and the last frame.
    Ours, after time-delay estimation by cross-correlation (Knapp & Carter 1976).
    """
    count = len(footage.output)
    lags = nothing(count)
    if count < MAX_LAG + 3:
        return lags
    source, output = _fields(footage.source), _fields(footage.output)
    shifts = np.arange(-1, MAX_LAG + 2)
    known = np.arange(MAX_LAG + 1, count - 1)
    follows = _smoothed(np.array([[np.vdot(source[i - k], output[i]).real for k in shifts] for i in known]))
    own = _smoothed(np.array([[np.vdot(source[i - k], source[i]).real for k in shifts] for i in known]))
    for index, curve, itself in zip(known, follows, own, strict=True):
        span = float(np.ptp(itself[1:-1]))
        if span < _STILL or float(np.ptp(curve[1:-1])) < _SHARE * span:
            continue
        peak = 1 + int(np.argmax(curve[1:-1]))
        before, top, after = curve[peak - 1 : peak + 2]
        bend = before - 2 * top + after
        offset = 0.5 * (before - after) / bend if bend < 0 else 0.0
        lags[index] = shifts[peak] + float(np.clip(offset, -0.5, 0.5))
    return lags


def _fields(frames: Frames) -> NDArray[np.complex64]:
    """Return the orientation fields at half size as unit vectors, `[t n]`; a field without structure stays 0."""
    height, width = frames.shape[1:3]
    half = (max(1, width // 2), max(1, height // 2))
    fields = []
    for rgb in frames:
        field = orientation(rgb, _BLUR_PX)
        parts = [cv2.resize(part, half, interpolation=cv2.INTER_AREA) for part in (field.real, field.imag)]
        fields.append((parts[0] + 1j * parts[1]).ravel().astype(np.complex64))
    stacked = np.stack(fields)
    lengths = np.linalg.norm(stacked, axis=1, keepdims=True)
    unit: NDArray[np.complex64] = stacked / np.maximum(lengths, 1e-6)
    return unit


def _smoothed(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each curve averaged with its neighbours within `WINDOW`."""
    rows = range(len(curves))
    return np.stack([curves[max(0, i - WINDOW) : i + WINDOW + 1].mean(axis=0) for i in rows])


METRICS = (
    Metric(
        key="content_lag",
        title="Content lag",
        unit="frames",
        direction="target",
        target=0.0,
        needs=(),
        source="ours, after Knapp & Carter 1976",
        meaning="How many frames late the output shows what happens; 0: at once; about 6, or none: it does not follow.",
        measure=content_lag,
        low=-0.5,
        high=MAX_LAG + 0.5,
    ),
)
