"""Brushes of the procedural scenes: noise, gradients, layers with sub-pixel motion, sprites. NumPy and Pillow only.

Scenes are painted back to front into a canvas, `uint8 [h w 3]`. What is costly is painted once, when a scene is built;
a frame only moves layers and sprites about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vivace.media.frame import Rgb

Colour = tuple[int, int, int]
Field = NDArray[np.float32]
"""`float32 [h w]`, mostly 0 to 1."""
Rgba = NDArray[np.uint8]
"""`uint8 [h w 4]`, straight alpha."""

SUPERSAMPLE = 3
"""Vector art is drawn this many times too large and averaged down, for smooth edges."""
PHASES = 4
"""Layers move in quarters of a pixel; finer steps cannot be seen."""


def noise(rng: np.random.Generator, size: tuple[int, int], cell_px: float, *, octaves: int = 4) -> Field:
    """Return smooth noise, `float32 [h w]` in 0 to 1, that repeats seamlessly in x.

    `cell_px` is the size of its largest blobs; each octave halves blobs and weight.
    """
    width, height = size
    total = np.zeros((height, width), np.float32)
    weight = 1.0
    for octave in range(octaves):
        cell = max(1.0, cell_px / 2**octave)
        columns, rows = max(1, round(width / cell)), max(1, round(height / cell)) + 1
        grid = rng.random((rows, columns), dtype=np.float32)
        border = min(3, columns)
        wrapped = np.concatenate([grid[:, -border:], grid, grid[:, :border]], axis=1)
        scale = width / columns
        # Cut the middle out of an enlarged grid whose ends continue each other.
        box = (float(border), 0.0, float(border + columns), float(rows))
        image = Image.fromarray(wrapped)
        total += weight * np.asarray(image.resize((width, max(height, round(rows * scale))), Image.Resampling.BICUBIC, box=box))[:height]
        weight *= 0.5
        if cell <= 1:
            break
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def smoothstep(low: float, high: float, value: Field) -> Field:
    """Return 0 below `low`, 1 above `high`, and a smooth ramp between."""
    ramp = np.clip((value - low) / (high - low), 0, 1)
    return cast(Field, ramp * ramp * (3 - 2 * ramp))


def mix(first: Sequence[float], second: Sequence[float], share: NDArray[np.floating]) -> NDArray[np.float32]:
    """Blend two colours by `share [h w]` (0: first), giving `float32 [h w 3]`."""
    share = np.asarray(share, np.float32)[..., None]
    return cast(
        NDArray[np.float32], np.float32(first) * (1 - share) + np.float32(second) * share
    )


def gradient(size: tuple[int, int], stops: Sequence[tuple[float, Colour]]) -> NDArray[np.float32]:
    """Return a vertical gradient, `float32 [h w 3]`, through `(position 0 to 1, colour)` stops."""
    width, height = size
    positions = [stop[0] for stop in stops]
    at = np.linspace(0, 1, height)
    columns = [np.interp(at, positions, [stop[1][channel] for stop in stops]) for channel in range(3)]
    column = np.stack(columns, axis=-1).astype(np.float32)
    return np.repeat(column[:, None], width, axis=1)


def to_bytes(picture: NDArray[np.floating]) -> Rgb:
    """Round and clip to `uint8`."""
    return np.clip(picture + 0.5, 0, 255).astype(np.uint8)


def draw(size: tuple[int, int], paint: Callable[[ImageDraw.ImageDraw, int], None]) -> Rgba:
    """Draw vector art on a transparent ground, anti-aliased.

    `paint(brush, s)` draws with every coordinate multiplied by `s`. Returns `uint8 [h w 4]`.
    """
    large = Image.new("RGBA", (size[0] * SUPERSAMPLE, size[1] * SUPERSAMPLE), (0, 0, 0, 0))
    paint(ImageDraw.Draw(large), SUPERSAMPLE)
    return np.asarray(large.resize(size, Image.Resampling.BOX))


class Layer:
    """A picture strip with alpha, repeating in x, drawn at any sub-pixel offset."""

    def __init__(self, rgba: Rgba):
        """Prepare `uint8 [h w 4]`, straight alpha."""
        alpha = rgba[..., 3].astype(np.float32) / 255
        rows = np.flatnonzero(alpha.any(axis=1))
        self._top = int(rows[0]) if rows.size else 0
        bottom = int(rows[-1]) + 1 if rows.size else 0
        solid = rgba[self._top : bottom].astype(np.float32)
        alpha = alpha[self._top : bottom, :, None]
        premultiplied = solid[..., :3] * alpha
        self.width = rgba.shape[1]
        self._phases = []
        for phase in range(PHASES):
            share = phase / PHASES
            colour = premultiplied * (1 - share) + np.roll(premultiplied, -1, axis=1) * share
            cover = alpha * (1 - share) + np.roll(alpha, -1, axis=1) * share
            self._phases.append((to_bytes(colour), np.round(256 * (1 - cover)).astype(np.uint16)))

    def draw(self, canvas: Rgb, offset_px: float, top_px: int = 0) -> None:
        """Lay the strip over `canvas`; its column `offset_px` comes to the left edge, its row 0 to `top_px`."""
        steps = int(np.floor(offset_px * PHASES))
        start, phase = (steps // PHASES) % self.width, steps % PHASES
        colour, through = self._phases[phase]
        top = top_px + self._top
        first, last = max(0, -top), min(colour.shape[0], canvas.shape[0] - top)
        if first >= last:
            return
        rows = slice(top + first, top + last)
        x = 0
        while x < canvas.shape[1]:
            count = min(self.width - start, canvas.shape[1] - x)
            view = canvas[rows, x : x + count]
            below = view * through[first:last, start : start + count]
            below >>= 8
            np.add(below, colour[first:last, start : start + count], out=view, casting="unsafe")
            x += count
            start = 0


class Sprite:
    """A small picture with alpha, drawn at any place, size and angle."""

    def __init__(self, rgba: Rgba):
        """Prepare `uint8 [h w 4]`, straight alpha."""
        # Premultiplied, so that interpolation does not drag colour in from transparent pixels.
        self._image = Image.fromarray(rgba).convert("RGBa")
        self.width, self.height = self._image.size

    def draw(
        self, canvas: Rgb, centre: tuple[float, float], *, scale: float = 1.0, angle: float = 0.0, shear: float = 0.0
    ) -> None:
        """Lay the sprite over `canvas` with its middle at `centre` (px), turned clockwise by `angle` (radians)."""
        cos, sin = float(np.cos(angle)), float(np.sin(angle))
        half_x = (abs(cos) * self.width + abs(sin) * self.height) * scale / 2 + abs(shear) * self.height * scale / 2 + 1
        half_y = (abs(sin) * self.width + abs(cos) * self.height) * scale / 2 + 1
        left, top = max(0, int(centre[0] - half_x)), max(0, int(centre[1] - half_y))
        right = min(canvas.shape[1], int(centre[0] + half_x) + 1)
        bottom = min(canvas.shape[0], int(centre[1] + half_y) + 1)
        if left >= right or top >= bottom:
            return
        # From a canvas pixel back to the sprite: move, turn, scale, shear.
        a, b, d, e = cos / scale, sin / scale, -sin / scale, cos / scale
        a, b = a + shear * d, b + shear * e
        dx, dy = left - centre[0], top - centre[1]
        matrix = (a, b, a * dx + b * dy + self.width / 2, d, e, d * dx + e * dy + self.height / 2)
        turned = self._image.transform(
            (right - left, bottom - top), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
        )
        blend(canvas[top:bottom, left:right], np.asarray(turned))


def blend(view: Rgb, premultiplied: Rgba) -> None:
    """Lay premultiplied `uint8 [h w 4]` over a part of the canvas of the same size."""
    through = (255 - premultiplied[..., 3:]).astype(np.uint16)
    below = view * through
    below += 128
    below >>= 8
    np.add(below, premultiplied[..., :3], out=view, casting="unsafe")
