"""Logistic regression, for the few numbers that say how sure something is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


def logistic(x: Vector) -> Vector:
    """Return the logistic function."""
    return np.asarray(1 / (1 + np.exp(-x)))


def fit_logistic(x: Vector, y: Vector, penalty: Vector, each: Vector | float = 1.0, *, steps: int = 50) -> Vector:
    """Return weights `[k]` of samples `x [n k]` that are 0 or 1 in `y [n]`, by Newton's method.

    Args:
        x: the samples.
        y: the truth.
        penalty: of each weight's square, `[k]`.
        each: weights of the samples, `[n]`.
        steps: steps of Newton's method.
    """
    weights = np.zeros(x.shape[1])
    for _ in range(steps):
        p = logistic(x @ weights)
        hessian = (x * (each * p * (1 - p))[:, None]).T @ x + np.diag(penalty)
        weights -= np.linalg.solve(hessian, x.T @ (each * (p - y)) + penalty * weights)
    return weights
