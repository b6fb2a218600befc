"""Painting tools of the procedural scenes: noise, gradients, moving layers, sprites. NumPy and Pillow only.

Scenes are painted back to front into a canvas, `uint8 [h w 3]`. Expensive parts are painted once, when a scene is
built; a frame only moves layers and sprites.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vivace.media.frame import Rgb

Colour = tuple[int, int, int]
Field = NDArray[np.float32]
"""Scalar field `float32 [h w]`, mostly 0 to 1."""
Rgba = NDArray[np.uint8]
"""Picture with alpha, `uint8 [h w 4]`, not premultiplied."""

SUPERSAMPLE = 3
"""Factor by which vector art is drawn too large and averaged down, for smooth edges."""
FINE = 3
"""Sub-pixel steps of sprites per px."""
PHASES = 4
"""Sub-pixel steps of layers per px; finer steps are invisible."""


def noise(rng: np.random.Generator, size: tuple[int, int], cell_px: float, *, octaves: int = 4) -> Field:
    """Return smooth noise, `float32 [h w]` in 0 to 1, periodic in x.

    `cell_px` is the size of its largest blobs; each octave halves size and weight.
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
        # Cut the middle out of an enlarged grid with wrapped borders.
        box = (float(border), 0.0, float(border + columns), float(rows))
        image = Image.fromarray(wrapped)
        total += (
            weight
            * np.asarray(image.resize((width, max(height, round(rows * scale))), Image.Resampling.BICUBIC, box=box))[
                :height
            ]
        )
        weight *= 0.5
        if cell <= 1:
            break
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def tone(colour: Sequence[float]) -> NDArray[np.float32]:
    """Return a colour as `float32 [3]` for arithmetic."""
    return np.asarray(colour, np.float32)


def smoothstep(low: float, high: float, value: Field) -> Field:
    """Return 0 below `low`, 1 above `high`, and a smooth ramp between."""
    ramp = np.clip((value - low) / (high - low), 0, 1)
    return cast(Field, ramp * ramp * (3 - 2 * ramp))


def mix(first: Sequence[float], second: Sequence[float], share: NDArray[np.floating]) -> NDArray[np.float32]:
    """Return two colours blended by `share [h w]` (0: first), `float32 [h w 3]`."""
    weight = np.asarray(share, np.float32)[..., None]
    return cast(NDArray[np.float32], tone(first) * (1 - weight) + tone(second) * weight)


def gradient(size: tuple[int, int], stops: Sequence[tuple[float, Colour]]) -> NDArray[np.float32]:
    """Return a vertical gradient, `float32 [h w 3]`, through `(position 0 to 1, colour)` stops."""
    width, height = size
    positions = [stop[0] for stop in stops]
    at = np.linspace(0, 1, height)
    columns = [np.interp(at, positions, [stop[1][channel] for stop in stops]) for channel in range(3)]
    column = np.stack(columns, axis=-1).astype(np.float32)
    return np.repeat(column[:, None], width, axis=1)


def to_bytes(picture: NDArray[np.floating]) -> Rgb:
    """Return values rounded and clipped to `uint8`."""
    return cast(Rgb, np.clip(picture + 0.5, 0, 255).astype(np.uint8))


def draw(size: tuple[int, int], paint: Callable[[ImageDraw.ImageDraw, int], None]) -> Rgba:
    """Return anti-aliased vector art on a transparent ground, `uint8 [h w 4]`.

    `paint(brush, s)` draws with every coordinate multiplied by `s`.
    """
    large = Image.new("RGBA", (size[0] * SUPERSAMPLE, size[1] * SUPERSAMPLE), (0, 0, 0, 0))
    paint(ImageDraw.Draw(large), SUPERSAMPLE)
    return np.asarray(large.resize(size, Image.Resampling.BOX))


def packed(picture: NDArray[np.floating]) -> NDArray[np.uint32]:
    """Return `[h w 3]` as one integer per pixel, `uint32 [h * w]`, for fast texture lookup."""
    height, width = picture.shape[:2]
    rgba = np.dstack([to_bytes(picture), np.full((height, width), 255, np.uint8)])
    return np.ascontiguousarray(rgba).view(np.uint32).reshape(-1)


def picked(texture: NDArray[np.uint32], cells: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Return the pixels of a `packed` texture at indices `[h w]`, `uint8 [h w 4]`."""
    return np.take(texture, cells).view(np.uint8).reshape(*cells.shape, 4)


class Layer:
    """Picture strip with alpha, periodic in x, drawn at any sub-pixel offset."""

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
        """Draw the strip over `canvas`; its column `offset_px` is at the left edge, its row 0 at `top_px`."""
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
    """Small picture with alpha, drawn at any position, size and angle."""

    def __init__(self, rgba: Rgba, *, pixel_px: float = 1.0):
        """Prepare `uint8 [h w 4]`, not premultiplied; its pixels are `pixel_px` wide on the canvas at scale 1."""
        self.height, self.width = rgba.shape[:2]
        self._pixel_px = pixel_px
        # Enlarged once by interpolation, so that frames only pick pixels; lookups outside hit a transparent border.
        fine = Image.fromarray(rgba).resize((self.width * FINE, self.height * FINE), Image.Resampling.BILINEAR)
        rimmed = np.pad(np.asarray(fine), ((1, 1), (1, 1), (0, 0)))
        self._columns, self._rows = rimmed.shape[1], rimmed.shape[0]
        self._pixels = np.ascontiguousarray(rimmed).view(np.uint32).reshape(-1)

    def draw(
        self, canvas: Rgb, centre: tuple[float, float], *, scale: float = 1.0, angle: float = 0.0, squeeze: float = 1.0
    ) -> None:
        """Draw the sprite over `canvas` with its centre at `centre` (px).

        It is scaled to `squeeze` of its width, then rotated clockwise by `angle` (radians).
        """
        scale *= self._pixel_px
        cos, sin = math.cos(angle), math.sin(angle)
        half_x = (abs(cos) * self.width + abs(sin) * self.height) * scale / 2 + 1
        half_y = (abs(sin) * self.width + abs(cos) * self.height) * scale / 2 + 1
        left, top = max(0, math.floor(centre[0] - half_x)), max(0, math.floor(centre[1] - half_y))
        right = min(canvas.shape[1], math.ceil(centre[0] + half_x))
        bottom = min(canvas.shape[0], math.ceil(centre[1] + half_y))
        if left >= right or top >= bottom:
            return
        # From the centre of a canvas pixel back to the enlarged sprite: translate, rotate, scale.
        x = (np.arange(left, right, dtype=np.float32) + np.float32(0.5 - centre[0])) * np.float32(FINE / scale)
        y = (np.arange(top, bottom, dtype=np.float32) + np.float32(0.5 - centre[1]))[:, None] * np.float32(FINE / scale)
        wide = 1 / squeeze
        u = (x * np.float32(cos * wide) + (y * np.float32(sin * wide) + np.float32(self._columns / 2))).astype(np.int32)
        v = (y * np.float32(cos) - (x * np.float32(sin) - np.float32(self._rows / 2))).astype(np.int32)
        np.clip(u, 0, self._columns - 1, out=u)
        np.clip(v, 0, self._rows - 1, out=v)
        v *= self._columns
        v += u
        blend(canvas[top:bottom, left:right], picked(self._pixels, v))


def blend(view: Rgb, rgba: Rgba) -> None:
    """Draw `uint8 [h w 4]`, not premultiplied, over a part of the canvas of the same size."""
    # Pillow is three times as fast as NumPy here, copies included.
    below, above = Image.fromarray(view), Image.fromarray(rgba)
    below.paste(above, (0, 0), above)
    view[...] = np.asarray(below)
