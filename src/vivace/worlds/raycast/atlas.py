"""Texture atlas of a shot: prefiltered textures, sampled smoothly in one pass."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vivace.worlds.paint import to_bytes
from vivace.worlds.raycast.textures import PAINTERS, SIDE

LEVELS = 9
"""Number of mip levels, each half the size of the one before; the last is one pixel."""
_LEVEL_START = np.array([sum((SIDE >> level) ** 2 for level in range(upto)) for upto in range(LEVELS)], np.int32)
TEXELS = int(_LEVEL_START[-1]) + 1
_SOFTNESS = 2.0
"""Bias towards coarser levels. Less shows more detail, which flickers in motion; 1 uses the matching or next finer
level."""


@lru_cache(maxsize=64)
def prefiltered(name: str) -> NDArray[np.uint32]:
    """Return the packed mip levels of a texture, `uint32 [TEXELS]`."""
    tile = PAINTERS[name]()
    if tile.shape[2] == 3:
        tile = np.dstack([tile, np.zeros((SIDE, SIDE), np.float32)])
    levels = []
    for _ in range(LEVELS):
        levels.append(np.ascontiguousarray(to_bytes(tile)).view(np.uint32).reshape(-1))
        if tile.shape[0] > 1:
            tile = (tile[::2, ::2] + tile[1::2, ::2] + tile[::2, 1::2] + tile[1::2, 1::2]) * np.float32(0.25)
    return np.concatenate(levels)


class Atlas:
    """Several textures that are sampled in one pass."""

    def __init__(self, names: Sequence[str]):
        """Load textures by name; each `Material.texture` becomes its index in `names`."""
        self._texels = np.concatenate([prefiltered(name) for name in names])

    def pick(
        self, texture: NDArray[np.int32], u: NDArray[np.float32], v: NDArray[np.float32], footprint: NDArray[np.float32]
    ) -> tuple[NDArray[np.float32], ...]:
        """Return red, green, blue and emission, each `[n]`, 0 to 1.

        Args:
            texture: index of the texture.
            u: horizontal position, in tiles; textures are periodic.
            v: vertical position, in tiles.
            footprint: share of a tile that one sample covers.
        """
        _, level = np.frexp(np.maximum(footprint * np.float32(_SOFTNESS * SIDE), np.float32(1)))
        level = np.minimum(level - 1, LEVELS - 1)
        side = np.right_shift(np.int32(SIDE), level)
        start = _LEVEL_START[level] + texture * np.int32(TEXELS)
        mask = side - 1
        x, y = (u - np.floor(u)) * side - np.float32(0.5), (v - np.floor(v)) * side - np.float32(0.5)
        left, top = np.floor(x), np.floor(y)
        # Weights of the four nearest texels sum to 256, so that two channels fit one integer without mixing.
        wx, wy = (x - left) * np.float32(16), (y - top) * np.float32(16)
        wx, wy = wx.astype(np.uint32), wy.astype(np.uint32)
        left, top = left.astype(np.int32), top.astype(np.int32)
        columns = (left & mask, (left + 1) & mask)
        rows = ((top & mask) * side + start, ((top + 1) & mask) * side + start)
        low = high = None
        for row, weight_y in zip(rows, (np.uint32(16) - wy, wy), strict=True):
            for column, weight_x in zip(columns, (np.uint32(16) - wx, wx), strict=True):
                texel = self._texels[row + column]
                weight = weight_x * weight_y
                even, odd = (texel & np.uint32(0xFF00FF)) * weight, ((texel >> 8) & np.uint32(0xFF00FF)) * weight
                low = even if low is None else low + even
                high = odd if high is None else high + odd
        assert low is not None
        assert high is not None
        scale = np.float32(1 / 65280)
        return tuple(
            part.astype(np.float32) * scale
            for part in (low & np.uint32(0xFFFF), high & np.uint32(0xFFFF), low >> 16, high >> 16)
        )
