"""Random edits of pictures, exact and free, such as a person makes of a snapshot in any program."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.float32]
"""`[h w 3]`, 0 to 1."""
Mask = NDArray[np.float32]
CHANGED = 8
"""Change of a px by an edit, levels, from which it is inside of it."""
LEAST_PX = 64
"""Fewest px inside of an edit by which it is judged."""
EDITS = ("colour", "paint", "marks", "tint")
"""Kinds of edits: one colour replaced by another; paint over a blob; lines and spots; the whole picture toned."""


def inside(target: NDArray[np.uint8], source: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return the area `[h w]` of an edit that makes `target` of `source`."""
    return np.asarray(cv2.absdiff(target, source).max(-1) >= CHANGED)


def edited(picture: Picture, kind: str, rng: np.random.Generator) -> Picture:
    """Return a picture after a random edit of a kind."""
    make = {"colour": recoloured, "paint": painted, "marks": marked, "tint": tinted}[kind]
    return np.clip(make(picture, rng), 0, 1)


def blob(height: int, width: int, rng: np.random.Generator) -> Mask:
    """Return a smooth random area, `[h w]`, 0 to 1, of a fifth to a half of the picture."""
    coarse = rng.standard_normal((5, 5)).astype(np.float32)
    field = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    edge = float(np.quantile(field, rng.uniform(0.5, 0.85)))
    return np.asarray(1 / (1 + np.exp(np.clip(-(field - edge) * rng.uniform(6, 40), -30, 30))), np.float32)


def recoloured(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return a picture in which what has the colour of a random place has another, folds and shades kept."""
    h, w = picture.shape[:2]
    y, x = int(rng.integers(h // 8, h - h // 8)), int(rng.integers(w // 8, w - w // 8))
    colour = picture[y - 3 : y + 4, x - 3 : x + 4].mean((0, 1))
    distance = np.square(picture - colour).sum(-1)
    mask = cv2.blur(np.exp(-distance / (2 * rng.uniform(0.08, 0.2) ** 2)), (5, 5))
    if rng.random() < 0.5:
        mask = mask * blob(h, w, rng)
    light = picture.mean(-1, keepdims=True)
    wanted = rng.uniform(0, 1, 3).astype(np.float32)
    if rng.random() < 0.5:
        fresh = wanted + 0.8 * (light - colour.mean())
    else:
        fresh = wanted * light / max(float(colour.mean()), 0.1)
    return picture + mask[..., None] * (np.clip(fresh, 0, 1) - picture)


def painted(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return a picture with rough paint over a random area."""
    h, w = picture.shape[:2]
    mask = blob(h, w, rng)[..., None] * rng.uniform(0.5, 1)
    rough = cv2.resize(rng.standard_normal((h // 6, w // 6, 3)).astype(np.float32), (w, h))
    fresh = np.clip(rng.uniform(0, 1, 3) + 0.08 * rough, 0, 1)
    return np.asarray(picture + mask * (fresh - picture), np.float32)


def marked(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return a picture with a few strokes, spots and outlines drawn on it."""
    h, w = picture.shape[:2]
    side = min(h, w)
    drawn = picture.copy()
    for _ in range(int(rng.integers(1, 6))):
        colour = tuple(float(c) for c in (rng.uniform(0, 1, 3) if rng.random() < 0.7 else [rng.uniform(0, 0.2)] * 3))
        thick = int(rng.integers(2, max(4, side // 24)))
        at = rng.uniform(0.1, 0.9, 2) * (w, h)
        if rng.random() < 0.5:
            steps = np.cumsum(rng.normal(0, side / 12, (int(rng.integers(2, 7)), 2)), 0)
            points = np.round(at + np.vstack([[0, 0], steps])).astype(np.int32)
            cv2.polylines(drawn, [points], bool(rng.random() < 0.2), colour, thick, cv2.LINE_AA)
        else:
            axes = tuple(int(v) for v in np.maximum(rng.uniform(0.02, 0.14, 2) * side, 2))
            filled = -1 if rng.random() < 0.7 else thick
            centre = (int(at[0]), int(at[1]))
            cv2.ellipse(drawn, centre, axes, float(rng.uniform(0, 180)), 0, 360, colour, filled, cv2.LINE_AA)
    return drawn


def tinted(picture: Picture, rng: np.random.Generator) -> Picture:
    """Return a picture whose channels are mixed, shifted and bent."""
    mix = np.eye(3) + rng.normal(0, 0.3, (3, 3))
    toned = np.clip((picture - 0.5) @ mix.T + 0.5 + rng.uniform(-0.15, 0.15, 3), 0, 1)
    return np.asarray(toned ** np.exp(rng.normal(0, 0.25)), np.float32)
