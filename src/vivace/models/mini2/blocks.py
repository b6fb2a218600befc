"""Conversion between pictures and blocks on the host: copies of 12 bytes, which NumPy does faster than a graph."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vivace.models.mini2.config import BLOCK_PX, INPUT_CHANNELS, PICTURE_CHANNELS, TOKEN_PX

_ROW = np.dtype(f"V{3 * BLOCK_PX}")
_BLOCK = np.dtype(f"V{PICTURE_CHANNELS}")


def padded(size: tuple[int, int]) -> tuple[int, int]:
    """Return the size `(width, height)` of the token grid that covers a picture, px."""
    width, height = (-(-px // TOKEN_PX) * TOKEN_PX for px in size)
    return width, height


class BlockBuffer:
    """Network input of one stream, `uint8 [1 h w 128]`, and the pictures in it, written in place."""

    def __init__(self, size: tuple[int, int]) -> None:
        """Allocate for pictures of `size = (width, height)`, each even and at least 64 px."""
        self.size = size
        width, height = padded(size)
        rows, columns = height // BLOCK_PX, width // BLOCK_PX
        self.array = np.full((1, rows, columns, INPUT_CHANNELS), 128, np.uint8)
        strides = (columns * INPUT_CHANNELS, INPUT_CHANNELS, _ROW.itemsize)
        self._source = np.ndarray((rows, columns, BLOCK_PX), _ROW, self.array.data, 0, strides)
        self._estimate = np.ndarray((rows, columns), _BLOCK, self.array.data, PICTURE_CHANNELS, strides[:2])
        # Padding repeats the picture's border, so that convolutions see no edge there.
        self._down = np.minimum(np.arange(height), size[1] - 1)
        self._right = np.minimum(np.arange(width), size[0] - 1)

    @property
    def textures(self) -> NDArray[np.uint8]:
        """Textures `[h w 32]`, to be written in place."""
        return self.array[0, :, :, 2 * PICTURE_CHANNELS :]

    @property
    def estimate(self) -> NDArray[np.uint8]:
        """Estimate in blocks `[h w 48]`, a view."""
        return self.array[0, :, :, PICTURE_CHANNELS : 2 * PICTURE_CHANNELS]

    def put_source(self, rgb: NDArray[np.uint8]) -> None:
        """Write the source `uint8 [h w 3]`."""
        bottom, right = (side // BLOCK_PX * BLOCK_PX for side in rgb.shape[:2])
        self._write(rgb[:bottom, :right], 0, 0)
        if bottom < len(self._down):
            self._write(rgb[self._down[bottom:], :right], bottom, 0)
        if right < len(self._right):
            self._write(rgb[:, self._right[right:]][self._down], 0, right)

    def _write(self, part: NDArray[np.uint8], top: int, left: int) -> None:
        """Write a part of the source, with sides and position in multiples of a block."""
        height, width = part.shape[:2]
        rows = part.reshape(height, width * 3).view(_ROW).reshape(height // BLOCK_PX, BLOCK_PX, width // BLOCK_PX)
        top, left = top // BLOCK_PX, left // BLOCK_PX
        self._source[top : top + rows.shape[0], left : left + rows.shape[2]] = rows.transpose(0, 2, 1)

    def put_estimate(self, picture: NDArray[np.uint8] | None) -> None:
        """Write an output of the graph `uint8 [1 h w 48]` as the estimate; None if there is none yet."""
        if picture is None:
            self.estimate[...] = 128
        else:
            self._estimate[...] = np.ascontiguousarray(picture).view(_BLOCK)[0, :, :, 0]


def to_picture(blocks: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return an output of the graph `uint8 [1 h w 48]` as a picture `[height width 3]`."""
    _, rows, columns, _ = blocks.shape
    picture = np.empty((rows * BLOCK_PX, columns * BLOCK_PX, 3), np.uint8)
    target = picture.reshape(rows * BLOCK_PX, columns * BLOCK_PX * 3).view(_ROW).reshape(rows, BLOCK_PX, columns)
    target[...] = np.ascontiguousarray(blocks).view(_ROW)[0].transpose(0, 2, 1)
    return picture[: size[1], : size[0]]
