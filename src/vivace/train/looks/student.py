"""Network and codes as one module, and one step of it on pictures."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from vivace.models.mini.textures import STROKE_COUNT
from vivace.models.mini2.config import BLOCK_AREA, BLOCK_PX, PICTURE_CHANNELS, Mini2Config
from vivace.models.mini2.drawing import Drawing, at_picture_size
from vivace.models.mini2.looks import LOOK_KEYS
from vivace.models.mini2.network import Conditions, Mini2Net
from vivace.train.looks.table import LookCodes


class Student(nn.Module):
    """Trained module: the network and the codes of the looks."""

    def __init__(self, cfg: Mini2Config | None = None, keys: tuple[str, ...] = LOOK_KEYS) -> None:
        super().__init__()
        self.net = Mini2Net(cfg)
        self.codes = LookCodes(keys)

    def forward(
        self, source: Tensor, estimate: Tensor, textures: Tensor, maps: Tensor, code: Tensor, step: Tensor
    ) -> Tensor:
        """Return pictures `[n 3 h w]` painted from sources and estimates alike.

        Textures are `[n 32 h/4 w/4]`, maps of the source `[n 80 h/4 w/4]`, see `draw`.
        """
        blocks = torch.cat([to_blocks(source), to_blocks(estimate), textures], 1)
        blocks = blocks.contiguous(memory_format=torch.channels_last)
        with torch.autocast(source.device.type, torch.bfloat16):
            picture = self.net(blocks, maps, Conditions(code, step)).picture
        return from_blocks(picture.float())

    def code(self, index: Tensor, pictures: Tensor, weight: Tensor) -> Tensor:
        """Return the codes `[n 64]` of mixtures: `index [n 2]`, `pictures [n 100]`, `weight [n]` of the first."""
        first, second = (self.codes(index[:, k], pictures) for k in (0, 1))
        return first * weight[:, None] + second * (1 - weight)[:, None]


@torch.no_grad()
def draw(source: Tensor, fields: NDArray[np.uint8], scale: int) -> Tensor:
    """Return the maps `[n 80 h/4 w/4]` of sources `[n 3 h w]`, see `drawing.Drawing`.

    `fields [n h/s w/s 12]` are those of `stroke_fields`.
    """
    planes = torch.from_numpy(fields).permute(0, 3, 1, 2).float() / 128 - 1
    strokes, flows = F.pixel_unshuffle(planes, BLOCK_PX).tensor_split([STROKE_COUNT * BLOCK_AREA], 1)
    return at_picture_size(_drawing(scale)(to_blocks(source), strokes, flows), scale)


@cache
def _drawing(scale: int) -> Drawing:
    return Drawing(scale)


def signed(pictures: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Return pictures `[h w c]` as the network sees them, `[n c h w]`, a byte `v` as `v / 128 - 1`."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 128 - 1


def to_blocks(x: Tensor) -> Tensor:
    """Return pictures `[n 3 h w]` in blocks `[n 48 h/4 w/4]`, in the order row, column, colour."""
    n, _, h, w = x.shape
    grid = x.reshape(n, 3, h // BLOCK_PX, BLOCK_PX, w // BLOCK_PX, BLOCK_PX)
    return grid.permute(0, 3, 5, 1, 2, 4).reshape(n, PICTURE_CHANNELS, h // BLOCK_PX, w // BLOCK_PX)


def from_blocks(x: Tensor) -> Tensor:
    """Return blocks `[n 48 h w]` as pictures `[n 3 4h 4w]`."""
    n, _, h, w = x.shape
    grid = x.reshape(n, BLOCK_PX, BLOCK_PX, 3, h, w)
    return grid.permute(0, 3, 4, 1, 5, 2).reshape(n, 3, h * BLOCK_PX, w * BLOCK_PX)


def step_numbers(done: Tensor, steps: Tensor, log_scale: Tensor, has_estimate: Tensor) -> Tensor:
    """Return the conditions of a step `[n 4]`."""
    return torch.stack([done, torch.log2(steps), log_scale, has_estimate], -1)
