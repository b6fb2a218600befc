"""Exported graphs over arrays: OpenVINO on a CPU, and eager torch as the oracle that it is tested against."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vivace.runtime.device import Device
from vivace.runtime.info import RuntimeInfo

Arrays = Mapping[str, NDArray[np.generic]]


class Executor(Protocol):
    """A network bound to the buffers of one stream.

    `run` reads the arrays it was opened with, so a caller writes new values into them in place.
    """

    def run(self) -> Arrays:
        """Run once and return the outputs by name; they are overwritten by the next run."""

    def bind(self, name: str, array: NDArray[np.generic]) -> None:
        """Read an input from another array of the same shape from now on."""


class Network(Protocol):
    """Loaded weights; makes executors for any number of streams."""

    @property
    def device(self) -> Device:
        """Where it runs."""

    @property
    def info(self) -> RuntimeInfo:
        """The same in words."""

    def prepare(self, *inputs: Arrays) -> None:
        """Make ready for inputs of the shapes of each. Slow (compiles); may be called from another thread."""

    def executor(self, inputs: Arrays) -> Executor:
        """Bind the network to these arrays, which must live as long as the executor."""
