"""Consistency of motion: outputs are warped by the *source's* motion and compared with themselves."""

from __future__ import annotations

import numpy as np

from vivace.bench.metrics.footage import Footage, Metric, Series
from vivace.bench.metrics.pixels import MIN_PIXELS, mean_where, moving_pairs, nothing, smooth, warp

MOVING_PX = 0.5
"""Smallest motion between two frames that can explain a change, px: resampling alone changes the picture as much."""
_STILL = 0.05
"""Mean change, in levels of 255, below which nothing has changed: a tenth of a rounding step."""
_BLUR_PX = 1.0
"""Blur against the effect of resampling, px, which would smooth noise and make it look explained."""


def warp_error(footage: Footage) -> Series:
    """Return the warp error of each frame, 0 to 1, lower is better.

    `E_i = mean over visible px and channels of |O_i(p) - O_{i-1}(p + w_i(p))| / 255`, with `O` the output and `w_i` the
    flow of the *source* from frame i to i - 1, bilinear. This is the L1 form (Lai et al. 2018, "Learning Blind Video
    Temporal Consistency", section 4, as used by streaming editors with RAFT flow). Live2Diff (2024, table 1) averages
    the square instead: for normally distributed errors the mean square is 1.57 E², in general at least E².
    """
    errors = nothing(len(footage.output))
    for index, flow, visible in moving_pairs(footage):
        now, before = footage.output[index].astype(np.float32), footage.output[index - 1].astype(np.float32)
        errors[index] = mean_where(np.abs(now - warp(before, flow)), visible) / 255
    return errors


def motion_explained(footage: Footage) -> Series:
    """Return how much of each frame's change is the motion of the source, -1 to 1, higher is better.

    With `a = Σ|O_i(p) - O_{i-1}(p + w_i(p))|` and `b = Σ|O_i(p) - O_{i-1}(p)|` over the visible px that move more than
    `MOVING_PX`: `1 - a/b` if a ≤ b, and `b/a - 1` if warping makes it worse, so that one bad frame cannot outweigh all
    others. 0 if neither changes (a blank picture). NaN if fewer than `MIN_PIXELS` px move. Pictures are blurred by 1 px
    first and warped bicubically. Ours; a motion-compensated prediction gain as in video coding.
    """
    explained = nothing(len(footage.output))
    for index, flow, visible in moving_pairs(footage):
        moving = visible & (np.hypot(flow[..., 0], flow[..., 1]) > MOVING_PX)
        if np.count_nonzero(moving) < MIN_PIXELS:
            continue
        now = smooth(footage.output[index].astype(np.float32), _BLUR_PX)
        before = smooth(footage.output[index - 1].astype(np.float32), _BLUR_PX)
        after_warp = mean_where(np.abs(now - warp(before, flow, cubic=True)), moving)
        in_place = mean_where(np.abs(now - before), moving)
        worst = max(after_warp, in_place)
        explained[index] = (in_place - after_warp) / worst if worst > _STILL else 0.0
    return explained


METRICS = (
    Metric(
        key="warp_error",
        title="Warp error",
        unit="",
        direction="lower",
        needs=("motion",),
        source="Lai et al. 2018, section 4 (L1, occlusion masked); flow of the source",
        meaning="How much the output differs from its own previous frame carried along by the source's motion; 0 is "
        "steady. It rewards blank and blurred output: read it only beside motion_explained and edge_agreement.",
        measure=warp_error,
        low=0.0,
        high=1.0,
    ),
    Metric(
        key="motion_explained",
        title="Motion explained",
        unit="",
        direction="higher",
        needs=("motion",),
        source="ours",
        meaning="1: the picture changes exactly as the world moves; 0 or below: it does not, as it is frozen, blank or "
        "boiling.",
        measure=motion_explained,
        low=-1.0,
        high=1.0,
    ),
)
