"""Random weights for measuring speed: of a scale at which a network of any depth stays finite in half precision."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from vivace.models.wan.vae import Norm

ModuleT = TypeVar("ModuleT", bound=nn.Module)


@torch.no_grad()
def randomise(module: ModuleT, seed: int) -> ModuleT:
    """Give a network random weights of unit gain, norms that do nothing and small modulations.

    The same seed gives the same weights on the same kind of device.
    """
    generator: torch.Generator | None = None
    for part in module.modules():
        for leaf, parameter in part.named_parameters(recurse=False):
            generator = generator or torch.Generator(parameter.device).manual_seed(seed)
            if leaf == "bias":
                parameter.zero_()
            elif isinstance(part, nn.RMSNorm | nn.LayerNorm | Norm):
                parameter.fill_(1)
            else:
                # Uniform numbers, which are drawn several times faster than normal ones, of deviation fan_in^-0.5.
                bound = (3 / parameter[0].numel()) ** 0.5
                parameter.uniform_(-bound, bound, generator=generator)
    return module
