"""Clips of a benchmark with their ground truth: rendered scenes, or videos of a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vivace.bench.inputs.scenes import SceneClip, scene_worlds
from vivace.bench.metrics.footage import Frames
from vivace.errors import SourceNotFoundError, SourceUnsupportedError
from vivace.media import open_source
from vivace.media.frame import Rgb
from vivace.media.registry import PICTURE_SUFFIXES
from vivace.media.size import Size
from vivace.media.source import Source

VIDEO_SUFFIXES = frozenset({".mp4", ".mkv", ".webm", ".mov", ".avi"})
MASK_MARK = ".mask"
"""Infix of mask files: `walk.mask.mp4` (or `.png`, or a folder `walk.mask/`) beside `walk.mp4` is the area of its
region edit."""


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames with their ground truth; None where it is unknown."""

    name: str
    frames: Frames
    fps: float
    flow_back: NDArray[np.float32] | None = None
    """Backward flow `[t h w 2]`, see `Footage`."""
    visible_back: NDArray[np.bool_] | None = None
    depth: NDArray[np.float32] | None = None
    ids: NDArray[np.uint16] | None = None
    subject: NDArray[np.bool_] | None = None
    """Area of a region edit, `[t h w]`."""


def render(scene: str, size: Size, fps: float, frames: int, seed: int) -> Clip:
    """Return a rendered benchmark scene with its truth."""
    clip = SceneClip(scene, size, fps, frames, seed)
    subject = scene_worlds()[scene].subject
    views, masks = [], []
    for view in clip.views():
        views.append(view)
        masks.append(clip.mask(view, subject))
    return Clip(
        scene,
        np.stack([view.rgb for view in views]),
        fps,
        np.stack([view.flow_back for view in views]),
        np.stack([view.visible_back for view in views]),
        np.stack([view.depth for view in views]),
        np.stack([view.ids for view in views]),
        np.stack(masks),
    )


def render_edited(scene: str, edit: str, size: Size, fps: float, frames: int, seed: int) -> Frames:
    """Return the frames of a benchmark scene rendered with one of its edits."""
    return np.stack(list(SceneClip(scene, size, fps, frames, seed, edit).pictures()))


def loop(scene: str, size: Size, fps: float, way: int, frames: int, seed: int) -> Clip:
    """Return `frames` frames of a scene that runs forth and back through `way` frames, without a cut."""
    pictures = list(SceneClip(scene, size, fps, way, seed).pictures())
    turn = [*pictures, *pictures[-2:0:-1]]
    return Clip(scene, np.stack([turn[i % len(turn)] for i in range(frames)]), fps)


def list_videos(folder: Path) -> list[Path]:
    """Return the videos of a folder and its subfolders, without masks, sorted.

    Raises:
        SourceNotFoundError: there is none.
    """
    found = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in VIDEO_SUFFIXES and MASK_MARK not in path.relative_to(folder).as_posix()
    )
    if not found:
        raise SourceNotFoundError(f"no video in {folder}; name a folder that holds {', '.join(sorted(VIDEO_SUFFIXES))}")
    return found


def named_clips(folder: Path) -> dict[str, Path]:
    """Return the clips of a folder and its subfolders by name: videos, and folders of pictures.

    `walkers/style/ink` is the folder of that name, or the file `walkers/style/ink.mkv` (or `.mp4`, …).

    Raises:
        SourceNotFoundError: no such folder, or no clip in it.
    """
    if not folder.is_dir():
        raise SourceNotFoundError(f"{folder}: no such folder; `vivace bench export` says what belongs in one")
    videos = [path for path in sorted(folder.rglob("*"), reverse=True) if path.suffix.lower() in VIDEO_SUFFIXES]
    pictures = [path.parent for path in folder.rglob("*") if path.suffix.lower() in PICTURE_SUFFIXES]
    found = {path.relative_to(folder).with_suffix("").as_posix(): path for path in videos}
    found |= {path.relative_to(folder).as_posix(): path for path in pictures if path != folder}
    if not found:
        raise SourceNotFoundError(f"{folder} holds no clips; put a video or a folder of numbered pictures for each")
    return found


def load(path: Path, name: str, size: Size, frames: int) -> Clip:
    """Return the beginning of a video with optical flow estimated by DIS, and its mask if there is one.

    Raises:
        SourceUnsupportedError: the video is too short for any metric.
        MediaError: it cannot be read.
    """
    from vivace.bench.metrics.flow import dis_motion

    with open_source(path, size=size) as source:
        fps = source.info.fps or 30.0
        pictures = read(source, frames)
    if len(pictures) < MIN_FRAMES:
        raise SourceUnsupportedError(f"{path} has {len(pictures)} frames; the benchmark needs at least {MIN_FRAMES}")
    stack = np.stack(pictures)
    flow_back, visible_back = dis_motion(stack)
    return Clip(name, stack, fps, flow_back, visible_back, subject=_mask_of(path, size, len(pictures)))


MIN_FRAMES = 6
"""Fewest frames of a clip: one block of a metric's series."""


def read(source: Source, count: int) -> list[Rgb]:
    """Return up to `count` pictures of a source."""
    return [frame.rgb for frame, _ in zip(source, range(count), strict=False)]


def find_mask(video: Path) -> Path | None:
    """Return the mask beside a video, if there is one."""
    return next(iter(sorted(video.parent.glob(f"{video.stem}{MASK_MARK}*"))), None)


def _mask_of(path: Path, size: Size, count: int) -> NDArray[np.bool_] | None:
    found = find_mask(path)
    if found is None:
        return None
    with open_source(found, size=size) as source:
        masks = [picture.mean(axis=2) > 127 for picture in read(source, count)]
    if not masks:
        raise SourceUnsupportedError(f"mask {found} has no picture")
    # A mask shorter than its clip keeps its last frame; a still picture is the shortest.
    return np.stack(masks + [masks[-1]] * (count - len(masks)))
