"""Fixed camera in a child's room: a toy car drives laps, and nothing else changes."""

from __future__ import annotations

import math

import numpy as np

from vivace.worlds.raycast.lens import Camera
from vivace.worlds.raycast.light import Light, Reach
from vivace.worlds.raycast.props import put, toy_car
from vivace.worlds.raycast.shot import Edit, Shot
from vivace.worlds.raycast.solids import (
    Bodies,
    Material,
    Pose,
    Rgb01,
    at,
    ball,
    box,
    moving,
    stack,
    tube,
)
from vivace.worlds.raycast.world import RaycastWorld

CAR: Rgb01 = (0.95, 0.66, 0.10)
_BRICKS: tuple[Rgb01, ...] = (
    (0.86, 0.24, 0.20),
    (0.20, 0.46, 0.76),
    (0.30, 0.62, 0.36),
    (0.96, 0.80, 0.26),
    (0.62, 0.36, 0.66),
)


def build(rng: np.random.Generator) -> list[Shot]:
    """Return the room."""
    bodies = Bodies()
    paper = Material("plaster", ((0.66, 0.80, 0.88), (0.95, 0.84, 0.66), (0.78, 0.86, 0.72))[int(rng.integers(3))], 2.2)
    bodies.add(
        "floor", box(4, 0.1, 4, Material("wood", (0.95, 0.9, 0.85), 1.3, gloss=0.12)), at(0, -0.1, 0), casts=False
    )
    bodies.add(
        "wall", (box(4, 1.5, 0.1, paper), box(0.1, 1.5, 4, paper)), stack(at(0, 1.5, 2.1), at(2.6, 1.5, 0)), casts=False
    )
    rail = Material("plain", (0.98, 0.96, 0.92), 1)
    bodies.add(
        "wall",
        (box(4, 0.08, 0.03, rail), box(0.03, 0.08, 4, rail)),
        stack(at(0, 0.08, 1.98), at(2.48, 0.08, 0)),
        casts=False,
    )
    bodies.add("carpet", box(1.05, 0.008, 0.8, Material("carpet", (1, 1, 1), 2.1)), at(0.0, 0.008, 0.25), casts=False)
    bodies.add("painting", box(0.42, 0.32, 0.03, Material("painting", (1, 1, 1), 0.84)), at(-0.75, 1.35, 1.98))

    order = rng.permutation(len(_BRICKS))
    for index, (x, y, z, turn) in enumerate(
        (
            (-1.15, 0, 1.05, 0.2),
            (-0.87, 0, 1.12, -0.3),
            (-1.0, 0.26, 1.08, 0.5),
            (-1.35, 0, 0.72, 0.9),
            (-1.02, 0.52, 1.07, 0.1),
        )
    ):
        size = 0.13 - 0.012 * (index == 4)
        bodies.add(
            "blocks",
            box(size, size, size, Material("crate", _lighter(_BRICKS[order[index]]), 2 * size)),
            at(x, y + size, z, yaw=turn),
        )
    fur = Material("clay", (0.80, 0.56, 0.34), 3)
    pale = Material("clay", (0.96, 0.84, 0.66), 2)
    dark = Material("plain", (0.10, 0.08, 0.08), 1, gloss=0.6)
    bear = (
        (
            ball(fur, 0.20, 0.23, 0.18),
            ball(pale, 0.13, 0.15, 0.06),
            ball(fur, 0.16, 0.145, 0.145),
            ball(pale, 0.07, 0.055, 0.05),
            ball(dark, 0.024),
            ball(dark, 0.02),
            ball(dark, 0.02),
            ball(fur, 0.06, 0.06, 0.035),
            ball(fur, 0.06, 0.06, 0.035),
            ball(fur, 0.075, 0.15, 0.075),
            ball(fur, 0.075, 0.15, 0.075),
            ball(fur, 0.085, 0.085, 0.16),
            ball(fur, 0.085, 0.085, 0.16),
        ),
        stack(
            at(0, 0.24, 0),
            at(0, 0.22, 0.14),
            at(0, 0.56, 0.02),
            at(0, 0.52, 0.15),
            at(0, 0.55, 0.2),
            at(-0.06, 0.6, 0.15),
            at(0.06, 0.6, 0.15),
            at(-0.12, 0.69, 0),
            at(0.12, 0.69, 0),
            at(-0.21, 0.30, 0.06, roll=-0.5),
            at(0.21, 0.30, 0.06, roll=0.5),
            at(-0.13, 0.085, 0.19, yaw=-0.3),
            at(0.13, 0.085, 0.19, yaw=0.3),
        ),
    )
    put(bodies, "bear", bear, at(0.95, 0, 1.25, yaw=3.5))
    put(
        bodies,
        "ball",
        ((ball(Material("stripes", (0.95, 0.5, 0.42), 1, gloss=0.4), 0.19),), at(0, 0.19, 0, roll=0.6)[None]),
        at(1.55, 0, 0.55),
    )
    wood = Material("grain", (0.9, 0.82, 0.74), 0.9)
    put(
        bodies,
        "shelf",
        (
            (
                box(0.55, 0.03, 0.17, wood),
                box(0.55, 0.03, 0.17, wood),
                box(0.03, 0.45, 0.17, wood),
                box(0.03, 0.45, 0.17, wood),
                box(0.55, 0.03, 0.17, wood),
                box(0.40, 0.15, 0.12, Material("books", (1, 1, 1), 0.3)),
                ball(Material("water", (1, 1, 0.9), 2, gloss=0.5), 0.14),
            ),
            stack(
                at(0, 0.9, 0),
                at(0, 0.47, 0),
                at(-0.52, 0.45, 0),
                at(0.52, 0.45, 0),
                at(0, 0.05, 0),
                at(-0.08, 0.65, 0),
                at(0.2, 0.22, 0),
            ),
        ),
        at(0.35, 0, 1.78),
    )
    put(
        bodies,
        "plant",
        (
            (
                tube(0.10, 0.1, Material("clay", (0.85, 0.5, 0.35), 2), taper=0.2),
                ball(Material("foliage", (1, 1, 1), 2), 0.2, 0.19),
            ),
            stack(at(0, 0.1, 0), at(0, 0.34, 0)),
        ),
        at(0.62, 0.93, 1.78),
    )

    solids, poses = toy_car(CAR)
    start = float(rng.uniform(0, 6.28))

    def drive(time_s: float) -> Pose:
        angle = 0.8 * time_s + start
        # A squarish loop around the carpet.
        x, z = 1.12 * math.cos(angle), 0.2 + 0.72 * math.sin(angle)
        return at(x, 0.016, z, yaw=math.atan2(-1.12 * math.sin(angle), 0.72 * math.cos(angle)))

    bodies.add("toy car", solids, moving(drive, poses))
    return [Shot(bodies, _camera, _light, "day", reach=Reach((0.1, 0.5, 0.7), 3.0, 544))]


def _lighter(tint: Rgb01) -> Rgb01:
    r, g, b = tint
    return 0.35 + 0.85 * r, 0.35 + 0.85 * g, 0.35 + 0.85 * b


def _camera(_: float) -> Camera:
    return Camera((-0.55, 1.35, -2.35), (0.05, 0.36, 0.55), 1.25)


def _light(_: float) -> Light:
    return Light(
        sun=(2.3, 1.95, 1.45),
        towards=(-0.70, 0.80, -0.45),
        sky=(0.52, 0.55, 0.62),
        ground=(0.36, 0.28, 0.20),
        haze=(0.5, 0.5, 0.5),
        haze_m=200,
        exposure=0.8,
    )


WORLD = RaycastWorld(
    summary="a toy car drives around a carpet; the camera and all else stand perfectly still",
    challenge="static camera, one mover: everything else must stay untouched",
    subject="toy car",
    edits=(
        Edit("recolour", "make the yellow toy car purple", "toy car", tints=((CAR, (0.52, 0.22, 0.72)),)),
        Edit("remove", "remove the toy car", "toy car"),
        Edit("night", "make it night, with moonlight from the window"),
    ),
    build=build,
)
