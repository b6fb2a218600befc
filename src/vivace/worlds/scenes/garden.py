"""A meadow in the wind: clouds, hills, three depths of swaying grass and flowers, butterflies in between."""

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
    blend,
    draw,
    gradient,
    mix,
    noise,
    smoothstep,
    to_bytes,
    tone,
)

_PETALS: tuple[Colour, ...] = ((232, 76, 84), (250, 196, 60), (244, 244, 238), (206, 120, 210), (250, 140, 80))
_WINGS: tuple[Colour, ...] = ((255, 150, 50), (90, 150, 240), (250, 240, 120))


class Scene:
    """The garden; see the module."""

    def __init__(self, size: Size, rng: np.random.Generator):
        self._width, self._height = size
        self._sky = to_bytes(
            gradient(size, ((0, (72, 150, 222)), (0.45, (176, 216, 240)), (0.6, (230, 240, 226)), (1, (230, 240, 226))))
        )
        self._clouds = Layer(self._paint_clouds(rng))
        self._hills = [
            Layer(self._paint_hill(rng, base, colour, rough))
            for base, colour, rough in (
                (0.56, (126, 168, 176), 0.16),
                (0.63, (104, 164, 108), 0.12),
                (0.70, (126, 182, 84), 0.06),
            )
        ]
        # Far to near: height of the plants, their foot, thickness, how far they lean, share of the camera's speed.
        self._plants = [
            (_Plants(rng, size, height, foot, count), speed)
            for height, foot, count, speed in ((0.24, 0.92, 90, 0.55), (0.38, 1.10, 60, 0.9), (0.52, 1.28, 26, 1.6))
        ]
        self._butterflies = [
            (Sprite(_paint_butterfly(round(0.085 * self._height), colour)), rng.uniform(0, 2 * math.pi, 4))
            for colour in _WINGS
        ]

    def render(self, time_s: float) -> Rgb:
        """Return the picture at `time_s`."""
        canvas = self._sky.copy()
        camera = self._height * (0.10 * time_s + 0.10 * math.sin(0.35 * time_s))
        self._clouds.draw(canvas, 0.05 * camera + 0.02 * self._height * time_s)
        for layer, speed in zip(self._hills, (0.08, 0.18, 0.35), strict=True):
            layer.draw(canvas, speed * camera)
        for depth, (plants, speed) in enumerate(self._plants):
            if depth == 2:
                self._draw_butterflies(canvas, time_s)
            plants.draw(canvas, speed * camera, time_s)
        return canvas

    def _draw_butterflies(self, canvas: Rgb, time_s: float) -> None:
        for sprite, phase in self._butterflies:
            x = self._width * (
                0.5 + 0.36 * math.sin(0.37 * time_s + phase[0]) + 0.09 * math.sin(1.3 * time_s + phase[1])
            )
            y = self._height * (
                0.50 + 0.17 * math.sin(0.61 * time_s + phase[2]) + 0.05 * math.sin(2.9 * time_s + phase[3])
            )
            flap = 0.35 + 0.65 * abs(math.sin(9 * time_s + phase[0]))
            sprite.draw(canvas, (x, y), angle=0.4 * math.sin(1.1 * time_s + phase[1]), squeeze=flap)

    def _paint_clouds(self, rng: np.random.Generator) -> Rgba:
        span, height = 2 * self._width, max(1, round(0.46 * self._height))
        field = noise(rng, (span, 2 * height), 0.6 * self._height, octaves=5)[::2]
        y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
        alpha = smoothstep(0.50, 0.70, field) * np.sqrt(np.maximum(np.sin(np.pi * y), 0))
        shade = smoothstep(0.5, 0.95, field)
        return np.dstack([to_bytes(mix((198, 216, 232), (255, 255, 252), shade)), to_bytes(240 * alpha)])

    def _paint_hill(self, rng: np.random.Generator, base: float, colour: Colour, rough: float) -> Rgba:
        span, height = 2 * self._width, self._height
        ridge = noise(rng, (span, 3), 0.9 * height, octaves=4)[1]
        top = (base - rough * ridge) * height
        y = np.arange(height, dtype=np.float32)[:, None]
        below = (y - top[None]) / height
        mottle = noise(rng, (span, height), 0.09 * height, octaves=4)
        light = 0.84 + 0.30 * mottle - 0.30 * np.clip(below, 0, 0.5)
        picture = tone(colour) * light[..., None]
        return np.dstack([to_bytes(picture), to_bytes(255 * np.clip((y - top[None]) + 0.5, 0, 1))])


class _Plants:
    """A row of plants that bend: every picture row is shifted by what the wind does at its height and place."""

    def __init__(self, rng: np.random.Generator, size: Size, height: float, foot: float, count: int):
        self._width, unit = size[0], size[1]
        rows = round(height * unit)
        self._top = round(foot * unit) - rows
        # Drawn large and picked from: thirds of a pixel are fine enough for the eye.
        self._span = 2 * size[0]
        rgba = _paint_plants(rng, (self._span, rows), unit, height, count)
        self._texture = np.ascontiguousarray(rgba).view(np.uint32)[..., 0]
        self._rows = rows
        self._visible = max(0, min(rows, unit - self._top))
        up = 1 - np.arange(self._visible, dtype=np.float32)[:, None] / rows
        self._bend = 0.10 * height * unit * up**1.7

    def draw(self, canvas: Rgb, offset_px: float, time_s: float) -> None:
        """Draw the row with its column `offset_px` at the left edge."""
        x = np.arange(self._width, dtype=np.float32)[None] + np.float32(offset_px)
        gust = np.sin(x * np.float32(0.011) - np.float32(1.9 * time_s)) + 0.5 * np.sin(
            x * np.float32(0.043) - np.float32(3.1 * time_s)
        )
        source = x - self._bend * (gust + np.float32(0.5 * math.sin(0.5 * time_s)))
        columns = np.mod(source, self._span).astype(np.int32) % self._span
        columns += np.arange(self._visible, dtype=np.int32)[:, None] * self._span
        picked = np.take(self._texture.reshape(-1), columns)
        first = max(0, -self._top)
        view = canvas[self._top + first : self._top + self._visible]
        blend(view, picked[first:].view(np.uint8).reshape(*view.shape[:2], 4))


def _paint_plants(rng: np.random.Generator, size: tuple[int, int], unit: int, height: float, count: int) -> Rgba:
    span, rows = size
    near = (height - 0.24) / 0.28

    def paint(brush: ImageDraw.ImageDraw, s: int) -> None:
        floor = rows * s
        # Between the stems it is dark, and no row shows its feet.
        for step in range(8):
            brush.rectangle(
                (0, (0.70 + 0.0375 * step) * floor, span * s, floor), fill=(46, 104, 44, 32 + 32 * step - (step == 7))
            )
        for _ in range(count * 9):
            x, tall = rng.uniform(0.02, 0.98) * span, rng.uniform(0.25, 0.72) * rows
            lean, wide = rng.normal(0, 0.12) * tall, rng.uniform(0.006, 0.012) * unit * (0.7 + near)
            green = (int(rng.integers(40, 96)), int(rng.integers(112, 176) - 50 * near), int(rng.integers(40, 76)))
            brush.polygon(
                (
                    ((x - wide) * s, floor),
                    ((x + wide) * s, floor),
                    ((x + 0.5 * lean + 0.5 * wide) * s, floor - 0.6 * tall * s),
                    ((x + lean) * s, floor - tall * s),
                    ((x + 0.5 * lean - 0.5 * wide) * s, floor - 0.6 * tall * s),
                ),
                fill=green,
            )
        for _ in range(count // 2):
            x, tall = rng.uniform(0.04, 0.96) * span, rng.uniform(0.55, 0.86) * rows
            stem = max(1, round(0.007 * unit * (0.7 + near) * s))
            brush.line((x * s, floor, x * s, floor - tall * s), fill=(70, 130, 60), width=stem)
            _paint_flower(
                brush, x * s, floor - tall * s, rng.uniform(0.018, 0.030) * unit * (0.8 + 1.1 * near) * s, rng
            )

    return draw(size, paint)


def _paint_flower(brush: ImageDraw.ImageDraw, x: float, y: float, radius: float, rng: np.random.Generator) -> None:
    petal = _PETALS[int(rng.integers(len(_PETALS)))]
    dark = tuple(round(0.8 * part) for part in petal)
    petals, start = int(rng.integers(5, 9)), rng.uniform(0, 6.28)
    for turn in range(petals):
        angle = start + 2 * math.pi * turn / petals
        cx, cy, r = x + 0.62 * radius * math.cos(angle), y + 0.62 * radius * math.sin(angle), 0.46 * radius
        brush.ellipse((cx - r, cy - r, cx + r, cy + r), fill=petal if turn % 2 else dark)
    r = 0.34 * radius
    brush.ellipse((x - r, y - r, x + r, y + r), fill=(250, 214, 90) if petal[2] > 70 else (120, 70, 40))


def _paint_butterfly(side: int, colour: Colour) -> Rgba:
    dark = tuple(round(0.55 * part) for part in colour)

    def paint(brush: ImageDraw.ImageDraw, s: int) -> None:
        u = side * s
        for sign in (-1, 1):
            for (x, y, rx, ry), inner in (((0.26, -0.14, 0.23, 0.26), 0.62), ((0.20, 0.22, 0.17, 0.19), 0.55)):
                cx, cy = 0.5 + sign * x, 0.48 + y
                brush.ellipse(((cx - rx) * u, (cy - ry) * u, (cx + rx) * u, (cy + ry) * u), fill=dark)
                rx, ry = rx * inner, ry * inner
                brush.ellipse(((cx - rx) * u, (cy - ry) * u, (cx + rx) * u, (cy + ry) * u), fill=colour)
        brush.ellipse((0.46 * u, 0.2 * u, 0.54 * u, 0.86 * u), fill=(40, 30, 30))

    return draw((side, side), paint)
