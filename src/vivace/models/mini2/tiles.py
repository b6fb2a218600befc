"""Memory of a stream's tiles for `tile_graph`: features of every tile as its last step left them, and how tiles meet."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vivace.models.mini2.blocks import padded
from vivace.models.mini2.config import BLOCK_PX, INPUT_CHANNELS, TOKEN_PX, Mini2Config
from vivace.runtime.exported import Arrays

Tiles = NDArray[np.intp]
"""Numbers of tiles, in rising order, `[n]`: row by row over the picture."""

_PATCH = TOKEN_PX // BLOCK_PX + 2
"""Side of a tile with the blocks around it, blocks."""


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

    @cached_property
    def ring(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Positions around a tile, as the neighbouring tile (0 to 8, row by row) and the row within it, `[4 side + 4]`."""
        at = np.arange(-1, self.side + 1)
        neighbour, within = self._parts(at[:, None], at)
        outside = neighbour.ravel() != _SELF
        return neighbour.ravel()[outside], within.ravel()[outside]

    @cached_property
    def near(self) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp]]:
        """Positions around each row of a tile, `[side² 9]` each: neighbouring tile, row within it, place in the ring.

        The place is 0 where a position is in the tile itself.
        """
        at, beside = np.arange(self.side), np.arange(-1, 2)
        rows, columns = np.broadcast_arrays(at[:, None, None, None] + beside[:, None], at[:, None, None] + beside)
        neighbour, within = (part.reshape(-1, 9) for part in self._parts(rows, columns))
        places = np.zeros((9, self.side**2), np.intp)
        places[self.ring] = np.arange(len(self.ring[0]))
        return neighbour, within, places[neighbour, within]

    def _parts(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        neighbour = (rows // self.side + 1) * 3 + columns // self.side + 1
        return neighbour, rows % self.side * self.side + columns % self.side


_SELF = 4
"""A tile among its 3 x 3 neighbours."""
FINE, EIGHTH, SIXTEENTH = GRIDS = (Grid(BLOCK_PX, 2), Grid(8, 4), Grid(16, 4))


def widths_of(cfg: Mini2Config) -> tuple[int, int, int]:
    """Return the channels of the features on each of `GRIDS`."""
    return cfg.fine, cfg.eighth, cfg.sixteenth


def token_width(cfg: Mini2Config) -> int:
    """Return the numbers remembered for a token: what each block of the trunk shows of it, and what came out."""
    return cfg.dim * (cfg.depth + 1)


class TileMemory:
    """Features of all tiles of one stream, and inputs of the graph for some of them."""

    def __init__(self, size: tuple[int, int], cfg: Mini2Config) -> None:
        """Allocate for pictures of `(width, height)` px."""
        width, height = (side // TOKEN_PX for side in padded(size))
        self.shape = height, width
        """Tiles `(down, right)`."""
        count = height * width
        self._tokens = np.zeros((count, token_width(cfg)), np.float32)
        self._features = [
            np.zeros((count + 1, grid.side**2, grid.maps * channels), np.float32)
            for grid, channels in zip(GRIDS, widths_of(cfg), strict=True)
        ]
        """Features `[tiles+1 rows maps*c]` a grid; the last tile lies outside of the picture and is 0."""
        beyond = np.full((height + 2, width + 2), count, np.intp)
        beyond[1:-1, 1:-1] = np.arange(count).reshape(height, width)
        windows = np.lib.stride_tricks.sliding_window_view(beyond, (3, 3))
        self._neighbours = windows.reshape(count, 9)
        """Tiles around each tile, row by row, `[tiles 9]`."""
        side = TOKEN_PX // BLOCK_PX
        down, right = height * side, width * side
        rows = np.arange(height)[:, None] * side + np.arange(-1, side + 1)
        columns = np.arange(width)[:, None] * side + np.arange(-1, side + 1)
        outside = ((rows < 0) | (rows >= down))[:, None, :, None] | ((columns < 0) | (columns >= right))[:, None]
        blocks = rows.clip(0, down - 1)[:, None, :, None] * right + columns.clip(0, right - 1)[:, None]
        self._blocks = blocks.reshape(count, _PATCH, _PATCH)
        self._outside = outside.reshape(count, _PATCH, _PATCH)

    @property
    def count(self) -> int:
        """Number of tiles."""
        return len(self._tokens)

    @property
    def nbytes(self) -> int:
        """Size of what is remembered, bytes."""
        return sum(array.nbytes for array in self._arrays().values())

    @staticmethod
    def nbytes_of(size: tuple[int, int], cfg: Mini2Config) -> int:
        """Return that size for pictures of `(width, height)` px, bytes."""
        count = math.prod(padded(size)) // TOKEN_PX**2
        features = sum(grid.side**2 * grid.maps * c for grid, c in zip(GRIDS, widths_of(cfg), strict=True))
        return 4 * (count * token_width(cfg) + (count + 1) * features)

    def inputs(self, tiles: Tiles, blocks: NDArray[np.uint8]) -> dict[str, NDArray[np.generic]]:
        """Return the graph's inputs for some tiles of `blocks [1 h w 128]`, but for its conditions."""
        patches = blocks.reshape(-1, INPUT_CHANNELS)[self._blocks[tiles]]
        patches[self._outside[tiles]] = 128  # 0 to the network, as its padding is
        slots = np.full(self.count + 1, -1, np.intp)
        slots[tiles] = np.arange(len(tiles))
        slots[-1] = -2
        neighbours = self._neighbours[tiles]
        near: dict[str, NDArray[np.generic]] = {}
        ring: dict[str, NDArray[np.generic]] = {}
        for grid, features in zip(GRIDS, self._features, strict=True):
            near[f"near{grid.fraction}"] = _near(grid, slots[neighbours])
            tile, within = grid.ring
            rows = features[neighbours[:, tile], within]
            ring[f"ring{grid.fraction}"] = rows.reshape(-1, rows.shape[-1])
        tokens = self._tokens.reshape(*self.shape, -1)
        return {"patches": patches, "tiles": tiles.astype(np.int64), "tokens": tokens, **near, **ring}

    def save(self) -> dict[str, NDArray[Any]]:
        """Return copies of everything."""
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

    def keep(self, tiles: Tiles, outputs: Arrays) -> None:
        """Remember what the graph gave for some tiles."""
        self._tokens[tiles] = outputs["new_tokens"]
        for grid, features in zip(GRIDS, self._features, strict=True):
            features[tiles] = outputs[f"new{grid.fraction}"].reshape(len(tiles), *features.shape[1:])


def _near(grid: Grid, slots: NDArray[np.intp]) -> NDArray[np.int32]:
    """Return where the 3 x 3 neighbours of each computed row are, `[n*rows 9]`, in (computed, ring, zero) rows.

    `slots [n 9]` says which of the n tiles are around each; -1 is one that is not computed, -2 is outside.
    """
    neighbour, within, place = grid.near
    count, rows, around = len(slots), grid.side**2, len(grid.ring[0])
    slot = slots[:, neighbour]
    remembered = count * rows + np.arange(count)[:, None, None] * around + place
    index = np.where(slot >= 0, slot * rows + within, np.where(slot == -1, remembered, count * (rows + around)))
    return index.astype(np.int32).reshape(-1, 9)
