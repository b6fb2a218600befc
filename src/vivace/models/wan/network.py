"""The diffusion transformer of Wan 2.1 with a timestep for each frame, under the names its weights are published with.

Tokens of latent frames pass through blocks of self-attention, cross-attention to the text and a feed-forward network.
The caller brings self-attention as an `Attention`: over a clip (`views`), over a ring of earlier frames (`ring`), or
over part of the tokens.

Shapes: b rows, f latent frames, n tokens of all of them, c channels of latents, t tokens of text, h heads of d.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from vivace.models.wan.attention import attend, attend_padded
from vivace.models.wan.rope import Grid


@dataclass(frozen=True, slots=True)
class WanConfig:
    """Widths and depths; the defaults are those of the 1.3B model."""

    dim: int = 1536
    ffn_dim: int = 8960
    freq_dim: int = 256
    text_dim: int = 4096
    text_len: int = 512
    in_channels: int = 16
    """16 of the noisy latents, and 16 more where the source is beside them."""
    out_channels: int = 16
    heads: int = 12
    layers: int = 30
    patch: int = 2
    """Latents along a side of a token's square."""
    eps: float = 1e-6

    @property
    def head_dim(self) -> int:
        """Channels of one head."""
        return self.dim // self.heads


class Attention(Protocol):
    """Self-attention among tokens, and to the memory of the caller."""

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return the attention `[b h n d]` of queries, keys and values of that shape, normed and without positions."""


class Pruning(Protocol):
    """Token pruning: parts of a block are left out for some tokens, see `mask_cache`."""

    def self_attention(self, layer: int, part: SelfAttention, x: Tensor, attention: Attention) -> Tensor:
        """Return the output of self-attention `[b n dim]`, before its gate."""

    def feed_forward(self, layer: int, part: nn.Module, x: Tensor) -> Tensor:
        """Return the output of the feed-forward network `[b n dim]`, before its gate."""


@dataclass(frozen=True, slots=True)
class TextKeys:
    """Keys and values of a prompt in one layer.

    The network was trained to attend to `text_len` tokens, those beyond the prompt being zeros. Their keys and values
    are all the same, so that one of them stands for the rest, exactly.
    """

    keys: Tensor
    """`[b h t d]`"""
    values: Tensor
    """`[b h t d]`"""
    padding: int
    """Tokens of padding that the last one stands for; 0 where the prompt fills the text."""

    def extended(self, tokens: int) -> TextKeys:
        """Return the same with so many tokens, more of the padding written out."""
        more = tokens - self.keys.shape[2]
        if not more:
            return self
        keys, values = (torch.cat([x, x[:, :, -1:].expand(-1, -1, more, -1)], 2) for x in (self.keys, self.values))
        return TextKeys(keys, values, self.padding - more)


TextCache = list[TextKeys]
"""Keys and values of a prompt, by layer."""


def join_texts(texts: Sequence[TextCache]) -> TextCache:
    """Return the prompts of several rows as one batch."""
    if len({id(text) for text in texts}) == 1:
        return texts[0]
    tokens = max(text[0].keys.shape[2] for text in texts)
    joined = []
    for layer in zip(*texts, strict=True):
        rows = [each.extended(tokens) for each in layer]
        keys, values = torch.cat([each.keys for each in rows]), torch.cat([each.values for each in rows])
        joined.append(TextKeys(keys, values, rows[0].padding))
    return joined


class WanNetwork(nn.Module):
    """Predicts the flow of noisy latents."""

    def __init__(self, cfg: WanConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.recompute = False
        """True to keep no activations of blocks for gradients, and compute them again (gradient checkpointing)."""
        patch = (1, cfg.patch, cfg.patch)
        self.patch_embedding = nn.Conv3d(cfg.in_channels, cfg.dim, patch, patch)
        self.text_embedding = nn.Sequential(
            nn.Linear(cfg.text_dim, cfg.dim), nn.GELU("tanh"), nn.Linear(cfg.dim, cfg.dim)
        )
        self.time_embedding = nn.Sequential(nn.Linear(cfg.freq_dim, cfg.dim), nn.SiLU(), nn.Linear(cfg.dim, cfg.dim))
        self.time_projection = nn.Sequential(nn.SiLU(), nn.Linear(cfg.dim, 6 * cfg.dim))
        self.blocks = nn.ModuleList(Block(cfg, layer) for layer in range(cfg.layers))
        self.head = Head(cfg)

    def grid(self, height: int, width: int) -> Grid:
        """Return the tokens of a frame of `height` x `width` latents."""
        return Grid(height // self.cfg.patch, width // self.cfg.patch)

    def encode_text(self, embeds: Tensor) -> TextCache:
        """Return keys and values of text features `[b t text_dim]` for cross-attention, once for a prompt."""
        padding = self.cfg.text_len - embeds.shape[1]
        padded = F.pad(embeds, (0, 0, 0, min(padding, 1)))
        text = self.text_embedding(padded.to(self.patch_embedding.weight.dtype))
        attentions = (cast(Block, block).cross_attn for block in self.blocks)
        return [TextKeys(*attention.keys_and_values(text), padding) for attention in attentions]

    def forward(
        self,
        x: Tensor,
        timestep: Tensor,
        text: TextCache,
        attention: Attention,
        pruning: Pruning | None = None,
        part: Tensor | None = None,
    ) -> Tensor:
        """Return the flow `[b f c h w]`.

        Args:
            x: noisy latents `[b f c h w]`, followed on channels by those of the source where the network takes both.
            timestep: `[b f]`, 0 to 1000.
            text: keys and values from `encode_text`, of b rows or one.
            attention: self-attention of every layer.
            pruning: of tokens; None computes all.
            part: rising indices of the tokens that are computed at all, as many in every frame; None is all of them.
                The flow of the others is 0.
        """
        whole, times = self.embed(x, timestep)
        tokens = whole if part is None else whole[:, part]
        modulation = self.time_projection(times).unflatten(-1, (6, -1))
        for block, cached in zip(self.blocks, text, strict=True):
            given = (tokens, modulation, cached, attention, pruning)
            tokens = checkpoint(block, *given, use_reentrant=False) if self.recompute else block(*given)
        flow: Tensor = self.head(tokens, times)
        if part is not None:
            flow = flow.new_zeros(*whole.shape[:2], flow.shape[-1]).index_copy_(1, part, flow)
        return self.unpatch(flow, x.shape[-2:])

    def embed(self, x: Tensor, timestep: Tensor) -> tuple[Tensor, Tensor]:
        """Return tokens `[b n dim]` and time embeddings of frames `[b f dim]`."""
        dtype = self.patch_embedding.weight.dtype
        tokens = self.patch_embedding(x.to(dtype).transpose(1, 2)).flatten(2).transpose(1, 2)
        return tokens, self.time_embedding(sinusoids(timestep, self.cfg.freq_dim).to(tokens))

    def unpatch(self, tokens: Tensor, size: tuple[int, ...]) -> Tensor:
        """Put `[b n 4c]` back into frames `[b f c h w]`."""
        grid, side = self.grid(size[-2], size[-1]), self.cfg.patch
        frames = tokens.unflatten(-1, (side, side, -1)).unflatten(1, (-1, grid.height, grid.width))
        return frames.permute(0, 1, 6, 2, 4, 3, 5).flatten(5, 6).flatten(3, 4)


class Block(nn.Module):
    """Self-attention, cross-attention and a feed-forward network, the first and last modulated by the frame's time."""

    def __init__(self, cfg: WanConfig, layer: int) -> None:
        super().__init__()
        self.layer, self.eps = layer, cfg.eps
        self.modulation = _modulation(6, cfg.dim)
        self.self_attn = SelfAttention(cfg)
        self.norm3 = nn.LayerNorm(cfg.dim, cfg.eps)
        self.cross_attn = CrossAttention(cfg)
        self.ffn = nn.Sequential(nn.Linear(cfg.dim, cfg.ffn_dim), nn.GELU("tanh"), nn.Linear(cfg.ffn_dim, cfg.dim))

    def forward(
        self, x: Tensor, times: Tensor, text: TextKeys, attention: Attention, pruning: Pruning | None
    ) -> Tensor:
        """Return tokens `x [b n dim]` after the block; `times` is `[b f 6 dim]`."""
        shift, scale, gate, ffn_shift, ffn_scale, ffn_gate = (self.modulation + times).unbind(2)
        seen = modulated(x, scale, shift, self.eps)
        if pruning is None:
            added = self.self_attn(self.layer, seen, attention)
        else:
            added = pruning.self_attention(self.layer, self.self_attn, seen, attention)
        x = gated(x, added, gate)
        x = x + self.cross_attn(self.norm3(x), text)
        seen = modulated(x, ffn_scale, ffn_shift, self.eps)
        added = self.ffn(seen) if pruning is None else pruning.feed_forward(self.layer, self.ffn, seen)
        return gated(x, added, ffn_gate)


class SelfAttention(nn.Module):
    """Self-attention, with queries and keys normed over all heads together."""

    def __init__(self, cfg: WanConfig) -> None:
        super().__init__()
        self.heads = cfg.heads
        self.q, self.k, self.v, self.o = (nn.Linear(cfg.dim, cfg.dim) for _ in range(4))
        self.norm_q, self.norm_k = (nn.RMSNorm(cfg.dim, cfg.eps) for _ in range(2))

    def forward(self, layer: int, x: Tensor, attention: Attention) -> Tensor:
        """Return the attention output for tokens `x [b n dim]`."""
        q, k, v = self.norm_q(self.q(x)), self.norm_k(self.k(x)), self.v(x)
        q, k, v = (by_head(part, self.heads) for part in (q, k, v))
        added: Tensor = self.o(attention(layer, q, k, v).transpose(1, 2).flatten(2))
        return added


class CrossAttention(nn.Module):
    """Cross-attention to the text, padding included."""

    def __init__(self, cfg: WanConfig) -> None:
        super().__init__()
        self.heads = cfg.heads
        self.q, self.k, self.v, self.o = (nn.Linear(cfg.dim, cfg.dim) for _ in range(4))
        self.norm_q, self.norm_k = (nn.RMSNorm(cfg.dim, cfg.eps) for _ in range(2))

    def keys_and_values(self, text: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values `[b h t d]` of embedded text `[b t dim]`."""
        return by_head(self.norm_k(self.k(text)), self.heads), by_head(self.v(text), self.heads)

    def forward(self, x: Tensor, text: TextKeys) -> Tensor:
        """Return the attention output for tokens `x [b n dim]`."""
        q = by_head(self.norm_q(self.q(x)), self.heads)
        keys, values = (part.expand(len(q), -1, -1, -1) for part in (text.keys, text.values))
        mixed = attend_padded(q, keys, values, text.padding) if text.padding else attend(q, keys, values)
        added: Tensor = self.o(mixed.transpose(1, 2).flatten(2))
        return added


class Head(nn.Module):
    """The projection from tokens to latents, modulated by the frame's time."""

    def __init__(self, cfg: WanConfig) -> None:
        super().__init__()
        self.eps = cfg.eps
        self.head = nn.Linear(cfg.dim, cfg.out_channels * cfg.patch**2)
        self.modulation = _modulation(2, cfg.dim)

    def forward(self, x: Tensor, times: Tensor) -> Tensor:
        """Return `[b n 4c]` of tokens `[b n dim]`; `times` is `[b f dim]`."""
        shift, scale = (self.modulation + times[:, :, None]).unbind(2)
        latents: Tensor = self.head(modulated(x, scale, shift, self.eps))
        return latents


def _modulation(parts: int, dim: int) -> nn.Parameter:
    """Return random weights `[1 parts dim]`, uniform as a linear layer's: normal ones on `meta` import 150 MiB."""
    bound = (3 / dim) ** 0.5
    return nn.Parameter(torch.empty(1, parts, dim).uniform_(-bound, bound))


def sinusoids(timestep: Tensor, width: int) -> Tensor:
    """Return features `[b f width]` of timesteps, cosines first; built in float64, since 1000 is many turns."""
    half = torch.arange(width // 2, dtype=torch.float64, device=timestep.device)
    angles = timestep.double()[..., None] * 10_000 ** -(half / (width // 2))
    return torch.cat([angles.cos(), angles.sin()], -1).float()


def modulated(x: Tensor, scale: Tensor, shift: Tensor, eps: float) -> Tensor:
    """Return normed tokens `[b n c]` scaled and shifted by frame; `scale` and `shift` are `[b f c]`."""
    frames = scale.shape[1]
    normed = F.layer_norm(x, x.shape[-1:], eps=eps).unflatten(1, (frames, -1))
    return (normed * (1 + scale[:, :, None]) + shift[:, :, None]).flatten(1, 2)


def gated(x: Tensor, added: Tensor, gate: Tensor) -> Tensor:
    """Return tokens with what is added to them, by as much as each frame's `gate [b f c]` says."""
    return x + (added.unflatten(1, (gate.shape[1], -1)) * gate[:, :, None]).flatten(1, 2)


def by_head(x: Tensor, heads: int) -> Tensor:
    """Return tokens `[b n (h d)]` as `[b h n d]`."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)
