"""Random weights for measuring speed, of a scale at which a network of any depth stays finite in half precision."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch
from torch import nn

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@torch.no_grad()
def randomise(module: ModuleT, seed: int, *, gain: Callable[[str], float] = lambda _: 1.0) -> ModuleT:
    """Give a network random weights: matrices and kernels of unit gain, biases of 0, gains of norms of 1.

    The same seed gives the same weights on the same kind of device.

    Args:
        module: filled in place.
        seed: of the generator.
        gain: factor of a weight, by name.
    """
    generator: torch.Generator | None = None
    for name, parameter in module.named_parameters():
        generator = generator or torch.Generator(parameter.device).manual_seed(seed)
        if name.endswith("bias"):
            parameter.zero_()
        elif parameter.numel() == max(parameter.shape):
            parameter.fill_(1)  # a norm's
        else:
            # Uniform numbers, which are drawn several times faster than normal ones, of deviation fan_in^-0.5.
            bound = (3 / parameter[0].numel()) ** 0.5 * gain(name)
            parameter.uniform_(-bound, bound, generator=generator)
    return module
