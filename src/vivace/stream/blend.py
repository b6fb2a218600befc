"""Lay the painted picture over the source, in whole numbers, so that nothing and everything are exact.

Weights run from 0 to 256: at 0 the source's bytes come out, at 256 the painted picture's, and between them the
nearest byte. A picture is blended in bands of rows that stay in the processor's cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vivace.media.frame import Rgb
from vivace.stream.fit import Box

FULL = 256
"""Weight at which only the painted picture is seen; a power of two, so that dividing is a shift."""

_BAND_BYTES = 96 * 1024
"""Size of a band of the picture; with its 16-bit products it stays within a second-level cache."""


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """Where a picture may change: weights, and the box outside which they are all 0."""

    weights: NDArray[np.uint16]
    """`[h w]`, 0 (the source stays) to 256 (all painted)."""
    box: Box

    @classmethod
    def from_alpha(cls, alpha: NDArray[np.uint8]) -> Region:
        """Return the region of a mask `uint8 [h w]`, 0 (the source stays) to 255 (all painted)."""
        rows = np.flatnonzero(alpha.any(axis=1))
        columns = np.flatnonzero(alpha.any(axis=0))
        if rows.size == 0:
            box = Box(0, 0, 0, 0)
        else:
            top, left = int(rows[0]), int(columns[0])
            box = Box(left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top)
        wide = alpha.astype(np.uint16)
        return cls(wide + (wide >> 7), box)  # 255 becomes 256, 0 stays 0

    @property
    def empty(self) -> bool:
        """Whether nothing may change."""
        return self.box.width == 0


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
        out = np.empty_like(source)
        _mix(source, painted, np.uint16(weight), out)
        return out
    x, y, width, height = region.box
    inside = np.s_[y : y + height, x : x + width]
    weights = region.weights[inside]
    if weight < FULL:
        weights = ((weights.astype(np.uint32) * weight + FULL // 2) // FULL).astype(np.uint16)
    out = source.copy()
    _mix(source[inside], painted[inside], weights[..., None], out[inside])
    return out


def _mix(source: Rgb, painted: Rgb, weights: NDArray[np.uint16] | np.uint16, out: Rgb) -> None:
    """Write `source + (painted - source) * weights / 256`, rounded, to `out`."""
    height, width = source.shape[:2]
    rows = max(1, _BAND_BYTES // max(1, width * 3))
    for top in range(0, height, rows):
        band = np.s_[top : top + rows]
        here = weights if isinstance(weights, np.uint16) else weights[band]
        # 255 * 256 + 128 fits in 16 bits.
        mixed = np.multiply(painted[band], here, dtype=np.uint16)
        mixed += np.multiply(source[band], FULL - here, dtype=np.uint16)
        mixed += np.uint16(FULL // 2)
        mixed >>= 8
        out[band] = mixed
