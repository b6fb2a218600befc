"""The Triton kernel is equal to plain torch: interpreted on a CPU, compiled without a device, run on one."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest
import torch

from tolerance import ROUNDING, near
from vivace.models.live2diff.ring import plain_ring_attention, ring_attention
from vivace.models.live2diff.window import SLOTS, Window, window_at

needs_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")

CASES = [(320, 6, 2, 0), (640, 5, 2, 3), (1280, 3, 1, 30), (32, 1, 3, 9)]
"""Channels, pixels, rows and call: the widths of the network, and one pixel."""

_INTERPRET = """
import json, sys, torch
from vivace.models.live2diff import kernels
from vivace.models.live2diff.ring import HEADS, plain_ring_attention
from vivace.models.live2diff.window import window_at
errors = []
for channels, pixels, rows, call in json.loads(sys.argv[1]):
    generator = torch.Generator().manual_seed(channels)
    ring = torch.randn((rows, 2, pixels, 16, channels), generator=generator)
    qkv = torch.randn((rows, pixels, 3 * channels), generator=generator)
    tables = torch.randn((16, 3 * channels), generator=generator)
    window, written = window_at(call, rows), ring.clone()
    # What is hidden is not even read.
    written.transpose(2, 3)[~window.visible[:, None].expand(-1, 2, -1)] = float("nan")
    expected = plain_ring_attention(qkv, ring, tables, window)
    found = kernels.ring_attention(qkv, written, tables, *window, HEADS)
    shown = window.visible[:, None].expand(-1, 2, -1)
    same = torch.equal(ring.transpose(2, 3)[shown], written.transpose(2, 3)[shown])
    errors.append([((found - expected).abs().max() / expected.abs().max()).item(), same])
print(json.dumps(errors))
"""

_COMPILE = """
import json, os, subprocess, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from vivace.models.live2diff import kernels
kernel, found = kernels._ring_attention, []
ptxas = os.path.join(os.path.dirname(triton.__file__), "backends", "nvidia", "bin", "ptxas")
piped = dict(capture_output=True, text=True, check=True)
for dtype in ("bf16", "fp16", "fp32"):
    for channels, heads, padded in ((320, 4, 64), (640, 2, 128), (1280, 1, 256)):
        fixed = dict(CHANNELS=channels, DIM=channels // 8, DIM_PADDED=padded, HEADS_EACH=heads, PIXELS_EACH=4, SLOTS=16)
        types = dict(visible_ptr="*u8", positions_ptr="*i64", slots_ptr="*i64", pixels="i32", scale="fp32")
        types = {n: types.get(n, "constexpr" if n in fixed else "*" + dtype) for n in kernel.arg_names}
        attributes = {(place,): [["tt.divisibility", 16]] for place in range(7)}
        places = {(kernel.arg_names.index(name),): value for name, value in fixed.items()}
        source = ASTSource(kernel, types, places, attributes)
        ptx = triton.compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": 8}).asm["ptx"]
        assembled = subprocess.run([ptxas, "-v", "--gpu-name", "sm_90a", "-", "-o", os.devnull], input=ptx, **piped)
        found.append([".v4" in ptx, assembled.stderr])
print(json.dumps(found))
"""


def run(code: str, *arguments: str, **environment: str) -> list[list[object]]:
    """Run in a separate process: Triton decides once whether it interprets."""
    env = os.environ | {"OMP_NUM_THREADS": "1"} | environment
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@needs_triton
def test_the_interpreted_kernel_gives_what_torch_gives() -> None:
    for error, same in run(_INTERPRET, json.dumps(CASES), TRITON_INTERPRET="1"):
        assert error <= ROUNDING
        assert same, "the new slot is written as plain torch writes it, and no other"


@needs_triton
def test_the_kernel_compiles_for_hopper_without_spilling() -> None:
    """Down to machine code: loads of 16 bytes, and no spilled register."""
    for wide_loads, assembled in run(_COMPILE):
        assert wide_loads
        assert "0 bytes spill stores, 0 bytes spill loads" in str(assembled)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("channels", "pixels", "rows", "call"), [*CASES, (320, 4096, 2, 21)])
@torch.inference_mode()
def test_the_kernel_gives_what_torch_gives_on_a_device(
    channels: int, pixels: int, rows: int, call: int, dtype: torch.dtype
) -> None:
    generator = torch.Generator().manual_seed(channels)
    ring = torch.randn((rows, 2, pixels, SLOTS, channels), generator=generator).to(dtype)
    qkv = torch.randn((rows, pixels, 3 * channels), generator=generator).to(dtype)
    tables = torch.randn((SLOTS, 3 * channels), generator=generator).to(dtype)
    window = window_at(call, rows)
    exact_ring = ring.float()
    expected = plain_ring_attention(qkv.float(), exact_ring, tables.float(), window)
    ring = ring.cuda()
    found = ring_attention(qkv.cuda(), ring, tables.cuda(), Window(*(table.cuda() for table in window)))
    assert torch.equal(ring.cpu().float(), exact_ring)
    # The result is rounded once, everything before it is float32.
    assert (found.cpu().float() - expected).abs().max() <= expected.abs().max() * (ROUNDING + torch.finfo(dtype).eps)


@pytest.mark.gpu
@torch.inference_mode()
def test_the_kernel_is_recorded_and_compiled() -> None:
    """In a compiled function and a CUDA graph the ring is still written in place."""
    ring = torch.randn((2, 2, 64, SLOTS, 320), device="cuda")
    qkv, tables = torch.randn((2, 64, 960), device="cuda"), torch.randn((SLOTS, 960), device="cuda")
    window = Window(*(table.cuda() for table in window_at(21, 2)))
    held = ring.clone()
    expected = ring_attention(qkv, held, tables, window)
    place = ring.data_ptr()

    def attend() -> torch.Tensor:
        return ring_attention(qkv, ring, tables, Window(*window))

    found = torch.compile(attend, dynamic=False, fullgraph=True)()
    assert near(found, expected)
    assert torch.equal(ring, held)
    assert ring.data_ptr() == place
