"""What is known exactly about one moment of a scene that is made of solids: the ground truth of a benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vivace.media.frame import Rgb
from vivace.worlds.scene import Scene

BACKDROP_ID = 0
"""Identity of what is infinitely far: sky, backdrop. Its depth is infinite."""


@dataclass(frozen=True, slots=True)
class View:
    """One frame with its ground truth. All of it belongs to pixel centres; flows point from this frame's pixel centres.

    Overlays (rain, sensor noise) are in `rgb` alone: flow, depth and identities are those of the surface behind. A user
    interface drawn over the picture is a surface: it has its own identity, depth 0 and flow 0.
    """

    rgb: Rgb
    depth: NDArray[np.float32]
    """`[h w]`, distance along the optical axis, metres; infinite for the backdrop."""
    ids: NDArray[np.uint16]
    """`[h w]`, which object is seen; `BACKDROP_ID` is the backdrop."""
    flow: NDArray[np.float32]
    """`[h w 2]` (x, y), px: where the same surface point is in the next frame, minus where it is here."""
    flow_back: NDArray[np.float32]
    """`[h w 2]`, the same to the previous frame; zero in a frame that begins a shot."""
    visible: NDArray[np.bool_]
    """`[h w]`, whether that point is seen in the next frame (inside the picture, not hidden, no cut between)."""
    visible_back: NDArray[np.bool_]
    """`[h w]`, the same for the previous frame."""
    begins_shot: bool
    """Whether there is a hard cut right before this frame (true of the first)."""


class TruthScene(Scene, Protocol):
    """A scene that can also say what it shows."""

    objects: Mapping[int, str]
    """Name of every identity that `view` can show."""

    def view(self, time_s: float, frame_s: float) -> View:
        """Return the moment `time_s` ≥ 0 with its truth; the neighbouring frames are `frame_s` s before and after."""
