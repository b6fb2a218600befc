"""Dimensions of the network that follows key frames, shared by its buffers and its training."""

from __future__ import annotations

from dataclasses import dataclass

from vivace.models.mini2.config import PICTURE_CHANNELS

TOKEN_PX = 16
"""Side of a token, px of the picture. Pictures are padded to multiples of it."""
NOW, KEY, EDIT, PAST = (slice(n * PICTURE_CHANNELS, (n + 1) * PICTURE_CHANNELS) for n in range(4))
"""Channels of the input blocks: the picture now; the key frame before and after its edit, both carried to now along the
motion; the previous output, carried likewise."""
TRUST = slice(4 * PICTURE_CHANNELS, 4 * PICTURE_CHANNELS + 2)
"""Channels of how far the motion of the key frame and of the previous output explains each block, 0 to 255."""
INPUT_CHANNELS = TRUST.stop
POSITION_WAVES = (64.0, 32.0, 16.0, 8.0, 4.0)
"""Wavelengths in which positions are encoded, tokens."""
POSITION_NUMBERS = 4 * len(POSITION_WAVES)


@dataclass(frozen=True, slots=True)
class KeyframeConfig:
    """Widths and depths. Grids: 1/4 of the picture (fine), 1/8, tokens at 1/16."""

    eighth: int = 96
    dim: int = 160
    """Width of a token."""
    heads: int = 4
    depth: int = 3
    """Number of blocks, each of which attends to the key frame."""
    fine: int = 64
