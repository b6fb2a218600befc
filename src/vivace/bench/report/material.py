"""What a report shows beside the figures of the document: pictures, and values over time.

Where a name is that of a row of the document, it gets that row's colour everywhere; `source` and `reference` get ink.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from vivace.media.frame import Rgb

Mask = NDArray[np.bool_]
Series = Mapping[str, Mapping[str, Sequence[float]]]
"""`[system]["KIND/CASE"]`: single values behind figures of time, in order; kinds are those of `timing.KINDS`."""
Part = Literal["speed", "latency", "drift", "quality"]
"""The section of the report."""


@dataclass(frozen=True, slots=True)
class Strip:
    """Some moments of a case, a row of pictures a system."""

    case: str
    title: str
    """In words: what the clip shows and what was asked for."""
    times_s: Sequence[float]
    rows: Mapping[str, Sequence[Rgb]]
    """In the order they are shown, `source` first; a picture for each time, `uint8 [h w 3]`."""
    masks: Sequence[Mask] | None = None
    """`[h w]` for each time: where the edit applies."""


@dataclass(frozen=True, slots=True)
class WorstFrame:
    """The frame on which a system did worst by a metric."""

    metric: str
    case: str
    system: str
    index: int
    time_s: float
    value: float
    pictures: Mapping[str, Rgb]
    """What to look at side by side: source, the frame before, the frame, the reference, a map of the error."""
    why: str = ""
    """What is to be seen in it, in words."""
    mask: Mask | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """Values over time, a line a system."""

    part: Part
    title: str
    unit: str
    x_label: str
    x: Sequence[float]
    """Rising."""
    lines: Mapping[str, Sequence[float]]
    """One value for each `x`, NaN for a gap; a line that ends early is shorter. Long lines are drawn thinned out, with
    the range that was left out as a band."""
    about: str = ""
    least_span: float = 0.0
    """The axis of values spans at least so much, so that what is nothing does not look like much."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Many values of one kind, drawn as the share that lies below."""

    part: Part
    title: str
    unit: str
    samples: Mapping[str, Sequence[float]]
    limits: Mapping[str, float] = field(default_factory=dict)
    """Lines to compare with, by name: the frame period, a deadline."""
    about: str = ""


@dataclass(frozen=True, slots=True)
class Stages:
    """Where the time goes: a bar a label (a system or a size), its parts in order."""

    title: str
    bars: Mapping[str, Mapping[str, float]]
    """ms."""
    about: str = ""


@dataclass(frozen=True, slots=True)
class Material:
    """All of it; what is empty has no section."""

    strips: Sequence[Strip] = ()
    worst: Sequence[WorstFrame] = ()
    curves: Sequence[Curve] = ()
    distributions: Sequence[Distribution] = ()
    stages: Sequence[Stages] = ()
    """Beside those that are drawn from the document."""
    series: Series = field(default_factory=dict)
