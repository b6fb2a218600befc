"""Random weights for speed measurements, scaled so that networks of any depth stay finite in half precision."""

from __future__ import annotations

import re
from typing import TypeVar

import torch
from torch import nn

from vivace.checkpoints.derived import refresh
from vivace.models.live2diff.motion import Positions, position_vectors

ModuleT = TypeVar("ModuleT", bound=nn.Module)
BRANCH = 0.2
"""Scale of residual branches, so that the residual stream does not grow with depth."""
_CLOSING = re.compile(r".*\.(proj_out|to_out\.0|conv2|net\.2)\.weight")
_NORM = (nn.GroupNorm, nn.LayerNorm)


@torch.no_grad()
def randomise(module: ModuleT, seed: int) -> ModuleT:
    """Return a network filled with random weights of unit gain: norms are identity, residual branches add a little.

    The same seed gives the same weights on the same kind of device.
    """
    generator: torch.Generator | None = None
    for name, part in module.named_modules():
        for leaf, parameter in part.named_parameters(name, recurse=False):
            generator = generator or torch.Generator(parameter.device).manual_seed(seed)
            if leaf.endswith(".bias"):
                parameter.zero_()
            elif isinstance(part, _NORM):
                parameter.fill_(1)
            else:
                # Uniform numbers of deviation fan_in^-0.5, drawn several times faster than normal ones.
                bound = (3 / parameter[0].numel()) ** 0.5 * (BRANCH if _CLOSING.fullmatch(leaf) else 1)
                parameter.uniform_(-bound, bound, generator=generator)
        if isinstance(part, Positions):
            _, entries, channels = part.pe.shape
            part.pe.copy_(position_vectors(entries, channels))
    refresh(module)
    return module
