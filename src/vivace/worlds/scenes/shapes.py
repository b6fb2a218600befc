"""Turning, textured shapes that pass in front of each other, with soft shadows, over a slow marbled ground."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from vivace.media.frame import Rgb
from vivace.media.size import Size
from vivace.worlds.paint import Colour, Layer, Rgba, Sprite, draw, mix, noise, smoothstep, to_bytes

_COUNT = 7
_SHADOW_REDUCTION = 4
_PALETTES: tuple[tuple[Colour, Colour], ...] = (
    ((230, 83, 68), (255, 160, 122)),
    ((250, 196, 72), (255, 236, 150)),
    ((46, 134, 171), (120, 200, 220)),
    ((92, 172, 110), (190, 226, 140)),
    ((122, 84, 168), (206, 160, 226)),
    ((240, 240, 232), (196, 204, 214)),
    ((36, 48, 74), (86, 106, 146)),
)
_KINDS = ("disc", "star", "square", "ring", "triangle", "cross", "hexagon")


class Scene:
    """The shapes; see the module."""

    def __init__(self, size: Size, rng: np.random.Generator):
        self._width, self._height = size
        self._ground = self._paint_ground(rng)
        kinds, colours = rng.permutation(_KINDS), rng.permutation(len(_PALETTES))
        self._shapes = []
        for index in range(_COUNT):
            side = round(self._height * float(rng.uniform(0.28, 0.46)))
            picture = _paint(rng, str(kinds[index]), _PALETTES[colours[index]], side)
            way = rng.uniform(0.16, 0.5, 2) * rng.choice((-1, 1), 2), rng.uniform(0, 2 * math.pi, 2)
            self._shapes.append((Sprite(picture), _shadow_of(picture), way, float(rng.uniform(-1.1, 1.1)), side))

    def render(self, time_s: float) -> Rgb:
        """Return the picture at `time_s`."""
        canvas = np.empty((self._height, self._width, 3), np.uint8)
        self._ground.draw(canvas, 0.06 * self._height * time_s)
        for sprite, shadow, (speed, phase), spin, side in self._shapes:
            x = self._width * (0.5 + 0.46 * math.sin(speed[0] * time_s + phase[0]))
            y = self._height * (0.5 + 0.42 * math.sin(speed[1] * time_s + phase[1]))
            scale = 1 + 0.12 * math.sin(0.7 * time_s + phase[0])
            angle = spin * time_s + phase[1]
            shadow.draw(canvas, (x + 0.05 * side, y + 0.07 * side), scale=scale, angle=angle)
            sprite.draw(canvas, (x, y), scale=scale, angle=angle)
        return canvas

    def _paint_ground(self, rng: np.random.Generator) -> Layer:
        span = 2 * self._width
        field = noise(rng, (span, self._height), 0.7 * self._height, octaves=5)
        veins = smoothstep(0.0, 0.12, np.abs(field - 0.5))
        colour = mix((196, 176, 150), (232, 222, 204), field) * (0.84 + 0.16 * veins[..., None])
        return Layer(np.dstack([to_bytes(colour), np.full((self._height, span), 255, np.uint8)]))


def _paint(rng: np.random.Generator, kind: str, colours: tuple[Colour, Colour], side: int) -> Rgba:
    def outline(brush: ImageDraw.ImageDraw, s: int) -> None:
        full, middle = side * s - 1, side * s / 2
        if kind == "disc":
            brush.ellipse((0, 0, full, full), fill="white")
        elif kind == "ring":
            brush.ellipse((0, 0, full, full), fill="white")
            brush.ellipse((0.28 * full, 0.28 * full, 0.72 * full, 0.72 * full), fill=(0, 0, 0, 0))
        elif kind == "square":
            brush.rounded_rectangle((0.1 * full, 0.1 * full, 0.9 * full, 0.9 * full), radius=0.08 * full, fill="white")
        elif kind == "cross":
            brush.rounded_rectangle(
                (0.36 * full, 0.04 * full, 0.64 * full, 0.96 * full), radius=0.05 * full, fill="white"
            )
            brush.rounded_rectangle(
                (0.04 * full, 0.36 * full, 0.96 * full, 0.64 * full), radius=0.05 * full, fill="white"
            )
        else:
            corners, inner = {"star": (10, 0.45), "triangle": (3, 1.0), "hexagon": (6, 1.0)}[kind]
            brush.polygon(
                [
                    (
                        middle + middle * (1 if corner % 2 == 0 else inner) * math.sin(2 * math.pi * corner / corners),
                        middle - middle * (1 if corner % 2 == 0 else inner) * math.cos(2 * math.pi * corner / corners),
                    )
                    for corner in range(corners)
                ],
                fill="white",
            )

    alpha = draw((side, side), outline)[..., 3]
    y, x = np.mgrid[:side, :side].astype(np.float32) / side
    grain = noise(rng, (side, side), 0.25 * side)
    pattern = int(rng.integers(4))
    if pattern == 0:
        share = smoothstep(0.4, 0.6, (0.5 + 0.5 * np.sin(30 * (x + y))).astype(np.float32))
    elif pattern == 1:
        share = 1 - smoothstep(0.26, 0.33, np.hypot((6 * x) % 1 - 0.5, (6 * y) % 1 - 0.5))
    elif pattern == 2:
        share = smoothstep(0.4, 0.6, (0.5 + 0.5 * np.sin(40 * np.hypot(x - 0.5, y - 0.5))).astype(np.float32))
    else:
        share = grain
    colour = mix(colours[0], colours[1], share) * (0.88 + 0.2 * grain[..., None]) * (1.08 - 0.22 * y[..., None])
    return np.dstack([to_bytes(colour), alpha])


def _shadow_of(picture: Rgba) -> Sprite:
    """Return a soft shadow, stored small because it is blurred."""
    side = picture.shape[0]
    small = max(1, side // _SHADOW_REDUCTION)
    rim = max(1, small // 6)
    alpha = Image.fromarray(np.ascontiguousarray(picture[..., 3])).resize((small, small), Image.Resampling.BOX)
    padded = Image.fromarray(np.pad(np.asarray(alpha), rim))
    soft = np.asarray(padded.filter(ImageFilter.GaussianBlur(rim / 2.5)))
    ground = np.full((*soft.shape, 3), (40, 30, 24), np.uint8)
    return Sprite(np.dstack([ground, (soft * 0.42).astype(np.uint8)]), pixel_px=side / small)
