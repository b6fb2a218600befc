"""Thumbnails for detecting scene cuts and camera motion, made once when a frame is received."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vivace.models.base import Chunk

GRID = 96
"""Approximate cells along the shorter side: enough for a third of a px of camera motion, and to tell rooms apart."""

Thumbnail = NDArray[np.float32]
"""Mean colour of each cell, `float32 [h w 3]`, 0 to 255."""


def cell_px(size: tuple[int, int]) -> int:
    """Return the side of a cell, px, for a picture of `(width, height)` px."""
    return max(1, min(size) // GRID)


def thumbnail(rgb: NDArray[np.uint8]) -> Thumbnail:
    """Return the means of the square cells of a picture `uint8 [h w 3]`.

    Incomplete cells at the lower and right edges are left out.
    """
    cell = cell_px((rgb.shape[1], rgb.shape[0]))
    height, width = rgb.shape[0] // cell, rgb.shape[1] // cell
    # Integers, for exact means. Whole rows are added, one row of each cell at a time: three times as fast as a mean
    # over two axes.
    lines = rgb[: height * cell, : width * cell].reshape(height, cell, width * cell * 3)
    columns = lines[:, 0].astype(np.uint16)
    for line in range(1, cell):
        columns += lines[:, line]
    columns = columns.reshape(height, width, cell, 3)
    sums = columns[:, :, 0].astype(np.uint32)
    for column in range(1, cell):
        sums += columns[:, :, column]
    return np.asarray(sums / (cell * cell), np.float32)


def thumbnail_of(chunk: Chunk, index: int) -> Thumbnail:
    """Return the thumbnail of a picture of a chunk, computed unless it was given."""
    return chunk.thumbnails[index] if chunk.thumbnails else thumbnail(chunk.rgb[index])
