"""A street market filmed with a hand-held camera."""

from __future__ import annotations

import math

import numpy as np

from vivace.worlds.raycast.figures import HAIRS, SKINS, Outfit, figure, oval, stander, walker
from vivace.worlds.raycast.lens import Camera
from vivace.worlds.raycast.light import Light, Reach
from vivace.worlds.raycast.props import ground, house, planter, put
from vivace.worlds.raycast.shot import Edit, Shot
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
    built,
    pill,
    tube,
)
from vivace.worlds.raycast.world import RaycastWorld

AWNING: Rgb01 = (0.98, 0.80, 0.36)
"""Colour of the middle stall's awning."""
_JACKET: Rgb01 = (0.24, 0.52, 0.36)
_AWNINGS: tuple[Rgb01, ...] = ((0.95, 0.42, 0.36), (0.42, 0.66, 0.90), (0.55, 0.78, 0.52))
_FRUITS: tuple[Rgb01, ...] = (
    (0.88, 0.20, 0.15),
    (0.97, 0.60, 0.12),
    (0.60, 0.75, 0.22),
    (0.95, 0.85, 0.25),
    (0.50, 0.20, 0.42),
)


def _stall(rng: np.random.Generator, awning: Rgb01) -> Prop:
    """Return a stall 2.4 m wide at the origin, its customers at -z."""
    wood = Material("grain", (0.9, 0.82, 0.74), 0.9)
    parts: list[tuple[Solid, Pose]] = [
        (box(1.2, 0.04, 0.42, wood), at(0, 0.82, 0, pitch=-0.16)),
        (box(1.18, 0.36, 0.36, Material("wood", (0.8, 0.78, 0.74), 0.9)), at(0, 0.38, 0.04)),
        *((pill(0.035, 1.12, wood), at(x, 1.15, z)) for x in (-1.15, 1.15) for z in (-0.45, 0.5)),
        (box(1.32, 0.02, 0.68, Material("stripes", awning, 1.6)), at(0, 2.32, -0.02, pitch=-0.30)),
        (box(1.32, 0.11, 0.015, Material("stripes", awning, 0.6)), at(0, 2.02, -0.68)),
    ]
    for crate in range(3):
        x = -0.78 + 0.78 * crate
        parts.append((box(0.34, 0.06, 0.30, Material("crate", (0.95, 0.9, 0.8), 0.6)), at(x, 0.90, -0.04, pitch=-0.16)))
        tint = _FRUITS[int(rng.integers(len(_FRUITS)))]
        fruit = Material("clay", tint, 2, gloss=0.5)
        for row in range(3):
            for column in range(4):
                dx, dz = -0.22 + 0.147 * column + 0.03 * (row % 2), -0.17 + 0.17 * row
                radius = 0.078 + float(rng.uniform(-0.006, 0.006))
                parts.append((ball(fruit, radius, 0.93 * radius), at(x + dx, 0.985 + 0.16 * dz, -0.04 + dz)))
    return built(*parts)


def build(rng: np.random.Generator) -> list[Shot]:
    """Return the market."""
    bodies = Bodies()
    ground(bodies, Material("stone", (0.86, 0.82, 0.78), 1.5), half=40)
    walls: tuple[Rgb01, ...] = ((0.96, 0.80, 0.58), (0.86, 0.88, 0.90), (0.90, 0.62, 0.52), (0.98, 0.92, 0.80))
    order = rng.permutation(4)
    x = -11.6
    for index in range(4):
        put(
            bodies,
            "houses",
            house(4.6, 5.2 + 1.3 * (index % 2), 4, walls[order[index]], storey=2.6),
            at(x + 2.6, 0, 9.5),
        )
        x += 5.8
    hues = rng.permutation(3)
    for index, x in enumerate((-2.75, 0.15, 3.05)):
        put(
            bodies,
            ("left stall", "middle stall", "right stall")[index],
            _stall(rng, AWNING if index == 1 else _AWNINGS[hues[index]]),
            at(x, 0, 3.9 + 0.25 * (index % 2), yaw=0.08 * (1 - index)),
        )
    for index, (x, z) in enumerate(((-1.4, 2.8), (4.6, 2.6))):
        put(bodies, "flowers", planter((0.5, 0.62, 0.72), ((0.95, 0.4, 0.5), (0.98, 0.85, 0.4))[index]), at(x, 0, z))
    barrel = Material("wood", (0.85, 0.75, 0.65), 2)
    put(
        bodies,
        "barrels",
        built(
            (tube(0.27, 0.36, barrel), at(0, 0.36, 0)),
            (tube(0.285, 0.03, Material("clay", (0.3, 0.3, 0.32))), at(0, 0.2, 0)),
            (tube(0.285, 0.03, Material("clay", (0.3, 0.3, 0.32))), at(0, 0.54, 0)),
        ),
        at(1.75, 0, 3.2),
    )
    bunting = []
    for index in range(21):
        share = index / 20
        x, sag = -4.2 + 8.4 * share, 0.55 * 4 * share * (1 - share)
        tint = (*_FRUITS, *_AWNINGS)[index % 8]
        bunting.append((tube(0.085, 0.12, Material("cloth", tint, 2), taper=0.96, depth=0.012), at(x, 3.35 - sag, 2.9)))
    solids, hung = built(*bunting)

    def flutter(time_s: float) -> Pose:
        return np.stack(
            [
                at(
                    *hung[k, :, 3],
                    pitch=0.35 * math.sin(2.2 * time_s + 0.9 * k),
                    roll=0.12 * math.sin(1.7 * time_s + k),
                )
                for k in range(21)
            ]
        )

    bodies.add("bunting", solids, flutter)
    seller = Outfit(_JACKET, (0.35, 0.33, 0.32), hair=HAIRS[1], skin=SKINS[0], hat=(0.90, 0.80, 0.60), height_m=1.78)
    bodies.add("seller", figure(seller), stander(seller, at(0.5, 0, 4.75, yaw=math.pi), wave_hz=0.7))
    other = Outfit((0.92, 0.88, 0.82), (0.3, 0.3, 0.4), hair=HAIRS[3], skin=SKINS[2], height_m=1.7)
    bodies.add("second seller", figure(other), stander(other, at(-2.5, 0, 4.65, yaw=2.9), phase=1.0))
    start = float(rng.uniform(-0.4, 0.4))
    lady = Outfit(
        (0.62, 0.30, 0.55),
        (0.9, 0.85, 0.8),
        hair=HAIRS[2],
        skin=SKINS[3],
        skirt=True,
        cloth="dots",
        bag=(0.86, 0.72, 0.5),
    )
    bodies.add("shopper", figure(lady), walker(lady, oval((0.0, 2.3), (2.4, 0.4), 21, start=3.6 + start), gait=0.9))
    boy = Outfit((0.95, 0.80, 0.28), (0.24, 0.36, 0.55), hair=HAIRS[0], skin=SKINS[1], cloth="stripes", height_m=1.3)
    bodies.add("boy", figure(boy), walker(boy, oval((0.2, 1.5), (1.9, 0.45), -11, start=1.0 - start), gait=1.2))
    return [Shot(bodies, camera, _light, "day", turn=float(rng.uniform(-2, 2)), reach=Reach((0.2, 0, 3.4), 5.6, 448))]


def camera(time_s: float) -> Camera:
    """Return the hand-held camera: steps, breath and tremor, each a sum of waves."""
    x = 0.35 * math.sin(0.31 * time_s) + 0.05 * math.sin(5.1 * time_s) + 0.02 * math.sin(11.3 * time_s + 1)
    y = 1.62 + 0.035 * math.sin(9.7 * time_s) + 0.02 * math.sin(6.1 * time_s + 2)
    aim = (
        0.32 * math.sin(0.42 * time_s)
        + 0.11 * math.sin(3.9 * time_s + 0.5)
        + 0.05 * math.sin(8.3 * time_s)
        + 0.02 * math.sin(17.0 * time_s)
    )
    tilt = 0.09 * math.sin(4.7 * time_s + 1.2) + 0.045 * math.sin(10.1 * time_s) + 0.02 * math.sin(19.0 * time_s)
    roll = 0.018 * math.sin(2.9 * time_s) + 0.010 * math.sin(7.7 * time_s + 0.7)
    return Camera((x, y, -1.6), (0.4 * x + aim, 1.38 + tilt, 3.6), 1.12, roll=roll)


def _light(_: float) -> Light:
    return Light(
        sun=(2.6, 2.2, 1.65),
        towards=(0.55, 0.85, -0.6),
        sky=(0.48, 0.56, 0.72),
        ground=(0.36, 0.31, 0.25),
        haze=(0.66, 0.70, 0.76),
        haze_m=90,
    )


WORLD = RaycastWorld(
    summary="a street market filmed with a hand-held camera",
    challenge="camera shake: small fast motion of the whole picture",
    subject="middle stall",
    edits=(
        Edit(
            "recolour",
            "make the yellow awning of the middle stall violet",
            "middle stall",
            tints=((AWNING, (0.58, 0.30, 0.78)),),
        ),
        Edit("remove", "remove the middle stall", "middle stall"),
        Edit("night", "make it night"),
    ),
    build=build,
)
