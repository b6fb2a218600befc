"""The mode in which programs run on a device."""

from __future__ import annotations

import torch

from vivace.errors import BackendUnavailableError
from vivace.runtime.torch.compiled import compiler_problem
from vivace.runtime.torch.graphs import Mode

COMPILES = "every size is compiled when a stream of it is opened; the first time on a machine that takes minutes"


def choose_mode(runtime: str | None, device: torch.device) -> tuple[Mode, tuple[str, ...]]:
    """Return how a runtime executes programs on a device, and notes for people.

    Raises:
        BackendUnavailableError: compilation was requested and does not work here.
    """
    if runtime == "eager" or (runtime is None and device.type == "cpu"):
        return "eager", ()
    if problem := compiler_problem(device.type):
        if runtime is not None:
            raise BackendUnavailableError(f"{problem}; the runtime eager needs no compiler")
        return "eager", (problem,)
    return ("graph" if device.type == "cuda" else "compiled"), (COMPILES,)
