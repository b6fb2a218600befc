"""Peak rate and memory use of a device; needs torch."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from vivace.bench.speed.memory import MIB
from vivace.runtime.torch.packed import Int8Linear
from vivace.runtime.torch.precision import DTYPES

_SIDES = {"cpu": 1024, "cuda": 8192}
"""Sides of the square matrices: large enough to reach the device's rate, small enough to be fast."""
_RATE_S = 1.0


def matrix_tflops(
    device: torch.device,
    precision: str,
    *,
    side: int | None = None,
    seconds: float = _RATE_S,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Return the rate of the fastest of many products of square matrices, TFLOP/s, counting additions separately.

    The reference rate for everything made of matrix products: measured, since no program reaches the data sheets'
    rates. `precision` is `f32`, `bf16`, `f16` or `int8`; f32 runs with torch's settings, which on a GPU may be TF32.
    """
    side = side or _SIDES[device.type]
    product = _product(device, precision, side)
    product()
    synchronize(device)
    began_s, fastest_s, ended_s = clock(), float("inf"), 0.0
    while ended_s < began_s + seconds:
        start_s = clock()
        product()
        synchronize(device)
        ended_s = clock()
        fastest_s = min(fastest_s, ended_s - start_s)
    return 2 * side**3 / fastest_s / 1e12


def _product(device: torch.device, precision: str, side: int) -> Callable[[], object]:
    """Return a product of square matrices; of int8, by torch's packed weights on a CPU."""
    generator = torch.Generator(device).manual_seed(0)
    if precision == "int8":
        layer = Int8Linear(torch.nn.Linear(side, side, bias=False))
        levels = torch.randint(256, (side, side), dtype=torch.uint8, generator=generator)
        return lambda: layer.product(levels, torch.float32)
    a, b = (torch.randn(side, side, device=device, generator=generator).to(DTYPES[precision]) for _ in range(2))
    out = torch.empty_like(a)
    return lambda: torch.mm(a, b, out=out)


def synchronize(device: torch.device) -> None:
    """Wait until a device has finished its queued work; on a CPU there never is any."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def gpu_peak_mib(device: torch.device) -> dict[str, float]:
    """Return the most CUDA memory this process ever used and reserved, MiB; empty on a CPU."""
    if device.type != "cuda":
        return {}
    return {
        "gpu_peak_allocated_mib": torch.cuda.max_memory_allocated(device) / MIB,
        "gpu_peak_reserved_mib": torch.cuda.max_memory_reserved(device) / MIB,
    }
