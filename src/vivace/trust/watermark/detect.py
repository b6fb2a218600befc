"""Look for the watermark in pictures, without the original: a payload, how sure, and how long."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vivace.media.frame import Rgb
from vivace.trust.watermark.evidence import evidence, reduced_luma
from vivace.trust.watermark.search import Evidence, Reading, search

SCALES = (0.48, 0.7, 1.03, 1.55)
"""From one to the next evidence is gathered once: its subbands are wide."""
_PX_BETWEEN = 4.2
"""Of the original, at most, between two values of evidence: a quarter of the shortest periods."""
LARGEST_PX = 2048
"""Of a side: what is further from a larger picture's middle is not looked at."""


class WatermarkDetector:
    """Gather evidence over pictures of one size, and say what it amounts to.

    Whatever was done to the pictures was done to all of them: the same scale, turn and crop.
    """

    def __init__(self) -> None:
        self._bands: list[Evidence] = []
        self.pictures = 0

    def add(self, rgb: Rgb) -> None:
        """Take a picture into account, `uint8 [h w 3]`."""
        height, width = rgb.shape[:2]
        top, left = (max(side - LARGEST_PX, 0) // 2 for side in (height, width))
        rgb = rgb[top : top + LARGEST_PX, left : left + LARGEST_PX]
        for index, (smallest, largest) in enumerate(zip(SCALES[:-1], SCALES[1:], strict=True)):
            factor = max(int(_PX_BETWEEN * smallest), 1)
            px = factor / (smallest * largest) ** 0.5
            values = evidence(reduced_luma(rgb, factor), px)
            if self.pictures:
                self._bands[index].values[:] += values
            else:
                self._bands.append(Evidence(values, factor, (smallest, largest)))
        self.pictures += 1

    def read(self) -> Reading:
        """Return what was found in the pictures so far, at least one."""
        return search(self._bands)


def detect_watermark(pictures: Iterable[Rgb]) -> Reading:
    """Return what is found in pictures of one size."""
    detector = WatermarkDetector()
    for rgb in pictures:
        detector.add(rgb)
    return detector.read()
