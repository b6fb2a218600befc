"""Region cache of one stream of `mini2`: tiles whose source has not changed stay as they were painted."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vivace.memory.region_cache import ChangeDetector, TilePlan
from vivace.models.mini2.blocks import BlockBuffer
from vivace.models.mini2.config import PICTURE_CHANNELS, TOKEN_PX, Mini2Config
from vivace.models.mini2.tiles import FINE, TileMemory, Tiles
from vivace.runtime.exported import Arrays, Executor, Network

Size = tuple[int, int]


class TileCache:
    """Tiles of one stream, and which of them a frame needs computed. Used by one thread at a time."""

    def __init__(
        self, blocks: BlockBuffer, maps: NDArray[np.uint8], conditions: Arrays, cfg: Mini2Config, network: Network
    ) -> None:
        """Begin with nothing remembered of the pictures in `blocks` and `maps`; `network` is the graph on tiles."""
        self._detector = ChangeDetector(blocks.size, TOKEN_PX)
        self._plan = TilePlan(self._detector.shape[0] * self._detector.shape[1])
        self._memory = TileMemory(blocks.size, cfg)
        self._network = network
        self._blocks = blocks
        self._maps = maps
        self._conditions = conditions
        self._painted_under = b""
        self._executors: dict[int, Executor] = {}
        """Executors by number of tiles."""
        self._awaited: set[int] = set()
        """Numbers of tiles that the network is being compiled for."""

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

    @property
    def frames(self) -> int:
        """Frames since remembering began."""
        return self._plan.frames

    def forget(self) -> None:
        """Remember nothing any more."""
        self._plan.forget()

    def prepare(self, *, wait: bool = False) -> None:
        """Begin to compile, in another thread, what remembering begins with; or compile all there is, and wait."""
        if wait:
            self._network.prepare(*map(self._inputs, (*self._plan.numbers, self.count)))
        else:
            self._compile(self.count, self._plan.numbers[-1])

    def choose(self, rgb: NDArray[np.uint8]) -> Tiles | None:
        """Return the tiles to be computed of a picture `[h w 3]`; None is all of it, by the network itself.

        A picture that is painted under other conditions is a new one everywhere.
        """
        now = b"".join(array.tobytes() for array in self._conditions.values())
        if now != self._painted_under:
            self._painted_under = now
            self.forget()
        tiles = self._plan.choose(self._detector.changes(rgb))
        self._detector.computed(rgb, tiles)
        return tiles

    def paint(self, tiles: Tiles) -> None:
        """Paint some tiles, over the estimate, which is then the picture."""
        number = self._ready(len(tiles))
        self._memory.write(tiles, number, self._blocks.array, self._maps)
        painted = self._executors[number].run()
        self._memory.keep(painted)
        down, right = self._memory.shape
        side = FINE.side
        estimate = self._blocks.estimate.reshape(down, side, right, side, PICTURE_CHANNELS)
        rows, columns = divmod(tiles, right)
        picture = painted["picture"].reshape(-1, side, side, PICTURE_CHANNELS)
        estimate[rows, :, columns] = picture[: len(tiles)]

    def _ready(self, number: int) -> int:
        """Return the least number of tiles, from `number` on, that the network is compiled for.

        A number that it is not compiled for is compiled for in another thread. What is painted does not depend on when
        that ends, since a tile's numbers do not depend on how many others there are.
        """
        at_once = self._plan.numbers[-1], self.count
        for each in (number, *(larger for larger in self._plan.numbers if larger > number)):
            if each in self._executors:
                return each
            inputs = self._inputs(each)
            if each in at_once or self._network.prepared(inputs):
                self._executors[each] = self._network.executor(inputs)
                return each
            if each == number:
                self._compile(number)
        raise AssertionError(f"{number} tiles are more than the plan asks for")

    def _compile(self, *numbers: int) -> None:
        """Begin to compile for numbers of tiles, unless that has begun."""
        new = [self._inputs(number) for number in numbers if number not in self._awaited]
        self._awaited.update(numbers)

        def one_by_one() -> None:
            for inputs in new:
                try:
                    self._network.prepare(inputs)
                except RuntimeError:
                    return  # the program ends, or the compiler failed: a larger number that is there goes on to serve

        if new:
            # Threads inherit being a daemon from the one that paints. The interpreter shall wait for this one: the
            # process aborts when it ends inside the compiler.
            threading.Thread(target=one_by_one, name="compile-tiles", daemon=False).start()

    def _inputs(self, number: int) -> Arrays:
        return {**self._conditions, **self._memory.inputs(number)}

    def save(self) -> dict[str, NDArray[Any]]:
        """Return copies of all that later pictures depend on."""
        parts: dict[str, dict[str, NDArray[Any]]] = {"plan": self._plan.save(), "detector": self._detector.save()}
        if self._plan.remembering:
            parts["tiles"] = self._memory.save()
        saved = {f"{part}.{name}": array for part, arrays in parts.items() for name, array in arrays.items()}
        return {**saved, "conditions": np.frombuffer(self._painted_under, np.uint8)}

    def restore(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Take what `save` returned, for a stream of the same size."""

        def part(which: str) -> dict[str, NDArray[Any]]:
            return {name.removeprefix(f"{which}."): array for name, array in saved.items() if name.startswith(which)}

        self._plan.restore(part("plan"))
        self._detector.restore(part("detector"))
        self._painted_under = saved["conditions"].tobytes()
        if self._plan.remembering:
            self._memory.restore(part("tiles"))
