"""StreamDiffusionV2's noise scale of the source, lowered by motion (Feng et al., 2025).

A source that moves fast is noised less, so that its structure survives; the scale follows motion with inertia. Computed
in double precision and in this order, since the timestep of a still camera lies exactly on a rounding border.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

FULL_MOTION = 0.2
"""Root mean square of the difference of two frames, of pictures from -1 to 1, that counts as full motion."""
MOST_LOWERED = 0.1
"""Amount that full motion lowers the scale by."""
INERTIA = 0.1
"""Share of the scale before in the next one."""
BELOW = 100
"""Timesteps between the noise level of a source and the timestep it is denoised from."""


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

    def observe(self, pictures: Tensor) -> float:
        """Return the largest motion among frames `[t 3 h w]`, -1 to 1, and the frame before; the scale stays."""
        before = pictures[:0] if self._last is None else self._last
        frames = torch.cat([before, pictures])
        self._last = pictures[-1:].clone()
        if len(frames) < 2:
            return 0.0
        return float((frames[1:] - frames[:-1]).square().mean((1, 2, 3)).sqrt().max())

    def follow(self, pictures: Tensor) -> tuple[float, int]:
        """Return the noise scale of a chunk of frames, and the timestep it is denoised from."""
        motion = min(max(self.observe(pictures) / FULL_MOTION, 0.0), 1.0)
        self._scale = (1 - INERTIA) * (self.start - MOST_LOWERED * motion) + INERTIA * self._scale
        return self._scale, math.floor(1000 * self._scale) - BELOW
