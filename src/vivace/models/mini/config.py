"""Dimensions of the embedded model, shared by its network, its state and its export."""

from __future__ import annotations

from dataclasses import dataclass

from vivace.memory.ring import Ring
from vivace.models.mini.styles import STYLE_COUNT
from vivace.models.mini.textures import BAND_SIGMAS_PX, SCREEN_COUNT, STROKE_FIELDS

PATCH_PX = 16
"""Side of a token, px of the working size."""
POOL = 2
"""Side of the squares of tokens whose keys and values are averaged in temporal attention: leaves a quarter of them."""
WORKING_MULTIPLE_PX = PATCH_PX * POOL
"""Divisor of working sizes, px, so that pooling comes out even."""


@dataclass(frozen=True, slots=True)
class MiniConfig:
    """Widths and depths of the embedded model."""

    styles: int = STYLE_COUNT
    half: int = 48
    """Channels at 1/2 of the working size."""
    quarter: int = 64
    eighth: int = 128
    dim: int = 256
    """Width of a token, at 1/16."""
    heads: int = 4
    depth: int = 5
    temporal_blocks: tuple[int, ...] = (1, 3)
    """Indices of the blocks that also attend to the memory."""
    fine: int = 48
    """Channels of the fine path, at 1/2 of the output size."""
    anchor_slots: int = 2
    window_slots: int = 4
    pool: int = POOL
    """Side of the squares of tokens averaged for the memory; independent of the weights, so 1 serves as an ablation."""
    texture_channels: int = len(BAND_SIGMAS_PX) + STROKE_FIELDS
    stroke_channels: int = STROKE_FIELDS
    screen_channels: int = SCREEN_COUNT

    @property
    def ring(self) -> Ring:
        """Slots of the memory."""
        return Ring(self.anchor_slots, self.window_slots)

    @property
    def max_age(self) -> int:
        """Age in frames at which the age of a memory slot is capped."""
        return self.window_slots + 1

    def memory_tokens(self, working_height: int, working_width: int) -> int:
        """Return the number of tokens in one memory slot at a working size."""
        return working_height * working_width // (PATCH_PX * self.pool) ** 2

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.dim // self.heads
