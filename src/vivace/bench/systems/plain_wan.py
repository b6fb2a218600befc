"""The causal Wan family as its published code runs it: eager, step by step, nothing packed or shared.

The same weights, window and numbers. A layer clones its keys and values before it writes to them, applies rotary
positions to all of the window in float64, attends with torch's fused kernel to all 512 tokens of text, padding
included, and norms in float32 operation by operation. It is the baseline that a speed-up is measured against.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivace.bench.systems.system import LiveSystem, ModelSystem, describe
from vivace.models import LoadOptions, load_model
from vivace.models.wan.network import Attention, CrossAttention, SelfAttention, TextCache, TextKeys, WanNetwork, by_head
from vivace.models.wan.ring import RowCall, RowsAttention
from vivace.models.wan.rope import Rotation

if TYPE_CHECKING:
    from vivace.models.wan.model import WanModel


class PlainNetwork(WanNetwork):
    """The transformer with text at its full length."""

    def encode_text(self, embeds: Tensor) -> TextCache:
        """Return keys and values of text features `[b t text_dim]`, padding written out."""
        return [layer.extended(self.cfg.text_len) for layer in super().encode_text(embeds)]


class PlainSelfAttention(SelfAttention):
    """Self-attention over a ring that is cloned at every call."""

    def forward(self, layer: int, x: Tensor, attention: Attention) -> Tensor:
        """Return the attention output for tokens `x [b n dim]`."""
        rows = attention.rows if isinstance(attention, RowsAttention) else ()
        if not rows or not all(isinstance(row, RowCall) and row.seen is None for row in rows):
            return super().forward(layer, x, attention)
        q, k, v = (
            by_head(part, self.heads)
            for part in (_norm(self.norm_q, self.q(x)), _norm(self.norm_k, self.k(x)), self.v(x))
        )
        mixed = torch.stack([_attend(cast(RowCall, row), layer, *qkv) for row, *qkv in zip(rows, q, k, v, strict=True)])
        added: Tensor = self.o(mixed.transpose(1, 2).flatten(2))
        return added


class PlainCrossAttention(CrossAttention):
    """Cross-attention to all tokens of the text."""

    def forward(self, x: Tensor, text: TextKeys) -> Tensor:
        """Return the attention output for tokens `x [b n dim]`."""
        q = by_head(_norm(self.norm_q, self.q(x)), self.heads)
        keys, values = (part.expand(len(q), -1, -1, -1) for part in (text.keys, text.values))
        added: Tensor = self.o(F.scaled_dot_product_attention(q, keys, values).transpose(1, 2).flatten(2))
        return added


PLAIN: dict[type[nn.Module], type[nn.Module]] = {
    WanNetwork: PlainNetwork,
    SelfAttention: PlainSelfAttention,
    CrossAttention: PlainCrossAttention,
}


def _attend(row: RowCall, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    ring = row.buffers.layers[layer]
    # Tokens first and heads within, as they lie in the published caches: that is brought about once, then cloned.
    first = ring.stride(-2) == ring.shape[-1]
    row.buffers.layers[layer] = (
        ring.permute(0, 2, 3, 1, 4).contiguous().permute(0, 3, 1, 2, 4) if first else ring.clone()
    )
    row.buffers.write(layer, row.slots, k, v)
    keys, values = row.buffers.read(layer, row.filled)
    mixed = F.scaled_dot_product_attention(_rotate(row.query, q)[None], _rotate(row.keys, keys)[None], values[None])
    return mixed[0]


def _rotate(rotation: Rotation, x: Tensor) -> Tensor:
    pairs = torch.view_as_complex(x.double().unflatten(-1, (-1, 2)))  # type: ignore[no-untyped-call]
    return torch.view_as_real(pairs * torch.view_as_complex(rotation.turns.double())).flatten(-2).to(x.dtype)


def _norm(norm: nn.RMSNorm, x: Tensor) -> Tensor:
    wide = x.float()
    normed = (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + (norm.eps or 0))).type_as(x)
    return normed * norm.weight


def open_plain(
    model: str, threads: int | None = None, runtime: str | None = None, options: Mapping[str, Any] | None = None
) -> LiveSystem:
    """Load a model of the family and make it plain, in the precision that the device is fast at.

    Raises:
        UnknownModelError, CheckpointError, BackendUnavailableError: it cannot be loaded.
    """
    del runtime  # there is one plain form
    chosen = LoadOptions.from_dict(options or {})
    if chosen.precision == "int8":
        chosen = replace(chosen, precision=None)
    loaded = cast("WanModel", load_model(model, runtime="eager", threads=threads, options=chosen))
    make_plain(loaded.components.network)
    return ModelSystem(loaded, about=f"as published, {describe(loaded)}")


def make_plain(network: WanNetwork) -> None:
    """Turn the layers of a transformer into the plain form, in place."""
    for module in network.modules():
        module.__class__ = PLAIN.get(type(module), type(module))
