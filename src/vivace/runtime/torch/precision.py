"""What weights are best kept in on a device."""

from __future__ import annotations

import torch


def choose_precision(device: torch.device, *, on_cuda: str) -> str:
    """Return what the device is fast at: on a GPU as told; bf16 on a CPU that computes in it, else f32."""
    if device.type == "cuda":
        return on_cuda
    return "bf16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() and _native_bf16() else "f32"


def _native_bf16() -> bool:
    """Tell whether the processor has instructions for bf16; without them torch only pretends, slowly."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
