"""Solids with materials, their poses and motion.

World coordinates are metres: x to the right, y up, z away from the viewer. A pose is `float64 [3 4]`: the solid's axes
as columns, then its centre. Every solid is convex, so it never occludes its own front side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Pose = NDArray[np.float64]
"""Pose `[3 4]`, or `[n 3 4]` for several."""
Motion = Callable[[float], Pose]
"""Function from time (s) to poses `[n 3 4]` of a body's solids: a closed formula, so that any moment can be
rendered."""
Rgb01 = tuple[float, float, float]
"""Colour, each channel 0 to 1."""


class Kind(IntEnum):
    """Shape of a solid before it is posed; sizes are half extents, m."""

    ELLIPSOID = 0
    BOX = 1
    TAPER = 2
    """Upright and round with flat ends, from a cylinder (taper 0) to a cone (taper -1: tip up)."""
    CAPSULE = 3
    """Upright with round ends; its half height is that of the straight part."""


@dataclass(frozen=True, slots=True)
class Material:
    """Appearance of a surface."""

    texture: str
    """Name of a texture of `textures.py`."""
    tint: Rgb01 = (1.0, 1.0, 1.0)
    """Factor on the texture."""
    scale: float = 1.0
    """Metres per texture tile on flat sides; whole number of repetitions around round ones."""
    gloss: float = 0.0
    """Strength of the highlight, 0 to 1."""
    glow: float = 0.0
    """Emission by day; at night the texture's lit parts shine as well."""


@dataclass(frozen=True, slots=True)
class Solid:
    """Shape with a material."""

    kind: Kind
    size: Rgb01
    material: Material
    taper: float = 0.0
    """Slope of a TAPER: its radius is `1 + taper * height` times its size, with height -1 at the bottom and 1 at the
    top."""


@dataclass(frozen=True, slots=True)
class Body:
    """Solids that move together or by a common rule, under one name and identity."""

    name: str
    solids: tuple[Solid, ...]
    poses: Pose | Motion
    casts: bool = True
    """True to cast shadows; unnecessary for bodies with nothing behind them (ground, walls of a room)."""


@dataclass
class Bodies:
    """Bodies of a shot, in order of addition."""

    bodies: list[Body] = field(default_factory=list)

    def add(self, name: str, solids: Solid | Sequence[Solid], poses: Pose | Motion, *, casts: bool = True) -> None:
        """Add a body. Bodies of the same name share one identity."""
        solids = (solids,) if isinstance(solids, Solid) else tuple(solids)
        if not callable(poses):
            poses = poses.reshape(-1, 3, 4)
        self.bodies.append(Body(name, solids, poses, casts))

    def __len__(self) -> int:
        return sum(len(body.solids) for body in self.bodies)


def box(x: float, y: float, z: float, material: Material) -> Solid:
    """Return a box of these half extents, m."""
    return Solid(Kind.BOX, (x, y, z), material)


def ball(material: Material, x: float, y: float | None = None, z: float | None = None) -> Solid:
    """Return an ellipsoid; a sphere if only one radius is given."""
    return Solid(Kind.ELLIPSOID, (x, x if y is None else y, x if z is None else z), material)


def tube(radius: float, half: float, material: Material, *, taper: float = 0.0, depth: float | None = None) -> Solid:
    """Return an upright cylinder or cone of a mean radius (along z: `depth`) and half height, m."""
    return Solid(Kind.TAPER, (radius, half, radius if depth is None else depth), material, taper)


def pill(radius: float, half: float, material: Material) -> Solid:
    """Return an upright capsule: radius and half height of its straight part, m."""
    return Solid(Kind.CAPSULE, (radius, half, radius), material)


def at(x: float, y: float, z: float, *, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Pose:
    """Return a pose, angles in radians: rolled about z, then pitched about x, then turned about y."""
    cy, sy, cp, sp, cr, sr = (
        math.cos(yaw), math.sin(yaw), math.cos(pitch), math.sin(pitch), math.cos(roll), math.sin(roll)
    )  # fmt: skip
    return np.array(
        [
            [cy * cr + sy * sp * sr, -cy * sr + sy * sp * cr, sy * cp, x],
            [cp * sr, cp * cr, -sp, y],
            [-sy * cr + cy * sp * sr, sy * sr + cy * sp * cr, cy * cp, z],
        ]
    )


def stack(*poses: Pose) -> Pose:
    """Return several poses as one array `[n 3 4]`."""
    return np.stack(poses)


Prop = tuple[tuple[Solid, ...], Pose]
"""Solids and their poses `[n 3 4]`, relative to the prop's foot."""


def built(*parts: tuple[Solid, Pose]) -> Prop:
    """Return solids with their poses as one prop."""
    return tuple(solid for solid, _ in parts), np.stack([pose for _, pose in parts])


def scaled(prop: Prop, factor: float) -> Prop:
    """Return a prop scaled, with its textures."""
    solids, poses = prop
    larger = []
    for solid in solids:
        x, y, z = solid.size
        material = solid.material
        if solid.kind == Kind.BOX:
            material = replace(material, scale=material.scale * factor)
        larger.append(replace(solid, size=(x * factor, y * factor, z * factor), material=material))
    moved = poses.copy()
    moved[..., 3] *= factor
    return tuple(larger), moved


def carried(carrier: Pose, poses: Pose) -> Pose:
    """Return poses relative to a carrier in the carrier's world: `[3 4]` and `[n 3 4]` give `[n 3 4]`."""
    moved = np.empty_like(poses)
    turn = carrier[:, :3]
    moved[..., :3] = turn @ poses[..., :3]
    moved[..., 3] = poses[..., 3] @ turn.T + carrier[:, 3]
    return moved


def moving(carrier: Motion, poses: Pose) -> Motion:
    """Return the motion of solids fixed to a moving carrier; `carrier(time_s)` is one pose."""
    fixed = poses.reshape(-1, 3, 4)
    return lambda time_s: carried(carrier(time_s), fixed)
