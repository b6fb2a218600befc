"""Shared helpers of the end-to-end tests."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av

from vivace.media.open import open_sink, open_source

CLIP_FRAMES = 12
CLIP_SIZE = (96, 64)


@dataclass(frozen=True)
class Outcome:
    """Result of a command."""

    code: int
    out: str
    err: str


Vivace = Callable[..., Outcome]


def write_scene(path: Path, frames: int) -> None:
    """Write a clip of a scene at 96x64."""
    source = open_source(f"scene:boat?frames={frames}", size=CLIP_SIZE)
    with source, open_sink(path, fps=source.info.fps) as sink:
        for frame in source:
            sink.write(frame)


def count_frames(path: Path) -> int:
    """Return the number of pictures in a file, all of them decoded."""
    with av.open(path) as container:
        return sum(1 for _ in container.decode(video=0))


def size_of(path: Path) -> tuple[int, int]:
    """Return the `(width, height)` of a video file, px."""
    with av.open(path) as container:
        stream = container.streams.video[0]
        return stream.width, stream.height
