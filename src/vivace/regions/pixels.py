"""Masks of one stream moved from picture to picture, and brought to a picture's size along its edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vivace.media.frame import Rgb
from vivace.regions.networks import network
from vivace.runtime.exported import Arrays

CELL_PX = 4
"""Px of the grid a side of a cell, in which motion and statistics of colour are taken."""

Field = NDArray[np.float32]
"""On the grid, `[h w]`, 0 to 1."""
Flow = NDArray[np.float32]
"""Where each cell of this picture was in the last one, `[2 h w]`, (right, down) cells."""


def sampling(inside: int, outside: int, start: float, stop: float) -> NDArray[np.float32]:
    """Return a matrix `[outside inside]` that resamples a line of `inside` samples to a part of a line of `outside`.

    Linear between samples, means over them where they are denser, 0 outside of the part.

    Args:
        inside: how many samples there are.
        outside: how many there shall be.
        start: where the first sample begins, in those of the result.
        stop: where the last one ends.
    """
    scale = inside / (stop - start)
    centres = (np.arange(outside) + 0.5 - start) * scale
    samples = np.clip(centres, 0.5, inside - 0.5)[:, None] - (np.arange(inside) + 0.5)
    weights = np.clip(1 - np.abs(samples) / max(1.0, scale), 0, None)
    weights /= weights.sum(axis=1, keepdims=True)
    weights[(centres < 0) | (centres > inside)] = 0
    return np.asarray(weights, np.float32)


class Carry:
    """Moves fields from one picture to the next."""

    def __init__(self, grid: tuple[int, int], fields: int, threads: int | None = None) -> None:
        """Move `fields` on a grid of `(width, height)`."""
        width, height = grid
        self._flow = np.zeros((1, 2, height // CELL_PX, width // CELL_PX), np.float32)
        self._fields = np.zeros((1, fields, height, width), np.float32)
        self._executor = network("carry", threads).executor({"flow": self._flow, "fields": self._fields})

    @property
    def fields(self) -> NDArray[np.float32]:
        """The fields, `[k h w]`, written in place."""
        return np.asarray(self._fields[0])

    def move(self, flow: Flow) -> None:
        """Bring the fields from the last picture to this one."""
        self._flow[0] = flow
        self._fields[:] = self._executor.run()["carried"]


class Edges:
    """Brings masks on the grid to the size of a stream's pictures, along the edges that are in them."""

    def __init__(self, size: tuple[int, int], grid: tuple[int, int], masks: int, threads: int | None = None) -> None:
        """Take `masks` on a grid of `(width, height)` for pictures of `size`."""
        (width, height), (w, h) = size, grid
        self._picture = np.zeros((1, height, width, 3), np.uint8)
        self._cells = np.zeros((1, h // CELL_PX, w // CELL_PX, 3), np.uint8)
        self._masks = np.zeros((1, masks, h, w), np.float32)
        inputs: Arrays = {
            "picture": self._picture,
            "cells": self._cells,
            "masks": self._masks,
            "rows": sampling(h // CELL_PX, height, 0, height),
            "columns": np.ascontiguousarray(sampling(w // CELL_PX, width, 0, width).T),
        }
        self._executor = network("edges", threads).executor(inputs)

    @property
    def masks(self) -> NDArray[np.float32]:
        """What is brought to size, `[k h w]`, 0 to 1, to be written before `run`."""
        return np.asarray(self._masks[0])

    def run(self, rgb: Rgb, cells: Rgb) -> NDArray[np.uint8]:
        """Return the masks at the picture's size, `uint8 [k h w]`; the next run overwrites them."""
        self._picture[0] = rgb
        self._cells[0] = cells
        return self._executor.run()["fine"].view(np.uint8)
