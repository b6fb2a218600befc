"""Motion modules: attention of each pixel to itself in other frames (AnimateDiff's layout, made uni-directional).

One set of weights serves two modes. A *clip* is a few frames at once, as in warm-up, which all attend to each other.
*Live*, every row brings one new frame, writes its keys and values into one slot of its cache, in place, and attends to
its visible slots.

Keys and values are stored without positions, which are added from tables (see `ring`). Shapes: r rows (streams x
denoising rows), p pixels, f frames, c channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivace.models.live2diff.layers import FeedForward, Projections, features_of, tokens_of
from vivace.models.live2diff.ring import HEADS, RingAttention, ring_attention
from vivace.models.live2diff.window import SLOTS, Window

POSITION_ENTRIES = 24
"""Positions in the checkpoint's tables; the window uses the first 16."""
MOTION_GROUPS = 32
"""Groups of the module's own norm, independent of the UNet's."""


@dataclass(frozen=True, slots=True)
class KvCache:
    """Keys and values of one stream: one tensor per temporal attention layer, allocated once and written in place."""

    layers: tuple[Tensor, ...]
    """Tensors `[t 2 p 16 c]`: denoising row, keys then values, pixel in row-major order, slot, channel."""

    @property
    def nbytes(self) -> int:
        """Size of all layers, bytes."""
        return sum(layer.nbytes for layer in self.layers)

    def clear(self) -> None:
        """Forget everything.

        The memory is zeroed: hidden slots are multiplied by a weight of zero, and zero times NaN is NaN.
        """
        for layer in self.layers:
            layer.zero_()


@dataclass(frozen=True, slots=True)
class ClipContext:
    """Context of a few frames at once, at positions 0, 1, …; each of `r` rows in the batch is a separate clip."""

    frames: int
    visible: Tensor | None = None
    """Attention mask `[f f]` bool, row attends to column; all frames if left out."""
    cache: KvCache | None = None
    """Cache that takes the keys and values, in slots 0 to f - 1; the batch must then be one clip."""
    row: int = 0
    """Denoising row of the cache."""


@dataclass(frozen=True, slots=True)
class StreamContext:
    """Context of one new frame per row, with the caches of one or several streams."""

    caches: Sequence[KvCache]
    """Caches, one per stream, whose rows are adjacent in the batch."""
    window: Window
    """Tables of all rows."""

    @property
    def frames(self) -> int:
        """Frames per row: one."""
        return 1


Context = ClipContext | StreamContext


def position_vectors(entries: int, channels: int) -> Tensor:
    """Return `[1 n c]` sinusoidal positions, sine and cosine interleaved (Vaswani et al., 2017)."""
    position = torch.arange(entries, dtype=torch.float32)[:, None]
    frequency = torch.exp(torch.arange(0, channels, 2, dtype=torch.float32) * (-math.log(10000.0) / channels))
    return torch.stack([torch.sin(position * frequency), torch.cos(position * frequency)], -1).flatten(1)[None]


class Positions(nn.Module):
    """Holder of the position vectors under the checkpoint's name."""

    pe: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("pe", position_vectors(POSITION_ENTRIES, channels))


class TemporalAttention(Projections):
    """Attention over frames, separately at each pixel."""

    tables: Tensor
    """Projections of the positions, `[16 3c]`: queries, keys, values."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = 0
        """Index of this layer's tensor in a cache; set by the network."""
        self.ring_attention: RingAttention = ring_attention
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(channels, channels, bias=False)
        self.to_v = nn.Linear(channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        self.pos_encoder = Positions(channels)
        self.fuse("to_q", "to_k", "to_v")
        self.register_buffer("tables", torch.empty(SLOTS, 3 * channels), persistent=False)
        self.refresh_tables()
        self.register_load_state_dict_post_hook(lambda module, _: module.refresh_tables())

    @property
    def q_table(self) -> Tensor:
        """Position terms of queries, `[16 c]`."""
        return self.tables.chunk(3, -1)[0]

    @property
    def k_table(self) -> Tensor:
        """Position terms of keys, `[16 c]`."""
        return self.tables.chunk(3, -1)[1]

    @property
    def v_table(self) -> Tensor:
        """Position terms of values, `[16 c]`."""
        return self.tables.chunk(3, -1)[2]

    @torch.no_grad()
    def refresh_tables(self) -> None:
        """Recompute the projected positions, in place; needed whenever the projections have changed."""
        tables = F.linear(self.pos_encoder.pe[0, :SLOTS].to(self.fused.dtype), self.fused)
        if self.tables.device == tables.device and self.tables.dtype == tables.dtype:
            self.tables.copy_(tables)
        else:
            self.tables = tables

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Attend over frames: `x [r p f c]`."""
        qkv = F.linear(x, self.fused)
        mixed = self._clip(qkv, context) if isinstance(context, ClipContext) else self._live(qkv, context)
        return self.to_out[0](mixed)

    def _clip(self, qkv: Tensor, clip: ClipContext) -> Tensor:
        frames = clip.frames
        if clip.cache is not None:
            ring, (_, k, v) = clip.cache.layers[self.layer][clip.row], qkv[0].chunk(3, -1)
            ring[0, :, :frames] = k
            ring[1, :, :frames] = v
        heads = (qkv + self.tables[:frames]).unflatten(-1, (3, HEADS, -1)).movedim(-2, 2)
        q, k, v = heads.unbind(-2)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=clip.visible).transpose(2, 3).flatten(-2)

    def _live(self, qkv: Tensor, live: StreamContext) -> Tensor:
        mixed, start = [], 0
        for cache in live.caches:
            ring = cache.layers[self.layer]
            own = slice(start, start + len(ring))
            window = Window(*(table[own] for table in live.window))
            mixed.append(self.ring_attention(qkv[own, :, 0], ring, self.tables, window))
            start = own.stop
        return torch.cat(mixed)[:, :, None]


class TemporalBlock(nn.Module):
    """Two attentions over frames and a feed-forward, each residual on normed features."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.attention_blocks = nn.ModuleList([TemporalAttention(channels) for _ in range(2)])
        self.norms = nn.ModuleList([nn.LayerNorm(channels) for _ in range(2)])
        self.ff = FeedForward(channels)
        self.ff_norm = nn.LayerNorm(channels)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Transform `x [r p f c]`."""
        for norm, attention in zip(self.norms, self.attention_blocks, strict=True):
            x = x + attention(norm(x), context)
        return x + self.ff(self.ff_norm(x))


class TemporalTransformer(nn.Module):
    """Temporal block between linear projections, residual."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(MOTION_GROUPS, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([TemporalBlock(channels)])
        self.proj_out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Transform `x [(r f) c h w]`; norm statistics are per frame."""
        tokens = tokens_of(self.norm(x)).unflatten(0, (-1, context.frames)).transpose(1, 2)
        tokens = self.proj_in(tokens)
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        tokens = self.proj_out(tokens).transpose(1, 2).flatten(0, 1)
        return x + features_of(tokens, *x.shape[-2:])


class MotionModule(nn.Module):
    """Motion module under its name in the checkpoint."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.temporal_transformer = TemporalTransformer(channels)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Transform `x [(r f) c h w]`."""
        return self.temporal_transformer(x, context)
