"""Choice of the tiles of a frame that are computed, where a stream remembers the rest: no model and no tensors.

A tile is computed when its source has changed since it last was, more than its camera's noise does; and by turns, so
that none grows old. Where so much changes that the whole frame costs no more, nothing is remembered until the picture
is quiet again.
"""

from __future__ import annotations

import math
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
LEAST_DRIFT = 3.0
"""Difference of a tile's mean in any colour, levels, that counts as a change: light that creeps shows at its edges."""
NOISE_FACTOR = 2.0
"""Differences of cells that noise explains, in deviations of its px: twice what is expected of two frames."""
MOST_NOISE = 10.0
"""Largest deviation that is taken for a camera's noise, levels: snow and fine structure that moves are content."""
NOISE_FRAMES = 16
"""Frames from one measurement of the noise to the next."""
LINGERING = 0.7
"""Share of the threshold that counts as a change in a tile that has just changed, so that motion has an end."""
FIRST_WAIT = 12
"""Quiet frames in a row after which tiles are remembered for the first time: a runtime gets ready meanwhile."""
QUIET_FRAMES = 3
"""Quiet frames in a row after which they are remembered again; each time that did not pay, twice as many."""
LONGEST_WAIT = 96
"""Most quiet frames that are waited for."""
WORTHWHILE = 6
"""Frames with remembered tiles that pay for computing all tiles once."""
CALM = 3 / 4
"""Share of the most tiles that are computed at once below which a frame's changes are few enough to begin."""
SHARES: tuple[float, ...] = tuple(sixteenths / 16 for sixteenths in (0.5, *range(1, 11)))
"""Shares of a frame's tiles that are computed at once, few, since a runtime gets ready for each. Beyond the last one
the whole frame is cheaper: rows of tiles cost more than a picture's."""
NUMBER_STEP = 4
"""Divisor of the numbers of tiles that are computed at once."""
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
        self._seen_means = np.zeros((*self.shape, 3), np.int16)
        self._means = self._seen_means.copy()
        """Mean of each tile of the newest picture."""
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
        self._seen_means[...] = self._means_of(Image.fromarray(self._seen))
        self._noise, self._frames = float(saved["noise"][0]), int(saved["noise"][1])

    def changes(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the largest change within each tile, `[down right]`; from 1 it counts as one."""
        if self._frames % NOISE_FRAMES == 0:
            self._noise = min(noise_of(rgb), MOST_NOISE)
        self._frames += 1
        picture = Image.fromarray(rgb)
        self._means = self._means_of(picture)
        drift = np.abs(self._means - self._seen_means).max(-1)
        difference = ImageChops.difference(picture, Image.fromarray(self._seen)).reduce(CELL_PX)
        cells = np.asarray(difference, np.uint8).max(-1)
        side = self._tile_px // CELL_PX
        down, right = self.shape
        grid = np.zeros((down * side, right * side), np.uint8)
        grid[: cells.shape[0], : cells.shape[1]] = cells
        largest = grid.reshape(down, side, right, side).max((1, 3))
        threshold = LEAST_CHANGE + NOISE_FACTOR * self._noise
        return np.asarray(np.maximum(largest / threshold, drift / LEAST_DRIFT), np.float32)

    def _means_of(self, picture: Image.Image) -> NDArray[np.int16]:
        return np.asarray(picture.reduce(self._tile_px), np.int16)

    def computed(self, rgb: NDArray[np.uint8], tiles: NDArray[np.intp] | None = None) -> None:
        """Note that tiles, or all of them, were computed from the picture that `changes` was last given."""
        if tiles is None:
            self._seen[...], self._seen_means[...] = rgb, self._means
            return
        self._seen_means.reshape(-1, 3)[tiles] = self._means.reshape(-1, 3)[tiles]
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
        steps = sorted({math.ceil(share * count / NUMBER_STEP) for share in SHARES})
        self.numbers: tuple[int, ...] = tuple(NUMBER_STEP * step for step in steps if NUMBER_STEP * step < count) or (
            count,
        )
        """Numbers of tiles that may be asked for, rising, besides all of them."""
        self._ages = np.zeros(count, np.int32)
        """Frames since each tile was computed."""
        self._changed = np.zeros(count, bool)
        """True for each tile that changed in the last frame."""
        self._quiet = 0
        """Quiet frames since there was much change."""
        self._wait = FIRST_WAIT
        self.frames = 0
        """Frames since all tiles were remembered."""

    def forget(self) -> None:
        """Remember nothing any more."""
        self.remembering = False
        self._quiet = 0

    def save(self) -> dict[str, NDArray[Any]]:
        """Return copies of all that the next choice depends on."""
        numbers = np.array([self.remembering, self._quiet, self._wait, self.frames], np.int32)
        return {"ages": self._ages.copy(), "changed": self._changed.copy(), "numbers": numbers}

    def restore(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Take what `save` returned."""
        self._ages[:], self._changed[:] = saved["ages"], saved["changed"]
        remembering, self._quiet, self._wait, self.frames = (int(number) for number in saved["numbers"])
        self.remembering = bool(remembering)

    def choose(self, changes: NDArray[np.float32]) -> NDArray[np.intp] | None:
        """Return the tiles to be computed of the next frame, in rising order; None is the whole frame as usual.

        `changes [down right]` are those of each tile since it was last computed, or since the last frame if nothing is
        remembered. All tiles are returned once, when remembering begins.
        """
        change = changes.ravel()
        turns = 2 * -(-self.count // LONGEST_AGE)
        most = self.numbers[-1] - turns
        if not self.remembering:
            self._quiet = self._quiet + 1 if np.count_nonzero(change >= 1) <= CALM * most else 0
            if self._quiet < self._wait:
                return None
            self.remembering, self.frames = True, 0
            self._ages[:], self._changed[:] = 0, False
            return np.arange(self.count)
        self._changed[:] = change >= np.where(self._changed, LINGERING, 1.0)
        active = int(np.count_nonzero(self._changed))
        if active > most:
            paid = self.frames >= WORTHWHILE
            self._wait = QUIET_FRAMES if paid else min(2 * self._wait, LONGEST_WAIT)
            self.forget()
            return None
        self.frames += 1
        # The places that are left are the oldest tiles'. Where there are none, those get some from half of the age on.
        old = int(np.count_nonzero(self._ages >= LONGEST_AGE // 2))
        room = next(number for number in self.numbers if number >= active + min(old, turns))
        urgency = np.where(self._changed, np.iinfo(np.int32).max, self._ages)
        tiles = np.sort(np.argpartition(urgency, self.count - room)[self.count - room :])
        self._ages += 1
        self._ages[tiles] = 0
        return tiles
