"""Dense motion: the position of each px in an earlier picture, and how far that explains what is seen."""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]
Rgb = NDArray[np.uint8]
Luma = NDArray[np.uint8]
Number = TypeVar("Number", np.uint8, np.float32)
TOLERANCE = 14.0
"""Mismatch of the carried picture, levels, from which trust fades; at twice that there is none."""
MOST_ENLARGED, FADE = 2.5, 4.0
"""Enlargement from which trust fades, and at which there is none: what a search stretches further is a smear."""


class Motion(NamedTuple):
    """Backward motion field of a picture."""

    x: Field
    """Column in the earlier picture of each px, `[h w]`."""
    y: Field


def still(height: int, width: int) -> Motion:
    """Return the field of a picture in which nothing moves."""
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    return Motion(x, y)


def grey(rgb: Rgb) -> Luma:
    """Return the luma `[h w]` by which motion is found."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), np.uint8)


def search() -> cv2.DISOpticalFlow:
    """Return a motion search (dense inverse search, Kroeger et al., 2016)."""
    return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)


def find(found: cv2.DISOpticalFlow, now: Luma, before: Luma, near: Motion | None) -> Motion:
    """Return where the px of a luma picture `[h w]` were in an earlier one.

    With `near`, the earlier picture is carried along it first, and what is searched for is the rest of the motion: so a
    key frame is followed however far it moves. OpenCV's own initial field may not lead out of the picture.
    """
    at_rest = still(*now.shape)
    if near is not None:
        carried = cv2.remap(before, near.x, near.y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        before = np.asarray(carried, np.uint8)
    flow = found.calc(now, before, None)  # type: ignore[call-overload]
    moved = Motion(flow[..., 0] + at_rest.x, flow[..., 1] + at_rest.y)
    return moved if near is None else after(near, moved)


def after(first: Motion, second: Motion) -> Motion:
    """Return the motion over two steps, of which `first` is the earlier one."""

    def carried(field: Field) -> Field:
        at = (second.x, second.y)
        return np.asarray(cv2.remap(field, *at, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)

    return Motion(carried(first.x), carried(first.y))


def carry(motion: Motion, picture: NDArray[Number]) -> NDArray[Number]:
    """Return an earlier picture `[h w c]` carried to now."""
    return np.asarray(
        cv2.remap(picture, motion.x, motion.y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE), picture.dtype
    )


def trust(motion: Motion, now: Rgb, before: Rgb) -> Field:
    """Return how far a motion explains a picture, `[h w]`, 0 to 1: by the mismatch of what it carries."""
    h, w = motion.x.shape
    carried = cv2.remap(before, motion.x, motion.y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    mismatch = cv2.blur(cv2.absdiff(carried, now).astype(np.float32).mean(-1), (7, 7))
    inside = (motion.x >= 0) & (motion.x <= w - 1) & (motion.y >= 0) & (motion.y <= h - 1)
    return np.asarray(np.clip(2 - mismatch / TOLERANCE, 0, 1) * inside, np.float32)


def regular(motion: Motion) -> Field:
    """Return how far a motion is that of things and not a smear, `[h w]`, 0 to 1, by how much it enlarges each px."""

    def slopes(field: Field) -> tuple[Field, Field]:
        across, down = (cv2.Scharr(field, cv2.CV_32F, *axis, scale=1 / 32) for axis in ((1, 0), (0, 1)))
        return np.asarray(across, np.float32), np.asarray(down, np.float32)

    (x_across, x_down), (y_across, y_down) = slopes(motion.x), slopes(motion.y)
    area = cv2.blur(np.abs(x_across * y_down - x_down * y_across), (7, 7))
    enlarged = 1 / np.sqrt(np.maximum(area, 1e-6))
    return np.asarray(np.clip((FADE - enlarged) / (FADE - MOST_ENLARGED), 0, 1), np.float32)
