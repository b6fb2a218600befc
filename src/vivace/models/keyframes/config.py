"""Dimensions of the network that follows key frames, shared by its buffers and its training."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vivace.models.mini2.config import BLOCK_PX, PICTURE_CHANNELS

Size = tuple[int, int]
MAX_AREA_PX = 512 * 512
"""Area up to which the network works at the picture's own size; larger ones get its change enlarged."""
MOTION_PX = 256
"""Longer side of the pictures in which motion is found, px."""
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


def working_size(size: Size) -> Size:
    """Return the size `(width, height)` at which the network works, multiples of a token."""
    scale = min(1.0, (MAX_AREA_PX / (size[0] * size[1])) ** 0.5)
    width, height = (max(1, round(side * scale / TOKEN_PX)) * TOKEN_PX for side in size)
    return width, height


def motion_size(size: Size) -> Size:
    """Return the size `(width, height)` at which motion is found."""
    scale = min(1.0, MOTION_PX / max(size))
    width, height = (max(32, round(side * scale)) for side in size)
    return width, height


def nbytes_of(size: Size) -> int:
    """Return the size of the buffers of a stream of `size` that follows one key frame, bytes."""
    width, height = working_size(size)
    cfg = KeyframeConfig()
    by_token = 2 * 2 * cfg.depth * cfg.dim * 4 + 3 * 4  # keys and values, kept and as inputs; positions and trust
    pictures = 3 * 3  # the key frame, its edit, the previous output
    px, small_px = width * height, math.prod(motion_size(size))
    return px * (INPUT_CHANNELS // BLOCK_PX**2 + pictures) + px // TOKEN_PX**2 * by_token + small_px * (3 * 3 + 2 * 4)
