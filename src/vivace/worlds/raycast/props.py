"""Props: trees, houses, lamps, benches, pots."""

from __future__ import annotations

import math

import numpy as np

from vivace.worlds.raycast.solids import (
    Bodies,
    Material,
    Pose,
    Prop,
    Rgb01,
    Solid,
    at,
    ball,
    box,
    carried,
    stack,
    tube,
)

IRON = Material("clay", (0.20, 0.22, 0.24), 2, gloss=0.3)


def ground(bodies: Bodies, material: Material, *, half: float = 60.0, name: str = "ground", level: float = 0.0) -> None:
    """Add a large flat ground with its top at `level`, m."""
    bodies.add(name, box(half, 0.5, half, material), at(0, level - 0.5, 0), casts=False)


def tree(rng: np.random.Generator, *, height: float = 3.6, tint: Rgb01 = (1, 1, 1)) -> Prop:
    """Return a leafy tree at the origin: solids and poses."""
    leaves = Material("foliage", tint, 3)
    crown = 0.34 * height
    solids: list[Solid] = [tube(0.035 * height, 0.28 * height, Material("bark", (1, 1, 1), 2), taper=-0.35)]
    poses = [at(0, 0.27 * height, 0)]
    turn = rng.uniform(0, 6.28)
    for index in range(5):
        angle = turn + index * 2 * math.pi / 4
        out = 0.0 if index == 4 else 0.42 * crown
        radius = crown * (0.72 if index == 4 else rng.uniform(0.52, 0.66))
        lift = 0.82 * height if index == 4 else height * rng.uniform(0.58, 0.70)
        solids.append(ball(leaves, radius, 0.86 * radius, radius))
        poses.append(at(out * math.cos(angle), lift, out * math.sin(angle), yaw=angle))
    return tuple(solids), stack(*poses)


def fir(*, height: float = 4.0, tint: Rgb01 = (0.62, 0.78, 0.74)) -> Prop:
    """Return a fir at the origin."""
    needles = Material("foliage", tint, 4)
    solids: list[Solid] = [tube(0.035 * height, 0.14 * height, Material("bark", (0.9, 0.8, 0.75), 2))]
    poses = [at(0, 0.12 * height, 0)]
    for index in range(3):
        radius, half = height * (0.135 - 0.03 * index), height * (0.20 - 0.022 * index)
        solids.append(tube(radius, half, needles, taper=-0.96))
        poses.append(at(0, height * (0.38 + 0.22 * index), 0, yaw=1.1 * index))
    return tuple(solids), stack(*poses)


def house_width(width: float, storey: float = 3.2) -> float:
    """Return the actual width of a house of about that width, m: a whole number of windows."""
    return max(storey / 2, round(2 * width / storey) * storey / 2)


def house(
    width: float, height: float, depth: float, wall: Rgb01, roof: Rgb01 = (1, 1, 1), *, storey: float = 3.2
) -> Prop:
    """Return a house with windows on all sides and a hipped roof, its foot at the origin."""
    # Whole windows: the wall's size is a multiple of a tile of two by two.
    wide, high, deep = (house_width(size, storey) for size in (width, height, depth))
    solids = (
        box(wide / 2, high / 2, deep / 2, Material("facade", wall, storey)),
        box(wide / 2 + 0.12, 0.16, deep / 2 + 0.12, Material("plaster", (0.93, 0.90, 0.84), 2)),
        box(wide / 2 + 0.25, 0.10, deep / 2 + 0.25, Material("plaster", (0.86, 0.82, 0.76), 2)),
        tube(0.36 * wide, 0.16 * wide, Material("roof", roof, 5), taper=-0.97, depth=0.36 * deep),
        box(0.03 * wide + 0.1, 0.5, 0.03 * wide + 0.1, Material("brick", (1, 1, 1), 1.2)),
    )
    return solids, stack(
        at(0, high / 2, 0),
        at(0, 0.10, 0),
        at(0, high + 0.08, 0),
        at(0, high + 0.16 + 0.16 * wide, 0),
        at(0.2 * wide, high + 0.2 * wide, 0.05 * deep),
    )


def street_lamp(height: float = 3.0) -> Prop:
    """Return a street lamp whose light belongs at `height`."""
    return (
        tube(0.05, height / 2, IRON, taper=-0.25),
        tube(0.11, 0.12, IRON, taper=-0.3),
        tube(0.12, 0.17, Material("lamp", (1, 0.95, 0.82), 1, glow=0.25), taper=0.25),
        tube(0.13, 0.06, IRON, taper=-0.9),
    ), stack(at(0, height / 2, 0), at(0, 0.12, 0), at(0, height + 0.16, 0), at(0, height + 0.38, 0))


def bench() -> Prop:
    """Return a wooden bench at the origin, whose sitters look along -z."""
    wood = Material("grain", (0.95, 0.85, 0.75), 0.8)
    return (
        box(0.8, 0.03, 0.2, wood),
        box(0.8, 0.14, 0.025, wood),
        box(0.04, 0.22, 0.18, IRON),
        box(0.04, 0.22, 0.18, IRON),
    ), stack(at(0, 0.45, 0), at(0, 0.72, 0.22, pitch=0.2), at(-0.62, 0.22, 0), at(0.62, 0.22, 0))


def planter(tint: Rgb01, bloom: Rgb01) -> Prop:
    """Return a pot with a round bush and blossoms."""
    solids: list[Solid] = [
        tube(0.26, 0.22, Material("clay", tint, 2), taper=0.2),
        ball(Material("foliage", (1, 1, 1), 3), 0.34, 0.28),
    ]
    poses = [at(0, 0.22, 0), at(0, 0.58, 0)]
    for index in range(5):
        angle = 1.3 * index
        solids.append(ball(Material("clay", bloom, 2), 0.06))
        poses.append(at(0.26 * math.cos(angle), 0.68 + 0.05 * math.sin(3 * angle), 0.26 * math.sin(angle)))
    return tuple(solids), stack(*poses)


def column(height: float = 3.4, radius: float = 0.3) -> Prop:
    """Return a marble column with base and capital."""
    stone = Material("marble", (1.0, 0.96, 0.90), 2, gloss=0.15)
    return (
        tube(radius, height / 2 - 0.2, stone, taper=-0.08),
        box(radius * 1.5, 0.09, radius * 1.5, stone),
        tube(radius * 1.25, 0.08, stone, taper=-0.12),
        tube(radius * 1.2, 0.12, stone, taper=0.22),
        box(radius * 1.55, 0.08, radius * 1.55, stone),
    ), stack(at(0, height / 2, 0), at(0, 0.09, 0), at(0, 0.24, 0), at(0, height - 0.27, 0), at(0, height - 0.08, 0))


def put(bodies: Bodies, name: str, prop: Prop, place: Pose) -> None:
    """Add a static prop."""
    solids, poses = prop
    bodies.add(name, solids, carried(place, poses))


def toy_car(tint: Rgb01) -> Prop:
    """Return a toy car at the origin, driving along z."""
    paint, tyre = Material("clay", tint, 0.5, gloss=0.6), Material("clay", (0.16, 0.16, 0.18), 2)
    round_paint = Material("clay", tint, 2, gloss=0.6)
    glass = Material("plain", (0.42, 0.60, 0.72), 0.5, gloss=0.9)
    chrome = Material("plain", (0.80, 0.82, 0.86), 1, gloss=0.9)
    wheels = [(x, z) for x in (-0.125, 0.125) for z in (-0.15, 0.15)]
    return (
        box(0.125, 0.05, 0.25, paint),
        ball(round_paint, 0.12, 0.06, 0.10),
        box(0.105, 0.055, 0.12, glass),
        box(0.112, 0.018, 0.125, paint),
        *(tube(0.065, 0.028, tyre) for _ in wheels),
        *(tube(0.032, 0.031, Material("plain", (0.9, 0.9, 0.86), 1)) for _ in wheels),
        *(ball(Material("lamp", (1, 0.95, 0.7), 1, glow=0.4), 0.028) for _ in range(2)),
        *(box(0.022, 0.014, 0.006, Material("lamp", (0.95, 0.16, 0.10), 1, glow=0.3)) for _ in range(2)),
        box(0.115, 0.013, 0.012, chrome),
        box(0.115, 0.013, 0.012, chrome),
        box(0.036, 0.013, 0.004, Material("plain", (0.95, 0.93, 0.75), 1)),
    ), stack(
        at(0, 0.115, 0),
        at(0, 0.15, 0.20),
        at(0, 0.205, -0.03),
        at(0, 0.27, -0.03),
        *(at(x, 0.065, z, roll=1.5708) for x, z in wheels),
        *(at(x, 0.065, z, roll=1.5708) for x, z in wheels),
        at(-0.08, 0.13, 0.25),
        at(0.08, 0.13, 0.25),
        at(-0.095, 0.14, -0.25),
        at(0.095, 0.14, -0.25),
        at(0, 0.08, 0.255),
        at(0, 0.08, -0.255),
        at(0, 0.115, -0.252),
    )
