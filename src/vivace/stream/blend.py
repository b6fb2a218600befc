"""Blend the painted picture over the source in integers, so that weights 0 and 256 are exact.

Weight 0 gives the source's bytes, 256 the painted picture's, anything between the nearest byte. Pictures are blended in
bands of rows that fit the processor's cache. A mask's weights are stored once per colour channel, laid out like the
pixels: broadcasting them over a last axis of 3 is five times slower.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vivace.media.frame import Rgb
from vivace.media.size import Box, Size
from vivace.models.base import Edited

_Bytes = NDArray[np.uint8]
"""Picture as rows of bytes, `[h 3w]`."""

FULL = 256
"""Weight at which only the painted picture is visible; a power of two, so that division is a shift."""

_BAND_BYTES = 96 * 1024
"""Size of a band, bytes; with its 16-bit products it fits a second-level cache."""


class Region:
    """The part of a picture that may change: a weight per byte, and the bounding box of the non-zero ones."""

    def __init__(self, alpha: NDArray[np.uint8]) -> None:
        """Take a mask `uint8 [h w]`, 0 (source) to 255 (painted)."""
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
        """Return the product of both regions; a fully painted region leaves the other unchanged."""
        product = self._alpha.astype(np.uint16)
        product *= other._alpha
        product += 128
        # Division by 255, rounded to nearest, without a divide.
        return Region(((product + (product >> 8)) >> 8).astype(np.uint8))

    @property
    def empty(self) -> bool:
        """True if nothing may change."""
        return self.box.width == 0

    def weights(self, opacity: int) -> NDArray[np.uint16]:
        """Return the weights inside the box, `[h 3w]`, 0 (source) to 256, scaled by an opacity of 0 to 256.

        The result of the last opacity is cached, since it rarely changes.
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
"""Empty region, for pictures of any size."""


def region_of(edited: Edited, index: int, size: Size, region: Region | None) -> Region | None:
    """Return the visible part of picture `index` of a step: what the model edited, within `region`.

    Args:
        edited: edited area as reported by the model.
        index: position of the picture in the step.
        size: `(width, height)` of the picture, px; a coarser mask is enlarged to it by nearest neighbour.
        region: area that the user lets change; None is everywhere.
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
