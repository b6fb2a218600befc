"""Noise of a stream: drawn once from a seed and then fixed, so that texture does not flicker.

Fixed noise sticks to the lens: under a moving camera, the texture it produces swims over the scene. Rolled by whole
latents, it follows a pan and remains white and of unit variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LATENT_PX = 8
"""Side of a latent, px of the picture."""

Shift = tuple[int, int]
"""Shift in latents, down and right."""


def draw_noise(seed: int, rows: int, height: int, width: int) -> Tensor:
    """Return `[t 4 h w]` standard normal noise, identical on every device and in every process."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn((rows, 4, height, width), generator=generator)


def shift_of(offset_px: tuple[float, float]) -> Shift:
    """Return a shift of the scene in px, down and right, rounded to whole latents."""
    return round(offset_px[0] / LATENT_PX), round(offset_px[1] / LATENT_PX)


@dataclass(frozen=True, slots=True, eq=False)
class Noise:
    """Noise added to frames, per row."""

    values: Tensor
    """Values `[t 4 h w]`."""

    def row(self, row: int, shift: Shift = (0, 0)) -> Tensor:
        """Return one row's `[4 h w]`, shifted with the scene."""
        values = self.values[row]
        return values if shift == (0, 0) else torch.roll(values, shift, (1, 2))
