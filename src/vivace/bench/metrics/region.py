"""Preservation of the picture outside the mask: output against source."""

from __future__ import annotations

import numpy as np

from vivace.bench.metrics.footage import Footage, Metric, Series
from vivace.bench.metrics.pixels import MIN_PIXELS, Mask, largest_channel, mean_where, nothing, widen
from vivace.bench.metrics.similarity import SSIM_REACH_PX, inside, psnr_db, ssim_map
from vivace.media.frame import Rgb

BAND_SHARE = 1 / 64
"""Width of the band that is checked for bleeding, as a share of the shorter side: 4 px at 256."""


def untouched_psnr(footage: Footage) -> Series:
    """Return the PSNR of output against source outside the mask, dB, 0 to 100 (bit-exact), higher is better.

    NaN if the mask covers everything. Like "background preservation" of FiVE and NRVBench.
    """
    values = nothing(len(footage.output))
    for index, (source, output, mask) in enumerate(_frames(footage)):
        values[index] = psnr_db(source, output, ~mask)
    return values


def untouched_ssim(footage: Footage) -> Series:
    """Return the mean SSIM of luma, output against source, over windows that do not overlap the mask.

    -1 to 1, higher is better, 1 is equal. Wang et al. 2004 (scikit-image).
    """
    values = nothing(len(footage.output))
    for index, (source, output, mask) in enumerate(_frames(footage)):
        where = inside(mask.shape) & ~widen(mask, SSIM_REACH_PX)
        if np.count_nonzero(where) >= MIN_PIXELS:
            likeness = ssim_map(source, output)
            if likeness is not None:
                values[index] = mean_where(likeness, where)
    return values


def untouched_exact(footage: Footage) -> Series:
    """Return the share of pixels outside the mask that equal the source bit for bit, 0 to 1, higher is better.

    Ours: 1 for a system that blends the source back outside its mask, about 0 for one that encodes and decodes
    everything.
    """
    values = nothing(len(footage.output))
    for index, (source, output, mask) in enumerate(_frames(footage)):
        exact = largest_channel((source != output).view(np.uint8)) == 0
        values[index] = mean_where(exact.astype(np.float32), ~mask)
    return values


def bleed(footage: Footage) -> Series:
    """Return the mean absolute change in a band just outside the mask, 0 to 1, lower is better.

    `mean |output - source| / 255` over px within `BAND_SHARE` of the shorter side from the mask. NaN without a mask in
    the frame. Ours.
    """
    values = nothing(len(footage.output))
    for index, (source, output, mask) in enumerate(_frames(footage)):
        width = max(2, round(min(mask.shape) * BAND_SHARE))
        band = widen(mask, width) & ~mask
        values[index] = mean_where(np.abs(output.astype(np.float32) - source), band) / 255
    return values


def _frames(footage: Footage) -> list[tuple[Rgb, Rgb, Mask]]:
    assert footage.mask is not None
    return list(zip(footage.source, footage.output, footage.mask, strict=True))


METRICS = (
    Metric(
        key="untouched_psnr",
        title="PSNR outside the mask",
        unit="dB",
        direction="higher",
        needs=("mask",),
        source="background preservation, FiVE (2503.13684) and NRVBench (2601.18340)",
        meaning="100: untouched bit for bit; 48: off by one level everywhere; under 30: visibly changed.",
        measure=untouched_psnr,
        low=0.0,
        high=100.0,
    ),
    Metric(
        key="untouched_ssim",
        title="SSIM outside the mask",
        unit="",
        direction="higher",
        needs=("mask",),
        source="Wang et al. 2004; windows that reach into the mask left out",
        meaning="1: what was not to be edited looks the same; under 0.9: its detail has changed.",
        measure=untouched_ssim,
        low=-1.0,
        high=1.0,
    ),
    Metric(
        key="untouched_exact",
        title="Bit-exact outside the mask",
        unit="",
        direction="higher",
        needs=("mask",),
        source="ours",
        meaning="Share of the pixels outside the mask that are the source's own; 1: all of them.",
        measure=untouched_exact,
        low=0.0,
        high=1.0,
    ),
    Metric(
        key="bleed",
        title="Bleeding over the mask's edge",
        unit="",
        direction="lower",
        needs=("mask",),
        source="ours",
        meaning="Mean change just outside the mask; 0: the edit ends where the mask does.",
        measure=bleed,
        low=0.0,
        high=1.0,
    ),
)
