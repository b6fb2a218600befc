"""Sizes of pictures: as people write them, inside one another, and which part of one covers another.

Which of them a model can do is its `ModelSpec`'s to say.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from vivace.errors import UsageError

Size = tuple[int, int]
"""`(width, height)`, px."""

_SIZE = re.compile(r"(\d{1,6})[xX×](\d{1,6})")


def parse_size(text: str) -> tuple[int, int]:
    """Return `(width, height)` px of a text such as `512x288`.

    Raises:
        UsageError: any other text. Whether a model can do the size is the model's to say.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        shown = text if len(text) <= 40 else f"{text[:40]}…"
        raise UsageError(f"size {shown!r} is not WxH in pixels; give for example 512x288.")
    return int(match[1]), int(match[2])


class Box(NamedTuple):
    """A rectangle in px: left, top, width, height."""

    x: int
    y: int
    width: int
    height: int


def cover_box(source: Size, output: Size) -> Box:
    """Return the centred part of a picture of `source` px that has the output's aspect ratio, to the nearest px."""
    source_w, source_h = source
    output_w, output_h = output
    # Whole numbers throughout: an output of the source's own aspect takes all of it, exactly.
    if source_w * output_h >= source_h * output_w:
        width, height = (source_h * output_w + output_h // 2) // output_h, source_h
    else:
        width, height = source_w, (source_w * output_h + output_w // 2) // output_w
    width, height = min(max(1, width), source_w), min(max(1, height), source_h)
    return Box((source_w - width) // 2, (source_h - height) // 2, width, height)


def fit_size(source: Size, within: Size) -> Size:
    """Return the largest size of `source`'s shape inside `within`, at least 1 px a side."""
    scale = min(within[0] / source[0], within[1] / source[1])
    return min(within[0], max(1, round(source[0] * scale))), min(within[1], max(1, round(source[1] * scale)))


def cover_size(source: Size, target: Size) -> Size:
    """Return the smallest size of `source`'s shape that covers `target`."""
    scale = max(target[0] / source[0], target[1] / source[1])
    return max(target[0], round(source[0] * scale)), max(target[1], round(source[1] * scale))
