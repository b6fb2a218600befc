"""Losses between painted pictures and their targets; all for `[n 3 h w]` in [-1, 1]."""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from vivace.train.looks.features import Features

SQUARE_WEIGHT = 0.5
GRADIENT_WEIGHT = 0.6
COARSE_WEIGHT = 0.3
TEMPORAL_WEIGHT = 0.3
STILL = 0.06
"""Change of the source from which a px is not still; black to white is 2."""
FEATURE_WEIGHT = 0.12
GRAM_WEIGHT = 0.25
"""Weight of the Gram loss: features place strokes correctly, their correlations ensure that there are strokes at
all."""
INVENTED_PX = 0.4
INVENTED_FEATURES = 2.0
INVENTED_GRAM = 4.0
"""Factors of the fine px terms, the features and their correlations where strokes are invented. In a look with a neural
teacher no input tells where a brush was set down, and the mean over all possible places is a plain wash in a greyed
palette. Px terms of coarse means keep their weight: they hold the palette."""
PALETTE_WEIGHT = 0.3
INVENTED_PALETTE = 3.3
_DIRECTIONS = ((1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1), (1, -1, 0), (1, 1, -2))
"""Directions of colour space along which palettes are compared: red, green, blue, light, and two opponent colours."""
FEATURE_PX = 128
"""Side of the window that the feature losses see, px. They cost as much per px as the student, and texture shows in a
part."""


class Losses(NamedTuple):
    """Terms of a step's loss, weighted."""

    picture: Tensor
    features: Tensor
    gram: Tensor
    temporal: Tensor

    @property
    def total(self) -> Tensor:
        """Sum of the terms."""
        return self.picture + self.features + self.gram + self.temporal


def change_weights(target: Tensor, source: Tensor) -> tuple[Tensor, Tensor]:
    """Return weights per px `[n 1 h w]` (mean about 1) and per sample `[n 1 1 1]`.

    What a look changes counts more than what it leaves: anime differs from its source only in thin lines, which a plain
    mean hardly sees.
    """
    change = (target - source).abs().mean(1, keepdim=True)
    mean = change.mean((2, 3), keepdim=True)
    by_px = (0.5 + 0.5 * change / (mean + 0.02)).clamp(max=4.0)
    return by_px, (0.3 / (mean + 0.06)).sqrt().clamp(0.7, 2.2)


def picture_loss(x: Tensor, target: Tensor, source: Tensor, invented: Tensor) -> Tensor:
    """Return L1 and L2 on px, L1 on neighbour differences at two scales and on 4 x 4 means, and the palette's distance.

    Px are weighted by the change that the look makes. `invented [n]` is the share of a look whose strokes are invented.
    """
    by_px, by_sample = change_weights(target, source)
    whole = (x - target) * by_sample
    error = whole * _blend(invented, INVENTED_PX)
    loss = (error.abs() * by_px).mean() + SQUARE_WEIGHT * (error * error).mean()
    for level in range(2):
        down = (error[..., 1:, :] - error[..., :-1, :]).abs()
        right = (error[..., :, 1:] - error[..., :, :-1]).abs()
        if level == 0:
            down, right = down * by_px[..., 1:, :], right * by_px[..., :, 1:]
            error = F.avg_pool2d(error, 2)
        loss = loss + 0.5 * GRADIENT_WEIGHT * (down.mean() + right.mean())
    palette = palette_distance(x, target).view(-1, 1, 1, 1) * _blend(invented, INVENTED_PALETTE)
    return loss + COARSE_WEIGHT * F.avg_pool2d(whole, 4).abs().mean() + PALETTE_WEIGHT * palette.mean()


def palette_distance(x: Tensor, target: Tensor) -> Tensor:
    """Return the distance of the colours of a picture from the target's, wherever they are in it, `[n]`.

    It is the mean of Wasserstein distances along a few directions, of means of 2 x 2 px, one in four. Where a network
    cannot know which of two colours a place has, its best guess per px is their mean, a colour that occurs nowhere in
    the target.
    """
    directions = F.normalize(x.new_tensor(_DIRECTIONS))

    def sorted_along(picture: Tensor) -> Tensor:
        return (directions @ F.avg_pool2d(picture, 2, stride=4).flatten(2)).sort(2)[0]

    return (sorted_along(x) - sorted_along(target)).abs().mean((1, 2))


def _blend(invented: Tensor, factor: float) -> Tensor:
    """Return the factor of a term `[n 1 1 1]`: 1 where nothing is invented."""
    return (1 + (factor - 1) * invented).view(-1, 1, 1, 1)


def temporal_loss(painted: Tensor, target: Tensor, source: Tensor, invented: Tensor) -> Tensor:
    """Return the distance of the changes from frame to frame from the target's, L1 per pair `[n]`, of `[n 2 3 h w]`.

    Where the source is still, invented strokes have to be still too: neural teachers flicker many times as much as
    their source, even after filtering.
    """
    change, wanted, moved = (x[:, 1] - x[:, 0] for x in (painted, target, source))
    still = (1 - moved.abs().mean(1, keepdim=True) / STILL).clamp_min(0)
    wanted = wanted * (1 - invented.view(-1, 1, 1, 1) * still)
    return TEMPORAL_WEIGHT * (change - wanted).abs().mean((1, 2, 3))


def feature_losses(features: Features, x: Tensor, target: Tensor, invented: Tensor) -> tuple[Tensor, Tensor]:
    """Return the perceptual loss and the loss on the features' correlations (Gram), weighted; `invented [n]`."""
    with torch.autocast(x.device.type, torch.bfloat16):
        with torch.no_grad():
            wanted = features(target)
        found = features(x)
    by_place, by_gram = _blend(invented, INVENTED_FEATURES), _blend(invented, INVENTED_GRAM)[..., 0]
    same, correlations = x.new_zeros(()), x.new_zeros(())
    for f, t in zip(found, wanted, strict=True):
        f, t = f.float(), t.float()
        size = t.std((0, 2, 3), keepdim=True)
        size = size + 0.1 * size.mean()
        f, t = f / size, t / size
        same = same + ((f - t).abs() * by_place).mean()
        correlations = correlations + ((gram(f) - gram(t)).abs() * by_gram).mean()
    return FEATURE_WEIGHT / len(found) * same, GRAM_WEIGHT / len(found) * correlations


def gram(f: Tensor) -> Tensor:
    """Return the mean products of the features `[n c h w]` of a px, `[n c c]`."""
    flat = f.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[-1]
