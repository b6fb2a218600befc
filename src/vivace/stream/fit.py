"""Output size and crop of a source picture.

A picture is scaled to cover the output and centre-cropped; it is never stretched. With a size from `choose_size` the
crop only makes up for rounding to the model's size multiple; with a user's size it makes up for the difference in
aspect ratio.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from vivace.checks import brief
from vivace.errors import ControlError
from vivace.media.convert import cover, cover_alpha
from vivace.media.frame import Frame
from vivace.media.size import Size
from vivace.models.base import ModelSpec
from vivace.models.thumbnail import thumbnail

_ABSURD = 10**9
"""Limit on the sides of a requested size, px; longer numbers are not worth showing in a message."""


def choose_size(source: Size, spec: ModelSpec, *, still: bool = False) -> Size:
    """Return the output size for a source if the user names none.

    The aspect ratio is the source's and the area at most `spec.default_area_px` (up to rounding), or
    `spec.still_area_px` for a photograph. The result is never larger than the source, unless the model's minimum size
    is.
    """
    width, height = source
    if width < 1 or height < 1:
        raise ControlError(f"the source declares a size of {width}x{height}; give an output size, e.g. size=(512, 512)")
    area_px = (still and spec.still_area_px) or spec.default_area_px
    largest = min(spec.max_size[0] / width, spec.max_size[1] / height)
    smallest = max(spec.min_size[0] / width, spec.min_size[1] / height)
    # One factor for both sides, or a panorama would be cropped to the model's longest side.
    scale = min(largest, max(smallest, min(1.0, math.sqrt(area_px / (width * height)))))
    most = [min(side, limit) if scale <= 1 else limit for side, limit in zip(source, spec.max_size, strict=True)]
    return spec.nearest_size(width * scale, height * scale, (most[0], most[1]))


def check_size(size: object, spec: ModelSpec) -> Size:
    """Return `size` as `(width, height)` if the model supports it.

    Raises:
        ControlError: not two integers, or a size that the model does not support.
    """
    if not (
        isinstance(size, (tuple, list))
        and len(size) == 2
        and all(isinstance(side, (int, np.integer)) and not isinstance(side, bool) for side in size)
        and all(abs(int(side)) < _ABSURD for side in size)
    ):
        raise ControlError(f"size is {brief(size)}; give (width, height) in whole px, e.g. (512, 512)")
    width, height = int(size[0]), int(size[1])
    spec.check_size((width, height))
    return width, height


def prepared(frame: Frame, output: Size, *, watched: bool = True) -> Frame:
    """Return a source frame at the output's size, ready for `FrameProcessor.step`; with a thumbnail if `watched`.

    This runs in the thread that receives frames, to save the thread that steps the model the work. The same frame comes
    back if there is nothing to do.
    """
    rgb = cover(frame.rgb, output)
    if rgb is frame.rgb and (frame.thumbnail is not None or not watched):
        return frame
    alpha = None if frame.alpha is None else cover_alpha(frame.alpha, output)
    return replace(frame, rgb=rgb, alpha=alpha, thumbnail=thumbnail(rgb) if watched else None)
