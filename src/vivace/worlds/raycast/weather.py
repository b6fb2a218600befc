"""Weather between the world and the picture: rain, and a noisy sensor. Not part of the truth."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from vivace.media.frame import Rgb

_DROPS = 150
_NOISE = 5.0
"""Standard deviation of the sensor noise, levels of 255."""


def rain(canvas: Rgb, rng: np.random.Generator, _: float) -> Rgb:
    """Return the picture through driving rain and sensor noise, different in every frame."""
    height, width = canvas.shape[:2]
    streaks = Image.new("L", (width * 2, height * 2))
    brush = ImageDraw.Draw(streaks)
    for x, y, near, lean in rng.random((_DROPS, 4)):
        length = height * (0.05 + 0.16 * near**2)
        dx, dy = length * (0.10 + 0.04 * lean), length
        left, top = 2 * (x * 1.2 - 0.1) * width, 2 * (y * 1.2 - 0.1) * height
        brush.line(
            (left, top, left + 2 * dx, top + 2 * dy), fill=int(20 + 60 * near), width=1 + int(near * height / 150)
        )
    cover = np.asarray(streaks.resize((width, height), Image.Resampling.BOX), np.float32)[..., None] * np.float32(
        1 / 255
    )
    noise = rng.standard_normal(canvas.shape, dtype=np.float32) * np.float32(_NOISE)
    wet = canvas + (np.float32(214) - canvas) * cover + noise
    return np.clip(wet + np.float32(0.5), 0, 255).astype(np.uint8)
