"""Agreement of two computations of the same numbers: relative to their scale, so that it holds on any processor."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

Numbers = Any
"""Tensor, array, or anything that becomes one."""

ROUNDING = 5e-6
"""Tolerance, as a share of the largest number. A float32 has 24 bits (6e-8); sums in another order lose some dozens of
times that."""


def deviation(found: Numbers, expected: Numbers, scale: float | None = None) -> float:
    """Return the largest difference, as a share of the scale: by default that of the largest expected number.

    Where zero is expected, the scale is that of the numbers whose difference it is.
    """
    found, expected = (_float64(numbers) for numbers in (found, expected))
    assert expected.shape in (found.shape, ()), "one number, or as many as were found"
    scale = float(np.abs(expected).max()) if scale is None else scale
    return float(np.abs(found - expected).max() / scale)


def near(found: Numbers, expected: Numbers, scale: float | None = None) -> bool:
    """Return whether two results differ by no more than rounding."""
    return deviation(found, expected, scale) <= ROUNDING


def _float64(numbers: Numbers) -> np.ndarray:
    return np.asarray(numbers.detach().cpu().double() if isinstance(numbers, Tensor) else numbers, np.float64)
