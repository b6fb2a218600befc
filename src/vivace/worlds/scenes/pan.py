"""Alpine meadow: a panning camera over a farm, a mill, firs and mountains."""

from __future__ import annotations

import math

import numpy as np

from vivace.worlds.raycast.figures import HAIRS, SKINS, Outfit, figure, oval, walker
from vivace.worlds.raycast.lens import Camera
from vivace.worlds.raycast.light import Light, Reach
from vivace.worlds.raycast.props import fir, ground, put, tree
from vivace.worlds.raycast.shot import Edit, Shot
from vivace.worlds.raycast.solids import (
    Bodies,
    Material,
    Pose,
    Prop,
    Rgb01,
    at,
    ball,
    box,
    built,
    carried,
    moving,
    pill,
    tube,
)
from vivace.worlds.raycast.world import RaycastWorld

BARN: Rgb01 = (0.86, 0.40, 0.34)
_SAILS: tuple[Rgb01, ...] = ((0.90, 0.26, 0.20), (0.95, 0.90, 0.80), (0.30, 0.46, 0.72))
_COATS: tuple[Rgb01, ...] = ((0.92, 0.90, 0.86), (0.62, 0.40, 0.26), (0.30, 0.26, 0.25))


def _mill() -> Prop:
    wall = Material("plaster", (0.96, 0.92, 0.84), 4)
    return built(
        (tube(1.25, 2.3, wall, taper=-0.22), at(0, 2.3, 0)),
        (tube(0.72, 0.62, Material("roof", (0.72, 0.6, 0.6), 6), taper=-0.97), at(0, 5.2, 0)),
        (box(0.32, 0.62, 0.1, Material("grain", (0.55, 0.4, 0.3), 1)), at(0, 0.62, -1.46, pitch=-0.11)),
        (box(0.22, 0.3, 0.1, Material("facade", (1, 1, 1), 0.9)), at(0, 2.6, -1.22, pitch=-0.11)),
        (pill(0.09, 0.5, Material("grain", (0.5, 0.4, 0.32), 2)), at(0, 4.55, -1.1, pitch=1.5708)),
    )


def _sails(tint: Rgb01) -> Prop:
    wood = Material("grain", (0.72, 0.6, 0.5), 0.8)
    cloth = Material("cloth", tint, 1.2)
    parts = []
    for index in range(4):
        angle = index * math.pi / 2
        sin, cos = math.sin(angle), math.cos(angle)
        parts.append((box(0.05, 1.2, 0.04, wood), at(-1.2 * sin, 1.2 * cos, 0, roll=angle)))
        parts.append(
            (box(0.24, 0.86, 0.02, cloth), at(-1.42 * sin + 0.26 * cos, 1.42 * cos + 0.26 * sin, 0, roll=angle))
        )
    return built(*parts)


def _cow(coat: Rgb01) -> Prop:
    hide, pink = Material("clay", coat, 2), Material("clay", (0.92, 0.72, 0.66), 2)
    legs = [(pill(0.07, 0.28, hide), at(x, 0.34, z)) for x in (-0.2, 0.2) for z in (-0.48, 0.48)]
    return built(
        (ball(hide, 0.36, 0.36, 0.78), at(0, 0.92, 0)),
        (ball(hide, 0.19, 0.2, 0.3), at(0, 1.16, 0.92, pitch=0.5)),
        (ball(pink, 0.13, 0.11, 0.13), at(0, 1.04, 1.16)),
        (pill(0.03, 0.07, Material("clay", (0.95, 0.92, 0.82), 1)), at(0.14, 1.38, 0.84, roll=-0.7)),
        (pill(0.03, 0.07, Material("clay", (0.95, 0.92, 0.82), 1)), at(-0.14, 1.38, 0.84, roll=0.7)),
        (pill(0.025, 0.3, hide), at(0, 0.82, -0.8, pitch=-0.2)),
        *legs,
    )


def _barn() -> Prop:
    planks = Material("wood", BARN, 1.8)
    roof = Material("roof", (0.78, 0.72, 0.72), 1.6)
    return built(
        (box(2.6, 1.5, 2.0, planks), at(0, 1.5, 0)),
        (box(2.72, 0.25, 2.1, Material("stone", (1, 1, 1), 1.4)), at(0, 0.25, 0)),
        (box(2.9, 0.09, 1.55, roof), at(0, 3.75, -1.12, pitch=-0.62)),
        (box(2.9, 0.09, 1.55, roof), at(0, 3.75, 1.12, pitch=0.62)),
        (tube(1.2, 0.75, planks, taper=-0.99, depth=1.5), at(0, 3.6, 0)),
        (box(0.75, 1.05, 0.06, Material("crate", (1, 0.95, 0.9), 1.5)), at(-0.6, 1.05, -2.02)),
        (box(0.42, 0.4, 0.05, Material("facade", (1, 1, 1), 1.2)), at(1.5, 1.7, -2.0)),
    )


def build(rng: np.random.Generator) -> list[Shot]:
    """Return the meadow."""
    bodies = Bodies()
    ground(bodies, Material("grass", (1.0, 1.0, 0.9), 2.6), half=90)
    bodies.add("path", tube(14.2, 0.01, Material("earth", (1, 1, 1), 40)), at(0, 0.005, 18.5), casts=False)
    bodies.add("path", tube(12.6, 0.012, Material("grass", (1.0, 1.0, 0.9), 30)), at(0, 0.008, 18.5), casts=False)
    put(bodies, "mill", _mill(), at(-1.2, 0, 11.5, yaw=0.15))
    solids, poses = _sails(_SAILS[int(rng.integers(3))])
    hub = at(-1.03, 4.55, 9.75, yaw=0.15)
    bodies.add("mill sails", solids, moving(lambda t: carried(hub, at(0, 0, 0, roll=0.75 * t)[None])[0], poses))
    put(bodies, "barn", _barn(), at(8.5, 0, 10.5, yaw=-0.5))
    for index in range(26):
        angle = -1.9 + 3.8 * (index + float(rng.uniform(-0.4, 0.4))) / 26
        away = float(rng.uniform(15, 30))
        height = float(rng.uniform(3.5, 6.0))
        put(bodies, "firs", fir(height=height), at(away * math.sin(angle), 0, away * math.cos(angle)))
    put(bodies, "trees", tree(rng, height=4.6), at(-7.8, 0, 9.0))
    put(bodies, "trees", tree(rng, height=3.8, tint=(1.2, 0.95, 0.6)), at(4.1, 0, 13.0))
    wood = Material("grain", (0.8, 0.74, 0.68), 0.9)
    for index in range(22):
        angle = -1.5 + 3.0 * index / 21
        x, z = 5.6 * math.sin(angle), 5.6 * math.cos(angle)
        fence = [(pill(0.055, 0.45, wood), at(0, 0.45, 0))]
        if index < 21:
            fence += [(box(0.42, 0.045, 0.025, wood), at(0.40, height, -0.05)) for height in (0.42, 0.78)]
        put(bodies, "fence", built(*fence), at(x, 0, z, yaw=angle + 0.07))
    for index, (x, z) in enumerate(((-5.0, 8.6), (3.2, 7.6), (6.2, 7.2))):
        solids, poses = _cow(_COATS[(index + int(rng.integers(3))) % 3])
        turn = float(rng.uniform(0, 6.28))

        def graze(time_s: float, x: float = x, z: float = z, turn: float = turn) -> Pose:
            step = math.sin(0.23 * time_s + turn)
            return at(x + 0.4 * step, 0, z, yaw=turn + 0.3 * step, pitch=0.03 + 0.03 * math.sin(1.1 * time_s + turn))

        bodies.add("cows", solids, moving(graze, poses))
    hiker = Outfit(
        (0.22, 0.40, 0.70), (0.45, 0.38, 0.28), hair=HAIRS[1], skin=SKINS[0], hat=(0.5, 0.34, 0.2), bag=(0.8, 0.3, 0.2)
    )
    start = float(rng.uniform(0, 1))
    bodies.add("hiker", figure(hiker), walker(hiker, oval((0.5, 7.2), (4.6, 0.8), 31, start=3.4 + start)))
    return [Shot(bodies, _camera, _light, "summit", turn=float(rng.uniform(-3, 3)), reach=Reach((0, 0, 8), 11, 512))]


def _camera(time_s: float) -> Camera:
    angle = 0.85 * math.sin(0.52 * time_s)
    up = 0.06 + 0.05 * math.sin(0.37 * time_s)
    return Camera((0, 1.9, 0), (10 * math.sin(angle), 1.9 + 10 * up, 10 * math.cos(angle)), 1.15)


def _light(_: float) -> Light:
    return Light(
        sun=(2.6, 2.3, 1.8),
        towards=(-0.7, 0.75, -0.45),
        sky=(0.46, 0.58, 0.80),
        ground=(0.26, 0.30, 0.18),
        haze=(0.60, 0.70, 0.82),
        haze_m=75,
    )


WORLD = RaycastWorld(
    summary="an alpine meadow with a windmill, seen by a camera that turns on the spot",
    challenge="camera pan: everything moves, nothing comes nearer",
    subject="barn",
    edits=(
        Edit("recolour", "make the red barn blue", "barn", tints=((BARN, (0.26, 0.44, 0.86)),)),
        Edit("background", "put the meadow in a desert with dunes", backdrop="desert"),
        Edit("snow", "make it winter, with snow on the meadow"),
    ),
    build=build,
)
