"""The KV ring: one new frame a row writes its slot and attends to what it may see.

Positions are not stored. Position vectors are added to the normed features before the projections, which have no bias,
so `W (x + pe) = W x + W pe`: the ring holds `W x`, and `W pe` is a table of 16 entries. A score is then
`q . k_j + q . k_table[position_j]`, the result `sum p_j v_j + sum p_j v_table[position_j]`, and positions move while
the ring stays where it is. Shapes: r rows (streams x denoising rows), p pixels, c channels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vivace.errors import BackendUnavailableError
from vivace.models.live2diff.window import Window

HEADS = 8


def ring_attention(qkv: Tensor, ring: Tensor, tables: Tensor, window: Window) -> Tensor:
    """Write the new keys and values of every row into its slot, then attend; return `[r p c]`.

    Nothing waits for the device, and no branch looks at data. One kernel on CUDA, plain torch elsewhere.

    Args:
        qkv: `[r p 3c]`, projections of the new frames, without positions.
        ring: `[r 2 p 16 c]`, changed in place: one slot a row.
        tables: `[16 3c]`, the projected positions.
        window: of r rows.
    """
    if qkv.is_cuda:
        return _on_cuda(qkv, ring, tables, window.visible, window.positions, window.slots)
    return plain_ring_attention(qkv, ring, tables, window)


def plain_ring_attention(qkv: Tensor, ring: Tensor, tables: Tensor, window: Window) -> Tensor:
    """Do what `ring_attention` does, on any device; scores are normalised in float32."""
    visible, positions, slots = window
    rows, channels = len(qkv), ring.shape[-1]
    own = torch.arange(rows, device=qkv.device)
    ring[own, :, :, slots] = qkv[..., channels:].unflatten(-1, (2, channels)).transpose(1, 2)
    q_table, k_table, v_table = tables[positions].chunk(3, -1)
    q = (qkv[..., :channels] + q_table[own, slots][:, None]) * (channels // HEADS) ** -0.5
    # The query is laid out once a head, with zeros for the other heads, so that a pixel's scores are one small product
    # with its keys as they lie in memory. Eight times the arithmetic, and still quicker than to copy the ring.
    heads = torch.eye(HEADS, dtype=q.dtype, device=q.device).repeat_interleave(channels // HEADS, 1)
    q = q[:, :, None] * heads
    hidden = torch.zeros_like(visible, dtype=q.dtype).masked_fill(~visible, -math.inf)
    mixed = []
    for row in range(rows):
        keys, values = ring[row]
        scores = q[row] @ keys.transpose(1, 2) + q[row] @ k_table[row].T + hidden[row]
        weights = scores.float().softmax(-1).to(q.dtype)
        both = weights @ values + weights @ v_table[row]
        mixed.append(both.unflatten(-1, (HEADS, -1)).diagonal(dim1=1, dim2=2).transpose(1, 2).flatten(1))
    return torch.stack(mixed)


@torch.library.custom_op("vivace::ring_attention", mutates_args=("ring",), device_types="cuda")
def _on_cuda(qkv: Tensor, ring: Tensor, tables: Tensor, visible: Tensor, positions: Tensor, slots: Tensor) -> Tensor:
    # An operator of its own, so that a compiler takes the kernel as it is.
    try:
        from vivace.models.live2diff import kernels
    except ImportError as error:
        raise BackendUnavailableError(
            f"Triton cannot be imported ({error}); it comes with torch for CUDA: `pip install --force-reinstall triton`"
        ) from error
    return kernels.ring_attention(qkv, ring, tables, visible, positions, slots)


@_on_cuda.register_fake
def _shape(qkv: Tensor, ring: Tensor, *_: Tensor) -> Tensor:
    return qkv.new_empty(qkv.shape[0], qkv.shape[1], ring.shape[-1])
