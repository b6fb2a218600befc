"""Eager torch: slow, and the reference that every other runtime is tested against."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from vivace.runtime.exported import Arrays
from vivace.runtime.info import RuntimeInfo
from vivace.runtime.torch.device import open_device


class EagerNetwork:
    """Module run as written, in f32."""

    def __init__(self, module: nn.Module, output_names: tuple[str, ...], *, threads: int | None = None) -> None:
        self.device = open_device()
        if threads is not None:
            self.device.call(torch.set_num_threads, threads)
        self._module = module.to(self.device.torch).eval()
        self._names = output_names
        self.info = RuntimeInfo("eager", self.device.name, "f32")

    def prepare(self, *inputs: Arrays) -> None:
        """Do nothing: eager torch takes any shape."""

    def prepared(self, inputs: Arrays) -> bool:
        """Return True: eager torch takes any shape."""
        del inputs
        return True

    def executor(self, inputs: Arrays) -> EagerExecutor:
        """Return an executor on these arrays."""
        return EagerExecutor(self._module, self._names, self.device.torch, inputs)


class EagerExecutor:
    """Module bound to one stream's arrays."""

    def __init__(self, module: nn.Module, names: tuple[str, ...], device: torch.device, inputs: Arrays) -> None:
        self._module, self._names, self._device, self._inputs = module, names, device, dict(inputs)

    def bind(self, name: str, array: NDArray[np.generic]) -> None:
        """Read an input from another array from now on."""
        self._inputs[name] = array

    @torch.inference_mode()
    def run(self) -> Arrays:
        """Run once; outputs are new arrays."""
        outputs = self._module(*(torch.from_numpy(np.asarray(a)).to(self._device) for a in self._inputs.values()))
        return {name: value.cpu().numpy() for name, value in zip(self._names, outputs, strict=True)}
