"""Driving through a forest towards the hills: the road comes nearer, trees grow and pass by."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

from vivace.media.frame import Rgb
from vivace.media.size import Size
from vivace.worlds.paint import (
    Colour,
    Field,
    Layer,
    Rgba,
    Sprite,
    draw,
    gradient,
    mix,
    noise,
    packed,
    picked,
    smoothstep,
    to_bytes,
    tone,
)

_HORIZON = 0.46
_EYE = 1.1
"""Height of the eye over the road, which is four wide."""
_FOCAL = 0.9
"""In picture heights."""
_SPEED = 5.0
"""Units a second."""
_FAR = 46.0
_TEXTURE = 256
_TEXELS = 16
"""Texture pixels in a unit: the ground repeats every sixteen units."""
_HAZE: Colour = (214, 224, 220)


class Scene:
    """The road; see the module."""

    def __init__(self, size: Size, rng: np.random.Generator):
        self._width, self._height = size
        self._horizon = max(1, round(_HORIZON * self._height))
        self._sky = self._paint_sky(rng)
        self._hills = Layer(self._paint_hills(rng))
        self._ground = packed(_paint_ground(rng))
        rows = np.arange(self._horizon, self._height, dtype=np.float32) + 0.5 - self._horizon
        self._ahead = (_EYE * _FOCAL * self._height / rows)[:, None]
        self._clear = np.clip(1.15 - self._ahead / (0.8 * _FAR), 0, 1).astype(np.float32)
        self._haze = tone(_HAZE) * (1 - self._clear[..., None])
        self._trees = [_paint_tree(rng, kind) for kind in (0, 1, 0, 1, 2)]
        self._hazy = [[_hazed(tree, share) for share in (0.0, 0.25, 0.5, 0.72, 0.88)] for tree in self._trees]
        count = 48
        sides = rng.choice((-1.0, 1.0), count)
        self._places = np.stack(
            [
                np.linspace(0, _FAR, count, endpoint=False),
                sides * (2.9 + rng.gamma(1.5, 1.6, count)),
                rng.uniform(1.6, 3.4, count),
            ],
            axis=1,
        )
        self._kinds = rng.integers(len(self._trees), size=count)

    def render(self, time_s: float) -> Rgb:
        """Return the picture at `time_s`."""
        canvas = self._sky.copy()
        travelled = _SPEED * time_s
        bend = 0.9 * math.sin(0.23 * time_s)
        sway = 0.25 * math.sin(0.6 * time_s)
        self._hills.draw(canvas, self._height * 0.55 * (1 - math.cos(0.23 * time_s)) + 0.01 * travelled)
        middle = self._width / 2 + self._bent(self._ahead, bend)
        scale = self._ahead / (_FOCAL * self._height)
        x = (np.arange(self._width, dtype=np.float32)[None] - middle) * scale + np.float32(sway)
        columns = ((x + 8) * _TEXELS).astype(np.int32) & (_TEXTURE - 1)
        # Beyond the texture's width the meadow repeats, not the road.
        columns = np.where(np.abs(x) < 8, columns, columns | 192)
        rows = ((self._ahead + travelled) * _TEXELS).astype(np.int32) & (_TEXTURE - 1)
        ground = picked(self._ground, columns + rows * _TEXTURE)[..., :3] * self._clear[..., None]
        ground += self._haze
        canvas[self._horizon :] = ground
        depths = (self._places[:, 0] - travelled) % _FAR
        for index in np.argsort(-depths):
            self._draw_tree(canvas, int(index), float(depths[index]), bend, sway)
        return canvas

    def _bent(self, ahead: Field, bend: float) -> Field:
        """Return how far the road has curved aside at that distance, px."""
        return np.float32(bend * self._height * 0.012) * (ahead * ahead) / (ahead + 6)

    def _draw_tree(self, canvas: Rgb, index: int, depth: float, bend: float, sway: float) -> None:
        if depth < 0.9:
            return
        _, side, tall = self._places[index]
        scale = _FOCAL * self._height / depth
        haze = self._hazy[self._kinds[index]]
        # Trees come out of the haze at the far end.
        sprite = haze[min(len(haze) - 1, int(len(haze) * max(0.0, depth / _FAR * 1.25 - 0.15)))]
        x = self._width / 2 + float(self._bent(np.asarray(depth, np.float32), bend)) + (side - sway) * scale
        foot = self._horizon + _EYE * scale
        size = tall * scale / sprite.height
        sprite.draw(canvas, (x, foot - 0.48 * tall * scale), scale=size)

    def _paint_sky(self, rng: np.random.Generator) -> Rgb:
        size = (self._width, self._height)
        sky = gradient(size, ((0, (84, 146, 204)), (_HORIZON, _HAZE), (1, _HAZE)))
        clouds = smoothstep(0.48, 0.8, noise(rng, (size[0], 3 * size[1]), 0.8 * self._height, octaves=5)[::3])
        fade = np.clip(1.1 - np.linspace(0, 1.1 / _HORIZON, size[1], dtype=np.float32), 0, 1)[:, None]
        sky += (tone((255, 252, 244)) - sky) * (clouds * fade * 0.85)[..., None]
        return to_bytes(sky)

    def _paint_hills(self, rng: np.random.Generator) -> Rgba:
        span, height = 3 * self._width, self._horizon + 2
        picture = np.empty((height, span, 4), np.uint8)
        picture[:] = (150, 172, 190, 0)
        y = np.arange(height, dtype=np.float32)[:, None]
        for rise, colour in ((0.20, (150, 172, 190)), (0.13, (118, 150, 148)), (0.07, (96, 132, 104))):
            ridge = noise(rng, (span, 3), 0.8 * self._height, octaves=6)[1]
            top = height - self._height * rise * (0.25 + ridge)
            alpha = np.clip(y - top[None] + 0.5, 0, 1)
            mottle = 0.9 + 0.2 * noise(rng, (span, height), 0.06 * self._height)
            picture[..., :3] = np.where(
                alpha[..., None] > 0.5, to_bytes(tone(colour) * mottle[..., None]), picture[..., :3]
            )
            picture[..., 3] = np.maximum(picture[..., 3], to_bytes(255 * alpha))
        return picture


def _paint_ground(rng: np.random.Generator) -> NDArray[np.float32]:
    """Return sixteen by sixteen units of ground, `float32 [h w 3]`: meadow, verge, road with a broken line."""
    size = (_TEXTURE, _TEXTURE)
    fine, coarse = noise(rng, size, 10, octaves=3), noise(rng, size, 70)
    picture = mix((74, 122, 52), (142, 170, 80), 0.55 * fine + 0.45 * coarse)
    x = np.abs(np.arange(_TEXTURE, dtype=np.float32) / _TEXELS - 8)[None].repeat(_TEXTURE, axis=0)
    y = np.arange(_TEXTURE, dtype=np.float32)[:, None] / _TEXELS
    gravel = mix((150, 136, 108), (186, 172, 144), fine)
    asphalt = mix((84, 84, 92), (112, 110, 114), 0.6 * fine + 0.4 * coarse)
    picture = np.where((x < 2.45 + 0.3 * coarse)[..., None], gravel, picture)
    picture = np.where((x < 2.0)[..., None], asphalt, picture)
    paint = ((x < 0.10) & (y % 4 < 2.2)) | ((x > 1.72) & (x < 1.86))
    return np.where(paint[..., None], tone((236, 230, 208)) * (0.85 + 0.15 * fine[..., None]), picture)


def _paint_tree(rng: np.random.Generator, kind: int) -> Rgba:
    width, height = (60, 120) if kind == 1 else (104, 120)

    def paint(brush: ImageDraw.ImageDraw, s: int) -> None:
        w, h = width * s, height * s
        brush.polygon(((0.46 * w, h), (0.54 * w, h), (0.52 * w, 0.4 * h), (0.48 * w, 0.4 * h)), fill=(84, 62, 44))
        if kind == 1:
            for tier in range(7):
                top, wide = (0.02 + 0.115 * tier) * h, (0.14 + 0.055 * tier) * w
                tint = int(rng.integers(-8, 10))
                left, right = (w / 2 - wide, top + 0.24 * h), (w / 2 + wide, top + 0.24 * h)
                brush.polygon(((w / 2, top), left, right), fill=(34 + tint, 82 + tint, 56 + tint))
                brush.polygon(((w / 2, top), (w / 2, top + 0.22 * h), right), fill=(48 + tint, 104 + tint, 62 + tint))
            return
        base = ((70, 122, 52), (196, 140, 52))[kind // 2]
        for layer in range(90):
            angle, reach = rng.uniform(0, 2 * math.pi), math.sqrt(rng.uniform(0, 1))
            cx, cy = w / 2 + 0.36 * w * reach * math.cos(angle), 0.36 * h + 0.27 * h * reach * math.sin(angle)
            radius = rng.uniform(0.05, 0.11) * w
            light = 0.72 + 0.5 * layer / 90 - 0.35 * (cy / h - 0.36) + rng.uniform(-0.08, 0.08)
            brush.ellipse(
                (cx - radius, cy - radius, cx + radius, cy + radius),
                fill=tuple(min(255, round(part * light)) for part in base),
            )

    return draw((width, height), paint)


def _hazed(rgba: Rgba, share: float) -> Sprite:
    colour = mix((0, 0, 0), _HAZE, np.full(rgba.shape[:2], share)) + rgba[..., :3] * (1 - share)
    return Sprite(np.dstack([to_bytes(colour), rgba[..., 3]]))
