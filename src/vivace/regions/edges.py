"""Masks on the grid, brought to the size of a picture along the edges that are in it.

The guided filter of He, Sun and Tang (2013) with colours as the guide, its statistics on the cells of the grid. What is
taken at the picture's own size is taken only around what a mask covers.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vivace.media.frame import Rgb
from vivace.media.size import Size
from vivace.regions.pixels import CELL_PX, Box, Field, Line

_WINDOW = 5
"""Cells a side within which a mask is a linear function of colour,"""
_EPSILON = 4e-4
"""regularised by this variance of colours in 0..1."""
_STEEPER = 1.6
"""The filter leaves an edge this much flatter than it is; what is nearly nothing or nearly all is so."""
_LEAST = 0.02
"""Coverage of a cell below which it counts as none."""

_BAND_PX = 8192
"""Px of four numbers each that are enlarged at a time: they stay in the processor's cache."""

Floats = NDArray[np.float32]


class Edges:
    """Brings masks of one stream to size."""

    def __init__(self, size: Size, grid: Size) -> None:
        """Take masks on a grid for pictures, both `(width, height)`."""
        (width, height), (w, h) = size, grid
        self._size = size
        self._cells = h // CELL_PX, w // CELL_PX
        self._mean = Box(self._cells, _WINDOW).run
        self._rows, self._columns = Line(self._cells[0], height), Line(self._cells[1], width)
        self._guide = np.zeros((3, *self._cells), np.float32)
        self._means = self._guide
        self._inverse = np.zeros((6, *self._cells), np.float32)

    def guide(self, cells: Rgb) -> None:
        """Take the colours of the next picture: means of the grid's cells, `uint8 [h w 3]`."""
        self._guide = np.ascontiguousarray(np.moveaxis(cells, -1, 0), np.float32)
        self._guide *= np.float32(1 / 255)
        r, g, b = self._guide
        means = self._mean(np.stack((r, g, b, r * r, r * g, r * b, g * g, g * b, b * b)))
        mr, mg, mb, rr, rg, rb, gg, gb, bb = means
        rr, gg, bb = rr - mr * mr + _EPSILON, gg - mg * mg + _EPSILON, bb - mb * mb + _EPSILON
        rg, rb, gb = rg - mr * mg, rb - mr * mb, gb - mg * mb
        # the inverse of the symmetric matrix by its adjugate
        self._inverse[:] = (
            *(gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb),
            *(rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg),
        )
        self._inverse /= rr * self._inverse[0] + rg * self._inverse[1] + rb * self._inverse[2]
        self._means = means[:3]

    def run(self, rgb: Rgb, mask: Field) -> NDArray[np.uint8]:
        """Return a mask at the picture's size, `uint8 [H W]`.

        Args:
            rgb: the picture whose cells were given to `guide`, `uint8 [H W 3]`.
            mask: on the grid, `[h w]`, 0 to 1.
        """
        width, height = self._size
        out = np.zeros((height, width), np.uint8)
        rows, columns = self._cells
        p = mask.reshape(rows, CELL_PX, columns, CELL_PX).mean(axis=(1, 3))
        reach = 2 * (_WINDOW // 2) + 1
        (top, bottom), (left, right) = (_span((p >= _LEAST).any(axis=axis), reach) for axis in (1, 0))
        if top == bottom or left == right:
            return out
        y = slice(top * height // rows, -(-bottom * height // rows))
        x = slice(left * width // columns, -(-right * width // columns))
        # in bands of rows that stay in the processor's cache
        wide = self._columns.run(self._linear(p).transpose(0, 2, 1), x).transpose(0, 2, 1).copy()
        band = max(1, _BAND_PX // max(1, x.stop - x.start))
        for start in range(y.start, y.stop, band):
            lines = slice(start, min(start + band, y.stop))
            large = self._rows.run(wide, lines)
            part = rgb[lines, x]
            fine = large[3]
            for colour in range(3):
                large[colour] *= part[..., colour]
                fine += large[colour]
            np.clip(fine, 0, 255, out=fine)
            out[lines, x] = fine
        return out

    def _linear(self, p: Floats) -> Floats:
        """Return the mask as a function of colours at each cell, `[4 h w]`: factors for bytes of r, g, b, an offset."""
        covariances = self._mean(np.concatenate((self._guide * p, p[None])))
        mean = covariances[3]
        cr, cg, cb = covariances[:3] - self._means * mean
        rr, rg, rb, gg, gb, bb = self._inverse
        a = np.stack((rr * cr + rg * cg + rb * cb, rg * cr + gg * cg + gb * cb, rb * cr + gb * cg + bb * cb, mean))
        a[3] -= (a[:3] * self._means).sum(axis=0)
        a = self._mean(a)
        a[:3] *= _STEEPER
        # around a half, and rounded when it is cut to a byte
        a[3] = (a[3] - 0.5) * (_STEEPER * 255) + 127.5 + 0.5
        return a


def _span(covered: NDArray[np.bool_], reach: int) -> tuple[int, int]:
    """Return from which up to which cell anything is covered, and some more."""
    places = np.flatnonzero(covered)
    if not places.size:
        return 0, 0
    return max(0, int(places[0]) - reach), min(len(covered), int(places[-1]) + 1 + reach)
