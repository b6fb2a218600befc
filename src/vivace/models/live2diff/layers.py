"""Layers shared by the UNet and its motion modules, fast even in eager torch.

Projections of the same input are one matrix product: their weights are views of one matrix. Each layer named in the
checkpoints remains a layer of its own, so that loading and LoRA merging work unchanged.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SCORES_BYTES = 16 * 2**20
"""Attention scores held at once on a CPU, bytes. More memory would be mapped and unmapped by the system at every call,
which takes longer than the arithmetic; less would rearrange the keys more often."""


class Projections(nn.Module):
    """Base of attention layers whose bias-free linear layers with a common input share one matrix.

    The matrix follows its layers through moves between devices and types, loading in place or by assignment, and
    copies. Weights are for inference only, since gradients would stop at the matrix.
    """

    fused: Tensor
    """Weights of the layers stacked, `[n c]`."""

    def __init__(self) -> None:
        super().__init__()
        self.fused_names: tuple[str, ...] = ()
        self.register_load_state_dict_post_hook(lambda module, _: module.tie())

    def fuse(self, *names: str) -> None:
        """Let the linear layers of these names share one matrix, in this order."""
        self.fused_names = names
        self.register_buffer("fused", torch.empty(0), persistent=False)
        self.tie()

    def tie(self) -> None:
        """Gather the weights into the matrix again, if one of them has been replaced."""
        weights = [getattr(self, name).weight.requires_grad_(False) for name in self.fused_names]
        if weights and not self._tied(weights):
            self.fused = torch.cat([weight.detach() for weight in weights])
            for weight, part in zip(weights, self.fused.split([len(weight) for weight in weights]), strict=True):
                weight.data = part

    def _tied(self, weights: list[nn.Parameter]) -> bool:
        sizes = [len(weight) for weight in weights]
        if self.fused.is_meta or len(self.fused) != sum(sizes):
            return False
        parts = self.fused.split(sizes)
        return all(weight.data_ptr() == part.data_ptr() for weight, part in zip(weights, parts, strict=True))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)
        self.tie()
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.tie()


class Conv(nn.Conv2d):
    """3x3 convolution with padding 1, as a matrix product where its weights outweigh the picture."""

    def __init__(self, channels_in: int, channels: int, *, stride: int = 1) -> None:
        super().__init__(channels_in, channels, 3, stride=stride, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the convolution of `x [b c h w]`."""
        # A CPU convolution reorders its weights at every call. For few pixels that takes several times as long as the
        # convolution; unfolding the pixels instead costs next to nothing.
        pixels = x.shape[0] * x.shape[2] * x.shape[3]
        if x.device.type != "cpu" or pixels >= self.out_channels:
            return super().forward(x)
        if not self.weight.is_contiguous(memory_format=torch.channels_last):
            return super().forward(x)
        padded = F.pad(x.permute(0, 2, 3, 1), (0, 0, 1, 1, 1, 1))
        patches = padded.unfold(1, 3, self.stride[0]).unfold(2, 3, self.stride[1])
        matrix = self.weight.permute(0, 2, 3, 1).flatten(1)
        return F.linear(patches.permute(0, 1, 2, 4, 5, 3).flatten(3), matrix, self.bias).permute(0, 3, 1, 2)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return the attention `[b h l d]` of `q [b h l d]` over `k, v [b h m d]`."""
    if q.device.type != "cpu" or q.dtype == torch.float32:
        return F.scaled_dot_product_attention(q, k, v)
    # In half precision a CPU is twice as fast at plain products as torch's fused attention, which computes in float32.
    rows = max(1, SCORES_BYTES // (q.itemsize * k.shape[:3].numel()))
    keys = k.transpose(-1, -2)
    parts = [(part @ keys).softmax(-1) @ v for part in (q * q.shape[-1] ** -0.5).split(rows, 2)]
    return parts[0] if len(parts) == 1 else torch.cat(parts, 2)


def tokens_of(x: Tensor) -> Tensor:
    """Return `x [b c h w]` as tokens `[b l c]`, row by row; a view if channels are last in memory."""
    return x.permute(0, 2, 3, 1).flatten(1, 2)


def features_of(tokens: Tensor, height: int, width: int) -> Tensor:
    """Return `tokens [b l c]` as features `[b c h w]`, a view with channels last in memory."""
    return tokens.unflatten(1, (height, width)).permute(0, 3, 1, 2)


class Gate(nn.Module):
    """GELU-gated linear unit (Shazeer, 2020)."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels, 2 * inner)

    def forward(self, x: Tensor) -> Tensor:
        """Return the first half of the projection, gated by the second: `[... c]` to `[... inner]`."""
        value, gate = self.proj(x).chunk(2, -1)
        return F.gelu(gate).mul_(value)


class FeedForward(nn.Module):
    """Two linear layers around a gate, four times as wide inside."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # The checkpoint numbers a dropout layer between the two.
        self.net = nn.ModuleList([Gate(channels, 4 * channels), nn.Identity(), nn.Linear(4 * channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        """Transform each token of `x [... c]` independently."""
        for layer in self.net:
            x = layer(x)
        return x
