"""PSNR and SSIM within masks, shared by several metrics."""

from __future__ import annotations

import numpy as np
from skimage.metrics import structural_similarity

from vivace.bench.metrics.pixels import MIN_PIXELS, Mask, Plane, luma
from vivace.media.frame import Rgb

PSNR_CAP_DB = 100.0
"""PSNR of identical pictures, so that means stay finite. One level off in every px is 48 dB."""
SSIM_REACH_PX = 5
"""Reach of SSIM's window, px: 11 x 11 px."""


def psnr_db(a: Rgb, b: Rgb, where: Mask | None = None) -> float:
    """Return `10 log10(255² / mean square error)` over a mask, dB, at most `PSNR_CAP_DB`; NaN for an empty mask."""
    difference = a.astype(np.float32) - b.astype(np.float32)
    chosen = difference if where is None else difference[where]
    if chosen.size < MIN_PIXELS * 3:
        return float("nan")
    error = float(np.square(chosen).mean(dtype=np.float64))
    return PSNR_CAP_DB if error == 0 else min(PSNR_CAP_DB, 10 * float(np.log10(255**2 / error)))


def ssim_map(a: Rgb, b: Rgb) -> Plane | None:
    """Return the SSIM of two pictures' luma around every px, -1 to 1; None if they are smaller than its window.

    Wang et al. 2004: Gaussian window of 1.5 px, K1 = 0.01, K2 = 0.03. Values within `SSIM_REACH_PX` of the border
    depend on mirrored pixels; leave them out.
    """
    if min(a.shape[:2]) < 2 * SSIM_REACH_PX + 1:
        return None
    found = structural_similarity(  # type: ignore[no-untyped-call]
        luma(a), luma(b), data_range=255, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, full=True
    )
    return np.asarray(found[1], np.float32)


def inside(shape: tuple[int, int]) -> Mask:
    """Return the px whose SSIM window stays inside the picture, `[h w]`."""
    mask = np.zeros(shape, np.bool_)
    reach = SSIM_REACH_PX
    mask[reach : shape[0] - reach, reach : shape[1] - reach] = True
    return mask
