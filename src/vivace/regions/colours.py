"""Px of a colour, by hue, chroma and lightness (CIE Lab)."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from vivace.regions.names import COLOURS
from vivace.regions.pixels import Field

_LEVELS = 32
"""Levels of a channel in the tables."""
_ALIKE_HUE, _ALIKE_CHROMA = 10.0, 0.55
"""Degrees of hue, and share of the chroma by lightness, in which a shadow may differ from a thing in the light."""
_DARK = 10.0
"""Lightness below which chroma by lightness is noise."""
_GROWS = 2.5
"""Most times that a thing may grow by its shadow."""
_GROWTH = 16
"""Cells by which a thing may go on in the shadow."""
_SOFT_HUE, _SOFT_CHROMA, _SOFT_LIGHTNESS = 8.0, 4.0, 4.0
"""Width over which a colour fades into its neighbours: degrees of hue, and units of Lab."""


def bins_of(rgb: NDArray[np.uint8]) -> NDArray[np.intp]:
    """Return the place of each px of `uint8 [h w 3]` in the tables, `[h w]`."""
    levels = (rgb >> 3).astype(np.intp)
    return np.asarray((levels[..., 0] * _LEVELS + levels[..., 1]) * _LEVELS + levels[..., 2])


def coloured(bins: NDArray[np.intp], name: str) -> Field:
    """Return how much each px has a colour, 0 to 1, of the places in the tables that `bins_of` gave."""
    return np.asarray(_table(name)[bins])


def shadows(cells: NDArray[np.uint8], seen: Field, name: str) -> Field:
    """Return how much each cell is the shadowed part of a thing of a colour, `[h w]`, 0 to 1; greys have none.

    What is joined to a thing of the colour, and differs from it by its light alone, is of the thing.

    Args:
        cells: their mean colours, `uint8 [h w 3]`.
        seen: how much each has the colour by itself, `[h w]`, 0 to 1.
        name: the colour.
    """
    strong = seen > 0.5
    if COLOURS[name].is_grey or not strong.any():
        return np.zeros_like(seen)
    lightness, a, b = np.moveaxis(_lab()[bins_of(cells)], -1, 0)
    vivid = np.hypot(a, b) / (lightness + _DARK)
    hue = np.arctan2(b[strong].mean(), a[strong].mean())
    apart = np.degrees(np.abs(np.angle(np.exp(1j * (np.arctan2(b, a) - hue)))))
    share = vivid / max(float(np.median(vivid[strong])), 1e-6)
    alike = np.clip((_ALIKE_HUE - apart) / _SOFT_HUE, 0, 1) * np.clip((share - _ALIKE_CHROMA) / 0.2, 0, 1)
    joined = seen
    for _ in range(_GROWTH):
        wider = np.pad(joined, 1)
        wider = np.maximum.reduce(
            [wider[1:-1, 1:-1], wider[2:, 1:-1], wider[:-2, 1:-1], wider[1:-1, 2:], wider[1:-1, :-2]]
        )
        joined = np.maximum(joined, np.minimum(alike, wider))
    # what grows far beyond the thing is the floor that it stands on
    grows = (joined > seen) & (joined.sum() <= _GROWS * seen.sum())
    return np.asarray(joined * grows, np.float32)


@cache
def _lab() -> NDArray[np.float32]:
    """Return CIE Lab of the middles of the tables' places, `[n 3]`."""
    levels = ((np.arange(_LEVELS) + 0.5) * (256 / _LEVELS) / 255).astype(np.float32)
    return lab_of(np.stack(np.meshgrid(levels, levels, levels, indexing="ij"), axis=-1).reshape(-1, 3))


@cache
def _table(name: str) -> NDArray[np.float32]:
    shade = COLOURS[name]
    lab = _lab()
    lightness, chroma = lab[:, 0], np.hypot(lab[:, 1], lab[:, 2])
    low, high = shade.hues
    if shade.is_grey:
        of_hue = np.ones_like(chroma)
    else:
        hue = np.degrees(np.arctan2(lab[:, 2], lab[:, 1]))
        apart = np.abs((hue - (low + high) / 2 + 180) % 360 - 180) - (high - low) / 2
        of_hue = np.clip(0.5 - apart / _SOFT_HUE, 0, 1)
    return np.asarray(
        of_hue * _within(chroma, shade.chroma, _SOFT_CHROMA) * _within(lightness, shade.lightness, _SOFT_LIGHTNESS),
        np.float32,
    )


def _within(x: NDArray[np.float32], bounds: tuple[float, float], soft: float) -> NDArray[np.float32]:
    low, high = bounds
    rises = np.ones_like(x) if low <= 0 else np.clip(0.5 + (x - low) / soft, 0, 1)
    return np.asarray(rises * np.clip(0.5 + (high - x) / soft, 0, 1), np.float32)


def lab_of(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return CIE Lab (D65) of sRGB in 0..1, `[n 3]`, as IEC 61966-2-1 and CIE 15 define them."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = (
        linear
        @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]], np.float64)
        / np.array([0.95047, 1.0, 1.08883])
    )
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    lab = np.stack((116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])), axis=-1)
    return np.asarray(lab, np.float32)
