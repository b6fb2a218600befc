"""Losses between a rendered clip and its target; all on `[n 3 h w]` in [-1, 1]."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

GRADIENT_WEIGHT = 0.6
"""Differences of neighbours count more than flat colour: lines and dots are what an L1 loss alone blurs first."""
COARSE_WEIGHT = 0.3
SQUARE_WEIGHT = 0.5
"""The median of a dark room with thin bright tubes is the dark room: squares keep sparse light from being ignored."""
TEMPORAL_WEIGHT = 0.3


def picture_loss(x: Tensor, target: Tensor) -> Tensor:
    """L1 and L2 on px, L1 on neighbour differences at two scales and on 4 x 4 means."""
    error = x - target
    loss = error.abs().mean() + SQUARE_WEIGHT * (error * error).mean()
    for _ in range(2):
        loss = loss + 0.5 * GRADIENT_WEIGHT * (
            (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
            + (error[..., :, 1:] - error[..., :, :-1]).abs().mean()
        )
        error = F.avg_pool2d(error, 2)
    return loss + COARSE_WEIGHT * error.abs().mean()


def temporal_loss(x: Tensor, target: Tensor, follows: Tensor) -> Tensor:
    """L1 between the changes from frame to frame, where `follows [n]` says that a frame follows the one before."""
    mask = follows[1:, None, None, None].to(x.dtype)
    change = (x[1:] - x[:-1]) - (target[1:] - target[:-1])
    return TEMPORAL_WEIGHT * (change.abs() * mask).mean()
