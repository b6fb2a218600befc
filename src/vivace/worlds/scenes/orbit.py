"""Textured balls circling over a checkered floor: perspective, shading, shadows, occlusion by depth."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vivace.media.frame import Rgb
from vivace.media.size import Size
from vivace.worlds.paint import (
    Field,
    Layer,
    blend,
    gradient,
    mix,
    noise,
    packed,
    picked,
    smoothstep,
    to_bytes,
    tone,
)

_HORIZON = 0.40
_EYE = 1.35
"""Height of the eye over the floor; the balls have a radius of about a half."""
_FOCAL = 1.25
"""In picture heights."""
_TILE = 256
"""Floor texture of two by two tiles, px; a power of two, so that repeating is a bit mask."""
_BALL = 256
"""Longitudes of a ball's texture."""


class Scene:
    """The balls; see the module."""

    def __init__(self, size: Size, rng: np.random.Generator):
        self._width, self._height = size
        self._horizon = max(1, round(_HORIZON * self._height))
        sky = self._paint_sky(rng)
        self._sky = Layer(np.dstack([sky, np.full(sky.shape[:2], 255, np.uint8)]))
        self._floor = self._paint_floor(rng)
        rows = np.arange(self._horizon, self._height, dtype=np.float32) + 1 - self._horizon
        columns = (np.arange(self._width, dtype=np.float32) - self._width / 2)[None]
        # Where the ray through each pixel meets the floor, seen from the eye: across and ahead.
        self._ahead = (_EYE * _FOCAL * self._height / rows)[:, None]
        self._across = columns / (_FOCAL * self._height) * self._ahead
        self._haze = np.clip(1.25 - self._ahead / 16, 0, 1).astype(np.float32)
        # What the haze adds: the colour of the horizon.
        self._far = sky[self._horizon - 1].mean(axis=0, dtype=np.float32) * (1 - self._haze[..., None])
        palettes = rng.permutation(len(_SKINS))
        self._balls = [
            _Ball(rng, _SKINS[palettes[index]], radius, orbit, height, 2 * math.pi * index / 5, spin)
            for index, (radius, orbit, height, spin) in enumerate(
                (
                    (0.62, 0.0, 0.75, 0.5),
                    (0.42, 1.7, 0.5, -0.9),
                    (0.34, 2.3, 0.9, 1.3),
                    (0.5, 2.0, 0.55, 0.7),
                    (0.3, 1.35, 1.3, -1.6),
                )
            )
        ]

    def render(self, time_s: float) -> Rgb:
        """Return the picture at `time_s`."""
        turn = 0.22 * time_s
        canvas = np.empty((self._height, self._width, 3), np.uint8)
        self._sky.draw(canvas, -turn * _FOCAL * self._height)
        cos, sin = math.cos(turn), math.sin(turn)
        distance = 5.2 + 0.7 * math.sin(0.4 * time_s)
        places = [ball.place(time_s) for ball in self._balls]
        # Floor: from eye coordinates to the world's, turned about the middle of the dance.
        ahead, across = self._ahead - distance, self._across
        x, z = cos * across - sin * ahead, sin * across + cos * ahead
        cells = (x * (_TILE / 2)).astype(np.int32) & (_TILE - 1)
        cells += ((z * (_TILE / 2)).astype(np.int32) & (_TILE - 1)) * _TILE
        light = self._haze.repeat(self._width, axis=1)
        for ball, (bx, by, bz) in zip(self._balls, places, strict=True):
            self._cast_shadow(light, x, z, ball.radius, (bx, by, bz))
        floor = picked(self._floor, cells)[..., :3] * light[..., None]
        floor += self._far
        canvas[self._horizon :] = floor
        seen = sorted(
            (
                (sin * bx * -1 + cos * bz + distance, cos * bx + sin * bz, by, ball)
                for ball, (bx, by, bz) in zip(self._balls, places, strict=True)
            ),
            key=lambda entry: -entry[0],
        )
        for depth, side, up, ball in seen:
            if depth > 0.8:
                scale = _FOCAL * self._height / depth
                centre = (self._width / 2 + side * scale, self._horizon + (_EYE - up) * scale)
                ball.draw(canvas, centre, ball.radius * scale, time_s, turn)
        return canvas

    @staticmethod
    def _cast_shadow(light: Field, x: Field, z: Field, radius: float, place: tuple[float, float, float]) -> None:
        bx, by, bz = place
        soft = 1 / (1.5 * radius * (1 + 0.35 * by))
        dx, dz = (x - (bx + 0.25 * by)) * soft, (z - (bz + 0.15 * by)) * soft
        near = np.maximum(1 - dx * dx - dz * dz, 0)
        near *= near
        light *= 1 - 0.66 / (1 + 0.3 * by) * near

    def _paint_sky(self, rng: np.random.Generator) -> Rgb:
        """Paint all that is above the horizon, all around."""
        size = (3 * self._width, self._horizon)
        sky = gradient(size, ((0, (64, 128, 196)), (1, (226, 226, 214))))
        clouds = smoothstep(0.46, 0.8, noise(rng, (size[0], 4 * size[1]), 0.9 * self._height, octaves=5)[::4])
        fade = np.linspace(1, 0, size[1], dtype=np.float32)[:, None]
        sky += (tone((255, 250, 244)) - sky) * (clouds * fade * 0.9)[..., None]
        return to_bytes(sky)

    def _paint_floor(self, rng: np.random.Generator) -> NDArray[np.uint32]:
        """Return the texture as packed pixels, `[_TILE * _TILE]`."""
        half = _TILE // 2
        y, x = np.mgrid[:_TILE, :_TILE]
        veins = noise(rng, (_TILE, _TILE), 60)
        veins = np.abs(veins - 0.5) * 2
        dark = mix((44, 52, 78), (78, 92, 122), veins)
        bright = mix((206, 186, 160), (246, 236, 216), veins)
        picture = np.where((((x // half) + (y // half)) % 2 == 0)[..., None], dark, bright)
        joint = ((x % half < 2) | (y % half < 2))[..., None]
        picture = np.where(joint, tone((120, 112, 108)), picture)
        return packed(picture)


_SKINS = (
    ((222, 74, 60), (250, 232, 210), "bands"),
    ((52, 122, 196), (96, 190, 120), "land"),
    ((246, 188, 64), (196, 110, 40), "swirl"),
    ((120, 80, 170), (226, 190, 236), "dots"),
    ((60, 160, 140), (226, 244, 226), "checks"),
)


class _Ball:
    """One ball: its texture, its way, and a unit sphere of shading shared by all sizes."""

    def __init__(
        self,
        rng: np.random.Generator,
        skin: tuple[tuple[int, int, int], tuple[int, int, int], str],
        radius: float,
        orbit: float,
        height: float,
        start: float,
        spin: float,
    ):
        self.radius = radius
        self._orbit, self._height, self._start, self._spin = orbit, height, start, spin
        rows = _BALL // 2
        field = noise(rng, (_BALL, rows), 60)
        v, u = np.mgrid[:rows, :_BALL].astype(np.float32)
        self._texture = packed(mix(skin[0], skin[1], _pattern(skin[2], u / _BALL, v / rows, field)))

    def place(self, time_s: float) -> tuple[float, float, float]:
        """Return where the middle is: across, up, ahead."""
        angle = self._start + (0.9 / (0.6 + self._orbit)) * time_s
        up = self.radius + self._height * abs(math.sin(1.3 * time_s + 2 * self._start)) * (
            0.25 if self._orbit == 0 else 1
        )
        return self._orbit * math.cos(angle), up, self._orbit * math.sin(angle)

    def draw(self, canvas: Rgb, centre: tuple[float, float], radius_px: float, time_s: float, turn: float) -> None:
        """Draw the ball with its middle at `centre`, px."""
        left, top = max(0, int(centre[0] - radius_px) - 1), max(0, int(centre[1] - radius_px) - 1)
        right = min(canvas.shape[1], int(centre[0] + radius_px) + 2)
        bottom = min(canvas.shape[0], int(centre[1] + radius_px) + 2)
        if left >= right or top >= bottom:
            return
        x = ((np.arange(left, right, dtype=np.float32) - centre[0]) / radius_px)[None]
        y = ((np.arange(top, bottom, dtype=np.float32) - centre[1]) / radius_px)[:, None]
        square = x * x + y * y
        z = np.sqrt(np.maximum(0, 1 - square))
        # Tilted a little, so that the poles are seen.
        up, out = 0.94 * y - 0.34 * z, 0.34 * y + 0.94 * z
        latitude = np.arccos(np.clip(up, -1, 1)) * (_BALL // 2 / math.pi)
        longitude = np.arctan2(x, out) * (_BALL / (2 * math.pi)) + (self._spin * time_s + turn) * _BALL / 6.2832
        rows = np.minimum(latitude.astype(np.int32), _BALL // 2 - 1)
        cells = rows * _BALL + (longitude.astype(np.int32) & (_BALL - 1))
        skin = picked(self._texture, cells).astype(np.float32)
        lit = np.clip(-0.52 * x - 0.62 * y + 0.58 * z, 0, 1)
        shade = 0.30 + 0.82 * lit + 0.10 * np.clip(y, 0, 1)
        gleam = 170 * lit**24
        skin *= shade[..., None]
        skin += gleam[..., None]
        np.minimum(skin, 255, out=skin)
        skin[..., 3] = np.clip((1 - np.sqrt(square)) * radius_px + 0.5, 0, 1) * 255
        blend(canvas[top:bottom, left:right], skin.astype(np.uint8))


def _pattern(kind: str, u: Field, v: Field, field: Field) -> Field:
    if kind == "bands":
        return smoothstep(0.45, 0.55, (0.5 + 0.5 * np.sin(14 * np.pi * v + 1.5 * field)).astype(np.float32))
    if kind == "land":
        return smoothstep(0.48, 0.56, field)
    if kind == "swirl":
        return np.float32(0.5) + np.float32(0.5) * np.sin(10 * np.pi * v + 7 * field + 2 * np.pi * u)
    if kind == "dots":
        du, dv = (u * 12) % 1 - 0.5, (v * 6) % 1 - 0.5
        return 1 - smoothstep(0.26, 0.32, np.hypot(du, dv))
    return ((np.floor(u * 12) + np.floor(v * 6)) % 2).astype(np.float32) * (0.8 + 0.2 * field)
