"""Contents of a report besides the document's figures: pictures, and values over time.

A name that is that of a row of the document has that row's colour everywhere; `source` and `reference` are black.
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
"""Single values behind figures of time, in order, `[system]["KIND/CASE"]`; kinds are those of `timing.KINDS`."""
Part = Literal["speed", "latency", "drift", "quality"]
"""Section of the report."""


@dataclass(frozen=True, slots=True)
class Strip:
    """Moments of a case, one row of pictures per system."""

    case: str
    title: str
    """Description of the clip and the request."""
    times_s: Sequence[float]
    rows: Mapping[str, Sequence[Rgb]]
    """Rows in display order, `source` first; a picture for each time, `uint8 [h w 3]`."""
    masks: Sequence[Mask] | None = None
    """Area of the edit for each time, `[h w]`."""


@dataclass(frozen=True, slots=True)
class WorstFrame:
    """A system's worst frame by a metric."""

    metric: str
    case: str
    system: str
    index: int
    time_s: float
    value: float
    pictures: Mapping[str, Rgb]
    """Pictures to compare: source, the frame before, the frame, the reference, a map of the error."""
    why: str = ""
    """Explanation of what to look for."""
    mask: Mask | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """Values over time, one line per system."""

    part: Part
    title: str
    unit: str
    x_label: str
    x: Sequence[float]
    """Positions, rising."""
    lines: Mapping[str, Sequence[float]]
    """One value for each `x`, NaN for a gap; a line that ends early is shorter. Long lines are thinned out, with the
    omitted range as a band."""
    about: str = ""
    least_span: float = 0.0
    """Smallest span of the value axis, so that insignificant changes look small."""


@dataclass(frozen=True, slots=True)
class Distribution:
    """Many values of one kind, drawn as a cumulative distribution."""

    part: Part
    title: str
    unit: str
    samples: Mapping[str, Sequence[float]]
    limits: Mapping[str, float] = field(default_factory=dict)
    """Lines to compare with, by name: the frame period, a deadline."""
    about: str = ""


@dataclass(frozen=True, slots=True)
class Stages:
    """Breakdown of time: one bar per label (a system or a size), its parts in order."""

    title: str
    bars: Mapping[str, Mapping[str, float]]
    """Parts of each bar, ms."""
    about: str = ""


@dataclass(frozen=True, slots=True)
class Material:
    """Complete contents; empty parts have no section."""

    strips: Sequence[Strip] = ()
    worst: Sequence[WorstFrame] = ()
    curves: Sequence[Curve] = ()
    distributions: Sequence[Distribution] = ()
    stages: Sequence[Stages] = ()
    """Bars besides those drawn from the document."""
    series: Series = field(default_factory=dict)
