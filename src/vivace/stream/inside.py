"""The frames inside a model: what each is finished with when its picture comes, and what is shown if it does not."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from vivace.media.frame import Frame, Rgb
from vivace.models.base import StepResult
from vivace.stream.blend import FULL, Region, blend, region_of


@dataclass(frozen=True, slots=True)
class FrameInside:
    """A frame inside the model, with what it will be finished with."""

    frame: Frame
    opacity: float
    """Of the painted picture over the source."""
    region: Region | None
    update_index: int
    past: int
    """Number of the past the frame belongs to; pictures of another one shall not stand in for it."""
    prepared_s: float

    @property
    def source(self) -> Rgb:
        """The source picture at the output's size."""
        return self.frame.rgb

    @property
    def untouched(self) -> bool:
        """Whether nothing of the painted picture would be seen."""
        return round(self.opacity * FULL) == 0 or (self.region is not None and self.region.empty)

    def blended(self, result: StepResult, index: int) -> Rgb:
        """Return a picture of a step over the source, where it was edited and may be seen."""
        size = self.source.shape[1], self.source.shape[0]
        return blend(self.source, result.rgb[index], self.opacity, region_of(result.edited, index, size, self.region))

    def finish(self, rgb: Rgb, marks: dict[str, float]) -> Frame:
        """Return the output frame, in the place of its source frame."""
        return replace(
            self.frame,
            rgb=rgb,
            thumbnail=None,
            marks={**self.frame.marks, "prepare": self.prepared_s, **marks},
            control_index=self.update_index,
            source_rgb=self.source,
            painted=rgb is not self.source,
        )


class FramesInside:
    """The frames of one input that a model has taken and not given back, in order."""

    def __init__(self) -> None:
        self._frames: deque[FrameInside | None] = deque()
        """None is padding, of which nothing comes out."""
        self._last_good: tuple[FrameInside, StepResult, int] | None = None
        """The newest picture that the model made: its frame, and where it is in which result."""

    def __len__(self) -> int:
        """Return how many pictures the model may give yet, padding included."""
        return len(self._frames)

    @property
    def any(self) -> bool:
        """Whether there is a frame among them, and not padding alone."""
        return any(inside is not None for inside in self._frames)

    def enter(self, frames: Sequence[FrameInside], padding: int) -> None:
        """Let frames in, and so many pictures after them of which nothing shall come out."""
        self._frames.extend(frames)
        self._frames.extend([None] * padding)

    def leave(self, result: StepResult) -> list[tuple[FrameInside, Rgb]]:
        """Let those out whose pictures these are, each with what is seen of it."""
        leaving = [(index, self._frames.popleft()) for index in range(len(result.rgb))]
        return [(inside, inside.blended(result, index)) for index, inside in leaving if inside is not None]

    def made(self, result: StepResult) -> None:
        """Remember what the model made of those that leave next, in case that it fails on others."""
        for index, inside in enumerate(islice(self._frames, len(result.rgb))):
            if inside is not None:
                self._last_good = inside, result, index

    def stand_ins(self, padding: Rgb) -> StepResult:
        """Return pictures for all of them, as the model has lost theirs; `padding` is for those that nobody sees."""
        return StepResult(np.stack([padding if inside is None else self._stand_in(inside) for inside in self._frames]))

    def clear(self) -> None:
        """Let go of what is left, when nobody waits for it."""
        self._frames.clear()

    def _stand_in(self, lost: FrameInside) -> Rgb:
        """Return the last good picture of the same past, or else the source."""
        if self._last_good is None or self._last_good[0].past != lost.past:
            return lost.source
        inside, result, index = self._last_good
        return replace(inside, opacity=1.0, region=None).blended(result, index)
