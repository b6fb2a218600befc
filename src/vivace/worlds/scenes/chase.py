"""A car chase around a wooded hill: the camera races behind a red car."""

from __future__ import annotations

import math

import numpy as np

from vivace.worlds.raycast.lens import Camera
from vivace.worlds.raycast.light import Light, Reach
from vivace.worlds.raycast.props import fir, ground, house, put, toy_car, tree
from vivace.worlds.raycast.shot import Edit, Shot
from vivace.worlds.raycast.solids import (
    Bodies,
    Material,
    Pose,
    Rgb01,
    Solid,
    at,
    ball,
    box,
    built,
    moving,
    scaled,
    tube,
)
from vivace.worlds.raycast.world import RaycastWorld

RED: Rgb01 = (0.88, 0.14, 0.12)
_RADIUS = 32.0
"""Radius of the road's centre line, m."""
_HALF = 3.6
_SPEED = 0.36
"""Speed of the camera, radians per second: 11.5 m/s, a lap in 17.5 s."""


def _around(angle: float, radius: float = _RADIUS) -> tuple[float, float]:
    return radius * math.sin(angle), radius * math.cos(angle)


def _ring(radius: float, level: float, material: Material) -> Solid:
    return tube(radius, 0.5 * level, material)


def build(rng: np.random.Generator) -> list[Shot]:
    """Return the track, centred on the origin."""
    bodies = Bodies()
    ground(bodies, Material("grass", (0.95, 1.0, 0.85), 3.0), half=160)
    # Stacked discs: verge, road, verge, the hill's foot.
    for name, radius, level, material in (
        ("verge", _RADIUS + _HALF + 0.7, 0.010, Material("earth", (1, 0.98, 0.95), 90)),
        ("road", _RADIUS + _HALF, 0.020, Material("asphalt", (0.95, 0.95, 1.0), 70, gloss=0.1)),
        ("verge", _RADIUS - _HALF, 0.030, Material("earth", (1, 0.98, 0.95), 80)),
        ("grass", _RADIUS - _HALF - 0.7, 0.040, Material("grass", (0.95, 1.0, 0.85), 60)),
    ):
        bodies.add(name, _ring(radius, level, material), at(0, level / 2, 0), casts=False)
    bodies.add("hill", ball(Material("grass", (0.85, 0.95, 0.75), 40), 19, 5, 19), at(0, -0.6, 0), casts=False)
    white = Material("plain", (0.95, 0.94, 0.9), 1)
    dashes = []
    for index in range(56):
        angle = 2 * math.pi * index / 56
        x, z = _around(angle)
        dashes.append((box(0.9, 0.004, 0.09, white), at(x, 0.024, z, yaw=angle)))
    put(bodies, "road", built(*dashes), at(0, 0, 0))
    stripe = Material("stripes", (0.95, 0.4, 0.36), 1)
    for index in range(40):
        angle = 2 * math.pi * (index + 0.5) / 40
        x, z = _around(angle, _RADIUS + _HALF + 1.0)
        put(bodies, "posts", built((tube(0.09, 0.45, stripe), at(0, 0.45, 0))), at(x, 0, z, yaw=angle))
    for index in range(72):
        angle = 2 * math.pi * (index + float(rng.uniform(-0.35, 0.35))) / 72
        outside = index % 2 == 0
        away = _RADIUS + (_HALF + float(rng.uniform(3.0, 9.0))) * (1 if outside else -1)
        x, z = _around(angle, away)
        kind = int(rng.integers(4))
        if kind == 0:
            autumn = ((1.35, 0.85, 0.5), (1.3, 1.05, 0.55), (1, 1, 1))[int(rng.integers(3))]
            put(bodies, "trees", tree(rng, height=float(rng.uniform(4, 6)), tint=autumn), at(x, 0, z))
        else:
            put(bodies, "firs", fir(height=float(rng.uniform(5, 8.5))), at(x, 0, z))
    for index in range(5):
        angle = 2 * math.pi * (index + float(rng.uniform(0.2, 0.6))) / 5
        x, z = _around(angle, _RADIUS + 13)
        walls: tuple[Rgb01, ...] = ((0.98, 0.90, 0.74), (0.92, 0.70, 0.58), (0.86, 0.90, 0.92))
        put(bodies, "houses", house(5, 3.4, 4.4, walls[index % 3], storey=2.6), at(x, 0, z, yaw=angle))
    start = float(rng.uniform(0, 6.28))
    solids, poses = scaled(toy_car(RED), 8.4)

    def flee(time_s: float) -> Pose:
        angle = _ahead(time_s) + start
        side = 0.8 * math.sin(1.1 * time_s) + 0.3 * math.sin(2.3 * time_s) - 1.0
        x, z = _around(angle, _RADIUS + side)
        drift = 0.10 * math.cos(1.1 * time_s)
        return at(
            x,
            0.02 + 0.03 * abs(math.sin(9 * time_s)),
            z,
            yaw=angle + math.pi / 2 - drift,
            roll=0.03 * math.sin(1.1 * time_s),
        )

    bodies.add("red car", solids, moving(flee, poses))
    for index, (tint, gap) in enumerate(
        (((0.24, 0.44, 0.74), 1.6), ((0.94, 0.92, 0.86), 3.4), ((0.93, 0.74, 0.2), 5.1))
    ):
        solids, poses = scaled(toy_car(tint), 8.0)

        def meet(time_s: float, gap: float = gap) -> Pose:
            angle = start + gap - 0.30 * time_s
            x, z = _around(angle, _RADIUS + 2.2)
            return at(x, 0.02, z, yaw=angle - math.pi / 2)

        bodies.add(f"oncoming car {index + 1}", solids, moving(meet, poses))

    def camera(time_s: float) -> Camera:
        angle = _SPEED * time_s + start
        x, z = _around(angle, _RADIUS - 1.0 + 0.5 * math.sin(1.1 * time_s - 0.5))
        tx, tz = _around(angle + 0.26, _RADIUS - 0.7 + 0.7 * math.sin(1.1 * time_s - 0.2))
        shake = 0.02 * math.sin(13 * time_s)
        return Camera((x, 2.15 + shake, z), (tx, 0.95, tz), 0.95, roll=0.03 * math.cos(1.1 * time_s))

    reach = Reach((0, 0, 0), _RADIUS + 12, 1024)
    return [Shot(bodies, camera, _light, "summit", turn=float(rng.uniform(-3, 3)), reach=reach)]


def _ahead(time_s: float) -> float:
    """Return the angle of the red car, 6 to 9 m in front of the camera."""
    return _SPEED * time_s + 0.235 + 0.04 * math.sin(0.7 * time_s)


def _light(_: float) -> Light:
    return Light(
        sun=(2.7, 2.2, 1.6),
        towards=(-0.6, 0.62, -0.5),
        sky=(0.46, 0.56, 0.78),
        ground=(0.28, 0.28, 0.20),
        haze=(0.60, 0.68, 0.78),
        haze_m=70,
    )


WORLD = RaycastWorld(
    summary="a car chase around a wooded hill, the camera racing behind",
    challenge="fast motion: tens of pixels a frame near the camera",
    subject="red car",
    edits=(
        Edit("recolour", "make the red car green", "red car", tints=((RED, (0.12, 0.56, 0.22)),)),
        Edit("remove", "remove the red car", "red car"),
        Edit("snow", "make it winter, with snow beside and on the road"),
    ),
    build=build,
)
