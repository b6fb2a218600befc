"""How a step over static buffers is run: as it is written, compiled, or recorded once and replayed.

(First form by the lead so that others can go on; N extends it.)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch

from vivace.errors import BackendUnavailableError

Mode = Literal["eager", "compiled", "graph"]


class Program:
    """A function without arguments that reads and writes buffers which stay where they are."""

    def __init__(self, function: Callable[[], object], *, device: torch.device, mode: Mode = "eager") -> None:
        """Run `function` on `device` in `mode`.

        Raises:
            BackendUnavailableError: a mode this device does not have.
        """
        if mode != "eager":
            raise BackendUnavailableError(f"mode {mode!r} is not here yet")
        del device
        self._function = function

    def __call__(self) -> None:
        """Run once."""
        self._function()
