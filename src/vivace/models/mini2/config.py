"""Dimensions of `mini2`, shared by its network, its buffers and its training."""

from __future__ import annotations

from dataclasses import dataclass

BLOCK_PX = 4
"""Side of a block, px: pictures enter and leave as `[h w 48]`, the values of a block's px side by side."""
BLOCK_AREA = BLOCK_PX**2
"""Px of a block."""
PICTURE_CHANNELS = 3 * BLOCK_AREA
TEXTURE_CHANNELS = 32
INPUT_CHANNELS = 2 * PICTURE_CHANNELS + TEXTURE_CHANNELS
"""Channels of the input: source, estimate (the previous output, or the result of an earlier step for this frame), and
textures: 128 bytes per block, a whole number of rows of the matrix units."""
FIELDS = 12
"""Fields from which strokes are laid: their directions, and the cosine and sine of two flows; a value a working px."""
DRAWN_MAPS = 5
"""Maps of lines, light and strokes, see `drawing`."""
MAP_CHANNELS = DRAWN_MAPS * BLOCK_AREA
"""Channels of the maps: a block has the values of its px, map by map."""
SPREAD = 3.0
"""Range of a byte of noise, in deviations to either side."""
SCALES = (1, 2)
"""Picture px per px of the textures, the working px."""
TOKEN_PX = 32
"""Side of a token, px of the picture. Pictures are padded to multiples of it."""
CODE_DIM = 64
"""Length of a look's code."""
PICTURE_NUMBERS = 100
"""Numbers that describe a picture as a style, from which its code follows."""
STEP_NUMBERS = 4
"""Numbers that describe a step besides its look."""


@dataclass(frozen=True, slots=True)
class Mini2Config:
    """Widths and depths. Grids: 1/4 of the picture (fine), 1/8, 1/16, tokens at 1/32."""

    eighth: int = 96
    sixteenth: int = 128
    dim: int = 256
    """Width of a token, and of the conditioning."""
    heads: int = 4
    depth: int = 4
    memory_blocks: tuple[int, ...] = (1, 3)
    """Indices of the trunk's blocks that can also attend to a memory."""
    pool: int = 2
    """Side of the squares of tokens that are averaged for the memory."""
    fine: int = 64
    regions: int = 8
    """Channels of the region maps, at 1/8."""

    @property
    def head_dim(self) -> int:
        """Width of one attention head."""
        return self.dim // self.heads
