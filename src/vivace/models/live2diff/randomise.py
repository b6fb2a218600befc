"""Random weights for measuring the speed of the UNet."""

from __future__ import annotations

import re

import torch

from vivace.checkpoints.derived import refresh
from vivace.checkpoints.random_weights import randomise
from vivace.models.live2diff.motion import Positions, position_vectors
from vivace.models.live2diff.unet import Live2DiffUNet

BRANCH = 0.2
"""Scale of residual branches, so that the residual stream does not grow with depth."""
_CLOSING = re.compile(r".*\.(proj_out|to_out\.0|conv2|net\.2)\.weight")


@torch.no_grad()
def randomise_unet(unet: Live2DiffUNet, seed: int) -> Live2DiffUNet:
    """Give the UNet random weights and its usual position vectors; the same seed gives the same on a kind of device."""
    randomise(unet, seed, gain=lambda name: BRANCH if _CLOSING.fullmatch(name) else 1.0)
    for part in unet.modules():
        if isinstance(part, Positions):
            _, entries, channels = part.pe.shape
            part.pe.copy_(position_vectors(entries, channels))
    refresh(unet)
    return unet
