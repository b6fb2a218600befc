"""Preparation of frames for image networks, in plain torch, and means over features."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vivace.bench.metrics.footage import Frames, Series

if TYPE_CHECKING:
    import torch

BATCH = 8
CLIP_MEAN, CLIP_STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)

Triple = tuple[float, float, float]


def batches(frames: Frames, side: int, mean: Triple, std: Triple, *, crop: bool) -> Iterator[torch.Tensor]:
    """Yield frames as `[n 3 side side]`, normalised, up to `BATCH` at a time.

    Args:
        frames: `[t h w 3]`.
        side: side of the network's square input, px.
        mean: subtracted from each channel in 0 to 1.
        std: divisor of each channel after that.
        crop: scale the shorter side to `side` and crop the centre; otherwise scale both sides.
    """
    import torch

    for start in range(0, len(frames), BATCH):
        pictures = np.stack([_square(rgb, side, crop=crop) for rgb in frames[start : start + BATCH]])
        scaled = (pictures.astype(np.float32) / 255 - np.array(mean, np.float32)) / np.array(std, np.float32)
        yield torch.from_numpy(np.ascontiguousarray(scaled.transpose(0, 3, 1, 2)))


def _square(rgb: NDArray[np.uint8], side: int, *, crop: bool) -> NDArray[np.uint8]:
    height, width = rgb.shape[:2]
    left = top = 0.0
    if crop:
        short = min(height, width)
        left, top = (width - short) / 2, (height - short) / 2
    box = (left, top, width - left, height - top)
    resized = Image.fromarray(rgb).resize((side, side), Image.Resampling.BICUBIC, box=box)
    return np.asarray(resized, np.uint8)


def features(
    frames: Frames,
    network: Callable[[torch.Tensor], torch.Tensor],
    side: int,
    mean: Triple,
    std: Triple,
    *,
    crop: bool,
) -> NDArray[np.float32]:
    """Return a network's output for each frame, `[t …]`."""
    import torch

    with torch.inference_mode():
        found = [network(batch).float().cpu().numpy() for batch in batches(frames, side, mean, std, crop=crop)]
    return np.concatenate(found)


def cosine(a: NDArray[np.float32], b: NDArray[np.float32]) -> Series:
    """Return the cosine of vectors along the last axis, -1 to 1."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    length = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.asarray((a * b).sum(axis=-1) / np.maximum(length, 1e-12), np.float64)


def consistency(vectors: NDArray[np.float32]) -> Series:
    """Return VBench's consistency of a clip from one vector per frame, `[t n]`; NaN in frame 0.

    `½ [max(0, cos(f_i, f_{i-1})) + max(0, cos(f_i, f_0))]`: Huang et al. 2024, "VBench", supplement.
    """
    values = np.full(len(vectors), np.nan)
    if len(vectors) > 1:
        now = vectors[1:]
        values[1:] = (np.maximum(cosine(now, vectors[:-1]), 0) + np.maximum(cosine(now, vectors[:1]), 0)) / 2
    return values
