"""Lay the painted picture over the source, in whole numbers, so that nothing and everything are exact.

Weights run from 0 to 256: at 0 the source's bytes come out, at 256 the painted picture's, and between them the
nearest byte. A picture is blended in bands of rows that stay in the processor's cache. A mask's weights are stored once
a colour channel, as pixels are: broadcasting them over a last axis of 3 costs five times as much.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vivace.media.frame import Rgb
from vivace.media.size import Box, Size
from vivace.models.base import Edited

_Bytes = NDArray[np.uint8]
"""Rows of bytes of a picture, `[h 3w]`."""

FULL = 256
"""Weight at which only the painted picture is seen; a power of two, so that dividing is a shift."""

_BAND_BYTES = 96 * 1024
"""Size of a band of the picture; with its 16-bit products it stays within a second-level cache."""


class Region:
    """Where a picture may change: a weight for every byte, and the box outside which they are all 0."""

    def __init__(self, alpha: NDArray[np.uint8]) -> None:
        """Take a mask `uint8 [h w]`, 0 (the source stays) to 255 (all painted)."""
        self._alpha = alpha
        rows = np.flatnonzero(alpha.any(axis=1))
        columns = np.flatnonzero(alpha.any(axis=0))
        if rows.size == 0:
            self.box = Box(0, 0, 0, 0)
        else:
            top, left = int(rows[0]), int(columns[0])
            self.box = Box(left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top)
        x, y, width, height = self.box
        wide = alpha[y : y + height, x : x + width].astype(np.uint16)
        wide += wide >> 7  # 255 becomes 256, 0 stays 0
        self._weights = np.repeat(wide, 3, axis=1)
        self._faded: tuple[int, NDArray[np.uint16]] = FULL, self._weights

    def within(self, other: Region) -> Region:
        """Return where both regions let a picture change; weights multiply, so that a full one changes nothing."""
        product = self._alpha.astype(np.uint16)
        product *= other._alpha
        product += 128
        # A division by 255 to the nearest byte, without dividing.
        return Region(((product + (product >> 8)) >> 8).astype(np.uint8))

    @property
    def empty(self) -> bool:
        """Whether nothing may change."""
        return self.box.width == 0

    def weights(self, opacity: int) -> NDArray[np.uint16]:
        """Return the weights inside the box at an opacity of 0 to 256, `[h 3w]`, 0 (the source stays) to 256.

        Those of the last opacity are kept, since it rarely changes.
        """
        kept, weights = self._faded
        if kept != opacity:
            product = self._weights.astype(np.uint32)
            product *= np.uint32(opacity)
            product += np.uint32(FULL // 2)
            product >>= np.uint32(8)
            weights = product.astype(np.uint16)
            self._faded = opacity, weights
        return weights


NOWHERE = Region(np.zeros((1, 1), np.uint8))
"""The region in which nothing may change, of a picture of any size."""


def region_of(edited: Edited, index: int, size: Size, region: Region | None) -> Region | None:
    """Return where picture `index` of a step is shown: where the model edited it and `region` lets it change.

    Args:
        edited: what the model says of the step's pictures.
        index: which of them.
        size: `(width, height)` of the picture, px; a mask on a coarser grid is enlarged to it cell by cell.
        region: where the user lets the picture change; None is everywhere.
    """
    if isinstance(edited, str):
        return region if edited == "all" else NOWHERE
    mask = edited[index]
    rows, columns = (np.arange(side) * cells // side for side, cells in zip(size[::-1], mask.shape, strict=True))
    own = Region(mask[rows[:, None], columns])
    return own if region is None else own.within(region)


def blend(source: Rgb, painted: Rgb, strength: float, region: Region | None = None) -> Rgb:
    """Return the source with the painted picture laid over it.

    Args:
        source: `uint8 [h w 3]`; returned itself where nothing is painted (strength 0, empty region).
        painted: `uint8 [h w 3]`; returned itself where nothing of the source is left (strength 1, no region).
        strength: 0 to 1.
        region: Where the picture may change; everywhere if not given.
    """
    weight = round(strength * FULL)
    if weight <= 0 or (region is not None and region.empty):
        return source
    if region is None:
        if weight >= FULL:
            return painted
        out = np.empty(source.shape, np.uint8)
        _mix(_flat(source), _flat(painted), np.uint16(weight), _flat(out))
        return out
    x, y, width, height = region.box
    out = np.empty(source.shape, np.uint8) if source.shape[:2] == (height, width) else source.copy()
    rows, columns = slice(y, y + height), slice(3 * x, 3 * (x + width))
    _mix(_flat(source)[rows, columns], _flat(painted)[rows, columns], region.weights(weight), _flat(out)[rows, columns])
    return out


def _flat(rgb: Rgb) -> _Bytes:
    """Return a picture as rows of bytes."""
    return rgb.reshape(rgb.shape[0], -1)


def _mix(source: _Bytes, painted: _Bytes, weights: NDArray[np.uint16] | np.uint16, out: _Bytes) -> None:
    """Write `source + (painted - source) * weights / 256`, rounded, to `out`; all `[h 3w]`."""
    height, width = source.shape
    rows = max(1, _BAND_BYTES // max(1, width))
    for top in range(0, height, rows):
        band = np.s_[top : top + rows]
        here = weights if isinstance(weights, np.uint16) else weights[band]
        # 255 * 256 + 128 fits in 16 bits.
        mixed = np.multiply(painted[band], here, dtype=np.uint16)
        mixed += np.multiply(source[band], FULL - here, dtype=np.uint16)
        mixed += np.uint16(FULL // 2)
        mixed >>= 8
        out[band] = mixed
