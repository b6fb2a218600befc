"""How strongly a moving source is noised: StreamDiffusionV2's scale, which a fast camera lowers.

A picture that moves keeps more of its source, since the noise would tear it; the scale follows motion with a little
inertia. Computed in double precision and in this order: of a still camera, the timestep lies exactly on a border.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

FULL_MOTION = 0.2
"""Root mean square of the difference of two frames, in pictures from -1 to 1, from which motion is as large as it is
taken to be."""
MOST_LOWERED = 0.1
INERTIA = 0.1
BELOW = 100
"""How far below its noise level a source is denoised from, in timesteps."""


class MotionScale:
    """The noise scale of one stream, chunk by chunk."""

    def __init__(self, start: float) -> None:
        """Begin with the scale `start` of a still source, 0 to 1."""
        self.start = start
        self._scale = start
        self._last: Tensor | None = None

    def forget(self) -> None:
        """Begin anew."""
        self._scale, self._last = self.start, None

    def see(self, pictures: Tensor) -> float:
        """Note frames `[t 3 h w]`, -1 to 1, without changing the scale; return the largest motion among them."""
        before = pictures[:0] if self._last is None else self._last
        frames = torch.cat([before, pictures])
        self._last = pictures[-1:].clone()
        if len(frames) < 2:
            return 0.0
        return float((frames[1:] - frames[:-1]).square().mean((1, 2, 3)).sqrt().max())

    def follow(self, pictures: Tensor) -> tuple[float, int]:
        """Return the noise scale of a chunk of frames, and the timestep it is denoised from."""
        motion = min(max(self.see(pictures) / FULL_MOTION, 0.0), 1.0)
        self._scale = (1 - INERTIA) * (self.start - MOST_LOWERED * motion) + INERTIA * self._scale
        return self._scale, math.floor(1000 * self._scale) - BELOW
