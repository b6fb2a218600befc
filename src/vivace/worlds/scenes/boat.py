"""A sailing boat on the waves at sunset: rows of waves in front of each other, an island, gulls, the sun's glitter."""

from __future__ import annotations

import math

import numpy as np
from PIL import ImageDraw

from vivace.media.frame import Rgb
from vivace.media.size import Size
from vivace.worlds.paint import (
    Colour,
    Layer,
    Rgba,
    Sprite,
    draw,
    gradient,
    mix,
    noise,
    smoothstep,
    to_bytes,
    tone,
)
from vivace.worlds.scene import PaintedWorld

_HORIZON = 0.52
_SUN = 0.34
"""Horizontal position of the sun, as a share of the width."""
_ROWS = 7
_BOAT_ROW = 3
_SEA: tuple[tuple[float, Colour], ...] = (
    (0, (226, 156, 122)),
    (0.3, (150, 112, 142)),
    (0.65, (52, 92, 134)),
    (1, (16, 58, 92)),
)
"""Colours of the waves from far to near."""


class Boat:
    """Sailing boat scene; see the module."""

    def __init__(self, size: Size, rng: np.random.Generator):
        self._width, self._height = size
        self._sky = self._paint_sky()
        self._clouds = Layer(self._paint_clouds(rng))
        self._island = Layer(self._paint_island(rng))
        self._boat = Sprite(_paint_boat(round(0.46 * self._height)))
        self._gulls = [
            (Sprite(_paint_gull(max(4, round(0.05 * self._height)), lift))) for lift in (-0.5, 0.0, 0.5, 0.0)
        ]
        self._flock = rng.uniform(0, 1, (4, 3))
        self._waves = [self._make_row(rng, row) for row in range(_ROWS)]

    def _make_row(self, rng: np.random.Generator, row: int) -> tuple[Layer, float]:
        """Return a row of waves, and its speed in picture heights per second."""
        near = row / (_ROWS - 1)
        span = 2 * self._width
        unit = self._height
        depth = max(1, round(unit * (0.06 + 0.26 * near)))
        x = np.arange(span, dtype=np.float32) / span
        crest = np.zeros(span, np.float32)
        for octave in range(3):
            waves = max(1, round(span / unit * (7 - 4 * near) * 1.7**octave))
            # Rectified sines: crests are narrower than troughs.
            swell = np.abs(np.sin(np.pi * waves * x + rng.uniform(0, 6.28)))
            crest += swell.astype(np.float32) * 0.5**octave
        crest = crest / crest.max() * unit * (0.010 + 0.035 * near)
        y = np.arange(depth, dtype=np.float32)[:, None]
        below = y - crest[None]
        base = gradient((1, 256), _SEA)[round(255 * near), 0]
        texture = noise(rng, (span, 3 * depth), 0.16 * unit, octaves=4)[::3][:depth]
        colour = base * (0.86 + 0.3 * texture[..., None])
        foam = np.exp(-np.maximum(below, 0) / (0.004 + 0.006 * near) / unit) * (0.35 + 0.4 * (texture > 0.55))
        colour += (tone((255, 236, 214)) - colour) * (0.75 * foam)[..., None]
        gleam = smoothstep(0.62, 0.8, texture) * (1 - 0.55 * near)
        colour += tone((120, 70, 26)) * gleam[..., None]
        alpha = np.clip(below + 0.5, 0, 1)
        return Layer(np.dstack([to_bytes(colour), to_bytes(255 * alpha)])), 0.03 + 0.22 * near

    def render(self, time_s: float) -> Rgb:
        """Return the picture at `time_s`."""
        canvas = self._sky.copy()
        unit = self._height
        self._clouds.draw(canvas, 0.016 * unit * time_s)
        self._island.draw(canvas, 0.024 * unit * time_s)
        self._draw_gulls(canvas, time_s)
        for row, (layer, speed) in enumerate(self._waves):
            near = row / (_ROWS - 1)
            top = unit * (_HORIZON - 0.012 + 0.40 * near**1.35) + unit * (0.004 + 0.014 * near) * math.sin(
                1.1 * time_s + 1.7 * row
            )
            if row == _BOAT_ROW:
                self._draw_boat(canvas, top, time_s)
            sway = 0.02 * math.sin(0.9 * time_s + row)
            layer.draw(canvas, unit * (speed * time_s + sway), round(top))
        self._glitter(canvas, time_s)
        return canvas

    def _draw_boat(self, canvas: Rgb, top: float, time_s: float) -> None:
        x = self._width * (0.62 + 0.10 * math.sin(0.13 * time_s))
        y = top - 0.155 * self._height + 0.012 * self._height * math.sin(1.3 * time_s)
        self._boat.draw(canvas, (x, y), angle=0.09 * math.sin(0.95 * time_s) + 0.03)

    def _draw_gulls(self, canvas: Rgb, time_s: float) -> None:
        for index, (start, height, pace) in enumerate(self._flock):
            x = ((start + (0.03 + 0.02 * pace) * time_s) % 1.2 - 0.1) * self._width
            y = self._height * (0.12 + 0.22 * height + 0.02 * math.sin(0.8 * time_s + 5 * pace))
            wing = self._gulls[int(5 * time_s + 4 * start) % len(self._gulls)]
            wing.draw(canvas, (x, y), scale=0.6 + 0.5 * float(height) + 0.02 * index)

    def _glitter(self, canvas: Rgb, time_s: float) -> None:
        """Lighten the sea under the sun in short, dancing streaks."""
        top = round(_HORIZON * self._height)
        rows = np.arange(top, self._height, 2, dtype=np.float32)
        share = (rows - top) / (self._height - top)
        reach = self._height * (0.03 + 0.16 * share)
        middle = _SUN * self._width + reach * 0.7 * np.sin(rows * 12.9898 + np.floor(time_s * 6 + rows * 0.37) * 1.7)
        length = reach * (0.2 + 0.5 * np.abs(np.sin(rows * 4.7 + time_s * 3)))
        for row, centre, half, near in zip(rows, middle, length, share, strict=True):
            left, right = max(0, int(centre - half)), min(self._width, int(centre + half))
            if left < right:
                streak = canvas[int(row), left:right]
                streak += ((255 - streak) * np.float32(0.5 * (1 - near) + 0.1)).astype(np.uint8)

    def _paint_sky(self) -> Rgb:
        size = (self._width, self._height)
        sky = gradient(
            size,
            (
                (0, (58, 74, 140)),
                (0.22, (142, 96, 158)),
                (0.40, (240, 140, 112)),
                (_HORIZON, (255, 212, 146)),
                (1, (255, 212, 146)),
            ),
        )
        y, x = np.mgrid[: self._height, : self._width].astype(np.float32) / self._height
        away = np.hypot(x - _SUN * self._width / self._height, y - (_HORIZON - 0.075))
        sky += np.exp(-((away / 0.30) ** 2))[..., None] * tone((60, 56, 20))
        disc = 1 - smoothstep(0.070, 0.076, away)
        sky += (tone((255, 248, 214)) - sky) * disc[..., None]
        return to_bytes(sky)

    def _paint_clouds(self, rng: np.random.Generator) -> Rgba:
        span, height = 2 * self._width, max(1, round(0.42 * self._height))
        field = noise(rng, (span, 4 * height), 0.8 * self._height)[::4]
        y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
        alpha = smoothstep(0.5, 0.8, field) * np.sin(np.pi * y) * 0.75
        return np.dstack([to_bytes(mix((190, 116, 160), (255, 196, 150), y + 0 * field)), to_bytes(255 * alpha)])

    def _paint_island(self, rng: np.random.Generator) -> Rgba:
        span, base = 2 * self._width, round((_HORIZON + 0.01) * self._height)
        ridge = noise(rng, (span, 3), 0.9 * self._height, octaves=6)[1]
        x = np.linspace(0, 1, span, dtype=np.float32)
        shape = np.exp(-(((x - 0.42) / 0.10) ** 2)) + 0.6 * np.exp(-(((x - 0.8) / 0.06) ** 2))
        top = base - self._height * 0.17 * shape * (0.55 + 0.6 * ridge)
        y = np.arange(base, dtype=np.float32)[:, None]
        alpha = np.clip(y - top[None] + 0.5, 0, 1) * (shape > 0.06)
        shade = noise(rng, (span, base), 0.10 * self._height)
        colour = mix((104, 74, 120), (166, 104, 128), shade)
        return np.dstack([to_bytes(colour), to_bytes(255 * alpha)])


def _paint_boat(side: int) -> Rgba:
    def paint(brush: ImageDraw.ImageDraw, s: int) -> None:
        u = side * s
        brush.rectangle((0.475 * u, 0.04 * u, 0.495 * u, 0.80 * u), fill=(92, 62, 44))
        brush.polygon(((0.46 * u, 0.07 * u), (0.46 * u, 0.70 * u), (0.14 * u, 0.70 * u)), fill=(250, 240, 222))
        brush.polygon(((0.46 * u, 0.07 * u), (0.46 * u, 0.28 * u), (0.353 * u, 0.28 * u)), fill=(214, 70, 58))
        brush.polygon(((0.51 * u, 0.12 * u), (0.51 * u, 0.70 * u), (0.84 * u, 0.70 * u)), fill=(236, 214, 190))
        for seam in (0.42, 0.56):
            brush.line(
                (0.46 * u - (seam - 0.07) * 0.5 * u, seam * u, 0.46 * u, seam * u), fill=(206, 190, 170), width=s
            )
        brush.polygon(
            ((0.08 * u, 0.76 * u), (0.92 * u, 0.76 * u), (0.78 * u, 0.97 * u), (0.22 * u, 0.97 * u)), fill=(150, 52, 44)
        )
        brush.polygon(
            ((0.08 * u, 0.76 * u), (0.92 * u, 0.76 * u), (0.89 * u, 0.81 * u), (0.11 * u, 0.81 * u)),
            fill=(245, 226, 196),
        )
        brush.polygon(((0.475 * u, 0.04 * u), (0.475 * u, 0.09 * u), (0.59 * u, 0.065 * u)), fill=(66, 132, 190))

    return draw((side, side), paint)


def _paint_gull(side: int, lift: float) -> Rgba:
    def paint(brush: ImageDraw.ImageDraw, s: int) -> None:
        u = side * s
        tips = 0.5 - 0.38 * lift
        width = max(1, round(0.09 * u))
        for sign in (-1, 1):
            points = [
                (0.5 * u, 0.56 * u),
                ((0.5 + sign * 0.22) * u, (0.5 * tips + 0.16) * u),
                ((0.5 + sign * 0.48) * u, tips * u),
            ]
            brush.line(points, fill=(52, 44, 70), width=width, joint="curve")

    return draw((side, side), paint)


WORLD = PaintedWorld("a sailing boat on the waves at sunset", Boat)
