"""Small outputs of two systems and their source, for tests of `vivace bench prefer`."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from vivace.media import Frame, open_sink

SIZE = (64, 48)
FRAMES = 5
RED, GREEN, BLUE = (200, 0, 0), (0, 200, 0), (0, 0, 200)


def write_clip(path: Path | str, colour: tuple[int, int, int], *, size=SIZE, frames: int = FRAMES) -> None:
    """Write pictures of one colour; a path that ends with / is a folder of them."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    rgb = np.full((size[1], size[0], 3), colour, np.uint8)
    with open_sink(path, fps=10) as sink:
        for index in range(frames):
            sink.write(Frame(rgb, index, index, Fraction(1, 10), 0.0))


def write_folders(root: Path, clips: tuple[str, ...] = ("x/ink", "y/ink", "z/oil")) -> tuple[Path, Path, Path]:
    """Write a (red), b (green) and their source (blue)."""
    a, b, source = root / "a", root / "b", root / "source"
    for clip in clips:
        write_clip(a / f"{clip}.mp4", RED)
        write_clip(f"{b / clip}/", GREEN)
        write_clip(source / f"{clip}.mkv", BLUE)
    return a, b, source
