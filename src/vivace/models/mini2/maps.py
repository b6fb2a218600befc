"""Maps of one stream at one effort level: what `drawing` computes of each picture, and the fields it lays strokes from."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vivace.models.mini.moving import copy_shifted
from vivace.models.mini.textures import STROKE_COUNT, make_textures
from vivace.models.mini2.config import BLOCK_AREA, BLOCK_PX, DRAWN_MAPS, FIELDS, MAP_CHANNELS
from vivace.models.mini2.textures import in_blocks, stroke_fields
from vivace.runtime.exported import Executor, Network

_MAP = np.dtype(f"V{BLOCK_AREA}")
_FIELD = np.dtype(f"V{FIELDS}")


@lru_cache(maxsize=4)
def fields_at_rest(size: tuple[int, int], scale: int, seed: int) -> NDArray[np.uint8]:
    """Return the fields `uint8 [h w 12]` of a token grid of `(width, height)` px, shared by streams that use them."""
    made = stroke_fields(make_textures(size[1] // scale, size[0] // scale, seed))
    made.flags.writeable = False
    return made


class DrawnMaps:
    """Maps of the picture in a buffer of blocks, computed anew for each frame."""

    def __init__(self, blocks: NDArray[np.uint8], scale: int, seed: int) -> None:
        """Take blocks `[1 h w 128]` that sources are written to, and the px of a picture per px of its textures."""
        self.scale = scale
        self._blocks = blocks
        _, rows, columns, _ = blocks.shape
        self._size = columns * BLOCK_PX, rows * BLOCK_PX
        grid = 1, rows // scale, columns // scale
        self._strokes = np.empty((*grid, STROKE_COUNT * BLOCK_AREA), np.uint8)
        self._flows = np.empty((*grid, (FIELDS - STROKE_COUNT) * BLOCK_AREA), np.uint8)
        self.array = np.full((1, rows, columns, MAP_CHANNELS), 128, np.uint8)
        """Maps `[1 h w 80]`."""
        self._executor: Executor | None = None
        self.take_fields(seed)

    @property
    def inputs(self) -> dict[str, NDArray[np.generic]]:
        """Inputs of the graph by name."""
        return {"blocks": self._blocks, "strokes": self._strokes, "flows": self._flows}

    @property
    def nbytes(self) -> int:
        """Size of the buffers, shared ones included, bytes."""
        return self._strokes.nbytes + self._flows.nbytes + self.array.nbytes + self._rest.nbytes

    @staticmethod
    def nbytes_of(size: tuple[int, int], scale: int) -> int:
        """Return that size for a token grid of `(width, height)` px, bytes."""
        working = size[0] * size[1] // scale**2
        return 2 * working * FIELDS + size[0] * size[1] * DRAWN_MAPS

    def take_fields(self, seed: int) -> None:
        """Use the fields of a seed, unshifted."""
        self._rest = fields_at_rest(self._size, self.scale, seed)
        self._lay(self._rest)

    def move(self, down: int, right: int) -> None:
        """Shift the fields by blocks of the picture; they are periodic."""
        shifted = np.empty_like(self._rest)
        per_block = BLOCK_PX // self.scale
        copy_shifted(self._rest.view(_FIELD)[..., 0], down * per_block, right * per_block, shifted.view(_FIELD)[..., 0])
        self._lay(shifted)

    def _lay(self, fields: NDArray[np.uint8]) -> None:
        in_blocks(fields[..., :STROKE_COUNT], self._strokes[0])
        in_blocks(fields[..., STROKE_COUNT:], self._flows[0])

    def prepare(self, networks: Mapping[int, Network]) -> None:
        """Compile the graph of this scale, out of `networks` by scale, unless that is done."""
        if self._executor is None:
            self._executor = networks[self.scale].executor(self.inputs)

    def draw(self, networks: Mapping[int, Network]) -> None:
        """Compute the maps of the source."""
        self.prepare(networks)
        assert self._executor is not None
        maps = np.asarray(self._executor.run()["maps"], np.uint8)
        _, rows, columns, _ = maps.shape
        side = self.scale
        blocks = np.ascontiguousarray(maps).view(_MAP).reshape(rows, columns, DRAWN_MAPS, side, side)
        picture = self.array.view(_MAP).reshape(rows, side, columns, side, DRAWN_MAPS)
        picture[...] = blocks.transpose(0, 3, 1, 4, 2)
