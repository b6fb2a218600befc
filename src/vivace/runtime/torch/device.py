"""Compute devices of torch."""

from __future__ import annotations

import functools
import platform
from contextlib import AbstractContextManager, nullcontext

import torch

from vivace.errors import BackendUnavailableError
from vivace.runtime.device import Device
from vivace.runtime.torch.graphs import Pool


class TorchDevice(Device):
    """Torch device. On a CPU all work is done in one thread."""

    def __init__(self, device: torch.device) -> None:
        """Create an object with its own turn on `device`, independent of other users."""
        if device.type == "cuda":
            super().__init__(f"GPU: {torch.cuda.get_device_name(device)}")
        else:
            super().__init__(f"CPU: {platform.processor() or platform.machine()}", thread="vivace-cpu")
        self.torch = device

    @functools.cached_property
    def pools(self) -> tuple[Pool, Pool]:
        """Memory pools of graphs replayed in the turn: one for sequential graphs, one for a parallel stream."""
        return torch.cuda.graph_pool_handle(), torch.cuda.graph_pool_handle()

    def current(self) -> AbstractContextManager[object]:
        """Return a context in which the thread's work goes to this device."""
        return torch.cuda.device(self.torch) if self.torch.type == "cuda" else nullcontext()

    def free_bytes(self) -> int | None:
        """Return the free memory of the device itself, bytes; None on a CPU, which uses the machine's."""
        return torch.cuda.mem_get_info(self.torch)[0] if self.torch.type == "cuda" else None


_CPU = TorchDevice(torch.device("cpu"))
"""The one CPU device, shared by all; its thread starts with its first work."""


def open_device(wanted: str | None = None) -> TorchDevice:
    """Return the requested device, by default a GPU if there is one, else the CPU.

    Models on a GPU have a turn each: one prepares its step while another computes. Those on the CPU share one, as they
    share its cores.

    Raises:
        BackendUnavailableError: there is no such device.
    """
    device = torch.device(wanted or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device.type != "cuda":
        return _CPU
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    index = device.index or 0
    if index >= count:
        raise BackendUnavailableError(f"there is no device {wanted}: torch sees {count} CUDA devices here")
    return TorchDevice(torch.device("cuda", index))
