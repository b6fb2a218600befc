"""Public-domain photographs under a slowly moving camera: pan, zoom, a little turning, a hard cut every few seconds."""

from __future__ import annotations

import math
from importlib.resources import files
from io import BytesIO

import numpy as np
from PIL import Image

from vivace.media.frame import Rgb
from vivace.media.size import Size
from vivace.worlds.scene import PaintedWorld

_PICTURES = ("astronaut", "cat", "coffee", "rocket")

SHOT_S = 6.0
"""Duration of a shot, s."""
_TURN_RAD = 0.07
_ZOOM = (0.74, 0.98)
"""Visible share of the picture's shorter side, at the closest and the widest."""


class Gallery:
    """Gallery scene; see the module."""

    def __init__(self, size: Size, rng: np.random.Generator):
        self._size = size
        self._pictures = [_prepared(f"{name}.jpg", size) for name in _PICTURES]
        self._seed = int(rng.integers(2**31))

    def render(self, time_s: float) -> Rgb:
        """Return the picture at `time_s`."""
        shot, inside_s = divmod(time_s, SHOT_S)
        picture = self._pictures[int(shot) % len(self._pictures)]
        rng = np.random.default_rng([self._seed, int(shot)])
        width, height = self._size
        # Picture pixels per output pixel, such that the view fits inside even when rotated.
        slack = math.cos(_TURN_RAD) + max(width / height, height / width) * math.sin(_TURN_RAD)
        widest = min(picture.width / width, picture.height / height) / slack
        zooms = rng.permutation(_ZOOM) * widest
        at = inside_s / SHOT_S
        ease = at * at * (3 - 2 * at)
        scale = zooms[0] + (zooms[1] - zooms[0]) * ease
        angle = _TURN_RAD * float(rng.uniform(-1, 1)) * math.cos(math.pi * ease)
        heading, reach = rng.uniform(0, 2 * math.pi), math.cos(math.pi * ease)
        room_x = (picture.width - slack * scale * width) / 2
        room_y = (picture.height - slack * scale * height) / 2
        # Hand-held motion: two slow sways besides the pan.
        sway = 0.05 * math.sin(1.7 * time_s), 0.05 * math.sin(2.3 * time_s + 1)
        centre_x = picture.width / 2 + room_x * (0.9 * math.cos(heading) * reach + sway[0])
        centre_y = picture.height / 2 + room_y * (0.9 * math.sin(heading) * reach + sway[1])
        cos, sin = scale * math.cos(angle), scale * math.sin(angle)
        matrix = (
            cos, -sin, centre_x - cos * width / 2 + sin * height / 2,
            sin, cos, centre_y - sin * width / 2 - cos * height / 2,
        )  # fmt: skip
        return np.asarray(picture.transform(self._size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR))


def _prepared(name: str, size: Size) -> Image.Image:
    """Return a picture at a size at which bilinear sampling neither blurs nor flickers."""
    data = files("vivace.worlds.pictures").joinpath(name).read_bytes()
    picture = Image.open(BytesIO(data)).convert("RGB")
    wanted = 1.35 * max(size[0] / picture.width, size[1] / picture.height)
    shape = (max(2, round(picture.width * wanted)), max(2, round(picture.height * wanted)))
    return picture.resize(shape, Image.Resampling.LANCZOS)


WORLD = PaintedWorld("public-domain photographs under a slowly moving camera, with hard cuts", Gallery)
