"""Pixel operations shared by metrics. They need OpenCV, from the extra `bench`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from vivace.bench.metrics.footage import Footage, Series
from vivace.media.frame import Rgb

_Number = TypeVar("_Number", np.float32, np.uint8)
Plane = NDArray[np.float32]
"""Plane `[h w]`."""
Mask = NDArray[np.bool_]
"""Mask `[h w]`."""

MIN_PIXELS = 16
"""Fewest pixels for a value; with fewer, a metric does not apply to a frame."""


def nothing(count: int) -> Series:
    """Return a series of `count` NaN, for a metric to fill in."""
    return np.full(count, np.nan)


def luma(rgb: Rgb) -> Plane:
    """Return the BT.601 luma of a picture, 0 to 255, not rounded."""
    return np.asarray(cv2.cvtColor(rgb.astype(np.float32), cv2.COLOR_RGB2GRAY), np.float32)


def smooth(picture: NDArray[np.float32], sigma_px: float) -> NDArray[np.float32]:
    """Return a picture, `[h w]` or `[h w c]`, blurred by a Gaussian."""
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma_px), np.float32)


def largest_channel(values: NDArray[_Number]) -> NDArray[_Number]:
    """Return the largest of the three channels, `[h w 3]` to `[h w]`; many times faster than `max(axis=2)`."""
    return np.maximum(np.maximum(values[..., 0], values[..., 1]), values[..., 2])


def gradient(picture: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the slopes along x and y, levels per px, by the Sobel operator."""
    x = cv2.Sobel(picture, cv2.CV_32F, 1, 0, scale=1 / 8)
    y = cv2.Sobel(picture, cv2.CV_32F, 0, 1, scale=1 / 8)
    return np.asarray(x, np.float32), np.asarray(y, np.float32)


def warp(picture: NDArray[np.float32], flow: NDArray[np.float32], *, cubic: bool = False) -> NDArray[np.float32]:
    """Return the picture warped by a backward flow: at each px, the value of `picture` at px + flow.

    Args:
        picture: `[h w]` or `[h w c]`.
        flow: `[h w 2]` (x, y), px.
        cubic: bicubic instead of bilinear sampling: sharper, for differences that must not come from resampling.
    """
    height, width = flow.shape[:2]
    x = np.arange(width, dtype=np.float32) + flow[..., 0]
    y = np.arange(height, dtype=np.float32)[:, None] + flow[..., 1]
    kind = cv2.INTER_CUBIC if cubic else cv2.INTER_LINEAR
    return np.asarray(cv2.remap(picture, x, y, kind, borderMode=cv2.BORDER_REPLICATE), np.float32)


def widen(mask: Mask, radius_px: int) -> Mask:
    """Return the mask grown by a square of `radius_px`."""
    side = 2 * radius_px + 1
    grown: Mask = cv2.dilate(mask.astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    return grown


def mean_where(values: NDArray[np.float32], where: Mask) -> float:
    """Return the mean of `values`, `[h w]` or `[h w c]`, over a mask; NaN if it has fewer than `MIN_PIXELS` pixels."""
    if np.count_nonzero(where) < MIN_PIXELS:
        return float("nan")
    return float(values[where].mean(dtype=np.float64))


def moving_pairs(footage: Footage) -> Iterator[tuple[int, NDArray[np.float32], Mask]]:
    """Yield each frame that continues a shot: its index, the flow to the frame before, and the pixels visible there."""
    assert footage.flow_back is not None
    assert footage.visible_back is not None
    for index in range(1, len(footage.output)):
        visible = footage.visible_back[index]
        if np.count_nonzero(visible) >= MIN_PIXELS:
            yield index, footage.flow_back[index], visible
