"""Footage with known ground truth: textures that move by whole pixels."""

from dataclasses import replace
from functools import cache

import cv2
import numpy as np

from vivace.bench.metrics.footage import Footage

SIDE = 96
FRONT, BACK = 7, 3
"""Identities."""


@cache
def texture(seed: int, side: int = 3 * SIDE, *, mean=120.0, contrast=35.0) -> np.ndarray:
    """Return a soft random texture, `uint8 [side side 3]`."""
    noise = np.random.default_rng(seed).normal(size=(side, side, 3)).astype(np.float32)
    soft = cv2.GaussianBlur(noise, (0, 0), 2) + 2 * cv2.GaussianBlur(noise, (0, 0), 6)
    return np.clip(mean + contrast * (soft - soft.mean()) / soft.std(), 0, 255).astype(np.uint8)


def footage(
    count: int = 12,
    *,
    back: tuple[int, int] = (1, 0),
    front: tuple[int, int] | None = (-3, 2),
    cut: int | None = None,
    seed: int = 0,
    frame_in_front: int = 36,
) -> Footage:
    """Return a square (identity 7, 2 m away) that moves by `front` px a frame before a texture that moves by `back`.

    The output is the source. A `cut` begins another scene at that frame.
    """
    side = SIDE
    shape = (count, side, side)
    source, ids = np.zeros((*shape, 3), np.uint8), np.full(shape, BACK, np.uint16)
    flow, visible = np.zeros((*shape, 2), np.float32), np.zeros(shape, np.bool_)
    covered = np.zeros((side, side), np.bool_)
    for i in range(count):
        shot = int(cut is not None and i >= cut)
        canvas, skin = texture(seed + 10 * shot), texture(seed + 10 * shot + 1, mean=150)
        x, y = side - back[0] * i, side - back[1] * i
        source[i] = canvas[y : y + side, x : x + side]
        flow[i] = np.negative(back)
        rows, columns = np.mgrid[:side, :side]
        here = np.zeros_like(covered)
        if front is not None:
            left, top = (side - frame_in_front) // 2 - front[0] * (count // 2 - i), 8 + front[1] * i
            here = (columns >= left) & (columns < left + frame_in_front) & (rows >= top) & (rows < top + frame_in_front)
            source[i][here] = skin[rows[here] - top + 5, columns[here] - left + 5]
            ids[i][here] = FRONT
            flow[i][here] = np.negative(front)
        before_x, before_y = columns + flow[i, ..., 0].astype(int), rows + flow[i, ..., 1].astype(int)
        inside = (before_x >= 0) & (before_x < side) & (before_y >= 0) & (before_y < side)
        if i > 0 and i != cut:
            hidden = covered[np.clip(before_y, 0, side - 1), np.clip(before_x, 0, side - 1)] & ~here
            visible[i] = inside & ~hidden
        covered = here
    depth = np.where(ids == FRONT, 2.0, 5.0).astype(np.float32)
    return Footage(source, source.copy(), 24.0, flow, visible, depth, ids, mask=ids == FRONT)


def with_noise(clip: Footage, sigma: float, seed: int = 0) -> Footage:
    """Return the clip with normal noise of `sigma` levels over its output."""
    noise = np.random.default_rng(seed).normal(0, sigma, clip.output.shape)
    return clip.with_output(np.clip(np.rint(clip.output + noise), 0, 255).astype(np.uint8))


def frozen(clip: Footage) -> Footage:
    """Return the clip with its first frame as every output: a wrong answer that looks calm."""
    return clip.with_output(np.repeat(clip.source[:1], len(clip.source), axis=0))


def blank(clip: Footage, value: int = 128) -> Footage:
    """Return the clip with plain grey as output."""
    return clip.with_output(np.full_like(clip.source, value))


def blurred(clip: Footage, sigma_px: float = 4) -> Footage:
    """Return the clip with a blurred source as output."""
    return clip.with_output(np.stack([cv2.GaussianBlur(f, (0, 0), sigma_px) for f in clip.source]))


def flickering(clip: Footage, share: float = 0.02) -> Footage:
    """Return the clip with a brightness that alternates by ± `share` from frame to frame."""
    gain = 1 + share * (-1.0) ** np.arange(len(clip.source))
    return clip.with_output(scaled(clip.source, gain))


def delayed(clip: Footage, frames: int) -> Footage:
    """Return the clip with a late output."""
    index = np.maximum(np.arange(len(clip.source)) - frames, 0)
    return clip.with_output(clip.source[index])


def painted(clip: Footage) -> Footage:
    """Return the clip with its output in a crude style: inverted and halved contrast, few tones, another tint."""
    grey = 200 - clip.output.mean(axis=3, keepdims=True) / 2
    tones = np.rint(grey / 16) * 16 * np.array([1.0, 0.8, 0.6])
    return clip.with_output(np.clip(tones, 0, 255).astype(np.uint8))


def scaled(frames: np.ndarray, gain: np.ndarray) -> np.ndarray:
    """Return each frame times its gain."""
    return np.clip(np.rint(frames * gain[:, None, None, None]), 0, 255).astype(np.uint8)


def unseen(clip: Footage) -> Footage:
    """Return the clip with nothing visible in the previous frame."""
    return replace(clip, visible_back=np.zeros_like(clip.visible_back))
