"""Lighting: sun and shadows, sky light and its occlusion, lamps, haze."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vivace.worlds.raycast.lens import Lens, looking
from vivace.worlds.raycast.solids import Pose, Rgb01
from vivace.worlds.raycast.trace import Shapes, Tracer

F32 = NDArray[np.float32]
_HEIGHT_BLUR = 3
"""Half width of the mean filter over the height map, cells."""


@dataclass(frozen=True, slots=True)
class Lamp:
    """Point light without shadows."""

    place: tuple[float, float, float]
    colour: Rgb01
    """Linear colour where `Light.shine` is 1; may exceed 1."""
    reach_m: float = 3.0
    """Distance at which half of its light is lost, m."""


@dataclass(frozen=True, slots=True)
class Light:
    """Complete lighting at one moment; colours are linear and may exceed 1."""

    sun: Rgb01 = (2.3, 2.1, 1.75)
    towards: tuple[float, float, float] = (-0.5, 0.9, -0.5)
    """Direction of the sun."""
    sky: Rgb01 = (0.55, 0.68, 0.9)
    """Light from above; half of it reaches a wall."""
    ground: Rgb01 = (0.30, 0.26, 0.22)
    """Light reflected from below."""
    lamps: tuple[Lamp, ...] = ()
    haze: Rgb01 = (0.62, 0.70, 0.80)
    haze_m: float = 120.0
    """Distance at which haze hides two thirds, m."""
    shine: float = 0.0
    """Strength of lamps and lit windows; 0 is off."""
    exposure: float = 0.75
    snow: float = 0.0
    """Thickness of snow, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Reach:
    """Part of the world with shadows: fixed, so that shadows of static objects do not crawl."""

    centre: tuple[float, float, float] = (0.0, 0.0, 0.0)
    radius_m: float = 8.0
    cells: int = 384
    """Side of the sun's shadow map, cells."""
    floor: float = 0.0
    """Height of the ground, m."""


@dataclass(eq=False)
class Shade:
    """Occlusion of sun and sky at one moment; made by a `Shader`."""

    reach: Reach
    towards: NDArray[np.float64] = field(repr=False)
    sun: Lens = field(repr=False)
    sun_depth: F32 = field(repr=False)
    height: F32 = field(repr=False)
    """Mean heights of the surroundings from above, `[cells / 4, cells / 4]`, m."""
    above: Lens = field(repr=False)

    def sunlit(self, place: list[F32]) -> F32:
        """Return the share of the sun's light, `[n]`, that reaches points in the world."""
        x, y, depth = _seen_from(self.sun, place)
        size = self.reach.cells
        left, top = np.floor(x), np.floor(y)
        fx, fy = x - left, y - top
        left, top = left.astype(np.int32), top.astype(np.int32)
        inside = (left >= 1) & (left < size - 1) & (top >= 1) & (top < size - 1)
        start = np.where(inside, top * size + left, size + 1)
        # A box filter two cells wide that moves smoothly with the point.
        total = np.zeros(len(x), np.float32)
        for row, weight_y in ((-1, 1 - fy), (0, None), (1, fy)):
            line = np.zeros(len(x), np.float32)
            for column, weight_x in ((-1, 1 - fx), (0, None), (1, fx)):
                lit = self.sun_depth[start + np.int32(row * size + column)] >= depth
                line += lit if weight_x is None else lit * weight_x
            total += line if weight_y is None else line * weight_y
        total *= np.float32(1 / 4)
        return np.where(inside, total, np.float32(1))

    def open(self, place: list[F32]) -> F32:
        """Return the share of the sky's light that reaches points in the world."""
        x, y, _ = _seen_from(self.above, place)
        cells = self.above.size[0]
        x = np.clip(x - np.float32(0.5), 0, np.float32(cells - 1.001))
        y = np.clip(y - np.float32(0.5), 0, np.float32(cells - 1.001))
        left, top = x.astype(np.int32), y.astype(np.int32)
        fx, fy = x - left, y - top
        start = top * cells + left
        flat = self.height.reshape(-1)
        upper = flat[start] * (1 - fx) + flat[start + 1] * fx
        lower = flat[start + cells] * (1 - fx) + flat[start + cells + 1] * fx
        over = np.maximum(upper * (1 - fy) + lower * fy - place[1], 0)
        share: F32 = 1 - np.float32(0.72) * over / (over + np.float32(0.45))
        return share


class Shader:
    """Shadow maps of a shot's solids from the sun and from above. Static solids are rendered once."""

    def __init__(self, reach: Reach, shapes: Shapes, casts: NDArray[np.bool_], moves: NDArray[np.bool_]):
        """Prepare. `casts`, `moves`: rows of the shapes that cast shadows, and those that ever move."""
        self._reach, self._shapes = reach, shapes
        self._skip_moving, self._skip_still = ~casts | moves, ~casts | ~moves
        self._any_moving = bool((casts & moves).any())
        self._still: tuple[tuple[float, float, float], F32] | None = None
        self._still_height: F32 | None = None
        far = 4 * reach.radius_m
        cells = reach.cells // 4
        # A camera that looks straight down has no horizon, so its axes are given.
        over = [reach.centre[0], reach.centre[1] + far, reach.centre[2]]
        down = np.stack([[1.0, 0, 0], [0, 0, -1.0], [0, -1.0, 0], over], axis=1)
        self._above = Lens(down, cells / (2 * reach.radius_m), (cells, cells), True)

    def shade(self, light: Light, to_world: Pose) -> Shade:
        """Return the occlusion for solids in these poses."""
        reach = self._reach
        towards = np.asarray(light.towards, np.float64)
        towards = towards / math.sqrt(float(towards @ towards))
        x, y, z = (np.asarray(reach.centre) + 4 * reach.radius_m * towards).tolist()
        side = reach.cells
        sun = Lens(looking((x, y, z), reach.centre), side / (2 * reach.radius_m), (side, side), True)
        still, below = self._still, self._still_height
        if still is None or still[0] != light.towards:
            still = self._still = (light.towards, self._depths(sun, to_world, self._skip_moving))
        if below is None:
            below = self._still_height = self._depths(self._above, to_world, self._skip_moving)
        depth = still[1]
        if self._any_moving:
            depth = self._depths(sun, to_world, self._skip_still, depth)
            below = self._depths(self._above, to_world, self._skip_still, below)
        height = np.maximum(np.float32(self._above.position[1]) - below, np.float32(reach.floor))
        return Shade(reach, towards, sun, depth, _blurred(height), self._above)

    def _depths(self, lens: Lens, to_world: Pose, skip: NDArray[np.bool_], before: F32 | None = None) -> F32:
        """Return the depths seen by a lens, `[n]`, in front of those already given."""
        tracer = Tracer(lens, self._shapes, to_world, skip)
        return tracer.trace(tracer.pairs(), *_rays(lens.size[0], lens.focal_px), before).depth


@lru_cache(maxsize=16)
def _rays(side: int, focal_px: float) -> tuple[F32, F32]:
    """Return the origins of a square map's rays, on the lens's plane."""
    at = (np.arange(side, dtype=np.float32) + np.float32(0.5 - side / 2)) * np.float32(1 / focal_px)
    return np.tile(at, side), np.repeat(at, side)


def _seen_from(lens: Lens, place: list[F32]) -> tuple[F32, F32, F32]:
    matrix = lens.from_world()
    matrix[:2] *= lens.focal_px
    matrix[0, 3] += lens.size[0] / 2
    matrix[1, 3] += lens.size[1] / 2
    m = matrix.astype(np.float32)
    x, y, depth = (
        m[axis, 0] * place[0] + m[axis, 1] * place[1] + m[axis, 2] * place[2] + m[axis, 3] for axis in range(3)
    )
    return x, y, depth


def _blurred(depth: F32) -> F32:
    """Return the mean over a square of cells, `[n n]`, applied twice: smooth enough for interpolation."""
    cells = math.isqrt(len(depth))
    field = depth.reshape(cells, cells)
    width = 2 * _HEIGHT_BLUR + 1
    for _ in range(2):
        for axis in (0, 1):
            padded = np.pad(field, [(_HEIGHT_BLUR + 1, _HEIGHT_BLUR) if a == axis else (0, 0) for a in (0, 1)], "edge")
            total = np.cumsum(padded, axis=axis, dtype=np.float64)
            ends = np.take(total, range(width, total.shape[axis]), axis) - np.take(
                total, range(total.shape[axis] - width), axis
            )
            field = (ends / width).astype(np.float32)
    return field


def tinted(colour: Rgb01, factor: float | Rgb01) -> Rgb01:
    """Return a colour multiplied by a factor."""
    r, g, b = (factor, factor, factor) if isinstance(factor, float | int) else factor
    return colour[0] * r, colour[1] * g, colour[2] * b
