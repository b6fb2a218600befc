"""Exported graphs over NumPy arrays: OpenVINO on a CPU, and eager torch as its reference in tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vivace.runtime.device import Device
from vivace.runtime.info import RuntimeInfo

Arrays = Mapping[str, NDArray[np.generic]]


class Executor(Protocol):
    """Network bound to the buffers of one stream.

    `run` reads the arrays given at creation, so callers write new values into them in place.
    """

    def run(self) -> Arrays:
        """Run once and return the outputs by name; the next run may overwrite them."""

    def bind(self, name: str, array: NDArray[np.generic]) -> None:
        """Read an input from another array of the same shape from now on."""


class Network(Protocol):
    """Loaded weights, from which executors for any number of streams are made."""

    @property
    def device(self) -> Device:
        """Device that it runs on."""

    @property
    def info(self) -> RuntimeInfo:
        """Description of runtime, device and precision."""

    def prepare(self, *inputs: Arrays) -> None:
        """Prepare for inputs of the shapes of each mapping. Slow (compiles); may be called from another thread."""

    def prepared(self, inputs: Arrays) -> bool:
        """Return True if an executor on inputs of these shapes is there at once."""

    def executor(self, inputs: Arrays) -> Executor:
        """Return an executor on these arrays, which must live as long as it does."""
