"""Motion between two pictures, everywhere, on the cells of the grid.

Lucas and Kanade's (1981) on two levels: within a window everything moves alike.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vivace.media.frame import Rgb
from vivace.regions.pixels import Box, Flow, halved

_WINDOW = 7
"""Cells a side."""
_STEPS = (1, 3)
"""On the fine and on the coarse level."""
_NOISE = 3e-6
"""Energy of gradients that a codec's noise has: flat regions stand still."""
_LEAST_GAIN = 0.85
"""Motion is believed where it leaves at most this share of the difference that standing still leaves."""

_LUMA = np.array([0.299 / 255, 0.587 / 255, 0.114 / 255], np.float32)

Luma = NDArray[np.float32]


class Motion:
    """Finds how one stream's pictures move."""

    def __init__(self, cells: tuple[int, int]) -> None:
        """Look at pictures of `(width, height)` cells."""
        w, h = cells
        self._levels = [_Level(h, w), _Level(h // 2, w // 2)]
        self._before: Luma | None = None

    def forget(self) -> None:
        """The next picture has no past."""
        self._before = None

    def update(self, cells: Rgb) -> Flow | None:
        """Return the motion since the last picture, None of the first, from mean colours of cells `uint8 [h w 3]`."""
        now = (cells * _LUMA).sum(axis=2)
        before, self._before = self._before, now
        return None if before is None else self._flow(before, now)

    def _flow(self, before: Luma, now: Luma) -> Flow:
        fine, coarse = self._levels
        flow = coarse.refine(
            halved(_even(before)), halved(_even(now)), np.zeros((2, *coarse.shape), np.float32), _STEPS[1]
        )
        larger = np.zeros((2, *fine.shape), np.float32)
        doubled = 2 * flow.repeat(2, axis=1).repeat(2, axis=2)
        larger[:, : doubled.shape[1], : doubled.shape[2]] = doubled
        flow = fine.refine(before, now, larger, _STEPS[0])
        moved = fine.box(np.abs(fine.warp(before, flow) - now))
        still = fine.box(np.abs(before - now))
        return np.asarray(flow * (moved < _LEAST_GAIN * still), np.float32)


class _Level:
    """Pictures of one size."""

    def __init__(self, h: int, w: int) -> None:
        self.shape = h, w
        self._places = np.mgrid[:h, :w].astype(np.float32)
        self.box = Box(self.shape, _WINDOW).run

    def warp(self, x: Luma, flow: Flow) -> Luma:
        """Return `x` looked up at each place plus `flow`, linearly; edges go on outside."""
        h, w = self.shape
        across = np.clip(self._places[1] + flow[0], 0, w - 1.001)
        down = np.clip(self._places[0] + flow[1], 0, h - 1.001)
        column, row = across.astype(np.int32), down.astype(np.int32)
        right, lower = across - column, down - row
        at = row * w + column
        line = x.ravel()
        upper = line[at] + (line[at + 1] - line[at]) * right
        below = line[at + w] + (line[at + w + 1] - line[at + w]) * right
        return np.asarray(upper + (below - upper) * lower, np.float32)

    def refine(self, before: Luma, now: Luma, flow: Flow, steps: int) -> Flow:
        """Return the motion after some steps, each at most a cell, smoothed."""
        products = np.empty((5, *self.shape), np.float32)
        gradients = np.zeros((2, *self.shape), np.float32)
        for _ in range(steps):
            warped = self.warp(before, flow)
            mean, difference = (warped + now) / 2, now - warped
            gradients[0, :, 1:-1] = (mean[:, 2:] - mean[:, :-2]) / 2
            gradients[1, 1:-1] = (mean[2:] - mean[:-2]) / 2
            gx, gy = gradients
            products[:] = gx * gx, gx * gy, gy * gy, gx * difference, gy * difference
            xx, xy, yy, xt, yt = self.box(products)
            xx, yy = xx + np.float32(_NOISE), yy + np.float32(_NOISE)
            step = np.stack((yy * xt - xy * yt, xx * yt - xy * xt)) / (xx * yy - xy * xy)
            flow = flow + np.clip(step, -1, 1)
        return self.box(flow)


def _even(x: Luma) -> Luma:
    return x[: x.shape[0] // 2 * 2, : x.shape[1] // 2 * 2]
