"""Clip and masks in memory, as a source and a mask of a stream."""

from __future__ import annotations

import time
from collections.abc import Generator
from fractions import Fraction
from typing import cast

import numpy as np
from numpy.typing import NDArray

from vivace.bench.metrics.footage import Frames
from vivace.media.frame import Frame, Rgb
from vivace.media.source import Source, SourceInfo
from vivace.stream.blend import Region


class FrameMask:
    """Mask with known values for every frame."""

    def __init__(self, masks: NDArray[np.bool_], fps: float) -> None:
        """Take `masks [t h w]` of frames at `fps`, from time 0 on."""
        self._masks = masks
        self._fps = fps

    def region(self, size: tuple[int, int], time_s: float) -> Region:
        """Return the region of the frame at a time, s."""
        del size  # the clip's own size, at which the stream was opened
        index = min(round(time_s * self._fps), len(self._masks) - 1)
        return Region(self._masks[index].astype(np.uint8) * np.uint8(255))

    def prepare(self, size: tuple[int, int]) -> None:
        """Do nothing: the masks are already arrays."""

    def close(self) -> None:
        """Do nothing: the masks are in memory."""


class ArraySource(Source):
    """Source of frames in memory."""

    def __init__(self, frames: Frames, fps: float) -> None:
        self._frames = frames
        self._time_base = 1 / Fraction(fps).limit_denominator(1001)
        height, width = frames.shape[1:3]
        super().__init__(SourceInfo("clip", (width, height), fps, len(frames), len(frames) / fps))

    def _read(self) -> Generator[Frame, None, None]:
        for index, rgb in enumerate(self._frames):
            yield Frame(cast("Rgb", rgb), index, index, self._time_base, time.monotonic())
