"""Precision of weights by device."""

from __future__ import annotations

import torch

from vivace.errors import BackendUnavailableError

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}
"""Types of weights, by the name of a precision."""


def choose_precision(device: torch.device, *, on_cuda: str, asked: str | None = None, int8: bool = False) -> str:
    """Return the precision asked for, or the fastest: `on_cuda` for a GPU; bf16 for a CPU that has it, else f32.

    Args:
        device: of the weights.
        on_cuda: precision of a GPU.
        asked: by the user; None is the fastest.
        int8: true where the model has linear layers of 8-bit integers.

    Raises:
        BackendUnavailableError: int8 where the model or the processor does not have it.
    """
    if asked == "int8" and not (int8 and device.type == "cpu" and native_int8()):
        where = "this processor, which has no AVX-512 VNNI" if int8 and device.type == "cpu" else device.type
        what = "int8 does not run on " + where if int8 else "this model has no int8"
        raise BackendUnavailableError(f"{what}; give another precision, or leave it out")
    if asked is not None:
        return asked
    if device.type == "cuda":
        return on_cuda
    return "bf16" if torch.ops.mkldnn._is_mkldnn_bf16_supported() and _native_bf16() else "f32"


def native_int8() -> bool:
    """Return whether the processor has fast products of 8-bit integers."""
    return bool(torch.cpu._is_vnni_supported())


def _native_bf16() -> bool:
    """Return whether the processor has bf16 instructions; torch emulates them slowly otherwise."""
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
