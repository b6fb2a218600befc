"""Buffers of one stream of `mini2`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from vivace.models.effort_levels import EFFORT_SCALES, LevelState
from vivace.models.mini.state import FULL_DETAIL_PX
from vivace.models.mini2.blocks import BlockBuffer, padded
from vivace.models.mini2.config import (
    BLOCK_PX,
    CODE_DIM,
    INPUT_CHANNELS,
    STEP_NUMBERS,
    TEXTURE_CHANNELS,
    Mini2Config,
)
from vivace.models.mini2.maps import DrawnMaps
from vivace.models.mini2.textures import lay_textures, textures_at_rest
from vivace.models.mini2.tile_cache import TileCache
from vivace.runtime.exported import Executor

Size = tuple[int, int]


def working_size(size: Size, effort_scale: float) -> Size:
    """Return the `(width, height)` px that the network paints at for an output of `size`."""
    width, height = (max(1, round(side * effort_scale)) for side in size)
    return width, height


def texture_scale(size: Size) -> int:
    """Return the px of a picture of `(width, height)` px per px of its textures: 1 or 2, as in training."""
    return 1 if math.sqrt(size[0] * size[1]) < FULL_DETAIL_PX * math.sqrt(2) else 2


def nbytes_of(size: Size, cfg: Mini2Config) -> int:
    """Return the size of the buffers of a stream of `size`, original textures and remembered tiles included, bytes."""
    painted_at = (working_size(size, scale) for scale in EFFORT_SCALES)
    grids = ((painted, padded(painted)) for painted in painted_at)
    per_block = INPUT_CHANNELS + TEXTURE_CHANNELS
    levels = sum(
        width * height // BLOCK_PX**2 * per_block
        + 4 * (CODE_DIM + STEP_NUMBERS)
        + DrawnMaps.nbytes_of((width, height), texture_scale(painted))
        for painted, (width, height) in grids
    )
    return levels + TileCache.nbytes_of(size, cfg)


@dataclass(slots=True)
class EffortBuffers:
    """Buffers of one effort level: the graph's inputs, written in place."""

    blocks: BlockBuffer
    rest: NDArray[np.uint8]
    """Original textures `[h w 32]`, shared."""
    maps: DrawnMaps
    code: NDArray[np.float32] = field(default_factory=lambda: np.zeros((1, CODE_DIM), np.float32))
    step: NDArray[np.float32] = field(default_factory=lambda: np.zeros((1, STEP_NUMBERS), np.float32))
    executor: Executor | None = None
    """Executor, made when the level is first used."""
    cache: TileCache | None = None
    """Tiles that need not be painted anew, at full effort; less effort means that much moves."""
    has_estimate: bool = False
    _at: tuple[int, int] = (0, 0)

    @classmethod
    def open(cls, size: Size, seed: int) -> EffortBuffers:
        """Return filled buffers for pictures of `(width, height)` px."""
        blocks, scale = BlockBuffer(size), texture_scale(size)
        maps = DrawnMaps(blocks.array, scale, seed)
        buffers = cls(blocks, textures_at_rest(padded(size), scale, seed), maps)
        buffers.blocks.textures[...] = buffers.rest
        return buffers

    @property
    def inputs(self) -> dict[str, NDArray[np.generic]]:
        """Inputs of the graph by name."""
        return {"blocks": self.blocks.array, "maps": self.maps.array, **self.conditions}

    @property
    def conditions(self) -> dict[str, NDArray[np.generic]]:
        """Inputs of the graph that concern the whole picture, by name."""
        return {"code": self.code, "step": self.step}

    @property
    def log_scale(self) -> float:
        """log2 of picture px per px of its textures."""
        return math.log2(texture_scale(self.blocks.size))

    @property
    def nbytes(self) -> int:
        """Size of all buffers, shared ones included, bytes."""
        cached = 0 if self.cache is None else self.cache.nbytes
        own = (self.blocks.array, self.rest, *self.conditions.values())
        return sum(array.nbytes for array in own) + self.maps.nbytes + cached

    def take_textures(self, seed: int) -> None:
        """Use the textures of a seed, unshifted."""
        self.rest = textures_at_rest(padded(self.blocks.size), texture_scale(self.blocks.size), seed)
        self.blocks.textures[...] = self.rest
        self.maps.take_fields(seed)
        self._at = (0, 0)
        self._forget_tiles()

    def move_textures(self, down_px: float, right_px: float) -> None:
        """Move the textures with the scene, to a distance from their origin, px of these pictures."""
        to = (round(down_px / BLOCK_PX), round(right_px / BLOCK_PX))
        if to != self._at:
            lay_textures(self.rest, *to, self.blocks.textures)
            self.maps.move(*to)
            self._at = to
            self._forget_tiles()

    def forget(self) -> None:
        """Discard the estimate."""
        self.blocks.put_estimate(None)
        self.has_estimate = False
        self._forget_tiles()

    def _forget_tiles(self) -> None:
        if self.cache is not None:
            self.cache.forget()


Mini2State = LevelState[EffortBuffers]
"""State of one stream of `mini2`."""
