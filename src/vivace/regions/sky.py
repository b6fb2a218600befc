"""The sky: smooth, coloured like one, and reaching down from the upper edge of the picture."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from vivace.regions.picture import Picture

_LEAST = 0.02
"""Share of the picture below which it is a window or a lamp."""
_STEP = 0.075
"""Colours of neighbouring cells that differ by more, in 0..1, have an edge between them."""

_CLOUD, _WHITE, _PALE = 0.05, 0.7, 0.2
"""Cells of a cloud: how likely they are sky at least, their least luma, and largest difference of channels, 0..1."""
_FOUND, _LOST = 0.35, 0.2
"""Least probability of a sky, where there was none and where there was one."""
_LUMA = np.array([0.3, 0.59, 0.11], np.float32)
EVIDENCE = (
    *("blue", "blue_root", "blue_over_green", "luma", "lighter", "area", "upper_edge", "side_edges", "green_below"),
    *("luma_spread", "colour_spread", "texture", "horizon", "white"),
)
"""Values that tell a sky from a ceiling; their weights are in `sky.toml`."""

Floats = NDArray[np.float32]


class SkyWatcher:
    """Looks whether there is a sky, and where."""

    def __init__(self) -> None:
        self.presence = 0.0

    def forget(self) -> None:
        """Know of none."""
        self.presence = 0.0

    def look(self, picture: Picture) -> Floats:
        """Return how much each cell is sky, `[h/4 w/4]`, 0 to 1."""
        found = evidence(picture)
        sure = 0.0 if found is None else 1 / (1 + float(np.exp(-(_weights()[0] @ found[1] + _weights()[1]))))
        # once it is there a darker moment does not take it away
        least = _FOUND if self.presence == 0 else _LOST
        self.presence = sure if sure >= least else 0.0
        if found is None or self.presence == 0:
            return np.zeros(picture.cells.shape[:2], np.float32)
        return found[0].astype(np.float32)


@cache
def _weights() -> tuple[Floats, float]:
    with (resources.files("vivace.regions") / "sky.toml").open("rb") as file:
        fitted = tomllib.load(file)
    return np.array([fitted["weights"][name] for name in EVIDENCE], np.float32), float(fitted["bias"])


def evidence(picture: Picture) -> tuple[NDArray[np.bool_], Floats] | None:
    """Return which cells would be the sky, `[h/4 w/4]`, and what speaks for there being one: values of `EVIDENCE`."""
    rgb = np.asarray(picture.cells / np.float32(255), np.float32)
    smooth = _smooth(picture)
    h, w = smooth.shape
    likely = _coloured(rgb) * smooth * np.clip(1.25 - 0.6 * np.arange(h, dtype=np.float32) / h, 0, 1)[:, None]
    reached = _reached(likely, rgb)
    area = float(reached.mean())
    if area < _LEAST:
        return None
    # what has the same colours and is not lower is sky between branches
    colours = rgb[reached]
    middle = colours.mean(axis=0)
    spread = np.cov(colours.T) + 4e-4 * np.eye(3)
    apart = rgb.reshape(-1, 3) - middle
    distance = np.einsum("ni,ij,nj->n", apart, np.linalg.inv(spread), apart).reshape(h, w)
    horizon = int(np.flatnonzero(reached.any(axis=1)).max())
    above = (np.arange(h) <= horizon)[:, None]
    luma = rgb @ _LUMA
    # clouds, lighter than the sky that goes on below them
    over = np.flip(np.maximum.accumulate(np.flip(reached, 0)), 0)
    cloud = over & (likely > _CLOUD) & (luma > max(_WHITE, luma[reached].mean())) & (np.ptp(rgb, axis=2) < _PALE)
    whole = reached | (above & (distance < 6) & (likely > 0.35)) | cloud
    rest = rgb[~whole] if not whole.all() else middle[None]
    of_sky = luma[reached]
    blue = float(middle[2] - middle[0])
    values = {
        "blue": blue,
        "blue_root": max(blue, 0.0) ** 0.5,
        "blue_over_green": middle[2] - middle[1],
        "luma": of_sky.mean(),
        "lighter": of_sky.mean() - (rest @ _LUMA).mean(),
        "area": area,
        "upper_edge": whole[0].mean(),
        "side_edges": whole[:, [0, -1]].mean(),
        "green_below": np.clip(2 * rest[:, 1] - rest[:, 0] - rest[:, 2], 0, 0.3).mean(),
        "luma_spread": of_sky.std(),
        "colour_spread": colours.std(axis=0).mean(),
        "texture": 1 - smooth[reached].mean(),
        "horizon": horizon / h,
        "white": (of_sky > 0.97).mean(),
    }
    return whole, np.array([values[name] for name in EVIDENCE], np.float32)


def _coloured(rgb: Floats) -> Floats:
    """Return how much each cell has a colour that skies have, 0 to 1."""
    r, g, b = rgb[..., 0], rgb[..., 1], rgb[..., 2]
    luma = 0.3 * r + 0.59 * g + 0.11 * b
    chroma = rgb.max(axis=-1) - rgb.min(axis=-1)
    blue = np.clip((b - r) * 6, 0, 1) * np.clip((b - g) * 12 + 1, 0, 1) * np.clip(luma * 5 - 0.3, 0, 1)
    grey = np.clip(2 - chroma * 14, 0, 1) * np.clip(luma * 4 - 0.4, 0, 1)
    glow = np.clip((r - g) * 8 + 0.6, 0, 1) * np.clip((g - b) * 2 + 1, 0, 1) * np.clip(luma * 3 - 1.1, 0, 1) * 0.8
    dusk = np.clip((b - g) * 8, 0, 1) * np.clip(luma * 4 - 0.6, 0, 1)
    return np.asarray(np.maximum.reduce([blue, grey, glow, dusk]), np.float32)


def _smooth(picture: Picture) -> Floats:
    """Return how smooth each cell is, 0 to 1."""
    green = picture.look[..., 1].astype(np.int16)
    steps = np.zeros(green.shape, np.float32)
    steps[:, 1:] = np.abs(green[:, 1:] - green[:, :-1])
    steps[1:] = np.maximum(steps[1:], np.abs(green[1:] - green[:-1]))
    h, w = picture.cells.shape[:2]
    texture = steps.reshape(h, green.shape[0] // h, w, green.shape[1] // w).mean(axis=(1, 3))
    return np.asarray(np.clip(1.5 - texture / 9, 0, 1), np.float32)


def _reached(likely: Floats, rgb: Floats) -> NDArray[np.bool_]:
    """Return the cells that are reached from the upper edge without crossing an edge."""
    good = likely > 0.45
    reached = np.zeros_like(good)
    reached[:2] = good[:2]
    joined_down = np.abs(rgb[1:] - rgb[:-1]).max(axis=2) < _STEP
    joined_across = np.abs(rgb[:, 1:] - rgb[:, :-1]).max(axis=2) < _STEP
    very = likely > 0.75
    joined_down |= very[1:] & very[:-1]
    joined_across |= very[:, 1:] & very[:, :-1]
    for _ in range(4):
        before = int(reached.sum())
        for row in range(1, len(good)):
            reached[row] |= good[row] & reached[row - 1] & joined_down[row - 1]
        for column in range(1, good.shape[1]):
            reached[:, column] |= good[:, column] & reached[:, column - 1] & joined_across[:, column - 1]
        for column in range(good.shape[1] - 2, -1, -1):
            reached[:, column] |= good[:, column] & reached[:, column + 1] & joined_across[:, column]
        if int(reached.sum()) == before:
            break
    return reached
