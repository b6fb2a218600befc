"""Scene cut detection on thumbnails, causal: only past frames are used.

A cut changes layout *and* colours, *suddenly*. Each of the three measures ignores something that is no cut:

* **layout**: the highest correlation of the two pictures over all shifts, so that a pan stays the same scene;
* **colours**: a histogram of colours relative to each picture's own mean and spread, so that a flash, a fade or a tint
  stays the same scene;
* **suddenness**: the product of both relative to its own recent mean, so that fast turns in a shooter do not fire at
  every frame.

A frame is also compared with the one before last, so that a single odd frame does not fire again when the old scene
comes back. Frames without content (black, white) are skipped: the frames before and after them are compared.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vivace.models.thumbnail import Thumbnail

GRID = 32
"""Cells per side of the grid: few enough for 0.2 ms, enough to tell rooms apart."""

SAMPLES = 3
"""Samples averaged per cell and axis, so that pictures of any shape are treated alike."""

CUT_WEIGHT = 0.1
"""Upper limit on what a cut adds to the recent mean: two cuts close together are both detected, while pictures that
change completely at every frame soon stop counting as cuts."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_COLOUR_STEPS = 5


@dataclass(frozen=True, slots=True)
class CutThresholds:
    """Thresholds above which a change is a cut.

    Chosen on real clips: films with known cuts, games, sports, hand-held cameras.
    """

    score: float = 0.13
    """Smallest (1 - correlation) * colour distance. True cuts gave 0.14 to 0.6, everything else mostly below 0.1."""
    rise: float = 4.0
    """Smallest ratio of the score to its recent mean. True cuts gave 4.9 to 24, fast turns in games 1 to 4."""
    luma: float = 0.08
    """Smallest mean change of brightness, 0 to 1. True cuts gave 0.1 to 0.35."""
    contrast: float = 5.0
    """Smallest standard deviation of brightness, 0 to 255, of a frame with content."""


@dataclass(frozen=True, slots=True)
class _Look:
    """Features of a frame that later ones are compared with."""

    spectrum: NDArray[np.complexfloating[Any, Any]]
    energy: float
    colours: NDArray[np.float32]
    luma: NDArray[np.float32]


class CutDetector:
    """Detector of scene cuts for one stream. Constant time and memory."""

    WINDOW = 8
    """Frames in the recent mean: a third of a second at 24 fps."""

    def __init__(self, thresholds: CutThresholds | None = None) -> None:
        self.thresholds = thresholds or CutThresholds()
        self.score = 0.0
        """Score of the latest frame, for inspection."""
        self._seen: deque[_Look] = deque(maxlen=2)
        self._scores: deque[float] = deque(maxlen=self.WINDOW)

    def reset(self) -> None:
        """Forget all frames; the next one is never a cut."""
        self._seen.clear()
        self._scores.clear()
        self.score = 0.0

    def is_cut(self, thumbnail: Thumbnail) -> bool:
        """Take the next frame's thumbnail, `float32 [h w 3]` of any size, and return whether it starts a new scene."""
        grid = _grid(thumbnail)
        luma = grid @ _LUMA
        if float(luma.std()) < self.thresholds.contrast:
            self.score = 0.0
            return False
        look = _look(grid, luma)
        if not self._seen:
            self._seen.append(look)
            return False
        differences = [_difference(before, look) for before in self._seen]
        self.score = min(score for score, _ in differences)
        change = min(luma_change for _, luma_change in differences)
        recent = sum(self._scores) / len(self._scores) if self._scores else 0.0
        limits = self.thresholds
        # The constant keeps the ratio finite in a static scene.
        cut = self.score >= limits.score and change >= limits.luma and self.score >= limits.rise * (recent + 0.02)
        self._scores.append(min(self.score, CUT_WEIGHT) if cut else self.score)
        self._seen.append(look)
        return cut


def _grid(thumbnail: Thumbnail) -> NDArray[np.float32]:
    """Return cell means `float32 [GRID GRID 3]` from an even grid of samples."""
    height, width = thumbnail.shape[:2]
    count = GRID * SAMPLES
    ys = (np.arange(count) * 2 + 1) * height // (2 * count)
    xs = (np.arange(count) * 2 + 1) * width // (2 * count)
    lines = thumbnail[ys].reshape(GRID, SAMPLES, width, 3).sum(axis=1)
    columns = lines[:, xs].reshape(GRID, GRID, SAMPLES, 3)
    # Whole arrays at a time: four times as fast as a mean over the axis.
    sums = sum(columns[:, :, sample] for sample in range(SAMPLES))
    means: NDArray[np.float32] = np.divide(sums, SAMPLES * SAMPLES, dtype=np.float32)
    return means


def _look(grid: NDArray[np.float32], luma: NDArray[np.float32]) -> _Look:
    centred = luma - luma.mean()
    # The constant stands for noise: two nearly flat pictures count as similar, not as unrelated.
    energy = float(np.sqrt((centred * centred).sum())) + GRID * 2.0
    relative = (grid - grid.mean(axis=(0, 1))) / (grid.std(axis=(0, 1)) + 8.0)
    steps = np.clip(np.floor(relative * 1.25 + 2.5), 0, _COLOUR_STEPS - 1).astype(np.int64)
    index = (steps[..., 0] * _COLOUR_STEPS + steps[..., 1]) * _COLOUR_STEPS + steps[..., 2]
    counts = np.bincount(index.ravel(), minlength=_COLOUR_STEPS**3)
    return _Look(np.fft.rfft2(centred), energy, (counts / index.size).astype(np.float32), luma)


def _difference(before: _Look, now: _Look) -> tuple[float, float]:
    """Return the score of a change, 0 to 1, and the mean change of brightness, 0 to 1."""
    correlation = np.fft.irfft2(before.spectrum * np.conj(now.spectrum), s=(GRID, GRID))
    alike = max(0.0, float(correlation.max()) / (before.energy * now.energy))
    colour_distance = 0.5 * float(np.abs(before.colours - now.colours).sum())
    return (1.0 - alike) * colour_distance, float(np.abs(before.luma - now.luma).mean()) / 255.0
