"""Evidence of the watermark in a picture: its luma in the pattern's band, divided by the energy around it.

The picture itself is the noise, and it is unlike from place to place and from direction to direction: along an edge it
is loud across the edge alone. So the band is split into two octaves and four directions, and each is divided by its own
energy nearby: what remains is flat enough to be added up over the picture and over frames.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vivace.trust.watermark.pattern import TILE_PX

CENTRES = (5.0, 25.0)
"""Centres of the octaves, cycles a tile; each fades to nothing at the next one's, or as far below it."""
_DIRECTIONS = 4
_NEARBY_PX = 4.0
"""Standard deviation of the neighbourhood whose energy is taken, in px of the original."""
_FLOOR = 0.12
"""Energy, in levels squared, below which a place is not trusted more."""
_HIDES = 60.0
"""Energy, in levels squared, above which the embedder puts more in."""
LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


def reduced_luma(rgb: NDArray[np.uint8], factor: int) -> NDArray[np.float32]:
    """Return the mean luma of each `factor x factor` px: `float32 [h / factor, w / factor]`."""
    height, width = (side // factor * factor for side in rgb.shape[:2])
    rows = rgb[:height, :width].reshape(height // factor, factor, -1).sum(axis=1, dtype=np.float32)
    weights = np.tile(LUMA / factor**2, factor)
    luma: NDArray[np.float32] = rows.reshape(len(rows), -1, 3 * factor) @ weights
    return luma


def evidence(luma: NDArray[np.float32], px: float) -> NDArray[np.float32]:
    """Return what may be watermark of a picture: `float32 [h w]`, of no unit.

    Args:
        luma: `[h w]`, 0 to 255.
        px: how many px of the original lie between two of its values.
    """
    height, width = luma.shape
    spectrum = np.fft.fft2(luma - luma.mean())
    found = np.zeros(luma.shape, np.float32)
    for subband in _subbands(height, width, px):
        part = np.fft.ifft2(spectrum * subband)
        energy = (part.real**2 + part.imag**2).astype(np.float32)
        energy = _blurred(energy, _NEARBY_PX / px) + np.float32(_FLOOR)
        found += part.real * np.sqrt(energy + _HIDES) / energy
    return found


@lru_cache(maxsize=8)
def _subbands(height: int, width: int, px: float) -> list[NDArray[np.float32]]:
    down = np.fft.fftfreq(height)[:, None] * (TILE_PX / px)
    right = np.fft.fftfreq(width)[None] * (TILE_PX / px)
    octave = np.log(np.maximum(np.hypot(down, right), 1e-3) / CENTRES[0]) / np.log(CENTRES[1] / CENTRES[0])
    angle = np.arctan2(down, right)
    made = []
    for index in range(len(CENTRES)):
        radial = np.cos(np.clip(octave - index, -1, 1) * np.pi / 2) ** 2
        for direction in range(_DIRECTIONS):
            away = (angle - np.pi * direction / _DIRECTIONS + np.pi) % (2 * np.pi) - np.pi
            # one half of the plane: what comes back is complex, and its magnitude is the energy without its ripple
            angular = np.where(np.abs(away) < np.pi / _DIRECTIONS, np.cos(away * _DIRECTIONS / 2) ** 2, 0)
            made.append((2 * radial * angular).astype(np.float32))
    return made


def _blurred(values: NDArray[np.float32], deviation: float) -> NDArray[np.float32]:
    """Return `[h w]` under a normal curve in both directions; beyond the edges there is nothing."""
    reach = math.ceil(2.5 * deviation)
    curve = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2).astype(np.float32)
    curve /= curve.sum()
    for _ in range(2):
        count = len(values)
        padded = np.pad(values, ((reach, reach), (0, 0)))
        below = np.zeros_like(values)
        for at, weight in enumerate(curve):
            below += weight * padded[at : at + count]
        values = below.T
    return values
