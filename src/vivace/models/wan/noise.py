"""The noise of a stream: drawn for every chunk and step, the same for a seed on every device and in any batch."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def draw_noise(seed: int, chunk: int, index: int, shape: tuple[int, ...], device: torch.device | str = "cpu") -> Tensor:
    """Return standard normal noise `[…]`, float32, of one of a chunk's draws."""
    digest = hashlib.blake2b(f"{seed} {chunk} {index}".encode(), digest_size=8).digest()
    # torch takes seeds of 64 bits, of which the highest is a sign.
    generator = torch.Generator("cpu").manual_seed(int.from_bytes(digest) >> 1)
    return torch.randn(shape, generator=generator).to(device)
