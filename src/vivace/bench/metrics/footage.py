"""Input of metrics for one case, and the description of a metric."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Frames = NDArray[np.uint8]
"""Frames `[t h w 3]`, RGB."""
Series = NDArray[np.float64]
"""Values `[t]`, one per frame; NaN where a metric does not apply."""

Direction = Literal["higher", "lower", "target"]
Need = Literal["motion", "depth", "ids", "mask", "reference", "exact", "style", "prompt"]


@dataclass(frozen=True, slots=True)
class Footage:
    """One clip, a system's output for it, and the clip's ground truth.

    `output` is all that comes from a system; everything else belongs to the case, and is the same for every system.
    """

    source: Frames
    output: Frames
    fps: float
    flow_back: NDArray[np.float32] | None = None
    """Flow `[t h w 2]` (x, y), px: from a pixel centre of frame i to the same surface point in frame i - 1. Unused in
    frame 0."""
    visible_back: NDArray[np.bool_] | None = None
    """True where that point was visible in frame i - 1, `[t h w]`. All false if frame i begins a shot."""
    depth: NDArray[np.float32] | None = None
    """Depth `[t h w]`, metres, infinite for the backdrop."""
    ids: NDArray[np.uint16] | None = None
    """Object identities `[t h w]`."""
    mask: NDArray[np.bool_] | None = None
    """Area of the edit, `[t h w]`. Outside it, the source must stay unchanged."""
    reference: Frames | None = None
    """Clip rendered as the instruction asks: the correct result."""
    exact: Frames | None = None
    """Output of the system without its acceleration, by which its approximations are judged."""
    style: str | None = None
    """Key of the requested style, one of `vivace.models.mini.styles.STYLE_KEYS`."""
    prompt: str | None = None

    def has(self, need: Need) -> bool:
        """Return whether the footage holds what a metric needs."""
        return getattr(self, "flow_back" if need == "motion" else need) is not None

    def with_output(self, output: Frames) -> Footage:
        """Return the same case with another system's output."""
        return replace(self, output=output)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Description of a quality measure for readers: name, interpretation and source."""

    key: str
    title: str
    unit: str
    """Unit; `""` for plain ratios."""
    direction: Direction
    needs: tuple[Need, ...]
    source: str
    """Paper and section, or "ours"."""
    meaning: str
    """Explanation for people: one sentence on what a good and a bad value look like."""
    target: float | None = None
    """Best value if the direction is `target`."""
    low: float = -np.inf
    high: float = np.inf

    def reads(self, footage: Footage) -> bool:
        """Return whether the footage holds all it needs."""
        return all(footage.has(need) for need in self.needs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric(Reading):
    """Metric that needs nothing but the footage.

    `measure` gets footage that has all of `needs` and returns one value per frame. A case's value is the mean over its
    frames, without NaN.
    """

    measure: Callable[[Footage], Series]
