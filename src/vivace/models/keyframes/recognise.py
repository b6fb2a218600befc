"""Recognition of edited places by their looks: what motion lost, behind a column or out of the picture, is found again.

A place is described by its colour and by the mean colours around it, which neither turn nor distance changes much. A
sample of the key frame's edited places competes with one of its unedited places, mostly of those that look most like
edited ones; a px is recognised where an edited place is the nearest.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vivace.models.keyframes.motion import Field, Motion, Rgb

SCALE = 2
"""Px of the small picture a side of a described place."""
EDITED_LEVELS = 8
"""Least change of a place, levels, that counts as an edit."""
EDITED_SAMPLES, OTHER_SAMPLES = 400, 1000
"""Most places of the key frame that are compared."""
CANDIDATES = 6000
"""Most unedited places among which those are chosen."""
LIGHT_WEIGHT = 0.6
"""Weight of lightness beside the two dimensions of colour."""
AROUND = ((5, 0.7), (11, 0.35))
"""Sides of the squares whose mean colours describe the surroundings, places, and their weights."""
DISTINCT = 8.0
"""Least distance of an edited place from every unedited one at which it can be recognised: a mark on a plain wall is
not to appear on all of the wall."""
NEAR = 20.0
"""Largest distance of descriptions at which a place is recognised."""
_BIN, _BINS = 32, 8
"""Levels a bin, and bins a channel, of the table of edited colours."""
_ROWS = 1024
"""Places that are compared at a time, which fit into a cache."""


def described(small: Rgb) -> Field:
    """Return the descriptions `[h/2 w/2 9]` of the places of a small picture `[h w 3]`."""
    h, w = small.shape[0] // SCALE, small.shape[1] // SCALE
    places = cv2.resize(small, (w, h), interpolation=cv2.INTER_AREA)
    colours = cv2.cvtColor(places.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) * (LIGHT_WEIGHT, 1, 1)
    colours = colours.astype(np.float32)
    return np.concatenate([colours, *(weight * cv2.blur(colours, (side, side)) for side, weight in AROUND)], -1)


def _bins(small: Rgb) -> NDArray[np.intp]:
    h, w = small.shape[0] // SCALE, small.shape[1] // SCALE
    r, g, b = np.moveaxis(cv2.resize(small, (w, h), interpolation=cv2.INTER_AREA) // _BIN, -1, 0).astype(np.intp)
    return np.asarray((r * _BINS + g) * _BINS + b)


class Looks:
    """Looks of the places of a key frame, by which edited ones are recognised."""

    def __init__(self, key: Rgb, edit: Rgb) -> None:
        """Remember a key frame and its edit, small pictures `uint8 [h w 3]`."""
        found = described(key)
        change = cv2.resize(cv2.absdiff(key, edit).max(-1), found.shape[1::-1], interpolation=cv2.INTER_AREA)
        edited = change >= EDITED_LEVELS
        rng = np.random.default_rng(0)
        rows, columns = _sample(edited, EDITED_SAMPLES, rng)
        other_rows, other_columns = _sample(cv2.dilate(edited.astype(np.uint8), np.ones((3, 3))) == 0, CANDIDATES, rng)
        self._count = len(rows)
        if self._count and len(other_rows):
            squares = _squares(found[other_rows, other_columns], found[rows, columns])
            distinct, alike = squares.min(0) > DISTINCT**2, squares.min(1)
            rows, columns, self._count = rows[distinct], columns[distinct], int(distinct.sum())
            # Half of the unedited places are the hardest to tell from edited ones; half are any.
            kept = np.unique(np.r_[np.argsort(alike)[: OTHER_SAMPLES // 2], : min(len(alike), OTHER_SAMPLES // 2)])
            rows, columns = np.r_[rows, other_rows[kept]], np.r_[columns, other_columns[kept]]
        places = found[rows, columns]
        self._table = np.concatenate([-2 * places, np.square(places).sum(1, keepdims=True)], 1).T
        """Descriptions, so that a product with `[description, 1]` is the squared distance less the description's."""
        middle = (SCALE - 1) / 2
        self._rows, self._columns = ((SCALE * each + middle).astype(np.float32) for each in (rows, columns))
        table = np.zeros((_BINS, _BINS, _BINS), np.uint8)
        table.flat[_bins(key)[edited]] = 1
        self._colours = _grown(table).ravel() > 0
        """Colours, in bins, near which the key frame was edited."""

    def recognised(self, small: Rgb, doubtful: NDArray[np.bool_]) -> tuple[Motion, NDArray[np.bool_]] | None:
        """Return the positions in the key frame of px that were recognised, and which ones were, `[h w]`.

        Args:
            small: the picture, `uint8 [h w 3]` of the key frame's size.
            doubtful: the px to look for, `[h w]`.
        """
        if not self._count:
            return None
        where = cv2.resize(doubtful.astype(np.uint8), (small.shape[1] // SCALE, small.shape[0] // SCALE))
        rows, columns = np.nonzero((where > 0) & self._colours[_bins(small)])
        if not len(rows):
            return None
        places = described(small)[rows, columns]
        x, y = (np.zeros(where.shape, np.float32) for _ in "xy")
        known = np.zeros(where.shape, np.uint8)
        for first in range(0, len(rows), _ROWS):
            at = slice(first, first + _ROWS)
            scores = np.insert(places[at], places.shape[1], 1, axis=1) @ self._table
            nearest = scores.argmin(1)
            squares = scores[np.arange(len(nearest)), nearest] + np.square(places[at]).sum(1)
            found = (nearest < self._count) & (squares < NEAR**2)
            known[rows[at], columns[at]] = found
            x[rows[at], columns[at]], y[rows[at], columns[at]] = self._columns[nearest], self._rows[nearest]
        size = small.shape[1::-1]
        motion = Motion(
            *(cv2.resize(each, size, interpolation=cv2.INTER_NEAREST).astype(np.float32) for each in (x, y))
        )
        return motion, cv2.resize(known, size, interpolation=cv2.INTER_NEAREST) > 0


def _sample(
    where: NDArray[np.bool_], count: int, rng: np.random.Generator
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    rows, columns = np.nonzero(where)
    chosen = rng.permutation(len(rows))[:count]
    return rows[chosen], columns[chosen]


def _squares(a: Field, b: Field) -> Field:
    """Return the squared distances `[n m]` of descriptions `[n d]` and `[m d]`."""
    return np.asarray(np.square(a).sum(1)[:, None] + np.square(b).sum(1) - 2 * a @ b.T, np.float32)


def _grown(table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a table `[n n n]` with the neighbours of what is set."""
    for axis in range(3):
        padded = np.pad(table, [(int(axis == n),) * 2 for n in range(3)])
        table = np.maximum.reduce([np.take(padded, range(n, n + _BINS), axis) for n in range(3)])
    return table
