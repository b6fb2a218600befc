"""Objects on a wooden table, circled slowly: texture, highlights, fine shadows."""

from __future__ import annotations

import math

import numpy as np

from vivace.worlds.raycast.lens import Camera
from vivace.worlds.raycast.light import Lamp, Light, Reach
from vivace.worlds.raycast.props import put
from vivace.worlds.raycast.shot import Edit, Shot
from vivace.worlds.raycast.solids import Bodies, Material, Pose, at, ball, box, moving, pill, stack, tube
from vivace.worlds.raycast.world import RaycastWorld

VASE = (0.22, 0.46, 0.78)
_TOP = 0.76


def build(rng: np.random.Generator) -> list[Shot]:
    """Return the room with the table."""
    bodies = Bodies()
    spin = float(rng.uniform(0, 6.28))
    room(bodies, rng)
    wood = Material("wood", (1.0, 0.92, 0.84), 0.9, gloss=0.25)
    bodies.add(
        "table",
        (box(0.95, 0.03, 0.62, wood), *(tube(0.045, 0.36, wood, taper=0.2) for _ in range(4))),
        stack(at(0, _TOP - 0.03, 0), *(at(x, 0.36, z) for x in (-0.82, 0.82) for z in (-0.5, 0.5))),
    )

    glaze = Material("clay", VASE, 2, gloss=0.8)
    flowers = [
        ((0.96, 0.78, 0.22), 0.34),
        ((0.94, 0.42, 0.44), 0.40),
        ((0.98, 0.94, 0.9), 0.31),
        ((0.85, 0.5, 0.8), 0.36),
    ]
    stems, heads = [], []
    for index, (tint, reach) in enumerate(flowers):
        angle = spin + 1.6 * index
        dx, dz = 0.13 * math.cos(angle), 0.13 * math.sin(angle)
        stems.append(
            (
                pill(0.007, reach / 2, Material("foliage", (0.8, 0.9, 0.7), 1)),
                at(dx / 2, 0.26 + reach / 2, dz / 2, yaw=math.atan2(dx, dz), pitch=0.36),
            )
        )
        heads.append(
            (ball(Material("clay", tint, 4), 0.055, 0.03), at(dx, 0.27 + reach, dz, yaw=math.atan2(dx, dz), pitch=0.5))
        )
        heads.append((ball(Material("clay", (0.5, 0.3, 0.14), 1), 0.022), at(dx * 1.08, 0.29 + reach, dz * 1.08)))
    bodies.add(
        "vase",
        (
            tube(0.075, 0.09, glaze, taper=0.35),
            ball(glaze, 0.105, 0.07),
            tube(0.062, 0.06, glaze, taper=-0.3),
            tube(0.058, 0.012, glaze, taper=0.2),
        ),
        stack(at(0, _TOP + 0.09, 0.1), at(0, _TOP + 0.165, 0.1), at(0, _TOP + 0.235, 0.1), at(0, _TOP + 0.30, 0.1)),
    )
    parts = [*stems, *heads]
    bodies.add(
        "flowers",
        [solid for solid, _ in parts],
        moving(lambda t: at(0, _TOP, 0.1, roll=0.02 * math.sin(1.1 * t)), stack(*(pose for _, pose in parts))),
    )

    tints = [(0.86, 0.20, 0.16), (0.96, 0.62, 0.14), (0.62, 0.76, 0.20)]
    order = rng.permutation(3)
    for index, (x, z, radius) in enumerate(((-0.34, -0.22, 0.075), (-0.20, -0.32, 0.07), (-0.43, -0.08, 0.068))):
        fruit = Material("clay", tints[order[index]], 2, gloss=0.55)
        bodies.add(
            "fruit",
            (ball(fruit, radius, 0.92 * radius), pill(0.005, 0.015, Material("bark", (0.7, 0.6, 0.5)))),
            stack(at(x, _TOP + 0.9 * radius, z, roll=0.3), at(x, _TOP + 1.85 * radius, z, roll=0.3)),
        )
    mug = Material("dots", (0.95, 0.45, 0.35), 2, gloss=0.5)
    bodies.add(
        "mug",
        (
            tube(0.062, 0.07, mug, taper=0.05),
            tube(0.05, 0.004, Material("earth", (0.42, 0.28, 0.2))),
            *(ball(mug, 0.02, 0.018) for _ in range(4)),
        ),
        stack(
            at(0.30, _TOP + 0.07, -0.26),
            at(0.30, _TOP + 0.141, -0.26),
            *(at(0.36 + 0.035 * math.sin(a), _TOP + 0.07 + 0.042 * math.cos(a), -0.26) for a in (0.2, 1.1, 2.0, 2.9)),
        ),
    )
    for index, (tint, turn) in enumerate(
        (((0.70, 0.22, 0.20), 0.2), ((0.2, 0.4, 0.36), -0.1), ((0.86, 0.70, 0.34), 0.35))
    ):
        cover = Material("cloth", tint, 0.4)
        bodies.add(
            "books",
            (box(0.17, 0.022, 0.12, cover), box(0.165, 0.017, 0.123, Material("stripes", (1, 0.98, 0.9), 0.03))),
            stack(
                at(0.55, _TOP + 0.024 + 0.048 * index, 0.12, yaw=turn),
                at(0.555, _TOP + 0.024 + 0.048 * index, 0.12, yaw=turn),
            ),
        )
    bodies.add(
        "globe",
        ball(Material("water", (1, 1.0, 0.9), 2, gloss=0.6), 0.085),
        lambda t: at(0.55, _TOP + 0.24, 0.12, roll=0.35, yaw=0.9 * t)[None],
    )
    clock = Material("clay", (0.92, 0.80, 0.35), 2, gloss=0.7)
    bodies.add(
        "clock",
        (
            ball(clock, 0.10, 0.10, 0.05),
            tube(0.083, 0.012, Material("plain", (1, 1, 0.95), 1)),
            ball(clock, 0.03),
            ball(clock, 0.03),
        ),
        stack(
            at(-0.60, _TOP + 0.105, 0.18, yaw=0.3),
            at(-0.614, _TOP + 0.105, 0.135, yaw=0.3, pitch=1.5708),
            at(-0.66, _TOP + 0.21, 0.2),
            at(-0.54, _TOP + 0.21, 0.16),
        ),
    )
    bodies.add("clock", box(0.006, 0.033, 0.004, IRON_DARK), lambda t: _hand(t, 0.35))
    bodies.add("clock", box(0.004, 0.036, 0.004, IRON_DARK), lambda t: _hand(t, 1.8))
    return [Shot(bodies, _camera, _light, "day", reach=Reach((0, 0.7, 0.8), 3.3, 576))]


IRON_DARK = Material("plain", (0.1, 0.1, 0.12), 1)


def _hand(time_s: float, rate: float) -> Pose:
    face = at(-0.619, _TOP + 0.105, 0.120, yaw=0.3)
    angle = rate * time_s
    local = at(0.033 * math.sin(angle), 0.033 * math.cos(angle), 0, roll=-angle)
    pose = np.empty((1, 3, 4))
    pose[0, :, :3] = face[:, :3] @ local[:, :3]
    pose[0, :, 3] = face[:, :3] @ local[:, 3] + face[:, 3]
    return pose


def room(bodies: Bodies, rng: np.random.Generator) -> None:
    """Build a room around the table: floor, two walls, window, shelf, painting."""
    walls = ((0.80, 0.86, 0.80), (0.90, 0.82, 0.72), (0.76, 0.82, 0.90))
    paper = Material("plaster", walls[int(rng.integers(3))], 2.5)
    bodies.add(
        "floor", box(4, 0.1, 4, Material("tiles", (1, 0.96, 0.90), 2.0, gloss=0.2)), at(0, -0.1, 0.4), casts=False
    )
    bodies.add(
        "wall",
        (box(4, 1.6, 0.1, paper), box(0.1, 1.6, 4, paper), box(0.1, 1.6, 4, paper)),
        stack(at(0, 1.6, 3.0), at(-3.2, 1.6, 0), at(3.2, 1.6, 0)),
        casts=False,
    )
    skirting = Material("grain", (0.9, 0.85, 0.8), 1.2)
    bodies.add(
        "wall",
        (box(4, 0.07, 0.03, skirting), box(0.03, 0.07, 4, skirting), box(0.03, 0.07, 4, skirting)),
        stack(at(0, 0.07, 2.88), at(-3.08, 0.07, 0), at(3.08, 0.07, 0)),
    )
    bodies.add("painting", box(0.62, 0.45, 0.04, Material("painting", (1, 1, 1), 1.24)), at(0.35, 1.72, 2.87))
    wood = Material("grain", (0.75, 0.65, 0.6), 1.0)
    put(
        bodies,
        "shelf",
        (
            (
                box(0.75, 0.03, 0.16, wood),
                box(0.68, 0.16, 0.11, Material("books", (1, 1, 1), 0.33)),
                box(0.75, 0.03, 0.16, wood),
                box(0.55, 0.15, 0.11, Material("books", (0.95, 1, 1), 0.3)),
            ),
            stack(at(0, 0, 0), at(-0.03, 0.19, 0), at(0, 0.52, 0), at(-0.15, 0.70, 0)),
        ),
        at(-1.45, 1.15, 2.74),
    )
    put(
        bodies,
        "plant",
        (
            (
                tube(0.2, 0.2, Material("clay", (0.85, 0.5, 0.35), 2), taper=0.2),
                *(ball(Material("foliage", (0.9, 1, 0.9), 2), r, 1.2 * r) for r in (0.34, 0.28, 0.25)),
            ),
            stack(at(0, 0.2, 0), at(0, 0.75, 0), at(0.2, 1.05, 0.05), at(-0.16, 1.15, -0.05)),
        ),
        at(2.2, 0, 2.2),
    )


def _camera(time_s: float) -> Camera:
    angle = 0.55 * math.sin(0.36 * time_s) + 0.08 * math.sin(0.5 * time_s)
    distance = 1.66 + 0.12 * math.sin(0.3 * time_s)
    return Camera(
        (distance * math.sin(angle), 1.42 + 0.10 * math.sin(0.26 * time_s), -distance * math.cos(angle)),
        (0.0, 0.90, 0.1),
        1.25,
    )


def _light(_: float) -> Light:
    return Light(
        sun=(2.3, 1.9, 1.35),
        towards=(-0.75, 0.95, -0.55),
        sky=(0.50, 0.52, 0.58),
        ground=(0.36, 0.27, 0.20),
        lamps=(Lamp((1.6, 2.4, 0.2), (0.5, 0.40, 0.26), 1.6),),
        haze=(0.5, 0.45, 0.4),
        haze_m=90.0,
        shine=1.0,
        exposure=0.82,
    )


WORLD = RaycastWorld(
    summary="flowers, fruit and books on a table, circled slowly",
    challenge="fine texture and highlights under a slow orbit",
    subject="vase",
    edits=(
        Edit("recolour", "make the blue vase red", "vase", tints=((VASE, (0.84, 0.16, 0.14)),)),
        Edit("remove", "remove the dotted mug", "mug"),
        Edit("night", "make it night, lit by one warm lamp"),
    ),
    build=build,
)
