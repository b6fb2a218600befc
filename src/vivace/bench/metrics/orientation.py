"""Structure that survives a change of style: positions and directions of edges."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vivace.bench.metrics.pixels import gradient, luma, smooth
from vivace.media.frame import Rgb

Orientation = NDArray[np.complex64]
"""Field `[h w]`: magnitude 0 to 1 is the strength of an edge, half the angle the direction of the brightness change."""

BLUR_PX = 1.5
"""Blur that makes edges agree that are off by a px."""
_FLOOR = 1.0
"""Slope below which edges are quantisation noise, levels per px."""


def orientation(rgb: Rgb, blur_px: float = BLUR_PX) -> Orientation:
    """Return the orientation field of a picture.

    With the gradient g of the blurred luma as a complex number: `(g / |g|)² · |g|² / (|g|² + η²)`. Squaring makes it
    independent of which side is brighter (double-angle representation, Granlund 1978); η, the picture's own mean slope,
    makes it independent of contrast (normalised gradient fields, Haber & Modersitzki 2006).
    """
    x, y = gradient(smooth(luma(rgb), blur_px))
    power = x * x + y * y
    scale = float(np.sqrt(power).mean()) ** 2 + _FLOOR**2
    field: Orientation = ((x + 1j * y) ** 2 / (power + scale)).astype(np.complex64)
    return field


def agreement(a: Orientation, b: Orientation) -> float:
    """Return the cosine of two fields: 1 for the same edges, 0 for unrelated ones or none, -1 if all are crossed."""
    energy = float(np.vdot(a, a).real) * float(np.vdot(b, b).real)
    return float(np.vdot(a, b).real) / energy**0.5 if energy > _EMPTY * a.size**2 else 0.0


_EMPTY = 1e-12
"""Product of two fields' mean squares below which they hold no structure."""
