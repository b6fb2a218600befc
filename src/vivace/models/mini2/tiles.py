"""Memory of a stream's tiles for `tile_graph`: features of every tile as its last step left them, and how tiles meet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vivace.models.mini2.blocks import padded
from vivace.models.mini2.config import BLOCK_PX, DRAWN_MAPS, INPUT_CHANNELS, MAP_CHANNELS, TOKEN_PX, Mini2Config
from vivace.runtime.exported import Arrays

Tiles = NDArray[np.intp]
"""Numbers of tiles, in rising order, `[n]`: row by row over the picture."""


@dataclass(frozen=True)
class Grid:
    """Positions of features within and around a tile on one grid."""

    fraction: int
    """Px of the picture per feature."""
    maps: int
    """Features remembered for each position: the input of each 3x3 convolution."""

    @property
    def side(self) -> int:
        """Features along a tile's side."""
        return TOKEN_PX // self.fraction

    @property
    def around(self) -> int:
        """Features around a tile: its ring."""
        return 4 * self.side + 4


FINE, EIGHTH, SIXTEENTH = GRIDS = (Grid(BLOCK_PX, 2), Grid(8, 4), Grid(16, 4))


def widths_of(cfg: Mini2Config) -> tuple[int, int, int]:
    """Return the channels of the features on each of `GRIDS`."""
    return cfg.fine, cfg.eighth, cfg.sixteenth


def token_width(cfg: Mini2Config) -> int:
    """Return the numbers remembered for a token: what each block of the trunk shows of it, and what came out."""
    return cfg.dim * (cfg.depth + 1)


class Places(NamedTuple):
    """Rows of a grid's features in and around each tile.

    They are numbered tile by tile, row by row within a tile; one more than there are is outside of the picture.
    """

    patch: NDArray[np.int32]
    """Rows of a tile and around it, `[tiles side+2 side+2]`."""
    ring: NDArray[np.int32]
    """Rows around it, `[tiles around]`."""
    near: NDArray[np.int32]
    """Rows of the 3 x 3 neighbours of each of its rows, `[tiles side² 9]`."""


@lru_cache(maxsize=48)
def places_of(grid: Grid, shape: tuple[int, int]) -> Places:
    """Return the places of a picture of `(down, right)` tiles; shared, not to be written to."""
    side, (down, right) = grid.side, shape
    beside = np.arange(-1, side + 1)
    rows = np.arange(down)[:, None, None, None] * side + beside[:, None]
    columns = np.arange(right)[:, None, None] * side + beside
    outside = (rows < 0) | (rows >= down * side) | (columns < 0) | (columns >= right * side)
    numbers = (rows // side * right + columns // side) * side**2 + rows % side * side + columns % side
    patch = np.where(outside, down * right * side**2, numbers).reshape(-1, side + 2, side + 2).astype(np.int32)
    ring = np.pad(np.zeros((side, side), bool), 1, constant_values=True)
    near = np.lib.stride_tricks.sliding_window_view(patch, (3, 3), (1, 2)).reshape(len(patch), side**2, 9)
    return Places(patch, np.ascontiguousarray(patch[:, ring]), near)


class TileMemory:
    """Features of all tiles of one stream, and inputs of the graph for some of them, written in place."""

    def __init__(self, size: tuple[int, int], cfg: Mini2Config) -> None:
        """Allocate for pictures of `(width, height)` px."""
        width, height = (side // TOKEN_PX for side in padded(size))
        self.shape = height, width
        """Tiles `(down, right)`."""
        count = self.count = height * width
        """Number of tiles."""
        self._tokens = np.zeros((count, token_width(cfg)), np.float32)
        self._features = [
            np.zeros((count * grid.side**2 + 1, grid.maps * channels), np.float32)
            for grid, channels in zip(GRIDS, widths_of(cfg), strict=True)
        ]
        """Features `[tiles*rows+1 maps*c]` a grid; the last row lies outside of the picture and is 0."""
        self._places = [places_of(grid, self.shape) for grid in GRIDS]
        patch = self._places[0].patch
        self._outside = patch == count * FINE.side**2
        tile, within = np.divmod(np.where(self._outside, 0, patch), FINE.side**2)
        down, right = tile // width * FINE.side + within // FINE.side, tile % width * FINE.side + within % FINE.side
        self._blocks = down * width * FINE.side + right
        """Blocks of each tile and around it, in a picture's order, `[tiles side+2 side+2]`."""
        self._patches = np.zeros((*patch.shape, INPUT_CHANNELS), np.uint8)
        self._maps = np.zeros((count, FINE.side**2, MAP_CHANNELS), np.uint8)
        self._tiles = np.zeros(count, np.int64)
        self._near = [np.zeros((count * grid.side**2, 9), np.int32) for grid in GRIDS]
        self._rings = [
            np.zeros((count * grid.around, features.shape[1]), np.float32)
            for grid, features in zip(GRIDS, self._features, strict=True)
        ]

    @property
    def nbytes(self) -> int:
        """Size of what is remembered and of the graph's inputs, bytes."""
        inputs = self.inputs(self.count).values()
        return sum(array.nbytes for array in (*self._features, self._outside, self._blocks, *inputs))

    @staticmethod
    def nbytes_of(size: tuple[int, int], cfg: Mini2Config) -> int:
        """Return that size for pictures of `(width, height)` px, bytes."""
        count = math.prod(padded(size)) // TOKEN_PX**2
        patch = (FINE.side + 2) ** 2
        a_tile = 4 * token_width(cfg) + 8 + patch * (INPUT_CHANNELS + 1 + 4) + TOKEN_PX**2 * DRAWN_MAPS
        beyond = 0
        for grid, channels in zip(GRIDS, widths_of(cfg), strict=True):
            row = 4 * grid.maps * channels
            a_tile += (grid.side**2 + grid.around) * row + grid.side**2 * 9 * 4
            beyond += row
        return count * a_tile + beyond

    def inputs(self, number: int) -> dict[str, NDArray[np.generic]]:
        """Return the graph's inputs for a number of tiles, but for its conditions; `write` fills them."""
        arrays: dict[str, NDArray[np.generic]] = {
            "patches": self._patches[:number],
            "maps": self._maps[:number],
            "tiles": self._tiles[:number],
            "tokens": self._tokens.reshape(*self.shape, -1),
        }
        for grid, near in zip(GRIDS, self._near, strict=True):
            arrays[f"near{grid.fraction}"] = near[: number * grid.side**2]
        for grid, ring in zip(GRIDS, self._rings, strict=True):
            arrays[f"ring{grid.fraction}"] = ring[: number * grid.around]
        return arrays

    def write(self, tiles: Tiles, number: int, blocks: NDArray[np.uint8], maps: NDArray[np.uint8]) -> None:
        """Write the inputs for some tiles of `blocks [1 h w 128]` and `maps [1 h w 80]`, the last one up to `number`."""
        count = len(tiles)
        tiles = np.concatenate([tiles, np.repeat(tiles[-1:], number - count)])
        self._tiles[:number] = tiles
        patches = self._patches[:number]
        np.take(blocks.reshape(-1, INPUT_CHANNELS), self._blocks[tiles], 0, patches, "clip")
        within = self._blocks[tiles, 1:-1, 1:-1].reshape(number, -1)
        np.take(maps.reshape(-1, maps.shape[-1]), within, 0, self._maps[:number], "clip")
        patches[self._outside[tiles]] = 128  # 0 to the network, as its padding is
        for grid, places, features, near, rings in zip(
            GRIDS, self._places, self._features, self._near, self._rings, strict=True
        ):
            rows, around = grid.side**2, grid.around
            ring = places.ring[tiles].ravel()
            np.take(features, ring, 0, rings[: number * around], "clip")
            # Rows are looked for among those computed, then among the rings; what is outside comes last.
            found = np.zeros(len(features), np.int32)
            found[ring] = number * rows + np.arange(number * around)
            found[:-1].reshape(-1, rows)[tiles[:count]] = np.arange(count * rows).reshape(count, rows)
            found[-1] = number * (rows + around)
            np.take(found, places.near[tiles].reshape(-1, 9), 0, near[: number * rows], "clip")

    def keep(self, outputs: Arrays) -> None:
        """Remember what the graph gave for the tiles that were written."""
        tiles = self._tiles[: len(outputs["new_tokens"])]
        self._tokens[tiles] = outputs["new_tokens"]
        for grid, features in zip(GRIDS, self._features, strict=True):
            rows = features[:-1].reshape(self.count, grid.side**2, -1)
            rows[tiles] = outputs[f"new{grid.fraction}"].reshape(len(tiles), *rows.shape[1:])

    def save(self) -> dict[str, NDArray[Any]]:
        """Return copies of everything remembered."""
        return {name: array.copy() for name, array in self._arrays().items()}

    def restore(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Take what `save` returned."""
        for name, array in self._arrays().items():
            array[...] = saved[name]

    def _arrays(self) -> dict[str, NDArray[np.float32]]:
        return {
            "tokens": self._tokens,
            **{f"features{g.fraction}": f for g, f in zip(GRIDS, self._features, strict=True)},
        }
