"""Attention to the KV ring: one new frame per row writes its slot and attends to its visible slots.

Positions are not stored. Position vectors are added to the normed features before the projections, which have no bias,
so `W (x + pe) = W x + W pe`: the ring holds `W x`, and `W pe` is a table of 16 entries. A score is then `q . k_j + q .
k_table[position_j]`, the result `sum p_j v_j + sum p_j v_table[position_j]`, and positions change while the ring's
contents stay. Shapes: r rows (streams x denoising rows), p pixels, c channels.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import torch
from torch import Tensor

from vivace.errors import BackendUnavailableError
from vivace.models.live2diff.window import Window
from vivace.runtime.torch.compiled import compile_static

HEADS = 8
RingAttention = Callable[[Tensor, Tensor, Tensor, Window], Tensor]


def ring_attention(qkv: Tensor, ring: Tensor, tables: Tensor, window: Window) -> Tensor:
    """Return the attention `[r p c]` of every row, after writing its new keys and values into its slot.

    No synchronisation with the device, no data-dependent branch. One kernel on CUDA, plain torch elsewhere.

    Args:
        qkv: `[r p 3c]`, projections of the new frames, without positions.
        ring: `[r 2 p 16 c]`, changed in place: one slot per row.
        tables: `[16 3c]`, the projected positions.
        window: tables of r rows.
    """
    if qkv.is_cuda:
        return _on_cuda(qkv, ring, tables, window.visible, window.positions, window.slots)
    if torch.compiler.is_compiling():
        return one_pass_ring_attention(qkv, ring, tables, window)
    return plain_ring_attention(qkv, ring, tables, window)


def plain_ring_attention(qkv: Tensor, ring: Tensor, tables: Tensor, window: Window) -> Tensor:
    """Return `ring_attention` computed with plain products; scores are normalised in float32."""
    rows, channels = len(qkv), ring.shape[-1]
    q, k_table, v_table = _write(qkv, ring, tables, window)
    # A pixel's scores are one small product with its keys in place, if the query is expanded to one row per head, with
    # zeros for the other heads: eight times the arithmetic, and still several times faster than copying the ring.
    apart = torch.eye(HEADS, dtype=q.dtype, device=q.device).repeat_interleave(channels // HEADS, 1)
    hidden = torch.zeros_like(window.visible, dtype=q.dtype).masked_fill(~window.visible, -math.inf)
    mixed = []
    for row in range(rows):
        keys, values = ring[row]
        scores = (q[row, :, None] * apart) @ keys.transpose(1, 2)
        scores += (_by_head(q[row]) @ _by_head(k_table[row]).mT).transpose(0, 1) + hidden[row]
        weights = scores.softmax(-1, torch.float32).to(q.dtype)
        both = (weights @ values).unflatten(-1, (HEADS, -1)).diagonal(dim1=1, dim2=2).permute(2, 0, 1)
        both = both + weights.transpose(0, 1) @ _by_head(v_table[row])
        mixed.append(both.transpose(0, 1).flatten(1))
    return torch.stack(mixed)


def one_pass_ring_attention(qkv: Tensor, ring: Tensor, tables: Tensor, window: Window) -> Tensor:
    """Return `ring_attention` computed in float32, in a form that compilers fuse into one pass over the ring.

    Without a compiler this would hold several copies of the ring.
    """
    q, k_table, v_table = (x.float().unflatten(-1, (HEADS, -1)) for x in _write(qkv, ring, tables, window))
    keys, values = ring.float().unflatten(-1, (HEADS, -1)).unbind(1)
    scores = (q[:, :, None] * (keys + k_table[:, None])).sum(-1)
    weights = scores.masked_fill(~window.visible[:, None, :, None], -math.inf).softmax(2)
    return (weights[..., None] * (values + v_table[:, None])).sum(2).flatten(2).to(qkv.dtype)


@functools.cache
def compiled_ring_attention() -> RingAttention:
    """Return `ring_attention` for a CPU with a compiler, compiled once for each width of the network.

    That takes seconds on the first call of a width; all numbers of rows and pixels share the compiled code.
    """
    compiled = compile_static(one_pass_ring_attention)

    def attend(qkv: Tensor, ring: Tensor, tables: Tensor, window: Window) -> Tensor:
        torch._dynamo.maybe_mark_dynamic(qkv, (0, 1))
        torch._dynamo.maybe_mark_dynamic(ring, (0, 2))
        for table in window:
            torch._dynamo.maybe_mark_dynamic(table, 0)
        return compiled(qkv, ring, tables, window)

    return attend


def _write(qkv: Tensor, ring: Tensor, tables: Tensor, window: Window) -> tuple[Tensor, Tensor, Tensor]:
    """Write every row's slot; return scaled queries `[r p c]` with positions, and the rows' tables `[r 16 c]`."""
    channels, own = ring.shape[-1], torch.arange(len(qkv), device=qkv.device)
    ring[own, :, :, window.slots] = qkv[..., channels:].unflatten(-1, (2, channels)).transpose(1, 2)
    q_table, k_table, v_table = tables[window.positions].chunk(3, -1)
    q = (qkv[..., :channels] + q_table[own, window.slots][:, None]) * (channels // HEADS) ** -0.5
    return q, k_table, v_table


def _by_head(x: Tensor) -> Tensor:
    """Return `x [n c]` as `[8 n d]`."""
    return x.unflatten(-1, (HEADS, -1)).transpose(0, 1)


@torch.library.custom_op("vivace::ring_attention", mutates_args=("ring",), device_types="cuda")
def _on_cuda(qkv: Tensor, ring: Tensor, tables: Tensor, visible: Tensor, positions: Tensor, slots: Tensor) -> Tensor:
    # A custom operator, so that compilers do not trace into the kernel.
    try:
        from vivace.models.live2diff import kernels
    except ImportError as error:
        raise BackendUnavailableError(
            f"Triton cannot be imported ({error}); it comes with torch for CUDA: `pip install --force-reinstall triton`"
        ) from error
    return kernels.ring_attention(qkv, ring, tables, visible, positions, slots, HEADS)


@_on_cuda.register_fake
def _shape(qkv: Tensor, ring: Tensor, *_: Tensor) -> Tensor:
    return qkv.new_empty(qkv.shape[0], qkv.shape[1], ring.shape[-1])
