"""Exact occlusion boundaries, from identities and depth."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]

JUMP = 0.95
"""Ratio of depths, near to far, from which two objects merely touch: feet on a floor are not a boundary."""


class Boundary(NamedTuple):
    """Pairs of neighbouring pixels across occlusion boundaries, one entry per pair."""

    near_y: Indices
    near_x: Indices
    far_y: Indices
    far_x: Indices


def occlusion_boundary(ids: NDArray[np.uint16], depth: NDArray[np.float32]) -> Boundary:
    """Return all horizontal and vertical neighbours that show different objects, one clearly in front of the other.

    Args:
        ids: `[h w]`, identities.
        depth: `[h w]`, metres, infinite for the backdrop.
    """
    sides: list[tuple[Indices, ...]] = []
    for step_y, step_x in ((0, 1), (1, 0)):
        height, width = ids.shape[0] - step_y, ids.shape[1] - step_x
        one, other = depth[:height, :width], depth[step_y:, step_x:]
        differ = ids[:height, :width] != ids[step_y:, step_x:]
        jump = differ & (np.minimum(one, other) < JUMP * np.maximum(one, other))
        y, x = np.nonzero(jump)
        first_is_near = one[y, x] < other[y, x]
        ahead_y, ahead_x = y + step_y, x + step_x
        sides.append(
            (
                np.where(first_is_near, y, ahead_y),
                np.where(first_is_near, x, ahead_x),
                np.where(first_is_near, ahead_y, y),
                np.where(first_is_near, ahead_x, x),
            )
        )
    return Boundary(*(np.concatenate(parts) for parts in zip(*sides, strict=True)))
