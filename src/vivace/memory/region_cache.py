"""Choice of the tiles of a frame that are computed, where a stream remembers the rest: no model and no tensors.

A tile is computed when its source has changed since it last was, more than its camera's noise does; for some frames
after, since what is painted settles only then; and by turns, so that none grows old. Where so much changes that the
whole frame costs no more, nothing is remembered until the picture is quiet again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

Size = tuple[int, int]

CELL_PX = 4
"""Side of the squares whose mean difference is looked at, px."""
LEAST_CHANGE = 7.0
"""Mean difference of a cell in any colour, levels, that counts as a change in a picture without noise."""
NOISE_FACTOR = 2.0
"""Differences of cells that noise explains, in deviations of its px: twice what is expected of two frames."""
MOST_NOISE = 10.0
"""Largest deviation that is taken for a camera's noise, levels: snow and fine structure that moves are content."""
NOISE_FRAMES = 16
"""Frames from one measurement of the noise to the next."""
SETTLING_FRAMES = 1
"""Frames for which a tile is computed after its last change."""
LINGERING = 0.7
"""Share of the threshold that counts as a change in a tile that is settling, so that motion has an end."""
QUIET_FRAMES = 3
"""Quiet frames in a row after which tiles are remembered; each time that did not pay, twice as many."""
LONGEST_WAIT = 96
"""Most quiet frames that are waited for."""
WORTHWHILE = 4
"""Frames with remembered tiles, as a multiple of those waited for, that pay for computing all tiles once."""
MOST_SHARE = 3 / 8
"""Share of a frame's tiles beyond which the whole frame is cheaper: rows of tiles cost more than a picture's."""
NUMBER_STEP = 8
"""Divisor of the number of tiles of a frame."""
LONGEST_AGE = 64
"""Frames after which every tile is computed again, changed or not; some at every frame, never all at once."""


class ChangeDetector:
    """Differences of a stream's source from what it was when each tile was last computed."""

    def __init__(self, size: Size, tile_px: int) -> None:
        """Begin for pictures of `(width, height)` px."""
        self._tile_px = tile_px
        self.shape = -(-size[1] // tile_px), -(-size[0] // tile_px)
        """Tiles `(down, right)`."""
        self._seen = np.zeros((size[1], size[0], 3), np.uint8)
        self._noise = 0.0
        self._frames = 0

    @property
    def nbytes(self) -> int:
        """Size, bytes."""
        return self._seen.nbytes

    @staticmethod
    def nbytes_of(size: Size) -> int:
        """Return the size for pictures of `(width, height)` px, bytes."""
        return 3 * size[0] * size[1]

    def save(self) -> dict[str, NDArray[Any]]:
        """Return copies of all that later differences depend on."""
        return {"seen": self._seen.copy(), "noise": np.array([self._noise, self._frames])}

    def restore(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Take what `save` returned."""
        self._seen[...] = saved["seen"]
        self._noise, self._frames = float(saved["noise"][0]), int(saved["noise"][1])

    def changes(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the largest change within each tile, `[down right]`; from 1 it counts as one."""
        if self._frames % NOISE_FRAMES == 0:
            self._noise = min(noise_of(rgb), MOST_NOISE)
        self._frames += 1
        difference = ImageChops.difference(Image.fromarray(rgb), Image.fromarray(self._seen)).reduce(CELL_PX)
        cells = np.asarray(difference, np.uint8).max(-1)
        side = self._tile_px // CELL_PX
        down, right = self.shape
        grid = np.zeros((down * side, right * side), np.uint8)
        grid[: cells.shape[0], : cells.shape[1]] = cells
        largest = grid.reshape(down, side, right, side).max((1, 3))
        return np.asarray(largest / (LEAST_CHANGE + NOISE_FACTOR * self._noise), np.float32)

    def computed(self, rgb: NDArray[np.uint8], tiles: NDArray[np.intp] | None = None) -> None:
        """Note that tiles, or all of them, were computed from a picture."""
        if tiles is None:
            self._seen[...] = rgb
            return
        px = self._tile_px
        for row, column in zip(*divmod(tiles, self.shape[1]), strict=True):
            here = slice(row * px, row * px + px), slice(column * px, column * px + px)
            self._seen[here] = rgb[here]


def noise_of(rgb: NDArray[np.uint8]) -> float:
    """Return the deviation of white noise in a picture `[h w 3]`, levels, as its flattest parts show it.

    The alternating sum of 2 x 2 px is blind to what is smooth; noise of deviation s gives it a deviation of 2 s.
    """
    green = rgb[..., 1].astype(np.int16)
    height, width = (side // 2 * 2 for side in green.shape)
    a, b = green[:height:2, :width:2], green[:height:2, 1:width:2]
    c, d = green[1:height:2, :width:2], green[1:height:2, 1:width:2]
    residue = np.abs(a - b - c + d)
    down, right = (side // 8 for side in residue.shape)
    squares = residue[: down * 8, : right * 8].reshape(down, 8, right, 8).mean((1, 3))
    # The mean magnitude of a normal variable is sqrt(2 / pi) of its deviation.
    return float(np.percentile(squares, 10)) / 2 / float(np.sqrt(2 / np.pi))


class TilePlan:
    """Choice of tiles for one stream."""

    def __init__(self, count: int) -> None:
        """Begin with nothing remembered of the `count` tiles of a frame."""
        self.count = count
        self.remembering = False
        """True if all tiles are remembered."""
        self._most = int(count * MOST_SHARE)
        self._ages = np.zeros(count, np.int32)
        """Frames since each tile was computed."""
        self._settling = np.zeros(count, np.int32)
        """Frames for which each tile is still to be computed."""
        self._quiet = 0
        """Quiet frames since there was much change."""
        self._wait = QUIET_FRAMES
        self._used = 0
        """Frames since all tiles were remembered."""

    def forget(self) -> None:
        """Remember nothing any more."""
        self.remembering = False
        self._quiet = 0

    def save(self) -> dict[str, NDArray[np.int32]]:
        """Return copies of all that the next choice depends on."""
        numbers = np.array([self.remembering, self._quiet, self._wait, self._used], np.int32)
        return {"ages": self._ages.copy(), "settling": self._settling.copy(), "numbers": numbers}

    def restore(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Take what `save` returned."""
        self._ages[:], self._settling[:] = saved["ages"], saved["settling"]
        remembering, self._quiet, self._wait, self._used = (int(number) for number in saved["numbers"])
        self.remembering = bool(remembering)

    def choose(self, changes: NDArray[np.float32]) -> NDArray[np.intp] | None:
        """Return the tiles to be computed of the next frame, in rising order; None is the whole frame as usual.

        `changes [down right]` are those of each tile since it was last computed, or since the last frame if nothing is
        remembered. All tiles are returned once, when remembering begins.
        """
        change = changes.ravel()
        if not self.remembering:
            self._quiet = self._quiet + 1 if np.count_nonzero(change >= 1) <= self._most / 2 else 0
            if self._quiet < self._wait:
                return None
            self.remembering, self._used = True, 0
            self._ages[:] = self._settling[:] = 0
            return np.arange(self.count)
        changed = change >= np.where(self._settling > 0, LINGERING, 1.0)
        self._settling[:] = np.where(changed, 1 + SETTLING_FRAMES, np.maximum(self._settling - 1, 0))
        active = int(np.count_nonzero(self._settling))
        if active > self._most:
            paid = self._used >= WORTHWHILE * self._wait
            self._wait = QUIET_FRAMES if paid else min(2 * self._wait, LONGEST_WAIT)
            self.forget()
            return None
        self._used += 1
        # Few different numbers, since a runtime gets ready for each; the places that are left are the oldest tiles'.
        turns = -(-self.count // LONGEST_AGE)
        room = min(-(-(active + turns) // NUMBER_STEP) * NUMBER_STEP, self.count)
        urgency = np.where(self._settling > 0, np.iinfo(np.int32).max, self._ages)
        tiles = np.sort(np.argpartition(urgency, self.count - room)[self.count - room :])
        self._ages += 1
        self._ages[tiles] = 0
        return tiles
