"""Live2Diff as the published implementation runs it without TensorRT: eager, layer by layer, nothing fused.

Same weights, same window, same results; only the operations differ. Position terms are added to all sixteen cached keys
and values of every pixel and the sums are stored, and heads are moved to the front by copying, in every layer and
frame. Each projection is a separate product, memory is channels-first, and projections of pixels are convolutions. It
is the baseline of speed-ups.
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
from vivace.models.live2diff.layers import Gate
from vivace.models.live2diff.motion import Context, StreamContext, TemporalAttention
from vivace.models.live2diff.ring import HEADS
from vivace.models.live2diff.unet import Attention, SelfAttention, SpatialTransformer, TextAttention

if TYPE_CHECKING:
    from vivace.models.live2diff.model import Live2DiffModel


class PlainTemporalAttention(TemporalAttention):
    """Temporal attention with positions added to the cached keys and values before use."""

    def forward(self, x: Tensor, context: Context) -> Tensor:
        """Attend over frames: `x [r p f c]`."""
        if not isinstance(context, StreamContext):
            return super().forward(x, context)
        visible, positions, slots = context.window
        q = self.to_q(x) + self.q_table[positions.gather(1, slots[:, None])][:, :, None]
        k, v = self.to_k(x)[:, :, 0], self.to_v(x)[:, :, 0]
        cached, start = [], 0
        for cache in context.caches:
            layer = cache.layers[self.layer]
            rows = slice(start, start + len(layer))
            own = torch.arange(len(layer), device=layer.device)
            layer[own, 0, :, slots[rows]] = k[rows]
            layer[own, 1, :, slots[rows]] = v[rows]
            cached.append(layer)
            start = rows.stop
        layers = torch.cat(cached) if len(cached) > 1 else cached[0]
        keys = layers[:, 0] + self.k_table[positions][:, None]
        values = layers[:, 1] + self.v_table[positions][:, None]
        shown = visible[:, None, None, None].expand(-1, q.shape[1], -1, -1, -1).flatten(0, 1)
        mixed = F.scaled_dot_product_attention(
            _heads_first(q), _heads_first(keys), _heads_first(values), attn_mask=shown
        )
        result: Tensor = self.to_out[0](mixed.transpose(1, 2).reshape(x.shape))
        return result


class PlainSelfAttention(SelfAttention):
    """Attention of a frame's tokens to each other, with three projections."""

    def forward(self, x: Tensor) -> Tensor:
        """Attend within `x [b l c]`."""
        return _attend(self, self.to_q(x), self.to_k(x), self.to_v(x))


class PlainTextAttention(TextAttention):
    """Attention of a frame's tokens to the text, with three projections."""

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """Attend from `x [b l c]` to `text [b m d]`."""
        return _attend(self, self.to_q(x), self.to_k(text), self.to_v(text))


class PlainGate(Gate):
    """GELU-gated linear unit with a tensor for every operation."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the first half of the projection, gated by the second: `[... c]` to `[... inner]`."""
        value, gate = self.proj(x).chunk(2, -1)
        result: Tensor = value * F.gelu(gate)
        return result


class PlainSpatialTransformer(SpatialTransformer):
    """Spatial block between 1x1 convolutions."""

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """Transform `x [b c h w]`."""
        tokens = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2)
        for block in self.transformer_blocks:
            tokens = block(tokens, text)
        features = tokens.transpose(1, 2).reshape(x.shape)
        result: Tensor = x + self.proj_out(features)
        return result


PLAIN: dict[type[nn.Module], type[nn.Module]] = {
    TemporalAttention: PlainTemporalAttention,
    SelfAttention: PlainSelfAttention,
    TextAttention: PlainTextAttention,
    SpatialTransformer: PlainSpatialTransformer,
    Gate: PlainGate,
}


def _attend(layer: Attention, *projected: Tensor) -> Tensor:
    """Attend with queries, keys and values `[b l c]`, in torch's standard form."""
    q, k, v = (part.reshape(*part.shape[:2], layer.heads, -1).transpose(1, 2) for part in projected)
    mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
    result: Tensor = layer.to_out[0](mixed)
    return result


def _heads_first(tokens: Tensor) -> Tensor:
    """Return `[r p s (h d)]` as `[(r p) h s d]`, copied."""
    _, _, slots, channels = tokens.shape
    return tokens.reshape(-1, slots, HEADS, channels // HEADS).transpose(1, 2).contiguous()


def open_plain(
    model: str, threads: int | None = None, runtime: str | None = None, options: Mapping[str, Any] | None = None
) -> LiveSystem:
    """Return a Live2Diff model in plain form: eager, in f16 on a GPU and in f32 elsewhere.

    Raises:
        UnknownModelError, CheckpointError, BackendUnavailableError: it cannot be loaded.
    """
    del runtime  # there is one plain form
    chosen = LoadOptions.from_dict(options or {})
    on_gpu = torch.cuda.is_available() if chosen.device is None else chosen.device != "cpu"
    chosen = replace(chosen, precision="f16" if on_gpu else "f32")
    loaded = cast("Live2DiffModel", load_model(model, runtime="eager", threads=threads, options=chosen))
    for part in (loaded.components.unet, loaded.components.autoencoder, loaded.components.detector):
        if isinstance(part, nn.Module):
            make_plain(part)
    return ModelSystem(loaded, about=f"as published without TensorRT, {describe(loaded)}")


def make_plain(network: nn.Module) -> None:
    """Convert a network's layers and memory layout to the plain form, in place."""
    for module in network.modules():
        module.__class__ = PLAIN.get(type(module), type(module))
    for parameter in network.parameters():
        parameter.data = parameter.data.contiguous()  # convolutions may be channels-last
