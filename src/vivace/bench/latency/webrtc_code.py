"""Numbers in pictures as black and white cells that survive encoding, and the mask that keeps models off them."""

from __future__ import annotations

import base64
import io

import numpy as np
from PIL import Image

from vivace.media.frame import Rgb

BITS = 12
CHECK_BITS = 4
CELLS = BITS + CHECK_BITS
MARGIN_PX = 8
"""Margin of untouched picture around the cells, px: encoders bleed over edges."""


class Code:
    """Position of a number in pictures of one size: a row of cells along the top."""

    def __init__(self, size: tuple[int, int]) -> None:
        """Lay out the cells for pictures of `(width, height)` px."""
        self.size = size
        self._cell_px = size[0] // CELLS
        self._height_px = max(8, min(self._cell_px, size[1] // 12))

    def draw(self, rgb: Rgb, number: int) -> Rgb:
        """Return a copy of `uint8 [h w 3]` with a number from 0 on it, modulo 4096."""
        marked = rgb.copy()
        value = number % 2**BITS
        word = value | _check(value) << BITS
        for place in range(CELLS):
            left = place * self._cell_px
            marked[: self._height_px, left : left + self._cell_px] = 255 * (word >> place & 1)
        return marked

    def read(self, rgb: Rgb) -> int | None:
        """Return the number on a picture of any size, modulo 4096; None if it is unreadable."""
        height, width = rgb.shape[:2]
        scale_x, scale_y = width / self.size[0], height / self.size[1]
        inner = slice(max(1, round(0.25 * self._height_px * scale_y)), round(0.75 * self._height_px * scale_y))
        word = 0
        for place in range(CELLS):
            left = (place + 0.3) * self._cell_px * scale_x
            right = (place + 0.7) * self._cell_px * scale_x
            word |= int(rgb[inner, int(left) : int(right) + 1].mean() > 127) << place
        value = word % 2**BITS
        return value if _check(value) == word >> BITS else None

    def mask_url(self) -> str:
        """Return the mask that keeps a model off the cells, as a control value."""
        mask = np.full((self.size[1], self.size[0]), 255, np.uint8)
        mask[: self._height_px + MARGIN_PX] = 0
        file = io.BytesIO()
        Image.fromarray(mask).save(file, "PNG")
        return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def unwrap(value: int, near: int) -> int:
    """Return the number nearest to `near` that reads as `value` in a picture."""
    span = 1 << BITS
    return near + (value - near + span // 2) % span - span // 2


def _check(value: int) -> int:
    """Return check bits that any single wrong cell changes, and that an all-black or all-white row never has."""
    return (value ^ value >> 4 ^ value >> 8 ^ 0b0101) & 0b1111
