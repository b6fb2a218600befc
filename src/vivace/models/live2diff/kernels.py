"""Attention to the KV ring as one Triton kernel: one query per pixel, positions added from tables.

Everything a pixel needs is read once: its keys and values in place in the ring, hidden slots not at all. A program
processes a few heads of a few pixels of one row, and keeps the row's tables in registers. The new slot's values come
from the projections rather than from the ring they are written to, so that the kernel needs no synchronisation.

Imported on CUDA only, where torch includes Triton.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from vivace.models.live2diff.window import SLOTS

LANES = 256
"""Padded channels per program: keys of 16 slots are then 4096 numbers, 16 for each thread of eight warps. With twice as
many, a program needs 180 registers per thread instead of 105, and no two fit on a multiprocessor at once."""
PIXELS = 4
"""Pixels per program, which share the tables it reads; reduced where there would be too few programs."""
ENOUGH_PROGRAMS = 1024
"""Programs that suffice to occupy the largest devices: several per multiprocessor."""


@triton.jit(do_not_specialize=["pixels"])  # a scalar of 1 would become a constant
def _ring_attention(  # type: ignore[no-untyped-def]  # Triton's own annotations
    qkv_ptr,
    ring_ptr,
    tables_ptr,
    visible_ptr,
    positions_ptr,
    slots_ptr,
    out_ptr,
    pixels,
    scale,
    CHANNELS: tl.constexpr,
    DIM: tl.constexpr,
    DIM_PADDED: tl.constexpr,
    HEADS_EACH: tl.constexpr,
    PIXELS_EACH: tl.constexpr,
    SLOTS: tl.constexpr,
):
    first_pixel = tl.program_id(0) * PIXELS_EACH
    row = tl.program_id(1)
    head = tl.program_id(2) * HEADS_EACH + tl.arange(0, HEADS_EACH)
    dim = tl.arange(0, DIM_PADDED)
    slot = tl.arange(0, SLOTS)
    channel = head[:, None] * DIM + dim[None, :]
    real = (head[:, None] >= 0) & (dim[None, :] < DIM)

    visible = tl.load(visible_ptr + row * SLOTS + slot) != 0
    position = tl.load(positions_ptr + row * SLOTS + slot)
    written = tl.load(slots_ptr + row)
    own_position = tl.load(positions_ptr + row * SLOTS + written)
    is_new = (slot == written)[:, None, None]
    seen = visible[:, None, None] & real[None, :, :]
    table = position[:, None, None] * (3 * CHANNELS) + channel[None, :, :]
    k_table = tl.load(tables_ptr + table + CHANNELS, mask=seen, other=0.0).to(tl.float32)
    v_table = tl.load(tables_ptr + table + 2 * CHANNELS, mask=seen, other=0.0).to(tl.float32)
    q_table = tl.load(tables_ptr + own_position * (3 * CHANNELS) + channel, mask=real, other=0.0).to(tl.float32)

    # Offsets into the ring exceed 2^31 at feasible sizes.
    ring_row = ring_ptr + row.to(tl.int64) * 2 * pixels * SLOTS * CHANNELS
    for index in range(PIXELS_EACH):
        pixel = first_pixel + index
        here = real & (pixel < pixels)
        fresh = qkv_ptr + (row.to(tl.int64) * pixels + pixel) * (3 * CHANNELS) + channel
        q = tl.load(fresh, mask=here, other=0.0).to(tl.float32)
        k_new = tl.load(fresh + CHANNELS, mask=here, other=0.0)
        v_new = tl.load(fresh + 2 * CHANNELS, mask=here, other=0.0)
        k_slots = ring_row + pixel.to(tl.int64) * SLOTS * CHANNELS
        v_slots = k_slots + pixels.to(tl.int64) * SLOTS * CHANNELS
        tl.store(k_slots + written * CHANNELS + channel, k_new, mask=here)
        tl.store(v_slots + written * CHANNELS + channel, v_new, mask=here)

        held = slot[:, None, None] * CHANNELS + channel[None, :, :]
        old = seen & (pixel < pixels) & (slot != written)[:, None, None]
        k = tl.load(k_slots + held, mask=old, other=0.0).to(tl.float32)
        k = tl.where(is_new, k_new[None, :, :].to(tl.float32), k) + k_table
        q = (q + q_table) * scale
        scores = tl.sum(q[None, :, :] * k, axis=2)
        scores = tl.where(visible[:, None], scores, float("-inf"))
        weights = tl.exp(scores - tl.max(scores, axis=0)[None, :])
        weights = weights / tl.sum(weights, axis=0)[None, :]
        v = tl.load(v_slots + held, mask=old, other=0.0).to(tl.float32)
        v = tl.where(is_new, v_new[None, :, :].to(tl.float32), v) + v_table
        mixed = tl.sum(weights[:, :, None] * v, axis=0)
        out = out_ptr + (row.to(tl.int64) * pixels + pixel) * CHANNELS + channel
        tl.store(out, mixed.to(out_ptr.dtype.element_ty), mask=here)


def ring_attention(
    qkv: Tensor, ring: Tensor, tables: Tensor, visible: Tensor, positions: Tensor, slots: Tensor, heads: int
) -> Tensor:
    """Launch the kernel; shapes as in `ring.ring_attention`, arithmetic in float32, `ring` contiguous.

    Raises:
        ValueError: the ring is not contiguous, so that it could not be written in place.
    """
    if not ring.is_contiguous():
        raise ValueError(f"the ring must be contiguous, not of shape {list(ring.shape)} and strides {ring.stride()}")
    rows, pixels, channels = len(qkv), qkv.shape[1], ring.shape[-1]
    dim = channels // heads
    dim_padded = triton.next_power_of_2(dim)
    heads_each = min(heads, max(1, LANES // dim_padded))
    head_groups = heads // heads_each
    pixels_each = PIXELS
    while pixels_each > 1 and triton.cdiv(pixels, pixels_each) * rows * head_groups < ENOUGH_PROGRAMS:
        pixels_each //= 2
    out = qkv.new_empty(rows, pixels, channels)
    grid = (triton.cdiv(pixels, pixels_each), rows, head_groups)
    with torch.cuda.device_of(qkv):  # Triton launches on the current device
        _ring_attention[grid](
            qkv.contiguous(),
            ring,
            tables.contiguous(),
            visible.contiguous().view(torch.uint8),
            positions.contiguous(),
            slots.contiguous(),
            out,
            pixels,
            dim**-0.5,
            CHANNELS=channels,
            DIM=dim,
            DIM_PADDED=dim_padded,
            HEADS_EACH=heads_each,
            PIXELS_EACH=pixels_each,
            SLOTS=SLOTS,
            num_warps=8,
        )
    return out
