"""The network on pictures, with the inputs that a stream would give it."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vivace.models.keyframes.config import TOKEN_PX
from vivace.models.keyframes.motion import Motion, carry, trust
from vivace.models.keyframes.network import KeyframeNet, KeyMemory, Positions
from vivace.models.mini2.config import BLOCK_PX
from vivace.train.looks.student import from_blocks, signed, to_blocks

Rgb = NDArray[np.uint8]


def to_rgb(pictures: Tensor) -> list[Rgb]:
    """Return pictures `[n 3 h w]` in [-1, 1] as bytes `[h w 3]`."""
    scaled = ((pictures.clamp(-1, 1) + 1) * 128).clamp(0, 255).round()
    return list(scaled.to(torch.uint8).permute(0, 2, 3, 1).numpy())


class Followed:
    """A frame with what motion brings to it, as tensors of one picture."""

    def __init__(self, now: Rgb, key: Rgb, edit: Rgb, motion: Motion | None) -> None:
        self.now = now
        if motion is None:
            side = now.shape[:2]
            self.carried = np.concatenate([now, now], -1)
            self.trust = np.zeros(side, np.float32)
            self.rows = self.columns = np.zeros(side, np.float32)
        else:
            self.carried = np.concatenate([carry(motion, key), carry(motion, edit)], -1)
            self.trust = trust(motion, now, key)
            self.rows, self.columns = motion.y, motion.x


def tokens_of(rows: NDArray[np.float32], columns: NDArray[np.float32], certain: NDArray[np.float32]) -> Positions:
    """Return positions in px `[n h w]` as those of tokens, from the middle of a key frame of the same size."""
    h, w = rows.shape[1:]

    def mean(field: NDArray[np.float32], middle: float, scale: float) -> Tensor:
        return F.avg_pool2d(torch.from_numpy((field - middle) / scale)[:, None], TOKEN_PX)[:, 0]

    return Positions(mean(rows, (h - 1) / 2, TOKEN_PX), mean(columns, (w - 1) / 2, TOKEN_PX), mean(certain, 0.0, 1.0))


def inputs(frames: list[Followed], past: Tensor, past_trust: Tensor) -> tuple[Tensor, Positions]:
    """Return the network's input blocks `[n 194 h w]` and positions; `past [n 3 h w]` with trust `[n 1 h/4 w/4]`."""
    now = to_blocks(signed([f.now for f in frames]))
    key = to_blocks(signed([f.carried[..., :3] for f in frames]))
    edit = to_blocks(signed([f.carried[..., 3:] for f in frames]))
    certain = np.stack([f.trust for f in frames])
    by_block = F.avg_pool2d(torch.from_numpy(certain)[:, None], BLOCK_PX)
    blocks = torch.cat([now, key, edit, to_blocks(past), by_block, past_trust], 1)
    where = tokens_of(np.stack([f.rows for f in frames]), np.stack([f.columns for f in frames]), certain)
    return blocks, where


def remember(net: KeyframeNet, key: Tensor, edit: Tensor) -> KeyMemory:
    """Return the memory of key frames `[n 3 h w]`."""
    with torch.autocast(key.device.type, torch.bfloat16):
        memory: KeyMemory = net.remember(to_blocks(key), to_blocks(edit))
    return memory


def follow(net: KeyframeNet, blocks: Tensor, where: Positions, memory: KeyMemory | None) -> Tensor:
    """Return the pictures `[n 3 h w]`, not clamped."""
    blocks = blocks.contiguous(memory_format=torch.channels_last)
    with torch.autocast(blocks.device.type, torch.bfloat16):
        painted = net(blocks, where, memory)
    return from_blocks(painted.float())
