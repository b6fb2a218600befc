"""A skyline at dusk: sky, clouds, three depths of houses, a street with traffic, lamp posts in front."""

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

HORIZON = 0.74
"""Height of the pavement's edge, as a share of the picture."""
_SPEED = 0.28
"""Speed of the camera at the depth of the street, picture heights per second."""
_CAR_COLOURS: tuple[Colour, ...] = ((214, 64, 52), (240, 190, 60), (70, 130, 200), (235, 235, 230), (60, 150, 120))


class City:
    """City scene; see the module."""

    def __init__(self, size: Size, rng: np.random.Generator):
        self._width, self._height = size
        self._sky = self._paint_sky(rng)
        span = 3 * self._width
        self._clouds = Layer(self._paint_clouds(rng, span))
        # Far to near: base colour, share of the camera's speed, house heights, share of lit windows.
        depths = (
            ((126, 104, 148), 0.12, (0.16, 0.42), 0.25),
            ((88, 74, 122), 0.25, (0.12, 0.36), 0.4),
            ((48, 42, 78), 0.5, (0.08, 0.30), 0.55),
        )
        self._houses = [
            (Layer(self._paint_houses(rng, span, colour, heights, lit)), speed)
            for colour, speed, heights, lit in depths
        ]
        self._street = Layer(self._paint_street(rng, span))
        self._posts = Layer(self._paint_posts(2 * self._width))
        self._cars = [self._make_car(rng, index, colour) for index, colour in enumerate(_CAR_COLOURS)]

    def _make_car(self, rng: np.random.Generator, index: int, colour: Colour) -> tuple[Sprite, float, int]:
        """Return a car's sprite, its position in its lane (0 to 1), and its lane."""
        lane = index % 2
        picture = self._paint_car(colour)
        return Sprite(picture if lane else picture[:, ::-1]), float(index // 2 / 3 + rng.uniform(0, 0.15)), lane

    def render(self, time_s: float) -> Rgb:
        """Return the picture at `time_s`."""
        canvas = self._sky.copy()
        camera = self._height * (_SPEED * time_s + 0.12 * math.sin(0.5 * time_s))
        self._clouds.draw(canvas, 0.05 * camera + 0.012 * self._height * time_s)
        for layer, speed in self._houses:
            layer.draw(canvas, speed * camera)
        self._street.draw(canvas, camera)
        for lane in (0, 1):
            for sprite, place, its_lane in self._cars:
                if its_lane == lane:
                    self._draw_car(canvas, sprite, place, lane, time_s)
        self._posts.draw(canvas, 1.7 * camera)
        return canvas

    def _draw_car(self, canvas: Rgb, sprite: Sprite, place: float, lane: int, time_s: float) -> None:
        # The near lane moves with the camera and overtakes it now and then, the far lane comes towards it.
        travelled = 0.16 * time_s + 0.3 * math.sin(0.31 * time_s) if lane else -0.75 * time_s
        span = self._width + 6 * sprite.width
        x = (place * span + travelled * self._height) % span - 3 * sprite.width
        bounce = 0.002 * self._height * math.sin(17 * time_s + 9 * place)
        y = self._height * (0.915 if lane else 0.835) + bounce
        sprite.draw(canvas, (x, y), scale=1.0 if lane else 0.8)

    def _paint_sky(self, rng: np.random.Generator) -> Rgb:
        size = (self._width, self._height)
        sky = gradient(
            size, ((0, (38, 44, 104)), (0.35, (150, 82, 138)), (0.58, (246, 142, 108)), (0.76, (255, 214, 150)))
        )
        y, x = np.mgrid[: self._height, : self._width].astype(np.float32) / self._height
        away = np.hypot(x - 0.68 * self._width / self._height, y - 0.36)
        glow = np.exp(-((away / 0.28) ** 2))[..., None]
        sky += glow * tone((70, 60, 20))
        disc = 1 - smoothstep(0.082, 0.088, away)
        sky = sky * (1 - disc[..., None]) + disc[..., None] * tone((255, 244, 205))
        stars = (rng.random((self._height, self._width)) > 0.9985) & (y < 0.3)
        sky[stars] += 90
        return to_bytes(sky)

    def _paint_clouds(self, rng: np.random.Generator, span: int) -> Rgba:
        height = max(1, round(0.5 * self._height))
        field = noise(rng, (span, height), 0.35 * self._height)
        stretched = field[:, (np.arange(span) // 2) % span]
        y = np.linspace(0, 1, height, dtype=np.float32)[:, None]
        alpha = smoothstep(0.52, 0.85, 0.5 * field + 0.5 * stretched) * np.sin(np.pi * y) * 0.8
        colour = mix((214, 120, 150), (255, 206, 170), y + 0 * field)
        return np.dstack([to_bytes(colour), to_bytes(255 * alpha)])

    def _paint_houses(
        self, rng: np.random.Generator, span: int, colour: Colour, heights: tuple[float, float], lit: float
    ) -> Rgba:
        unit = self._height
        base = round(HORIZON * unit)
        warm = ((255, 220, 130), (255, 190, 96), (190, 224, 255))

        def paint(brush: ImageDraw.ImageDraw, s: int) -> None:
            x = 0.0
            while x < span:
                width = float(rng.uniform(0.10, 0.26)) * unit
                if span - x < 0.28 * unit:
                    width = span - x
                top = base - float(rng.uniform(*heights)) * unit
                shade = float(rng.uniform(0.82, 1.16))
                wall = tuple(min(255, round(part * shade)) for part in colour)
                brush.rectangle((x * s, top * s, (x + width) * s - 1, (base + 0.03 * unit) * s), fill=wall)
                roof = rng.integers(4)
                if roof == 0:
                    peak = ((x + width / 2) * s, (top - 0.05 * unit) * s)
                    brush.polygon(((x * s, top * s), peak, ((x + width) * s, top * s)), fill=wall)
                elif roof == 1:
                    mast = x + 0.5 * width
                    brush.rectangle((mast * s, (top - 0.10 * unit) * s, (mast + 0.006 * unit) * s, top * s), fill=wall)
                elif roof == 2:
                    brush.rectangle(
                        ((x + 0.2 * width) * s, (top - 0.035 * unit) * s, (x + 0.8 * width) * s, top * s), fill=wall
                    )
                edge = tuple(min(255, part + 26) for part in wall)
                brush.rectangle(((x + width) * s - s, top * s, (x + width) * s - 1, base * s), fill=edge)
                step, pane = 0.034 * unit, 0.017 * unit
                columns = int((width - 0.02 * unit) / step)
                margin = (width - columns * step + (step - pane)) / 2
                for row in range(int((base - top - 0.02 * unit) / (1.25 * step))):
                    for column in range(columns):
                        left, upper = x + margin + column * step, top + 0.02 * unit + row * 1.25 * step
                        glass = (
                            warm[int(rng.integers(3))] if rng.random() < lit else tuple(round(0.72 * p) for p in wall)
                        )
                        brush.rectangle((left * s, upper * s, (left + pane) * s, (upper + 1.3 * pane) * s), fill=glass)
                x += width

        return draw((span, unit), paint)

    def _paint_street(self, rng: np.random.Generator, span: int) -> Rgba:
        unit = self._height
        kerb, road = round(HORIZON * unit), round((HORIZON + 0.05) * unit)

        def paint(brush: ImageDraw.ImageDraw, s: int) -> None:
            brush.rectangle((0, kerb * s, span * s, road * s), fill=(92, 84, 104))
            brush.rectangle((0, kerb * s, span * s, (kerb + 0.008 * unit) * s), fill=(140, 126, 140))
            brush.rectangle((0, road * s, span * s, unit * s), fill=(46, 44, 58))
            count = max(1, round(span / (0.16 * unit)))
            for mark in range(count):
                left, top = mark * span / count, 0.88 * unit
                brush.rectangle(
                    (left * s, top * s, (left + 0.08 * unit) * s, (top + 0.008 * unit) * s), fill=(226, 210, 170)
                )
            count = max(1, round(span / (0.45 * unit)))
            for tree in range(count):
                x = (tree + 0.5) * span / count
                self._paint_tree(brush, s, rng, x, kerb + 0.02 * unit)

        street = draw((span, unit), paint).copy()
        grain = noise(rng, (span, unit - kerb), 0.02 * unit, octaves=2)[..., None] * 22 - 11
        street[kerb:, :, :3] = to_bytes(street[kerb:, :, :3] + grain)
        return street

    def _paint_tree(self, brush: ImageDraw.ImageDraw, s: int, rng: np.random.Generator, x: float, foot: float) -> None:
        unit = self._height
        brush.rectangle(
            ((x - 0.006 * unit) * s, (foot - 0.12 * unit) * s, (x + 0.006 * unit) * s, foot * s), fill=(40, 30, 40)
        )
        for _ in range(14):
            dx, dy = rng.normal(0, 0.03) * unit, rng.normal(0, 0.03) * unit
            radius = rng.uniform(0.018, 0.036) * unit
            cx, cy = x + dx, foot - 0.16 * unit + dy
            tint = int(rng.integers(-14, 26))
            brush.ellipse(
                ((cx - radius) * s, (cy - radius) * s, (cx + radius) * s, (cy + radius) * s),
                fill=(52 + tint, 84 + tint, 70 + tint),
            )

    def _paint_posts(self, span: int) -> Rgba:
        unit = self._height

        def paint(brush: ImageDraw.ImageDraw, s: int) -> None:
            x = 0.4 * span
            dark = (26, 24, 38)
            brush.rectangle((x * s, 0.28 * unit * s, (x + 0.016 * unit) * s, unit * s), fill=dark)
            brush.rectangle((x * s, 0.28 * unit * s, (x + 0.13 * unit) * s, 0.295 * unit * s), fill=dark)
            lamp = ((x + 0.085 * unit) * s, 0.29 * unit * s, (x + 0.14 * unit) * s, 0.32 * unit * s)
            brush.ellipse(lamp, fill=(255, 236, 170))

        return draw((span, unit), paint)

    def _paint_car(self, colour: Colour) -> Rgba:
        unit = 0.115 * self._height
        size = (round(2.5 * unit), round(unit))
        dark = tuple(round(0.62 * part) for part in colour)

        def paint(brush: ImageDraw.ImageDraw, s: int) -> None:
            u = unit * s
            brush.polygon(
                ((0.45 * u, 0.5 * u), (0.8 * u, 0.1 * u), (1.55 * u, 0.1 * u), (1.95 * u, 0.5 * u)), fill=colour
            )
            brush.polygon(
                ((0.6 * u, 0.48 * u), (0.87 * u, 0.17 * u), (1.15 * u, 0.17 * u), (1.15 * u, 0.48 * u)),
                fill=(60, 70, 96),
            )
            brush.polygon(
                ((1.22 * u, 0.48 * u), (1.22 * u, 0.17 * u), (1.5 * u, 0.17 * u), (1.78 * u, 0.48 * u)),
                fill=(92, 110, 140),
            )
            brush.rounded_rectangle((0.08 * u, 0.46 * u, 2.4 * u, 0.82 * u), radius=0.13 * u, fill=colour)
            brush.rectangle((0.12 * u, 0.68 * u, 2.36 * u, 0.8 * u), fill=dark)
            brush.ellipse((2.28 * u, 0.5 * u, 2.42 * u, 0.64 * u), fill=(255, 246, 190))
            brush.rectangle((0.07 * u, 0.5 * u, 0.15 * u, 0.64 * u), fill=(255, 70, 60))
            for x in (0.55, 1.9):
                brush.ellipse(((x - 0.2) * u, 0.6 * u, (x + 0.2) * u, u - 1), fill=(18, 18, 24))
                brush.ellipse(((x - 0.09) * u, 0.71 * u, (x + 0.09) * u, 0.89 * u), fill=(150, 150, 160))

        return draw(size, paint)


WORLD = PaintedWorld("a skyline at dusk with traffic, seen from a moving car", City)
