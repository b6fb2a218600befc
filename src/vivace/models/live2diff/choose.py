"""Choices that depend on machine and style: execution mode and step count."""

from __future__ import annotations

import torch

from vivace.diffusion.lcm import ORIGINAL_STEPS
from vivace.errors import BackendUnavailableError, UsageError
from vivace.models.live2diff.profile import Live2DiffStyle
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


def steps_of(style: Live2DiffStyle, steps: int | None) -> tuple[int, ...]:
    """Return the timestep indices of a style for a number of steps, at the style's own strength.

    Raises:
        UsageError: more steps than there are timesteps at that strength.
    """
    if steps in (None, len(style.t_index)):
        return style.t_index
    first, left = style.t_index[0], ORIGINAL_STEPS - style.t_index[0]
    if not 1 <= steps <= left:
        raise UsageError(f"style {style.name!r} has 1 to {left} steps at its strength, not {steps}")
    return tuple(first + step * left // steps for step in range(steps))
