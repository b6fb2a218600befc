"""Losses between a rendered clip and its target; all for `[n 3 h w]` in [-1, 1]."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

GRADIENT_WEIGHT = 0.6
"""Weight of the differences of neighbours: an L1 loss alone blurs lines and dots first."""
COARSE_WEIGHT = 0.3
SQUARE_WEIGHT = 0.5
"""Weight of L2. The median of a dark room with thin bright tubes is the dark room: squares keep sparse light from being
ignored."""
TEMPORAL_WEIGHT = 0.3


def picture_loss(x: Tensor, target: Tensor) -> Tensor:
    """Return L1 and L2 on px, plus L1 on neighbour differences at two scales and on 4 x 4 means."""
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
    """Return the L1 between changes from frame to frame, where `follows [n]` marks frames that follow another."""
    mask = follows[1:, None, None, None].to(x.dtype)
    change = (x[1:] - x[:-1]) - (target[1:] - target[:-1])
    return TEMPORAL_WEIGHT * (change.abs() * mask).mean()
