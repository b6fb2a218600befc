"""What a metric sees of one case, and what it says about itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
"""`[t h w 3]`, RGB."""
Series = NDArray[np.float64]
"""`[t]`, one value a frame; NaN where the metric says nothing about a frame."""

Direction = Literal["higher", "lower", "target"]
Need = Literal["motion", "depth", "ids", "mask", "reference", "exact", "style", "prompt"]


@dataclass(frozen=True, slots=True)
class Footage:
    """One clip, what a system made of it, and what is known about the clip.

    Everything a system put out is in `output`; everything else belongs to the case, and is the same for every system.
    """

    source: Frames
    output: Frames
    fps: float
    flow_back: NDArray[np.float32] | None = None
    """`[t h w 2]` (x, y), px: from a pixel centre of frame i to the same surface point in frame i - 1. Unused in frame
    0."""
    visible_back: NDArray[np.bool_] | None = None
    """`[t h w]`: whether that point was seen in frame i - 1. All false where frame i begins a shot."""
    depth: NDArray[np.float32] | None = None
    """`[t h w]`, metres, infinite for the backdrop."""
    ids: NDArray[np.uint16] | None = None
    """`[t h w]`, object identities."""
    mask: NDArray[np.bool_] | None = None
    """`[t h w]`: where the edit applies. Outside it, the source is to be left alone."""
    reference: Frames | None = None
    """The clip rendered as the instruction asks: the right answer."""
    exact: Frames | None = None
    """What the system puts out without its acceleration: the answer its short cuts are judged by."""
    style: str | None = None
    """Key of the style asked for, one of `vivace.models.mini.styles.STYLE_KEYS`."""
    prompt: str | None = None

    def has(self, need: Need) -> bool:
        """Return whether the footage holds what a metric needs."""
        return getattr(self, "flow_back" if need == "motion" else need) is not None

    def with_output(self, output: Frames) -> Footage:
        """Return the same case with another system's output."""
        return replace(self, output=output)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A measure of quality as a reader needs it: what it is called, how to read it and where it comes from."""

    key: str
    title: str
    unit: str
    """`""` for plain ratios."""
    direction: Direction
    needs: tuple[Need, ...]
    source: str
    """Paper and section, or "ours"."""
    meaning: str
    """For people: one sentence on what a good and a bad value look like."""
    target: float | None = None
    """The best value where the direction is `target`."""
    low: float = -np.inf
    high: float = np.inf

    def reads(self, footage: Footage) -> bool:
        """Return whether the footage holds all it needs."""
        return all(footage.has(need) for need in self.needs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric(Reading):
    """A reading that can be taken anywhere: nothing but the footage is needed.

    `measure` gets footage that has all of `needs` and returns one value a frame. A case's value is the mean over its
    frames (NaN left out).
    """

    measure: Callable[[Footage], Series]
