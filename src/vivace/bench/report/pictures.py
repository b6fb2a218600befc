"""Pictures embedded in the page, small enough for a hundred of them in one file."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vivace.bench.report.material import Mask
from vivace.media.frame import Rgb

WIDTHS_PX = (256, 208, 160, 128, 96)
"""Candidate widths, px: the largest that fits the budget is used. Shown at 160 to 200 px."""
QUALITY = 82
"""WebP quality: strokes and noise survive, blocks are invisible."""
_SAMPLED = 24


@dataclass(frozen=True, slots=True)
class Picture:
    """Picture as embedded in the page."""

    uri: str
    width: int
    height: int


def fitting_width(pictures: Sequence[Rgb], budget_bytes: float) -> int:
    """Return the width at which the pictures together fit a budget, estimated from a sample of them."""
    sample = pictures[:: max(1, len(pictures) // _SAMPLED)]
    for width in WIDTHS_PX[:-1]:
        if sum(len(picture(rgb, width).uri) for rgb in sample) * len(pictures) / max(1, len(sample)) <= budget_bytes:
            return width
    return WIDTHS_PX[-1]


def picture(rgb: Rgb, width_px: int) -> Picture:
    """Return a picture `uint8 [h w 3]` as WebP in a data URI, no wider than `width_px`."""
    image = Image.fromarray(np.ascontiguousarray(rgb))
    width, height = _fitted(image.size, width_px)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.LANCZOS)
    return Picture(_uri(image, "webp", quality=QUALITY, method=4), width, height)


def outline(mask: Mask, width_px: int) -> Picture:
    """Return the edge of a mask `bool [h w]` as a transparent picture: a light line with a dark one around it."""
    size = _fitted((mask.shape[1], mask.shape[0]), width_px)
    inside = np.asarray(Image.fromarray(mask).resize(size, Image.Resampling.NEAREST))
    light = inside & ~_shrunk(inside)
    dark = _grown(inside) & ~inside
    pixels = np.zeros((*inside.shape, 2), np.uint8)
    pixels[light] = (255, 235)
    pixels[dark] = (0, 170)
    return Picture(_uri(Image.fromarray(pixels, "LA"), "png", optimize=True), *size)


def _fitted(size: tuple[int, int], width_px: int) -> tuple[int, int]:
    width = min(width_px, size[0])
    return width, max(1, round(size[1] * width / size[0]))


def _grown(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    padded = np.pad(inside, 1)
    return padded[1:-1, 1:-1] | padded[:-2, 1:-1] | padded[2:, 1:-1] | padded[1:-1, :-2] | padded[1:-1, 2:]


def _shrunk(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    shrunk: NDArray[np.bool_] = ~_grown(~inside)
    return shrunk


def _uri(image: Image.Image, kind: str, **options: int | bool) -> str:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(out.getvalue()).decode('ascii')}"
