"""Region cache of one stream of `mini2`: tiles whose source has not changed stay as they were painted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vivace.memory.region_cache import ChangeDetector, TilePlan
from vivace.models.mini2.blocks import BlockBuffer
from vivace.models.mini2.config import PICTURE_CHANNELS, TOKEN_PX, Mini2Config
from vivace.models.mini2.tiles import GRIDS, TileMemory, Tiles
from vivace.runtime.exported import Arrays, Function

Size = tuple[int, int]


class TileCache:
    """Tiles of one stream, and which of them a frame needs computed. Used by one thread at a time."""

    def __init__(self, size: Size, cfg: Mini2Config, function: Function) -> None:
        """Begin with nothing remembered; `function` is the graph on tiles."""
        self._detector = ChangeDetector(size, TOKEN_PX)
        self._plan = TilePlan(self._detector.shape[0] * self._detector.shape[1])
        self._memory = TileMemory(size, cfg)
        self._function = function
        self._conditions = b""

    @property
    def nbytes(self) -> int:
        """Size of all buffers, bytes."""
        return self._detector.nbytes + self._memory.nbytes

    @staticmethod
    def nbytes_of(size: Size, cfg: Mini2Config) -> int:
        """Return the size of the buffers for pictures of `(width, height)` px, bytes."""
        return ChangeDetector.nbytes_of(size) + TileMemory.nbytes_of(size, cfg)

    @property
    def count(self) -> int:
        """Tiles of a picture."""
        return self._plan.count

    def forget(self) -> None:
        """Remember nothing any more."""
        self._plan.forget()

    def prepare(self, blocks: BlockBuffer, conditions: Arrays) -> None:
        """Run once on all tiles and keep nothing: the first run compiles, and takes twice the time of later ones."""
        self._function.run({**conditions, **self._memory.inputs(np.arange(self.count), blocks.array)})

    def choose(self, rgb: NDArray[np.uint8], conditions: Mapping[str, NDArray[np.generic]]) -> Tiles | None:
        """Return the tiles to be computed of a picture `[h w 3]`; None is all of it, by the network itself.

        A picture that is painted under other `conditions` is a new one everywhere.
        """
        now = b"".join(array.tobytes() for array in conditions.values())
        if now != self._conditions:
            self._conditions = now
            self.forget()
        tiles = self._plan.choose(self._detector.changes(rgb))
        self._detector.computed(rgb, tiles)
        return tiles

    def paint(self, tiles: Tiles, blocks: BlockBuffer, conditions: Arrays) -> None:
        """Paint some tiles, over the estimate, which is then the picture."""
        painted = self._function.run({**conditions, **self._memory.inputs(tiles, blocks.array)})
        self._memory.keep(tiles, painted)
        down, right = self._memory.shape
        side = GRIDS[0].side
        estimate = blocks.estimate.reshape(down, side, right, side, PICTURE_CHANNELS)
        rows, columns = divmod(tiles, right)
        estimate[rows, :, columns] = painted["picture"].reshape(-1, side, side, PICTURE_CHANNELS)

    def save(self) -> dict[str, NDArray[Any]]:
        """Return copies of all that later pictures depend on."""
        parts: dict[str, dict[str, NDArray[Any]]] = {"plan": self._plan.save(), "detector": self._detector.save()}
        if self._plan.remembering:
            parts["tiles"] = self._memory.save()
        saved = {f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()}
        return {**saved, "conditions": np.frombuffer(self._conditions, np.uint8)}

    def restore(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Take what `save` returned, for a stream of the same size."""

        def part(which: str) -> dict[str, NDArray[Any]]:
            return {name.removeprefix(f"{which}."): array for name, array in saved.items() if name.startswith(which)}

        self._plan.restore(part("plan"))
        self._detector.restore(part("detector"))
        self._conditions = saved["conditions"].tobytes()
        if self._plan.remembering:
            self._memory.restore(part("tiles"))
