"""How a source picture becomes an output picture: which size, and which part of it.

A picture is scaled until it covers the output and the overhang is cut off evenly on both sides. With a size chosen by
`choose_size` the overhang is no more than the rounding to the model's size multiple; with a size of the user's own it
is what the two aspect ratios differ by. Nothing is ever stretched.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from vivace.errors import ControlError
from vivace.media.frame import Frame, Rgb
from vivace.media.size import Size
from vivace.models.base import ModelSpec
from vivace.models.thumbnail import thumbnail
from vivace.stream.checks import brief


def choose_size(source: Size, spec: ModelSpec, *, still: bool = False) -> Size:
    """Return the output size for a source when the user names none.

    The aspect is the source's and the area at most `spec.default_area_px` (to rounding), of a picture by itself
    `spec.still_area_px`; never larger than the source, except where the model's smallest size is.
    """
    width, height = source
    if width < 1 or height < 1:
        raise ControlError(f"the source says its size is {width}x{height}; give an output size, e.g. size=(512, 512)")
    area_px = (still and spec.still_area_px) or spec.default_area_px
    largest = min(spec.max_size[0] / width, spec.max_size[1] / height)
    smallest = max(spec.min_size[0] / width, spec.min_size[1] / height)
    # Both sides by one factor, or a panorama would lose its ends to the model's longest side.
    scale = min(largest, max(smallest, min(1.0, math.sqrt(area_px / (width * height)))))
    most = [min(side, limit) if scale <= 1 else limit for side, limit in zip(source, spec.max_size, strict=True)]
    chosen = (
        _to_multiple(width * scale, spec.size_multiple, spec.min_size[0], most[0]),
        _to_multiple(height * scale, spec.size_multiple, spec.min_size[1], most[1]),
    )
    return check_size(chosen, spec)


def _to_multiple(side: float, multiple: int, least: int, most: int) -> int:
    """Return the multiple nearest to `side` that is at most `most` and, before all, at least `least`."""
    return max(
        math.ceil(least / multiple) * multiple, min(round(side / multiple) * multiple, most // multiple * multiple)
    )


def check_size(size: object, spec: ModelSpec) -> Size:
    """Return `size` as `(width, height)` if the model can do it.

    Raises:
        ControlError: not two whole numbers, out of range, or not a multiple of `spec.size_multiple`; names a size that
            works.
    """
    if not (
        isinstance(size, (tuple, list))
        and len(size) == 2
        and all(isinstance(side, (int, np.integer)) and not isinstance(side, bool) for side in size)
    ):
        raise ControlError(f"size is {brief(size)}; give (width, height) in whole px, e.g. (512, 512)")
    width, height = int(size[0]), int(size[1])
    multiple, low, high = spec.size_multiple, spec.min_size, spec.max_size
    if not (low[0] <= width <= high[0] and low[1] <= height <= high[1]):
        raise ControlError(
            f"size {brief(width)}x{brief(height)} is out of range; {spec.name} does {low[0]}x{low[1]} to "
            f"{high[0]}x{high[1]} px"
        )
    if width % multiple or height % multiple:
        near = [_to_multiple(side, multiple, *span) for side, *span in zip((width, height), low, high, strict=True)]
        raise ControlError(
            f"size {width}x{height} does not fit; {spec.name} needs multiples of {multiple} px, "
            f"and {near[0]}x{near[1]} is the nearest"
        )
    return width, height


def fit(rgb: Rgb, output: Size) -> Rgb:
    """Return a picture scaled to cover `output` and centre-cropped; the very same array if nothing is to be done.

    Args:
        rgb: `uint8 [h w 3]`.
        output: `(width, height)` in px.
    """
    if (rgb.shape[1], rgb.shape[0]) == output:
        return rgb
    # Imported here: the converter brings PyAV, which an application that pushes pictures of the right size never needs.
    from vivace.media.convert import cover

    return cover(rgb, output)


def prepared(frame: Frame, output: Size) -> Frame:
    """Return a source frame at the output's size and with its thumbnail, as `Session.step` works on it.

    Done in the thread that receives frames, so that the thread that steps the model need not; the very same frame if
    nothing is to be done.
    """
    rgb = fit(frame.rgb, output)
    if rgb is frame.rgb and frame.thumbnail is not None:
        return frame
    return replace(frame, rgb=rgb, thumbnail=thumbnail(rgb))
