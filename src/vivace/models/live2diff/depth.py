"""Depth of a frame, prepared for the depth encoder.

A detector gives inverse depth of unknown scale. It is stretched to [0, 1], repeated to a grey picture in [-1, 1] of the
frame's size, and encoded by the autoencoder like any picture. The reference implementation stretches every call by its
own extremes, so that the scale pumps when something near enters; running bounds follow slowly instead.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Detector = Callable[[Tensor], Tensor]
"""Function from pictures `[f 3 a b]` in [-1, 1] to inverse depth `[f a b]`; larger is nearer."""

DETECTOR_SIDE_PX = 384
"""Side of the square that the published detector (MiDaS DPT-Hybrid) was trained on, px."""
DETECTOR_MULTIPLE_PX = 32
"""Divisor of the detector's input sides, px."""
FLAT = 1e-6
"""Span, as a share of the depth itself, below which the depth is constant: stretching would amplify rounding errors."""
WALL = 0.5
"""Value of a constant depth in [0, 1]: mid-grey."""


class RunningBounds:
    """Slowly following extremes of a stream's depth; part of a stream's state.

    Tensors on the device, updated without synchronisation, so that a step can be recorded and replayed.
    """

    def __init__(self, *, inertia: float = 0.9, device: torch.device | str = "cpu") -> None:
        """Begin without a past. `inertia` is the share of the old bounds that is kept: 0.9 takes about ten frames."""
        self.inertia = inertia
        self.low = torch.zeros((), device=device)
        self.high = torch.zeros((), device=device)
        self._weight = torch.zeros((), device=device)
        """Inertia for the next frame; 0 for the first."""

    def follow(self, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
        """Move towards a frame's extremes and return the bounds to use; the first frame sets them."""
        self.low.copy_(torch.lerp(low.float(), self.low, self._weight))
        self.high.copy_(torch.lerp(high.float(), self.high, self._weight))
        self._weight.fill_(self.inertia)
        return self.low, self.high

    def reset(self) -> None:
        """Forget the past, as after a cut."""
        for tensor in (self.low, self.high, self._weight):
            tensor.zero_()


def normalise_depth(depth: Tensor, bounds: RunningBounds | None = None) -> Tensor:
    """Return `depth [f h w]` stretched to [0, 1] by the extremes of all its frames, or by running bounds.

    A constant depth, which has no scale, becomes 0.5 everywhere.
    """
    low, high = depth.amin(), depth.amax()
    if bounds is not None:
        low, high = bounds.follow(low, high)
    span = high - low
    flat = span <= FLAT * torch.maximum(low.abs(), high.abs())
    stretched = (depth - low) / torch.where(flat, torch.ones_like(span), span)
    stretched = torch.where(flat, torch.full_like(stretched, WALL), stretched)
    return stretched if bounds is None else stretched.clamp(0, 1)


def detector_size(height: int, width: int, *, keep_aspect: bool = True) -> tuple[int, int]:
    """Return the detector's input height and width: about as many pixels as its square, or the square itself."""
    if not keep_aspect:
        return DETECTOR_SIDE_PX, DETECTOR_SIDE_PX
    scale = DETECTOR_SIDE_PX / (height * width) ** 0.5
    sides = (max(round(side * scale / DETECTOR_MULTIPLE_PX), 1) * DETECTOR_MULTIPLE_PX for side in (height, width))
    return next(sides), next(sides)


def resize(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize `[f c h w]` bilinearly, without antialiasing, as the reference implementation does."""
    return F.interpolate(pictures, size=size, mode="bilinear", align_corners=False)


def depth_pictures(
    pictures: Tensor, detector: Detector, *, bounds: RunningBounds | None = None, keep_aspect: bool = True
) -> Tensor:
    """Return grey depth pictures `[f 3 h w]` in [-1, 1] of `pictures [f 3 h w]` in [-1, 1].

    With `keep_aspect=False` pictures are squashed to a square, as in the reference implementation.
    """
    height, width = pictures.shape[-2:]
    depth = detector(resize(pictures, detector_size(height, width, keep_aspect=keep_aspect)))
    grey = normalise_depth(depth, bounds)[:, None].expand(-1, 3, -1, -1) * 2 - 1
    return resize(grey, (height, width))
