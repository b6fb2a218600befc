"""Clean training clips: real video and built-in scenes, under a moving virtual camera."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vivace.errors import SourceNotFoundError, SourceUnsupportedError
from vivace.media.picture import PictureConverter
from vivace.worlds import PAINTED, make_scene

VIDEO_SUFFIXES = {".mp4", ".mkv", ".webm", ".mov", ".avi"}


@dataclass(frozen=True, slots=True)
class Segment:
    """Consecutive frames of one video, `uint8 [t h w 3]`."""

    name: str
    frames: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Clip:
    """A clean training clip."""

    pictures: Tensor
    """`[t 3 h w]` in [0, 1]."""
    times: Tensor
    """Frame times, `[t]` int; after a gap, the earlier frames stand in for warm-up anchors."""
    shift: Tensor
    """Displacement of the camera, `[t 2]` int, working px (down, right); zero where textures are fixed to the
    screen."""


def read_segments(
    folder: Path, *, per_video: int = 3, length: int = 26, seed: int = 0, max_height: int = 360
) -> list[Segment]:
    """Read a few short runs of consecutive frames of every video under `folder`.

    Raises:
        SourceNotFoundError: there is no video there.
        SourceUnsupportedError: one without frames.
    """
    paths = list_videos(folder)
    rng = np.random.default_rng(seed)
    segments = []
    for path in paths:
        frames = _decode(path, max_height)
        for _ in range(max(1, min(per_video, len(frames) // length))):
            start = int(rng.integers(0, max(1, len(frames) - length + 1)))
            segments.append(Segment(path.stem, np.stack(frames[start : start + length])))
    return segments


def list_videos(folder: Path) -> list[Path]:
    """Return the videos under a folder, in order.

    Raises:
        SourceNotFoundError: there is none.
    """
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in VIDEO_SUFFIXES)
    if not paths:
        raise SourceNotFoundError(
            f"no video ({', '.join(sorted(VIDEO_SUFFIXES))}) under {folder}; name a folder of clips"
        )
    return paths


def read_evenly(path: Path, count: int, *, max_height: int = 512) -> list[NDArray[np.uint8]]:
    """Return `count` frames of a video, `uint8 [h w 3]`, from evenly spaced moments of its first 600 frames.

    Raises:
        SourceUnsupportedError: a video without frames.
    """
    frames = _decode(path, max_height)
    return [frames[round((k + 0.5) * len(frames) / count - 0.5)] for k in range(count)]


def read_run(path: Path, rng: np.random.Generator, *, frames: int, max_side_px: int) -> NDArray[np.uint8]:
    """Return up to `frames` consecutive frames of a video from a random moment, `uint8 [t h w 3]`.

    Raises:
        SourceUnsupportedError: a video without frames.
    """
    with av.open(str(path)) as container:
        if not container.streams.video:
            raise _without_frames(path)
        stream = container.streams.video[0]
        begin = int(rng.integers(0, max(1, _length(container, stream) - frames + 1)))
        # The last ones that there are, where the length was estimated too large.
        run = deque(islice(container.decode(stream), begin + frames), maxlen=frames)
        if not run:
            raise _without_frames(path)
        convert = PictureConverter()
        pictures: list[NDArray[np.uint8]] = []
        for frame in run:
            ratio = min(1.0, max_side_px / max(frame.width, frame.height))
            convert.size = (round(frame.width * ratio / 2) * 2, round(frame.height * ratio / 2) * 2)
            pictures.append(convert(frame).rgb)
    return np.stack(pictures)


def _length(container: Any, stream: Any) -> int:
    """Return the frames of a video, estimated from its duration where the container does not count them (mkv, webm)."""
    if stream.frames:
        return int(stream.frames)
    seconds = 0.0 if container.duration is None else container.duration / av.time_base
    return round(seconds * float(stream.average_rate or 0))


def _decode(path: Path, max_height: int, limit: int = 600) -> list[NDArray[np.uint8]]:
    frames: list[NDArray[np.uint8]] = []
    convert = PictureConverter()
    with av.open(str(path)) as container:
        if container.streams.video:
            for frame in islice(container.decode(video=0), limit):
                ratio = min(1.0, max_height / frame.height)
                convert.size = (round(frame.width * ratio / 2) * 2, round(frame.height * ratio / 2) * 2)
                frames.append(convert(frame).rgb)
    if not frames:
        raise _without_frames(path)
    return frames


def _without_frames(path: Path) -> SourceUnsupportedError:
    return SourceUnsupportedError(f"{path}: it has no frames; take it out of the folder")


def sample_clip(segment: Segment, rng: np.random.Generator, *, frames: int, size: int, scale: float) -> Clip:
    """Cut a clip of `frames` pictures of `size` px square out of a segment, seen by a random moving camera.

    `scale` is output px per working px. The camera pans by whole working px per frame, so that textures anchored to the
    scene move by cyclic shifts.
    """
    total = len(segment.frames)
    still = total < frames + 1 or rng.random() < 0.25
    stride = int(rng.integers(1, 3))
    if still:
        index = np.full(frames, int(rng.integers(0, total)))
        times = np.arange(frames)
    else:
        gap = int(rng.integers(6, 18)) if rng.random() < 0.4 else 0
        offsets = np.arange(frames) * stride
        offsets[1:] += gap
        offsets = np.minimum(offsets, total - 1)
        start = int(rng.integers(0, max(1, total - offsets[-1])))
        index = np.minimum(start + offsets, total - 1)
        times = np.arange(frames)
        times[1:] += gap // stride
    _, height, width, _ = segment.frames.shape
    # Source px per output px: from magnified to the whole picture.
    smallest = min(height, width) / size
    zoom = float(np.exp(rng.uniform(math.log(min(0.55, smallest)), math.log(smallest))))
    moving = still or rng.random() < 0.35
    velocity = rng.integers(-5, 6, size=2) if moving else np.zeros(2, int)
    spin = rng.normal(0, 0.01) if moving else 0.0
    growth = float(np.exp(rng.normal(0, 0.012))) if moving else 1.0
    anchored = moving and abs(spin) < 0.02 and rng.random() < 0.7
    pictures = torch.from_numpy(segment.frames[index]).permute(0, 3, 1, 2).float() / 255
    if rng.random() < 0.5:
        pictures = pictures.flip(-1)
    half_y, half_x = size * zoom / 2, size * zoom / 2
    centre = np.array([
        rng.uniform(min(half_y, height / 2), max(height - half_y, height / 2)),
        rng.uniform(min(half_x, width / 2), max(width - half_x, width / 2)),
    ])  # fmt: skip
    angle = rng.normal(0, 0.05)
    grids = []
    ys, xs = np.meshgrid(np.arange(size) - (size - 1) / 2, np.arange(size) - (size - 1) / 2, indexing="ij")
    for t in range(frames):
        a, z = angle + spin * t, zoom * growth**t
        y = centre[0] + (velocity[0] * t * scale) * zoom + z * (np.cos(a) * ys - np.sin(a) * xs)
        x = centre[1] + (velocity[1] * t * scale) * zoom + z * (np.sin(a) * ys + np.cos(a) * xs)
        grids.append(np.stack([(2 * x + 1) / width - 1, (2 * y + 1) / height - 1], -1))
    if zoom > 1.3:
        # Shrinking skips px; average those first.
        factor = int(zoom + 0.5)
        pictures = F.avg_pool2d(pictures, factor, ceil_mode=True) if factor > 1 else pictures
    grid = torch.from_numpy(np.stack(grids)).float()
    pictures = F.grid_sample(pictures, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
    shift = np.outer(np.arange(frames), velocity) if anchored else np.zeros((frames, 2), int)
    return Clip(_recolour(pictures, rng), torch.from_numpy(times), torch.from_numpy(shift))


def _recolour(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Vary exposure, contrast, saturation and white balance of a whole clip."""
    if rng.random() < 0.25:
        return pictures.clamp(0, 1)
    grey = pictures.mean(1, keepdim=True)
    pictures = grey + (pictures - grey) * float(rng.uniform(0.5, 1.5))
    pictures = pictures * torch.tensor(rng.uniform(0.88, 1.12, size=3), dtype=torch.float32).view(1, 3, 1, 1)
    pictures = (pictures - 0.5) * float(rng.uniform(0.8, 1.25)) + 0.5 + float(rng.normal(0, 0.04))
    return pictures.clamp(0, 1) ** float(np.exp(rng.normal(0, 0.28)))


def scene_segments(*, per_scene: int = 3, length: int = 26, size: tuple[int, int] = (480, 270)) -> list[Segment]:
    """Render short runs of the painted scenes, at various moments and seeds.

    The benchmark's scenes are excluded: a model must not be trained on its test data.
    """
    segments = []
    for name in PAINTED:
        for take in range(per_scene):
            scene = make_scene(name, size, seed=take)
            frames = [scene.render(take * 7.0 + i / 24) for i in range(length)]
            segments.append(Segment(f"scene-{name}", np.stack(frames)))
    return segments
