"""The noise of a stream: drawn once from a seed, and fixed, so that texture stands still from frame to frame.

Fixed noise sticks to the lens: under a moving camera the texture it becomes swims over the world. Moved by whole
latents around the edges, it follows a pan and stays exactly what it was, white and of unit variance.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LATENT_PX = 8
"""Side of a latent in px of the picture."""

Shift = tuple[int, int]
"""Latents down and right."""


def draw_noise(seed: int, rows: int, height: int, width: int) -> Tensor:
    """Return `[t 4 h w]` standard normal noise, the same on every device and in every process."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn((rows, 4, height, width), generator=generator)


def shift_of(offset_px: tuple[float, float]) -> Shift:
    """Return the whole latents nearest to how far the world has moved, px down and right."""
    return round(offset_px[0] / LATENT_PX), round(offset_px[1] / LATENT_PX)


@dataclass(frozen=True, slots=True, eq=False)
class Noise:
    """What frames are noised with at every row."""

    values: Tensor
    """`[t 4 h w]`"""

    def row(self, row: int, shift: Shift = (0, 0)) -> Tensor:
        """Return `[4 h w]` of one row, moved with the world."""
        values = self.values[row]
        return values if shift == (0, 0) else torch.roll(values, shift, (1, 2))
