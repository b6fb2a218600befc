"""Frames inside a model: what is needed to finish each one, and a substitute picture if the model fails."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

import numpy as np

from vivace.media.frame import Alpha, Frame, Rgb
from vivace.models.base import StepResult
from vivace.stream.blend import FULL, Region, blend, region_of


class Shown(NamedTuple):
    """A picture as it leaves the stream."""

    rgb: Rgb
    alpha: Alpha | None
    """Opacity; None is opaque."""
    absent: tuple[str, ...] = ()
    """Places that the prompt changes and that are not in the picture."""
    followed: bool = False
    """True where an edited key frame was carried into the picture."""


@dataclass(frozen=True, slots=True)
class FrameInside:
    """A source frame inside the model, with the controls it will be finished under."""

    frame: Frame
    opacity: float
    """Opacity of the painted picture over the source, 0 to 1."""
    region: Region | None
    update_index: int
    past: int
    """Number of the memory period the frame belongs to; a substitute must come from the same one."""
    prepared_s: float

    @property
    def source(self) -> Rgb:
        """Source picture at the output's size."""
        return self.frame.rgb

    @property
    def untouched(self) -> bool:
        """True if no painted pixel would be visible."""
        return round(self.opacity * FULL) == 0 or (self.region is not None and self.region.empty)

    def blended(self, result: StepResult, index: int) -> Shown:
        """Return a picture of a step blended over the source, within the edited area and the region."""
        size = self.source.shape[1], self.source.shape[0]
        region = region_of(result.edited, index, size, self.region)
        rgb = blend(self.source, result.rgb[index], self.opacity, region)
        if result.alpha is None or rgb is self.source:
            return Shown(rgb, self.frame.alpha, result.absent, result.followed)
        before, painted = (
            np.repeat(each[..., None], 3, axis=2)
            for each in (_opaque(self.source) if self.frame.alpha is None else self.frame.alpha, result.alpha[index])
        )
        alpha = blend(before, np.minimum(before, painted), self.opacity, region)[..., 0]
        return Shown(rgb, alpha, result.absent, result.followed)

    def finish(self, shown: Shown, marks: dict[str, float]) -> Frame:
        """Return the output frame that replaces its source frame."""
        return replace(
            self.frame,
            rgb=shown.rgb,
            alpha=shown.alpha,
            thumbnail=None,
            marks={**self.frame.marks, "prepare": self.prepared_s, **marks},
            control_index=self.update_index,
            source_rgb=self.source,
            painted=shown.rgb is not self.source,
            absent=shown.absent,
            followed=shown.followed,
        )


class FramesInside:
    """Queue of the frames that a model has taken and not returned yet, in order."""

    def __init__(self) -> None:
        self._frames: deque[FrameInside | None] = deque()
        """Queue entries; None is padding, for which nothing is output."""
        self._last_good: tuple[FrameInside, StepResult, int] | None = None
        """Newest good picture: its frame, the result that holds it, and its position there."""

    def __len__(self) -> int:
        """Return the number of pictures still to come from the model, padding included."""
        return len(self._frames)

    @property
    def any(self) -> bool:
        """True if the queue holds a real frame, not only padding."""
        return any(inside is not None for inside in self._frames)

    def enter(self, frames: Sequence[FrameInside], padding: int) -> None:
        """Append frames, followed by `padding` pictures that are never output."""
        self._frames.extend(frames)
        self._frames.extend([None] * padding)

    def leave(self, result: StepResult) -> list[tuple[FrameInside, Shown]]:
        """Return the frames whose pictures these are, removed from the queue, each with its blended picture."""
        leaving = [(index, self._frames.popleft()) for index in range(len(result.rgb))]
        return [(inside, inside.blended(result, index)) for index, inside in leaving if inside is not None]

    def made(self, result: StepResult) -> None:
        """Remember the newest picture of a result, as a substitute if the model fails later."""
        for index, inside in enumerate(islice(self._frames, len(result.rgb))):
            if inside is not None:
                self._last_good = inside, result, index

    def stand_ins(self, padding: Rgb) -> StepResult:
        """Return substitutes for all frames in the queue, which the model has lost; padding gets `padding`."""
        shown = [Shown(padding, None) if inside is None else self._stand_in(inside) for inside in self._frames]
        alphas = [_opaque(each.rgb) if each.alpha is None else each.alpha for each in shown]
        transparent = any(each.alpha is not None for each in shown)
        return StepResult(np.stack([each.rgb for each in shown]), alpha=np.stack(alphas) if transparent else None)

    def clear(self) -> None:
        """Discard the remaining entries."""
        self._frames.clear()

    def _stand_in(self, lost: FrameInside) -> Shown:
        """Return the last good picture of the same memory period, or else the source."""
        if self._last_good is None or self._last_good[0].past != lost.past:
            return Shown(lost.source, None)
        inside, result, index = self._last_good
        return replace(inside, opacity=1.0, region=None).blended(result, index)


def _opaque(rgb: Rgb) -> Alpha:
    return np.full(rgb.shape[:2], 255, np.uint8)
