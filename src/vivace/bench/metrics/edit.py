"""Metrics of an edit and its side effects: output against the clip rendered as the instruction asks."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vivace.bench.metrics.footage import Footage, Metric, Series
from vivace.bench.metrics.pixels import MIN_PIXELS, Mask, largest_channel, mean_where, nothing
from vivace.bench.metrics.similarity import inside, ssim_map
from vivace.media.frame import Rgb

CHANGED = 2
"""Smallest difference between source and reference that counts as a requested change: levels of 255, largest over
channels."""


def edit_gain(footage: Footage) -> Series:
    """Return the share of the way from source to reference that each frame went, up to 1, higher is better.

    `1 - mean|output - reference| / mean|source - reference|` over the region where the reference differs from the
    source. 0 for the unchanged source, 1 for the exact edit, below 0 if farther off than no edit at all. NaN if there
    is nothing to change. Ours.
    """
    gains = nothing(len(footage.output))
    for index, (source, output, reference, changed) in enumerate(_frames(footage)):
        wanted = mean_where(np.abs(source.astype(np.float32) - reference), changed)
        left = mean_where(np.abs(output.astype(np.float32) - reference), changed)
        gains[index] = 1 - left / wanted
    return gains


def edit_ssim(footage: Footage) -> Series:
    """Return the mean SSIM of luma, output against reference, over the region to be changed.

    -1 to 1, higher is better (Wang et al. 2004). It ignores colour: read it together with `edit_gain`.
    """
    values = nothing(len(footage.output))
    for index, (_, output, reference, changed) in enumerate(_frames(footage)):
        where = changed & inside(changed.shape)
        if np.count_nonzero(where) >= MIN_PIXELS:
            likeness = ssim_map(output, reference)
            if likeness is not None:
                values[index] = mean_where(likeness, where)
    return values


def edit_collateral(footage: Footage) -> Series:
    """Return the mean absolute change where the reference equals the source, 0 to 1, lower is better.

    `mean |output - source| / 255` outside the region to be changed; NaN if the edit changes everything. Ours.
    """
    values = nothing(len(footage.output))
    for index, (source, output, _, changed) in enumerate(_frames(footage)):
        values[index] = mean_where(np.abs(output.astype(np.float32) - source), ~changed) / 255
    return values


def _frames(footage: Footage) -> Iterator[tuple[Rgb, Rgb, Rgb, Mask]]:
    assert footage.reference is not None
    for source, output, reference in zip(footage.source, footage.output, footage.reference, strict=True):
        difference = np.maximum(source, reference) - np.minimum(source, reference)
        yield source, output, reference, largest_channel(difference) > CHANGED


METRICS = (
    Metric(
        key="edit_gain",
        title="Edit done",
        unit="",
        direction="higher",
        needs=("reference",),
        source="ours",
        meaning="1: exactly the edit asked for; 0: nothing done; below 0: farther from it than the source was.",
        measure=edit_gain,
        high=1.0,
    ),
    Metric(
        key="edit_ssim",
        title="SSIM to the edit asked for",
        unit="",
        direction="higher",
        needs=("reference",),
        source="Wang et al. 2004, over the region the edit changes",
        meaning="1: the edited region has the structure of the exact edit; 0: nothing in common.",
        measure=edit_ssim,
        low=-1.0,
        high=1.0,
    ),
    Metric(
        key="edit_collateral",
        title="Changed beside the edit",
        unit="",
        direction="lower",
        needs=("reference",),
        source="ours",
        meaning="Mean change of what the edit should have left alone; 0: untouched.",
        measure=edit_collateral,
        low=0.0,
        high=1.0,
    ),
)
