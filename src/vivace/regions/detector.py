"""Detectors of faces and bodies: single-shot, on a square picture, with an anchor in each cell of a few grids.

Layouts of anchors and outputs are those of MediaPipe's face and pose detection (Bazarevsky et al., BlazeFace, 2019).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vivace.media.convert import resize
from vivace.media.frame import Rgb
from vivace.regions.networks import Perception

_GRIDS = {
    "faces": ((16, 2), (8, 6)),
    "far_faces": ((48, 1),),
    "bodies": ((28, 2), (14, 2), (7, 6)),
}
"""Grids of each network, (cells a side, anchors a cell) in the order of its outputs."""
_OVERLAP = 0.3
"""Boxes that share more than this of their union are of the same thing."""


@dataclass(frozen=True, slots=True)
class Detection:
    """Something found."""

    score: float
    """0 to 1."""
    box: tuple[float, float, float, float]
    """Left, top, right, bottom, in px of the picture; may lie partly outside."""
    points: NDArray[np.float32]
    """`[n 2]` (x, y) px: of a face the eyes, nose, mouth and ears; of a body the hips, how far it reaches from there,
    the shoulders, and how far the upper body reaches."""


class Detector:
    """One detector bound to one stream."""

    def __init__(self, name: str, threads: int | None = None) -> None:
        """Load a network, `faces`, `far_faces` or `bodies`."""
        self._network = Perception(name, threads)
        self._anchors = _anchors(_GRIDS[name])

    def run(self, rgb: Rgb, least: float) -> list[Detection]:
        """Return what is found in a picture `uint8 [h w 3]` with at least this score, the surest first."""
        height, width = rgb.shape[:2]
        side = self._network.size[0]
        scale = side / max(height, width)
        h, w = max(1, round(height * scale)), max(1, round(width * scale))
        top, left = (side - h) // 2, (side - w) // 2
        square = np.zeros((side, side, 3), np.uint8)
        square[top : top + h, left : left + w] = resize(rgb, (w, h))
        outputs = self._network.run(square)
        scores = 1 / (1 + np.exp(-np.clip(outputs["scores"][0, :, 0].astype(np.float32), -60, 60)))
        sure = np.flatnonzero(scores >= least)
        found: list[Detection] = []
        for at in sure[np.argsort(-scores[sure], kind="stable")]:
            values = outputs["boxes"][0, at].astype(np.float32)
            anchor = self._anchors[at] * side
            places = (values.reshape(-1, 2) + anchor - (left, top)) * (width / w, height / h)
            (x, y), reach = places[0], values[2:4] * (width / w, height / h) / 2
            box = (float(x - reach[0]), float(y - reach[1]), float(x + reach[0]), float(y + reach[1]))
            if all(_shared(box, other.box) <= _OVERLAP for other in found):
                found.append(Detection(float(scores[at]), box, np.asarray(places[2:], np.float32)))
        return found


def _anchors(grids: tuple[tuple[int, int], ...]) -> NDArray[np.float32]:
    """Return the middles of cells, `[n 2]` (x, y) from 0 to 1, each as often as it has anchors."""
    parts = []
    for cells, each in grids:
        down, across = np.mgrid[:cells, :cells]
        middles = (np.stack((across, down), axis=-1).reshape(-1, 2) + 0.5) / cells
        parts.append(np.repeat(middles, each, axis=0))
    return np.concatenate(parts).astype(np.float32)


def _shared(a: tuple[float, float, float, float], b: tuple[float, float, float, float]) -> float:
    """Return the share of two boxes' union that is in both."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = width * height
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)
