"""The two graphs of key frames from bytes, as exported: one reads a key frame, one follows it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vivace.models.keyframes.config import INPUT_CHANNELS, TOKEN_PX, TRUST
from vivace.models.keyframes.load import REMEMBERED
from vivace.models.keyframes.network import KeyframeNet, KeyMemory, Positions
from vivace.models.mini2.config import BLOCK_PX, PICTURE_CHANNELS

FOLLOWED = ("picture",)


class RememberGraph(nn.Module):
    """Memory of a key frame."""

    def __init__(self, net: KeyframeNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, pair: Tensor) -> tuple[Tensor, ...]:
        """Return keys and values of blocks `uint8 [1 h w 96]`: the key frame before and after its edit."""
        key, edit = (pair.float() * (1 / 128) - 1).permute(0, 3, 1, 2).chunk(2, 1)
        return tuple(self.net.remember(key, edit))


class FollowGraph(nn.Module):
    """A frame's edit."""

    def __init__(self, net: KeyframeNet) -> None:
        super().__init__()
        self.net = net

    def forward(
        self, blocks: Tensor, rows: Tensor, columns: Tensor, trust: Tensor, keys: Tensor, values: Tensor
    ) -> Tensor:
        """Return the picture `uint8 [1 h w 48]` for input blocks `uint8 [1 h w 194]`."""
        pictures = blocks[..., : TRUST.start].float() * (1 / 128) - 1
        known = blocks[..., TRUST].float() * (1 / 255)
        x = torch.cat([pictures, known], -1).permute(0, 3, 1, 2)
        picture: Tensor = self.net(x, Positions(rows, columns, trust), KeyMemory(keys, values))
        return (picture * 128 + 128.5).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def remember_example(size: tuple[int, int]) -> dict[str, Tensor]:
    """Return inputs by name for a padded `size = (width, height)`."""
    height, width = size[1] // BLOCK_PX, size[0] // BLOCK_PX
    return {"pair": torch.zeros(1, height, width, 2 * PICTURE_CHANNELS, dtype=torch.uint8)}


def follow_example(net: KeyframeNet, size: tuple[int, int]) -> dict[str, Tensor]:
    """Return inputs by name for a padded `size = (width, height)`."""
    height, width = size[1] // TOKEN_PX, size[0] // TOKEN_PX
    blocks = torch.zeros(1, size[1] // BLOCK_PX, size[0] // BLOCK_PX, INPUT_CHANNELS, dtype=torch.uint8)
    by_token = {name: torch.zeros(1, height, width) for name in ("rows", "columns", "trust")}
    memory = {name: torch.zeros(1, net.cfg.depth, height * width, net.cfg.dim) for name in REMEMBERED}
    return {"blocks": blocks, **by_token, **memory}
