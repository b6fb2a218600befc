"""Scaling of pictures at the media boundary, `uint8 [h w 3]`; which sizes they get is in `size`."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, cast

import numpy as np

from vivace.media.frame import Alpha, Rgb
from vivace.media.size import Size, cover_box

if TYPE_CHECKING:
    from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

_KEPT_SCALERS = 8
"""A stream scales between a handful of sizes; each scaler holds some hundred KB of tables."""

_local = threading.local()


def interpolation_for(source: Size, target: Size) -> Interpolation:
    """Return area averaging for shrinking and bicubic for enlarging, the field's usual choice."""
    from av.video.reformatter import Interpolation

    shrinks = target[0] <= source[0] and target[1] <= source[1]
    return Interpolation.AREA if shrinks else Interpolation.BICUBIC


def resize(rgb: Rgb, size: Size) -> Rgb:
    """Scale `uint8 [h w 3]` to `(width, height)`, by area averaging when it shrinks and bicubic when it grows.

    Uses swscale, 1.2 to 2 times as fast as Pillow. Returns the argument itself when it has that size already.
    """
    height, width = rgb.shape[:2]
    if (width, height) == size:
        return np.ascontiguousarray(rgb)  # the argument itself, unless it is a part of another picture
    # Imported here: PyAV is what an application never needs that pushes pictures of the right size.
    from av import VideoFrame

    frame = VideoFrame.from_numpy_buffer(np.ascontiguousarray(rgb), "rgb24")
    scaled = _scaler((width, height), size).reformat(
        frame, size[0], size[1], "rgb24", interpolation=interpolation_for((width, height), size), threads=1
    )
    # Some widths come with padded rows.
    return cast(Rgb, np.ascontiguousarray(scaled.to_ndarray()))


def _scaler(source: Size, target: Size) -> VideoReformatter:
    from av.video.reformatter import VideoReformatter

    # Setting a scaler up costs as much as using it, and one must not be shared between threads.
    scalers: OrderedDict[tuple[Size, Size], VideoReformatter] | None = getattr(_local, "scalers", None)
    if scalers is None:
        scalers = _local.scalers = OrderedDict()
    scaler = scalers.pop((source, target), None) or VideoReformatter()
    scalers[source, target] = scaler
    if len(scalers) > _KEPT_SCALERS:
        scalers.popitem(last=False)
    return scaler


def crop(rgb: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    """Cut the middle `(width, height)` out of a picture `[h w c]` that is at least as large."""
    height, width = rgb.shape[:2]
    if (width, height) == size:
        return rgb
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    return np.ascontiguousarray(rgb[top : top + size[1], left : left + size[0]])


def cover(rgb: Rgb, size: Size) -> Rgb:
    """Return a picture scaled, keeping its shape, until it covers `size`, what is over cut off evenly.

    Cut first, so that what is not seen is not scaled. The very same array if nothing is to be done.
    """
    height, width = rgb.shape[:2]
    if (width, height) == size:
        return rgb
    box = cover_box((width, height), size)
    return resize(rgb[box.y : box.y + box.height, box.x : box.x + box.width], size)


def cover_alpha(alpha: Alpha, size: Size) -> Alpha:
    """Return the alpha of a picture, or a mask, scaled and cut as `cover` does it with the picture."""
    if alpha.shape == (size[1], size[0]):
        return alpha
    return np.ascontiguousarray(cover(np.repeat(alpha[..., None], 3, axis=2), size)[..., 1])
