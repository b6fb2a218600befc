"""Motion modules: attention of every pixel to itself in other frames (AnimateDiff's layout, made uni-directional).

One set of weights serves two ways of running. A *clip* is a few frames at once, as in warm-up, where all see each
other. *Live*, every row brings one new frame, writes its keys and values into one slot of its cache, in place, and
attends to the slots it may see.

Positions are not stored. Position vectors are added to the normed features before the projections, which have no bias,
so `W (x + pe) = W x + W pe`: the cache holds `W x`, and `W pe` is a table of 16 entries. A score is then
`q . k_j + q . k_table[position_j]`, the result `sum p_j v_j + sum p_j v_table[position_j]`, and positions move while
the cache stays where it is. Shapes: r rows (streams x denoising rows), p pixels, f frames, s slots, c channels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivace.models.live2diff.window import SLOTS, Window

HEADS = 8
POSITION_ENTRIES = 24
"""Positions in the checkpoint's tables; the window uses the first 16."""
MOTION_GROUPS = 32
"""Groups of the module's own norm, whatever the UNet around it uses."""


@dataclass(frozen=True, slots=True)
class KvCache:
    """Keys and values of one stream: a tensor a temporal attention layer, allocated once and written in place."""

    layers: tuple[Tensor, ...]
    """`[t 2 p 16 c]` each: denoising row, keys then values, pixel in row-major order, slot, channel."""

    @property
    def nbytes(self) -> int:
        """Bytes of all layers."""
        return sum(layer.nbytes for layer in self.layers)

    def clear(self) -> None:
        """Forget everything. Zeros, since a hidden slot still meets a weight of zero, and zero times NaN is NaN."""
        for layer in self.layers:
            layer.zero_()


@dataclass(frozen=True, slots=True)
class Clip:
    """A few frames at once, at positions 0, 1, …; each of `r` rows in the batch is a clip of its own."""

    frames: int
    visible: Tensor | None = None
    """`[f f]` bool: whom each frame may attend to; all if left out."""
    cache: KvCache | None = None
    """Where to leave the keys and values, in slots 0 to f - 1; the batch must then be one clip."""
    row: int = 0
    """Denoising row of the cache."""


@dataclass(frozen=True, slots=True)
class Live:
    """One new frame a row, against the caches of one or several streams."""

    caches: Sequence[KvCache]
    """One a stream, whose rows are neighbours in the batch."""
    window: Window
    """Tables of all rows."""

    @property
    def frames(self) -> int:
        """One: rows are the batch."""
        return 1


Context = Clip | Live


def position_vectors(entries: int, channels: int) -> Tensor:
    """Return `[1 n c]` sinusoidal positions, sine and cosine interleaved (Vaswani et al., 2017)."""
    position = torch.arange(entries, dtype=torch.float32)[:, None]
    frequency = torch.exp(torch.arange(0, channels, 2, dtype=torch.float32) * (-math.log(10000.0) / channels))
    return torch.stack([torch.sin(position * frequency), torch.cos(position * frequency)], -1).flatten(1)[None]


def attend(q: Tensor, k: Tensor, v: Tensor, k_table: Tensor, v_table: Tensor, bias: Tensor | None) -> Tensor:
    """Return the attention of `q [r p f c]` over `k, v [r p s c]` with positions from `tables [r s c]`.

    `bias [r f s]` is added to the scores. The tables are shared by all pixels, so `k + k_table` never exists.
    """
    q, k, v, k_table, v_table = (part.unflatten(-1, (HEADS, -1)) for part in (q, k, v, k_table, v_table))
    scores = torch.einsum("rpfhd,rpshd->rphfs", q, k) + torch.einsum("rpfhd,rshd->rphfs", q, k_table)
    scores = scores * q.shape[-1] ** -0.5
    if bias is not None:
        scores = scores + bias[:, None, None]
    weights = scores.softmax(-1)
    mixed = torch.einsum("rphfs,rpshd->rpfhd", weights, v) + torch.einsum("rphfs,rshd->rpfhd", weights, v_table)
    return mixed.flatten(-2)


def hide(visible: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the score bias of a bool mask: 0 where visible, minus infinity elsewhere."""
    return torch.zeros(visible.shape, dtype=dtype, device=visible.device).masked_fill(~visible, -math.inf)


class Positions(nn.Module):
    """Holds the position vectors under the checkpoint's name."""

    pe: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("pe", position_vectors(POSITION_ENTRIES, channels))


class TemporalAttention(nn.Module):
    """Attention over frames, separately at each pixel."""

    q_table: Tensor
    k_table: Tensor
    v_table: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = 0
        """Which tensor of a cache belongs to this layer; set by the network."""
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(channels, channels, bias=False)
        self.to_v = nn.Linear(channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])
        self.pos_encoder = Positions(channels)
        for name in ("q_table", "k_table", "v_table"):
            self.register_buffer(name, torch.empty(SLOTS, channels), persistent=False)
        self.refresh_tables()
        self.register_load_state_dict_post_hook(lambda module, _: module.refresh_tables())

    @torch.no_grad()
    def refresh_tables(self) -> None:
        """Project the position vectors anew, `[16 c]` each; needed whenever the projections have changed."""
        positions = self.pos_encoder.pe[0, :SLOTS].to(self.to_q.weight.dtype)
        self.q_table = self.to_q(positions)
        self.k_table = self.to_k(positions)
        self.v_table = self.to_v(positions)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Attend over frames: `x [r p f c]`."""
        q, k, v = self.to_q(x), self.to_k(x), self.to_v(x)
        mixed = self._clip(q, k, v, context) if isinstance(context, Clip) else self._live(q, k, v, context)
        return self.to_out[0](mixed)

    def _clip(self, q: Tensor, k: Tensor, v: Tensor, clip: Clip) -> Tensor:
        frames = clip.frames
        if clip.cache is not None:
            row = clip.cache.layers[self.layer][clip.row]
            row[0, :, :frames] = k[0].detach()
            row[1, :, :frames] = v[0].detach()
        bias = None if clip.visible is None else hide(clip.visible, q.dtype)[None]
        k_table = self.k_table[None, :frames].expand(len(q), -1, -1)
        v_table = self.v_table[None, :frames].expand(len(q), -1, -1)
        return attend(q + self.q_table[:frames], k, v, k_table, v_table, bias)

    def _live(self, q: Tensor, k: Tensor, v: Tensor, live: Live) -> Tensor:
        visible, positions, slots = live.window
        q = q + self.q_table[positions.gather(1, slots[:, None])][:, :, None]
        bias = hide(visible, q.dtype)[:, None]
        k_table, v_table = self.k_table[positions], self.v_table[positions]
        mixed, start = [], 0
        for cache in live.caches:
            layer = cache.layers[self.layer]
            rows = slice(start, start + len(layer))
            own = torch.arange(len(layer), device=layer.device)
            layer[own, 0, :, slots[rows]] = k[rows, :, 0].detach()
            layer[own, 1, :, slots[rows]] = v[rows, :, 0].detach()
            mixed.append(attend(q[rows], layer[:, 0], layer[:, 1], k_table[rows], v_table[rows], bias[rows]))
            start = rows.stop
        return torch.cat(mixed)


class Gate(nn.Module):
    """GELU-gated linear unit (Shazeer, 2020)."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.proj = nn.Linear(channels, 2 * inner)

    def forward(self, x: Tensor) -> Tensor:
        """Return the first half of the projection, gated by the second: `[... c]` to `[... inner]`."""
        value, gate = self.proj(x).chunk(2, -1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    """Two linear layers around a gate, four times as wide inside."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # The checkpoint counts a dropout layer between the two.
        self.net = nn.ModuleList([Gate(channels, 4 * channels), nn.Identity(), nn.Linear(4 * channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        """Transform every token of `x [... c]` alone."""
        for layer in self.net:
            x = layer(x)
        return x


class TemporalBlock(nn.Module):
    """Two attentions over frames and a feed-forward, each on normed features and added to them."""

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
    """A temporal block between linear projections, added to its input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(MOTION_GROUPS, channels, eps=1e-6)
        self.proj_in = nn.Linear(channels, channels)
        self.transformer_blocks = nn.ModuleList([TemporalBlock(channels)])
        self.proj_out = nn.Linear(channels, channels)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Transform `x [(r f) c h w]`; the norm's statistics are a frame's own."""
        height, width = x.shape[-2:]
        tokens = self.norm(x).flatten(2).unflatten(0, (-1, context.frames)).permute(0, 3, 1, 2)
        tokens = self.proj_in(tokens)
        for block in self.transformer_blocks:
            tokens = block(tokens, context)
        tokens = self.proj_out(tokens).permute(0, 2, 3, 1)
        return x + tokens.flatten(0, 1).unflatten(2, (height, width))


class MotionModule(nn.Module):
    """One motion module under the checkpoint's name for it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.temporal_transformer = TemporalTransformer(channels)

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Transform `x [(r f) c h w]`."""
        return self.temporal_transformer(x, context)
