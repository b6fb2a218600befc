"""Flicker of brightness and colour: blocks followed along the source's motion, output against source."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vivace.bench.metrics.footage import Footage, Frames, Metric, Series
from vivace.bench.metrics.pixels import Mask, moving_pairs, nothing, warp

BLOCK_PX = 16
STATIC_PX = 0.05
"""Motion below which a px is static, px."""
FLOOR = 0.25
"""Noise floor in levels of 255: about the rounding error of a px."""


def flicker_ratio(footage: Footage) -> Series:
    """Return the flicker of each output frame relative to that of the source frame, target 1, at least 0.

    The residual of a frame is `R_i = X_i(p) - X_{i-1}(p + w_i(p))`, averaged over the visible px of each 16 x 16 block
    and for each colour channel. A lighting change leaves similar residuals in consecutive frames; flicker is the part
    that differs: `F_i(X) = mean over blocks and channels of |R_i - R_{i-1}| / 2`. The ratio is `(F_i(output) + FLOOR) /
    (F_i(source) + FLOOR)`. NaN in the first two frames of a shot. Ours.
    """
    return (_flicker(footage.output, footage) + FLOOR) / (_flicker(footage.source, footage) + FLOOR)


def _flicker(frames: Frames, footage: Footage) -> Series:
    flicker = nothing(len(frames))
    before: tuple[int, NDArray[np.float32], Mask] | None = None
    for index, flow, visible in moving_pairs(footage):
        residual = frames[index].astype(np.float32) - warp(frames[index - 1].astype(np.float32), flow)
        means, seen = _block_means(residual, visible)
        if before is not None and before[0] == index - 1:
            both = seen & before[2]
            if both.any():
                flicker[index] = np.abs(means - before[1])[both].mean(dtype=np.float64) / 2
        before = (index, means, seen)
    return flicker


def _block_means(values: NDArray[np.float32], where: Mask) -> tuple[NDArray[np.float32], Mask]:
    """Return `[rows columns c]` means over the px in `where`, and the blocks with at least half of theirs in it."""
    height, width, channels = values.shape
    side = min(BLOCK_PX, height, width)
    rows, columns = height // side, width // side
    weights = where[: rows * side, : columns * side, None].astype(np.float32)
    weighted = values[: rows * side, : columns * side] * weights
    shape = (rows, side, columns, side)
    counts = weights.reshape(*shape, 1).sum(axis=(1, 3))
    means = weighted.reshape(*shape, channels).sum(axis=(1, 3)) / np.maximum(counts, 1)
    return means, counts[..., 0] >= side * side / 2


def vbench_flicker(footage: Footage) -> Series:
    """Return VBench's "temporal flickering" of each frame, 0 to 1, higher is better.

    `(255 - mean |O_i - O_{i-1}|) / 255`, on static clips only, as VBench requires: NaN in frames where more than half
    of the picture moves, and at cuts. Huang et al. 2024, "VBench", section 3. A frozen picture has 1.
    """
    values = nothing(len(footage.output))
    for index, flow, _ in moving_pairs(footage):
        moving = np.hypot(flow[..., 0], flow[..., 1]) > STATIC_PX
        if np.count_nonzero(moving) <= moving.size / 2:
            change = cv2.absdiff(footage.output[index], footage.output[index - 1])
            values[index] = 1 - float(np.asarray(change).mean(dtype=np.float64)) / 255
    return values


METRICS = (
    Metric(
        key="flicker_ratio",
        title="Flicker relative to the source",
        unit="",
        direction="target",
        target=1.0,
        needs=("motion",),
        source="ours",
        meaning="1: as steady as the source; above: brightness or colour flickers; below: steadier than the source, "
        "because it is blank, blurred or smoothed over time.",
        measure=flicker_ratio,
        low=0.0,
    ),
    Metric(
        key="vbench_flicker",
        title="VBench temporal flickering",
        unit="",
        direction="higher",
        needs=("motion",),
        source="VBench (Huang et al. 2024), static clips only",
        meaning="1: nothing changes from frame to frame, which a frozen or blank picture does best; read it beside "
        "motion_explained.",
        measure=vbench_flicker,
        low=0.0,
        high=1.0,
    ),
)
