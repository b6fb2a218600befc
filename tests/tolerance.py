"""When two computations of the same numbers agree: relative to their scale, so that it holds on any processor."""

from __future__ import annotations

from torch import Tensor

ROUNDING = 5e-6
"""Share of the largest number. A float32 has 24 bits (6e-8); sums in another order lose some dozens of times that."""


def deviation(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference, as a share of the largest expected number."""
    assert found.shape == expected.shape
    found, expected = found.detach(), expected.detach()
    return float((found - expected).abs().max() / expected.abs().max())


def near(found: Tensor, expected: Tensor) -> bool:
    """Tell whether two results differ by no more than rounding."""
    return deviation(found, expected) <= ROUNDING
