"""Default precision of weights by device."""

from __future__ import annotations

import torch

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
"""Types of weights, by the name of a precision."""


def choose_precision(device: torch.device, *, on_cuda: str) -> str:
    """Return the fastest precision: `on_cuda` for a GPU; bf16 for a CPU with native support, else f32."""
    if device.type == "cuda":
        return on_cuda
    return "bf16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() and _native_bf16() else "f32"


def _native_bf16() -> bool:
    """Return whether the processor has bf16 instructions; torch emulates them slowly otherwise."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
