"""Fields on the grid, the coverage of each of its px: resampled, and moved from picture to picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CELL_PX = 2
"""Px of the grid a side of a cell, in which motion and statistics of colour are taken."""
_STILL_PX = 0.05
"""Motion below which something stands still, px of the grid."""

_CALM_GAIN, _GAIN_PER_DIFFERENCE = 0.35, 1.2

Field = NDArray[np.float32]
"""On the grid, `[h w]`, 0 to 1."""
Flow = NDArray[np.float32]
"""Motion back from each cell of this picture to where it was in the last one, `[2 h w]`, (right, down) cells."""


def halved(x: NDArray[Any]) -> NDArray[np.float32]:
    """Return means of squares of 2 by 2, `[h/2 w/2]`."""
    return np.asarray((x[::2, ::2] + x[1::2, ::2] + x[::2, 1::2] + x[1::2, 1::2]) / 4, np.float32)


class Line:
    """Linear resampling of a line of `inside` samples, so that they reach from `start` to `stop` of another line.

    What lies outside of the samples is as the outermost of them.
    """

    def __init__(self, inside: int, outside: int, start: float = 0.0, stop: float | None = None) -> None:
        """Resample to `outside` samples."""
        scale = inside / ((outside if stop is None else stop) - start)
        at = np.clip((np.arange(outside) + 0.5 - start) * scale - 0.5, 0, inside - 1)
        self._before = np.minimum(at.astype(np.intp), max(inside - 2, 0))
        self._after = np.minimum(self._before + 1, inside - 1)
        self._weight = (at - self._before).astype(np.float32)

    def run(self, x: NDArray[np.float32], part: slice = slice(None)) -> NDArray[np.float32]:
        """Return `[c n w]` for `[c inside w]`, of a part of the line."""
        before = x[:, self._before[part]]
        step = x[:, self._after[part]]
        step -= before
        step *= self._weight[part, None]
        step += before
        return step


class Plane:
    """The same in two directions. No products of matrices: for those numpy wakes threads that wait for one another."""

    def __init__(self, rows: Line, columns: Line) -> None:
        """Resample columns by `rows` and rows by `columns`."""
        self._rows, self._columns = rows, columns

    def run(
        self, x: NDArray[np.float32], rows: slice = slice(None), columns: slice = slice(None)
    ) -> NDArray[np.float32]:
        """Return `[c H W]` for `[c h w]`, of some rows and columns."""
        wide = self._columns.run(np.ascontiguousarray(x.transpose(0, 2, 1)), columns)
        return self._rows.run(np.ascontiguousarray(wide.transpose(0, 2, 1)), rows)


class Box:
    """Means over square windows, of what is inside of the picture."""

    def __init__(self, shape: tuple[int, int], window: int) -> None:
        """Take means of `[c h w]`, of a shape `(h, w)`, over windows of an odd side."""
        self._reach = window // 2
        counts = [
            np.minimum(np.arange(n), self._reach) + np.minimum(np.arange(n)[::-1], self._reach) + 1 for n in shape
        ]
        self._scale = (1 / np.outer(*counts)).astype(np.float32)

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the means, `[c h w]`."""
        wide = x.copy()
        for by in range(1, self._reach + 1):
            wide[..., by:] += x[..., :-by]
            wide[..., :-by] += x[..., by:]
        tall = wide.copy()
        for by in range(1, self._reach + 1):
            tall[..., by:, :] += wide[..., :-by, :]
            tall[..., :-by, :] += wide[..., by:, :]
        tall *= self._scale
        return tall


def learn(known: Field, seen: Field, *, at_once: bool) -> None:
    """Take what was seen anew into a field in place: little of it where it differs little, which is noise."""
    if at_once:
        known[:] = seen
        return
    difference = seen - known
    known += difference * np.minimum(_CALM_GAIN + _GAIN_PER_DIFFERENCE * np.abs(difference), 1)


class Carry:
    """Moves fields from one picture to the next."""

    def __init__(self, grid: tuple[int, int], fields: int) -> None:
        """Move `fields` on a grid of `(width, height)`."""
        width, height = grid
        self.fields = np.zeros((fields, height, width), np.float32)
        """`[k h w]`, written in place."""
        self._places = np.mgrid[:height, :width].astype(np.float32)
        cells = height // CELL_PX, width // CELL_PX
        self._plane = Plane(Line(cells[0], height), Line(cells[1], width))

    def move(self, flow: Flow) -> None:
        """Bring the fields from the last picture to this one."""
        if np.abs(flow).max() * CELL_PX < _STILL_PX:
            return
        across, down = self._plane.run(flow) * CELL_PX
        at = np.flatnonzero(np.abs(across) + np.abs(down) >= _STILL_PX)
        _, height, width = self.fields.shape
        x = np.clip((self._places[1] + across).ravel()[at], 0, width - 1.001)
        y = np.clip((self._places[0] + down).ravel()[at], 0, height - 1.001)
        column, row = x.astype(np.intp), y.astype(np.intp)
        right, lower = x - column, y - row
        start = row * width + column
        for field in self.fields.reshape(len(self.fields), -1):
            upper = field[start] + (field[start + 1] - field[start]) * right
            below = field[start + width] + (field[start + width + 1] - field[start + width]) * right
            field[at] = upper + (below - upper) * lower
