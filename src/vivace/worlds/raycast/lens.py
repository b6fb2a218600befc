"""Viewpoints: cameras, and the sun as a parallel one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vivace.media.size import Size
from vivace.worlds.raycast.solids import Pose

NEAR_M = 0.05


@dataclass(frozen=True, slots=True, eq=False)
class Lens:
    """Pinhole or parallel camera.

    The ray of a point `(x, y)` px is `position + depth * (forward + right * (x - w / 2) / focal + down * ...)`, so the
    ray's parameter is the depth along the optical axis, m. A parallel lens shifts the ray's origin instead.
    """

    pose: Pose
    """Columns: right, down, forward, position."""
    focal_px: float
    """Focal length, px; px per metre for a parallel lens."""
    size: Size
    parallel: bool = False

    @property
    def position(self) -> NDArray[np.float64]:
        """Position `[3]`, m."""
        return self.pose[:, 3]

    def from_world(self) -> Pose:
        """Return the matrix `[3 4]` from world coordinates to the lens's: right, down, depth."""
        turn = self.pose[:, :3].T
        return np.concatenate([turn, -turn @ self.pose[:, 3:]], axis=1)

    def plane(self, x_px: NDArray[np.float32], y_px: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
        """Return the points' coordinates on the plane at depth 1 (parallel: in metres)."""
        scale = np.float32(1 / self.focal_px)
        return (x_px - np.float32(self.size[0] / 2)) * scale, (y_px - np.float32(self.size[1] / 2)) * scale


@dataclass(frozen=True, slots=True)
class Camera:
    """Camera of a world, for pictures of any size."""

    eye: tuple[float, float, float]
    target: tuple[float, float, float]
    focal: float = 1.2
    """Focal length as a multiple of the height of a wide picture."""
    roll: float = 0.0

    def lens(self, size: Size) -> Lens:
        """Return the lens for pictures of `size`; square and upright ones see less at the sides and more above."""
        width, height = size
        unit = 0.5 * height + 0.5 * min(width, height * 16 / 9) * 9 / 16
        return Lens(looking(self.eye, self.target, self.roll), self.focal * unit, size)


def looking(eye: tuple[float, float, float], target: tuple[float, float, float], roll: float = 0.0) -> Pose:
    """Return the pose (right, down, forward, position) of a camera that looks at a point, not straight up or down."""
    forward = np.subtract(target, eye, dtype=np.float64)
    forward /= math.sqrt(float(forward @ forward))
    right = np.array([forward[2], 0.0, -forward[0]])
    right /= math.sqrt(float(right @ right))
    down = -np.cross(forward, right)
    cos, sin = math.cos(roll), math.sin(roll)
    return np.stack([right * cos + down * sin, down * cos - right * sin, forward, np.asarray(eye, np.float64)], axis=1)
