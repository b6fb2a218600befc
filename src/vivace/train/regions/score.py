"""Scores of the finder: overlap with masks drawn by hand, steadiness, and cost."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from vivace.errors import CheckpointError
from vivace.media.convert import cover
from vivace.media.frame import Rgb
from vivace.media.open import open_source
from vivace.media.registry import PICTURE_SUFFIXES
from vivace.regions.finder import RegionFinder
from vivace.train.regions.hand import HandFrame, read_frame, sha256_of

BEFORE = 24
"""Frames of a clip that a stream sees before the scored one."""
_BLINK = 3
"""Number of first frames that are not timed: everything in them is seen for the first time."""


@dataclass(frozen=True, slots=True)
class Overlap:
    """Overlap of a found region with its hand mask, in one frame."""

    file: str
    index: int
    region: str
    iou: float
    """Intersection over union; 1 where it is rightly found to be nowhere."""
    is_there: bool
    """True where the region is in the frame."""
    held_out: bool
    """True for a frame that no rule was tuned on."""


def score(data: Path, frames: Sequence[HandFrame]) -> Iterator[Overlap]:
    """Yield the overlap of every region of hand masks; clips are streamed, photographs stand alone.

    Raises:
        SourceError: a file is not in the folder of data.
        CheckpointError: a frame differs from the one that was drawn over.
    """
    for frame in frames:
        found = None
        for rgb in _stream(data, frame):
            if found is None:
                finder = RegionFinder.open((rgb.shape[1], rgb.shape[0]), frame.regions)
            found = finder.find(rgb, frame.regions)
        assert found is not None
        if sha256_of(rgb) != frame.sha256:
            raise CheckpointError(f"frame {frame.index} of {frame.file} is another one than was drawn over")
        for region in frame.regions:
            truth, mask = frame.mask(region, (rgb.shape[1], rgb.shape[0])), found[region].mask > 127
            union = float((truth | mask).sum())
            iou = float((truth & mask).sum()) / union if union else 1.0
            yield Overlap(frame.file, frame.index, region, iou, bool(truth.any()), frame.held_out)


def _stream(data: Path, frame: HandFrame) -> Iterator[Rgb]:
    if Path(frame.file).suffix.lower() in PICTURE_SUFFIXES:
        yield read_frame(data, frame.file, frame.index)
        return
    with open_source(str(data / frame.file)) as source:
        for index, each in enumerate(source):
            if index >= frame.index - BEFORE:
                yield each.rgb
            if index == frame.index:
                return


def noisy(rgb: Rgb, frames: int, *, noise: float = 4.0, crf: int = 23) -> Iterator[Rgb]:
    """Yield a still picture as a camera sends it: with new noise in each frame, and H.264 artefacts on top.

    There is a key frame every 12 frames, at which the codec's noise changes all at once.

    Args:
        rgb: `uint8 [h w 3]`; cropped to even sides.
        frames: number of frames.
        noise: standard deviation of the sensor noise, levels of 255.
        crf: quality of the encoder, on x264's scale.
    """
    rgb = rgb[: rgb.shape[0] // 2 * 2, : rgb.shape[1] // 2 * 2]
    rng = np.random.default_rng(0)
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": str(crf), "preset": "veryfast", "g": "12"})
        stream.width, stream.height, stream.pix_fmt = rgb.shape[1], rgb.shape[0], "yuv420p"
        for _ in range(frames):
            seen = np.clip(rgb + rng.normal(0, noise, rgb.shape), 0, 255).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(seen, "rgb24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file, "r") as encoded:
        for frame in encoded.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def jitter(pictures: Iterator[Rgb], regions: Sequence[str], settle: int = 12) -> dict[str, NDArray[np.float64]]:
    """Return the change of each region's area per frame, relative to the area, after `settle` frames.

    Regions that are not in the pictures are left out.
    """
    finder: RegionFinder | None = None
    areas: dict[str, list[float]] = {name: [] for name in regions}
    for rgb in pictures:
        finder = finder or RegionFinder.open((rgb.shape[1], rgb.shape[0]), regions)
        for name, found in finder.find(rgb, regions).items():
            areas[name].append(float(found.mask.mean()) if found.presence else 0.0)
    return {
        name: np.array([abs(after - before) / before for before, after in pairwise(line[settle:])])
        for name, line in areas.items()
        if min(line[settle:], default=0.0) > 0
    }


@dataclass(frozen=True, slots=True)
class Cost:
    """Time per frame, ms."""

    mean_ms: float
    worst_ms: float
    cpu_ms: float
    """CPU time of all threads, on average."""


def cost(clip: Path, size: tuple[int, int], regions: Sequence[str], frames: int = 90) -> Cost:
    """Return the time that `find` takes for the frames of a clip, cropped to `(width, height)`.

    Raises:
        SourceError: there is no such clip.
    """
    finder = RegionFinder.open(size, regions)
    wall, cpu = [], []
    with open_source(str(clip)) as source:
        for index, frame in enumerate(source):
            if index == frames:
                break
            rgb = cover(frame.rgb, size)
            start, start_cpu = time.perf_counter(), time.process_time()
            finder.find(rgb, regions)
            wall.append(time.perf_counter() - start)
            cpu.append(time.process_time() - start_cpu)
    timed = np.array(wall[_BLINK:]) * 1e3
    return Cost(float(timed.mean()), float(timed.max()), float(np.mean(cpu[_BLINK:])) * 1e3)
