"""Structure that survives a change of style: where there are edges, and which way they run."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vivace.bench.metrics.pixels import gradient, luma, smooth
from vivace.media.frame import Rgb

Orientation = NDArray[np.complex64]
"""`[h w]`: length 0 to 1 says how much of an edge, half the angle which way the brightness changes."""

BLUR_PX = 1.5
"""Lets edges that are off by a px still agree."""
_FLOOR = 1.0
"""Levels per px: weaker slopes are quantisation."""


def orientation(rgb: Rgb, blur_px: float = BLUR_PX) -> Orientation:
    """Return the orientation field of a picture.

    With the gradient g of the blurred luma as a complex number: `(g / |g|)² · |g|² / (|g|² + η²)`. Squaring forgets
    which side is brighter (double-angle representation, Granlund 1978); η, the picture's own mean slope, makes it
    independent of contrast (normalised gradient fields, Haber & Modersitzki 2006).
    """
    x, y = gradient(smooth(luma(rgb), blur_px))
    power = x * x + y * y
    scale = float(np.sqrt(power).mean()) ** 2 + _FLOOR**2
    field: Orientation = ((x + 1j * y) ** 2 / (power + scale)).astype(np.complex64)
    return field


def agreement(a: Orientation, b: Orientation) -> float:
    """Return the cosine of two fields, -1 to 1: 1 the same edges, 0 unrelated ones or none at all, -1 all crossed."""
    energy = float(np.vdot(a, a).real) * float(np.vdot(b, b).real)
    return float(np.vdot(a, b).real) / energy**0.5 if energy > _EMPTY * a.size**2 else 0.0


_EMPTY = 1e-12
"""Mean squares of fields whose product is below this hold no structure."""
