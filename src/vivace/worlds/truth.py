"""Ground truth of one moment of a ray-cast scene, for benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vivace.media.frame import Rgb
from vivace.worlds.scene import Scene

BACKDROP_ID = 0
"""Identity of the sky and backdrop, which are infinitely far."""


@dataclass(frozen=True, slots=True)
class View:
    """One frame with its ground truth, given at pixel centres; flows start at this frame's pixel centres.

    Overlays (rain, sensor noise) are in `rgb` alone: flow, depth and identities are those of the surface behind. A user
    interface drawn over the picture is a surface: it has its own identity, depth 0 and flow 0.
    """

    rgb: Rgb
    depth: NDArray[np.float32]
    """Distance along the optical axis, `[h w]`, m; infinite for the backdrop."""
    ids: NDArray[np.uint16]
    """Identity of the visible object, `[h w]`; `BACKDROP_ID` is the backdrop."""
    flow: NDArray[np.float32]
    """Position of the same surface point in the next frame minus its position here, `[h w 2]` (x, y), px."""
    flow_back: NDArray[np.float32]
    """The same to the previous frame, `[h w 2]`; zero in a frame that begins a shot."""
    visible: NDArray[np.bool_]
    """True where that point is visible in the next frame (inside the picture, not hidden, no cut between), `[h w]`."""
    visible_back: NDArray[np.bool_]
    """The same for the previous frame, `[h w]`."""
    begins_shot: bool
    """True if there is a hard cut right before this frame, or if it is the first."""


class TruthScene(Scene, Protocol):
    """Scene with ground truth."""

    objects: Mapping[int, str]
    """Name of every identity that `view` can show."""

    def view(self, time_s: float, frame_s: float) -> View:
        """Return the moment `time_s` ≥ 0 with its truth; the neighbouring frames are `frame_s` s before and after."""
