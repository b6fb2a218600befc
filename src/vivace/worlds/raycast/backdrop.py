"""Backdrops at infinite distance: skies with clouds, and ridges at the horizon, painted all around."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vivace.worlds.paint import Colour, Field, gradient, mix, noise, smoothstep, to_bytes, tone
from vivace.worlds.raycast.lens import Lens

F32 = NDArray[np.float32]
_SIZE = (1536, 384)
_TOP, _BOTTOM = math.radians(72), math.radians(-18)
_HORIZON = _TOP / (_TOP - _BOTTOM)
"""Height of the horizon, as a share of the panorama."""


@dataclass(frozen=True, slots=True)
class Paint:
    """Parameters of a backdrop."""

    sky: tuple[tuple[float, Colour], ...]
    """Gradient stops from the horizon (0) up (1)."""
    cloud: Colour = (255, 250, 242)
    shadow: Colour = (206, 210, 222)
    cover: float = 0.5
    """Share of the sky covered by clouds."""
    ridges: tuple[tuple[float, Colour, Colour], ...] = ()
    """Ridges from far to near: height of the skyline (radians), colours at top and foot."""
    rough: float = 0.35
    """Roughness of the ridges: hills 0.3, mountains 1."""
    below: tuple[Colour, Colour] = ((176, 170, 150), (120, 122, 100))
    sun: tuple[float, float, Colour] | None = None
    """Direction (radians to the right), height (radians) and colour of the sun."""
    stars: int = 0
    lights: int = 0
    """Number of lights of a town at the horizon."""


PAINTS = {
    "day": Paint(
        ((0, (214, 228, 236)), (0.25, (156, 198, 232)), (1, (64, 122, 196))),
        ridges=((0.13, (150, 170, 192), (186, 204, 216)), (0.07, (112, 146, 130), (158, 184, 166))),
    ),
    "summit": Paint(
        ((0, (228, 232, 234)), (0.3, (150, 192, 226)), (1, (52, 104, 180))),
        cover=0.35,
        rough=1.0,
        ridges=(
            (0.40, (246, 246, 250), (128, 146, 182)),
            (0.22, (122, 140, 158), (150, 172, 184)),
            (0.09, (66, 96, 84), (120, 146, 122)),
        ),
        below=((132, 152, 116), (96, 118, 84)),
    ),
    "dusk": Paint(
        ((0, (255, 196, 128)), (0.12, (250, 150, 116)), (0.35, (176, 108, 150)), (1, (52, 58, 120))),
        cloud=(255, 176, 140),
        shadow=(132, 88, 136),
        cover=0.5,
        ridges=((0.12, (126, 88, 132), (196, 130, 132)), (0.06, (66, 56, 92), (112, 84, 110))),
        below=((120, 92, 104), (72, 60, 82)),
        sun=(0.5, 0.06, (255, 240, 200)),
    ),
    "night": Paint(
        ((0, (44, 54, 88)), (0.2, (24, 32, 66)), (1, (8, 12, 34))),
        cloud=(48, 56, 84),
        shadow=(26, 32, 58),
        cover=0.35,
        ridges=((0.12, (26, 34, 56), (38, 46, 70)), (0.06, (12, 18, 32), (20, 26, 44))),
        below=((20, 24, 40), (12, 14, 26)),
        sun=(-0.55, 0.42, (236, 238, 246)),
        stars=900,
        lights=120,
    ),
    "winter": Paint(
        ((0, (232, 234, 238)), (0.3, (208, 216, 226)), (1, (160, 176, 200))),
        cloud=(246, 246, 248),
        shadow=(196, 202, 212),
        cover=0.75,
        ridges=((0.13, (228, 232, 240), (236, 238, 242)), (0.07, (186, 196, 206), (224, 228, 234))),
        below=((230, 232, 238), (206, 210, 222)),
    ),
    "desert": Paint(
        ((0, (250, 226, 186)), (0.3, (226, 206, 176)), (1, (92, 148, 190))),
        cloud=(255, 246, 230),
        cover=0.2,
        rough=0.15,
        ridges=((0.16, (214, 140, 88), (236, 186, 130)), (0.09, (196, 116, 66), (226, 164, 104))),
        below=((226, 176, 116), (196, 142, 88)),
    ),
    "sea": Paint(
        ((0, (226, 238, 240)), (0.25, (164, 210, 234)), (1, (56, 128, 200))),
        cover=0.45,
        rough=0.6,
        ridges=((0.035, (128, 156, 176), (150, 178, 194)),),
        below=((84, 148, 172), (38, 96, 130)),
    ),
    "storm": Paint(
        ((0, (170, 150, 150)), (0.12, (128, 126, 146)), (0.4, (84, 92, 118)), (1, (56, 62, 88))),
        cloud=(148, 146, 162),
        shadow=(66, 72, 96),
        cover=0.8,
        ridges=((0.12, (74, 80, 102), (104, 106, 124)),),
        below=((92, 94, 108), (66, 68, 82)),
    ),
}


def _ring(rng: np.random.Generator, cell: float, octaves: int) -> F32:
    """Return a noisy line all around, 0 to 1."""
    line: F32 = noise(rng, (_SIZE[0], 4), cell * _SIZE[0], octaves=octaves)[1]
    return line


def _paint(name: str) -> F32:
    paint = PAINTS[name]
    rng = np.random.default_rng([5, *name.encode()])
    width, height = _SIZE
    stops = tuple((_HORIZON * (1 - at), colour) for at, colour in reversed(paint.sky))
    picture = gradient(_SIZE, (*stops, (1.0, paint.sky[0][1])))
    elevation = np.linspace(_TOP, _BOTTOM, height, dtype=np.float32)[:, None]
    x = np.arange(width, dtype=np.float32)[None] / width * np.float32(2 * math.pi) - np.float32(math.pi)
    small = (width // 2, height // 2)
    _stars(picture, rng, paint)
    if paint.sun:
        away = np.hypot(x - paint.sun[0], elevation - paint.sun[1])
        picture += np.exp(-((away / 0.35) ** 2))[..., None] * tone(paint.sun[2]) * 0.25
        disc = 1 - smoothstep(0.045, 0.05, away)
        picture += (tone(paint.sun[2]) - picture) * disc[..., None]
    # Clouds are elongated near the horizon and tall above, lit from above.
    field = noise(rng, (small[0], small[1] * 3), 0.17 * width / 2, octaves=6)[::3]
    field, lower = (_enlarged(part) for part in (field, np.roll(field, 3, axis=0)))
    thick = smoothstep(1 - paint.cover, 1.25 - 0.5 * paint.cover, field + 0.12)
    thick = thick * smoothstep(-0.02, 0.12, elevation + 0 * field) * np.float32(0.92)
    light = np.clip(0.5 + 4 * (field - lower), 0, 1)
    picture += (mix(paint.shadow, paint.cloud, light) - picture) * thick[..., None]
    ground = mix(paint.below[0], paint.below[1], np.clip(-elevation / 0.3, 0, 1) + 0 * field)
    picture = np.where((elevation < 0)[..., None], ground, picture)
    grain = _enlarged(noise(rng, small, 0.03 * width, octaves=5))
    for tallest, top, foot in paint.ridges:
        if paint.rough > 0.5:
            # Folded noise has crests, like mountains.
            line = (1 - np.abs(2 * _ring(rng, 0.075, 6) - 1)) * (0.6 + 0.4 * _ring(rng, 0.2, 3))
        else:
            line = _ring(rng, 0.16, 3) + 0.05 * paint.rough * _ring(rng, 0.01, 3)
        skyline = (tallest * (0.35 + 0.65 * line)).astype(np.float32)[None]
        inside = smoothstep(-0.0015, 0.0015, skyline - elevation) * (elevation > -0.004)
        depth = np.clip((skyline - elevation) / tallest, 0, 1)
        # Snow becomes patchy towards the foot; hills fade smoothly.
        share = np.clip(depth * 1.2 + 0.8 * paint.rough * (grain - 0.5), 0, 1)
        if paint.rough > 0.5:
            share = 0.35 * share + 0.65 * smoothstep(0.42, 0.58, (depth + 1.1 * (grain - 0.5)).astype(np.float32))
        colour = mix(top, foot, share)
        colour *= (0.9 + 0.2 * grain)[..., None]
        picture += (colour - picture) * inside[..., None]
    for _ in range(paint.lights):
        column, row = int(rng.integers(width)), round(_HORIZON * height - rng.random() ** 2 * 12) - 1
        picture[row, column] = (255, 214, 140)
    return picture


def _enlarged(field: Field) -> Field:
    from PIL import Image

    return np.asarray(Image.fromarray(np.ascontiguousarray(field)).resize(_SIZE, Image.Resampling.BICUBIC))


def _stars(picture: F32, rng: np.random.Generator, paint: Paint) -> None:
    for _ in range(paint.stars):
        column, row = int(rng.integers(_SIZE[0])), int(rng.integers(round(_HORIZON * _SIZE[1])))
        picture[row, column] += 60 + 150 * rng.random()


@lru_cache(maxsize=16)
def _packed(name: str) -> tuple[NDArray[np.uint32], ...]:
    """Return the panorama and two smaller copies."""
    picture = _paint(name)
    levels = []
    for _ in range(3):
        rgba = np.dstack([to_bytes(picture), np.zeros(picture.shape[:2], np.uint8)])
        levels.append(np.ascontiguousarray(rgba).view(np.uint32)[..., 0])
        picture = (picture[::2, ::2] + picture[1::2, ::2] + picture[::2, 1::2] + picture[1::2, 1::2]) * np.float32(0.25)
    return tuple(levels)


class Backdrop:
    """Panorama, rotated."""

    def __init__(self, name: str, turn: float = 0.0):
        """Take one of `PAINTS`; with `turn` 0 (radians) its centre is ahead (z)."""
        self.name = name
        self.turn = turn
        self._levels = _packed(name)

    def seen(self, lens: Lens, x: F32, y: F32) -> F32:
        """Return the colours of rays that hit nothing, `[3 n]`, 0 to 1, display-encoded."""
        turn = lens.pose.astype(np.float32)
        d = [turn[a, 0] * x + turn[a, 1] * y + turn[a, 2] for a in range(3)]
        around = np.arctan2(d[0], d[2]) * np.float32(0.5 / math.pi) + np.float32(0.5 - self.turn / (2 * math.pi))
        up = np.arctan2(d[1], np.sqrt(d[0] * d[0] + d[2] * d[2]))
        down = (np.float32(_TOP) - up) * np.float32(1 / (_TOP - _BOTTOM))
        coarse = _SIZE[0] / (2 * math.pi) / lens.focal_px
        level = self._levels[min(2, max(0, round(math.log2(max(coarse, 1)))))]
        height, width = level.shape
        column = (around - np.floor(around)) * width - np.float32(0.5)
        row = np.clip(down * height - np.float32(0.5), 0, np.float32(height - 1.001))
        left, top = np.floor(column), np.floor(row)
        fx, fy = column - left, row - top
        left, top = left.astype(np.int32), top.astype(np.int32)
        columns = (left % width, (left + 1) % width)
        flat = level.reshape(-1)
        total = np.zeros((3, len(x)), np.float32)
        for step, weight_y in ((0, 1 - fy), (1, fy)):
            for place, weight_x in zip(columns, (1 - fx, fx), strict=True):
                texel = flat[(top + step) * width + place]
                weight = weight_x * weight_y
                for channel in range(3):
                    total[channel] += ((texel >> (8 * channel)) & 255) * weight
        total *= np.float32(1 / 255)
        return total
