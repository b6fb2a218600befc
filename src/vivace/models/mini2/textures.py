"""Texture basis of `mini2`, one byte per block and channel, computed once when a stream opens.

The fields are those of `mini` (noise smeared along directions, bands, printer's screens) and two more: a grid, and
cells of irregular tiles. Screens and grid are stored as sines and cosines at a block's centre, from which one
convolution can draw them at any px. A byte `v` stands for `(v - 128) / 128`, as in pictures.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vivace.models.mini.moving import copy_shifted
from vivace.models.mini.textures import (
    FLOWS,
    PIXEL_PX,
    SCREEN_PERIOD_PX,
    STROKE_COUNT,
    Textures,
    make_textures,
    screens,
)
from vivace.models.mini2.config import BLOCK_PX, FIELDS, SPREAD, TEXTURE_CHANNELS

Field = NDArray[np.float32]
CELL_PX = 16
"""Mean distance of neighbouring cells, working px."""
_JITTER = 0.36
"""Largest offset of a cell's centre from the middle of its square, as a share of the square's side."""
USED_BANDS = (1, 3)
"""Bands of `mini.textures` used besides the grain: washes, and the widest."""


@dataclass(frozen=True, slots=True)
class Cells:
    """Irregular tiles on a torus: every px belongs to its nearest centre (Voronoi)."""

    number: NDArray[np.int32]
    """Index of the tile, `[h w]`."""
    offset: Field
    """Offset from the px to its centre, `[2 h w]`, down and right, working px."""
    edge: Field
    """Distance to the border with the next tile, `[h w]`, working px."""

    def window(self, top: int, left: int, height: int, width: int) -> Cells:
        """Return the part of the torus below and right of `(top, left)`, wrapping around."""
        rows = (top + np.arange(height)) % self.number.shape[0]
        columns = (left + np.arange(width)) % self.number.shape[1]
        return Cells(self.number[rows][:, columns], self.offset[:, rows][:, :, columns], self.edge[rows][:, columns])


def make_cells(height: int, width: int, seed: int) -> Cells:
    """Return the tiles of a torus of `height` x `width` working px, multiples of 16."""
    rows, columns = height // CELL_PX, width // CELL_PX
    jitter = np.random.default_rng([seed, 16]).uniform(-_JITTER, _JITTER, (2, rows, columns))
    y, x = np.arange(height) + 0.5, np.arange(width) + 0.5
    row, column = (y // CELL_PX).astype(int), (x // CELL_PX).astype(int)
    best = np.full((height, width), np.inf)
    second = np.full((height, width), np.inf)
    number = np.zeros((height, width), np.int32)
    offset = np.zeros((2, height, width))
    for down in (-1, 0, 1):
        for right in (-1, 0, 1):
            i, j = (row + down)[:, None], (column + right)[None, :]
            shift = jitter[:, i % rows, j % columns]
            dy = (i + 0.5 + shift[0]) * CELL_PX - y[:, None]
            dx = (j + 0.5 + shift[1]) * CELL_PX - x[None, :]
            distance = np.hypot(dy, dx)
            nearer = distance < best
            second = np.where(nearer, best, np.minimum(second, distance))
            best = np.where(nearer, distance, best)
            number = np.where(nearer, i % rows * columns + j % columns, number).astype(np.int32)
            offset = np.where(nearer, np.stack([dy, dx]), offset)
    return Cells(number, offset.astype(np.float32), ((second - best) / 2).astype(np.float32))


def block_textures(fields: Textures, cells: Cells, scale: int) -> NDArray[np.uint8]:
    """Return the textures `uint8 [h*scale/4 w*scale/4 32]` of a picture with `scale` px per px of these fields."""
    height, width = fields.noise.shape[1:]
    side = BLOCK_PX // scale
    centre_y = (np.arange(height // side, dtype=np.float32) + np.float32(0.5)) * np.float32(side)
    centre_x = (np.arange(width // side, dtype=np.float32) + np.float32(0.5)) * np.float32(side)
    strokes = _means(fields.strokes, side)
    bands = _means(fields.bands[list(USED_BANDS)], side)
    # The grain is finer than a block: one value per quarter of it.
    grain = _means(fields.bands[:1], side // 2)[0]
    grain = np.stack([grain[dy::2, dx::2] for dy in (0, 1) for dx in (0, 1)])
    noise = np.concatenate([strokes, bands, grain]) / SPREAD
    phases = [_waves(centre_y, centre_x, *wave) for wave in _WAVES]
    dither = screens(height, width)[0][(centre_y - 0.5).astype(int)][:, (centre_x - 0.5).astype(int)]
    offset = _means(cells.offset, side) / CELL_PX
    edge = _means(cells.edge[None], side) / (CELL_PX / 2) - 0.5
    stacked = np.concatenate([noise, *phases, dither[None], offset, edge])
    assert len(stacked) == TEXTURE_CHANNELS
    return np.asarray(np.clip(np.round(stacked * 128 + 128), 0, 255), np.uint8).transpose(1, 2, 0).copy()


def stroke_fields(fields: Textures) -> NDArray[np.uint8]:
    """Return the fields `uint8 [h w 12]` that strokes are laid from: eight directions, then the turns of two flows.

    A turn is the cosine and the sine of twice the flow's angle.
    """
    flows = [turn(2 * angle * fields.bands[band]) for band, angle in FLOWS for turn in (np.cos, np.sin)]
    stacked = np.concatenate([fields.strokes[:STROKE_COUNT] / SPREAD, np.stack(flows)])
    assert len(stacked) == FIELDS
    return np.asarray(np.clip(np.round(stacked * 128 + 128), 0, 255), np.uint8).transpose(1, 2, 0).copy()


def in_blocks(fields: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    """Write fields `[h w k]` in blocks `[h/4 w/4 k*16]`, field by field, px by px."""
    h, w, k = fields.shape
    blocks = fields.reshape(h // BLOCK_PX, BLOCK_PX, w // BLOCK_PX, BLOCK_PX, k).transpose(0, 2, 4, 1, 3)
    out.reshape(blocks.shape)[...] = blocks


STROKES, OFFSETS = slice(0, 16), slice(29, 32)
"""Channels that move with the scene: strokes, bands and grain; cells. Those in between are screens, which do not."""


@lru_cache(maxsize=4)
def textures_at_rest(size: tuple[int, int], scale: int, seed: int) -> NDArray[np.uint8]:
    """Return the textures `uint8 [h w 32]` of a token grid of `(width, height)` px, shared by streams that use them."""
    width, height = (side // scale for side in size)
    made = block_textures(make_textures(height, width, seed), make_cells(height, width, seed), scale)
    made.flags.writeable = False
    return made


def lay_textures(rest: NDArray[np.uint8], down: int, right: int, out: NDArray[np.uint8]) -> None:
    """Copy the moving channels to `out`, shifted by `down` and `right` blocks; the fields are periodic."""
    for part in (STROKES, OFFSETS):
        element = f"V{part.stop - part.start}"
        copy_shifted(rest[..., part].view(element)[..., 0], down, right, out[..., part].view(element)[..., 0])


_WAVES: tuple[tuple[int, int, float], ...] = (
    (1, 1, 8.0),
    (1, -1, 8.0),
    (1, 1, 16 / 3),
    (1, -1, 16 / 3),
    (0, 1, SCREEN_PERIOD_PX),
    (1, 0, SCREEN_PERIOD_PX),
)
"""Waves as (down, right, period in working px): two of the halftone, two of the crossed hatchings, the grid."""
assert SCREEN_PERIOD_PX % PIXEL_PX == 0


def _waves(y: Field, x: Field, down: int, right: int, period: float) -> Field:
    angle = (down * y[:, None] + right * x[None, :]) * np.float32(2 * np.pi / period)
    return np.asarray(np.stack([np.cos(angle), np.sin(angle)]) * (127 / 128), np.float32)


def _means(fields: Field, side: int) -> Field:
    """Return the means of squares of `side` px of `[k h w]`."""
    if side == 1:
        return fields
    k, h, w = fields.shape
    return np.asarray(fields.reshape(k, h // side, side, w // side, side).mean((2, 4)), np.float32)
