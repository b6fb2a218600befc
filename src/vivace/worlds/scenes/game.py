"""A third-person adventure game: a hero runs around an island, with health, map and purse drawn over the picture."""

from __future__ import annotations

import math

import numpy as np

from vivace.worlds.raycast.figures import HAIRS, SKINS, Outfit, figure, walker
from vivace.worlds.raycast.hud import GameInterface
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
    tube,
)
from vivace.worlds.raycast.world import RaycastWorld

CAPE: Rgb01 = (0.80, 0.16, 0.20)
_RADIUS = 14.0
_HALF = 1.7
_LAP_S = 28.0


def _around(angle: float, radius: float = _RADIUS) -> tuple[float, float]:
    return radius * math.sin(angle), radius * math.cos(angle)


def _mushroom(tint: Rgb01) -> Prop:
    spots = Material("dots", tint, 3, gloss=0.2)
    return built(
        (tube(0.14, 0.28, Material("plaster", (0.98, 0.93, 0.82), 1), taper=-0.2), at(0, 0.28, 0)),
        (ball(spots, 0.48, 0.26), at(0, 0.58, 0)),
    )


def _ruin(rng: np.random.Generator) -> Prop:
    stone = Material("stone", (1, 0.98, 0.92), 1.4)
    high = float(rng.uniform(1.2, 2.4))
    return built(
        (tube(0.42, high, stone, taper=-0.08), at(0, high, 0)),
        (box(0.55, 0.14, 0.55, stone), at(0, 0.14, 0)),
        (box(0.55, 0.13, 0.55, stone), at(0, 2 * high + 0.1, 0, roll=0.12)),
        (ball(Material("foliage", (1, 1, 1), 2), 0.4, 0.3), at(0.25, 0.5, -0.3)),
    )


def build(rng: np.random.Generator) -> list[Shot]:
    """Return the island, with the path around its centre."""
    bodies = Bodies()
    ground(bodies, Material("water", (0.9, 1.05, 1.1), 8, gloss=0.7), half=150, name="sea", level=-0.8)
    for name, radius, level, material in (
        ("beach", _RADIUS + 9.5, -0.15, Material("sand", (1, 1, 1), 60)),
        ("grass", _RADIUS + 8.0, 0.0, Material("grass", (0.95, 1.1, 0.85), 55)),
        ("path", _RADIUS + _HALF, 0.012, Material("paving", (1.0, 0.95, 0.85), 48)),
        ("grass", _RADIUS - _HALF, 0.024, Material("grass", (0.95, 1.1, 0.85), 30)),
    ):
        bodies.add(name, tube(radius, 0.5, material), at(0, level - 0.5, 0), casts=False)
    put(
        bodies,
        "castle",
        built(
            *(
                (tube(1.6, 3.2, Material("stone", (0.95, 0.92, 0.98), 6), taper=-0.05), at(x, 3.2, z))
                for x, z in ((-3, -3), (3, -3), (3, 3), (-3, 3))
            ),
            *(
                (tube(1.1, 1.3, Material("roof", (0.5, 0.6, 1.1), 6), taper=-0.97), at(x, 7.6, z))
                for x, z in ((-3, -3), (3, -3), (3, 3), (-3, 3))
            ),
            (box(3.0, 2.3, 3.0, Material("stone", (0.9, 0.88, 0.94), 2.0)), at(0, 2.3, 0)),
            (tube(1.7, 2.4, Material("stone", (1, 0.97, 1.0), 6), taper=-0.05), at(0, 6.6, 0)),
            (tube(1.3, 1.7, Material("roof", (0.5, 0.6, 1.1), 7), taper=-0.97), at(0, 10.6, 0)),
        ),
        at(0, 0, 0),
    )
    for index in range(30):
        angle = 2 * math.pi * (index + float(rng.uniform(-0.3, 0.3))) / 30
        outside = index % 3 > 0
        x, z = _around(
            angle, _RADIUS + float(rng.uniform(3.2, 6.8)) if outside else _RADIUS - float(rng.uniform(3.0, 4.5))
        )
        choice = int(rng.integers(5))
        if choice < 2:
            put(
                bodies,
                "trees",
                tree(rng, height=float(rng.uniform(3.0, 4.6)), tint=((1, 1, 1), (1.5, 0.8, 0.9))[choice]),
                at(x, 0, z),
            )
        elif choice == 2:
            put(bodies, "firs", fir(height=float(rng.uniform(3.5, 5.5))), at(x, 0, z))
        elif choice == 3:
            put(bodies, "ruins", _ruin(rng), at(x, 0, z, yaw=angle))
        else:
            tint: Rgb01 = ((0.95, 0.30, 0.26), (0.55, 0.45, 0.95))[index % 2]
            put(bodies, "mushrooms", _mushroom(tint), at(x, 0, z))
            put(bodies, "mushrooms", _mushroom(tint), at(x + 0.5, -0.15, z + 0.35))
    gold = Material("clay", (1.0, 0.80, 0.22), 1, gloss=0.9, glow=0.15)
    for index in range(28):
        angle = 2 * math.pi * index / 28
        x, z = _around(angle, _RADIUS + 0.9 * math.sin(2.1 * index))

        def spin(time_s: float, x: float = x, z: float = z, index: int = index) -> Pose:
            hub = at(x, 0.75 + 0.08 * math.sin(2.4 * time_s + index), z, yaw=2.2 * time_s + 0.4 * index)
            return carried(hub, at(0, 0, 0, pitch=math.pi / 2)[None])

        bodies.add("coins", tube(0.2, 0.035, gold), spin)
    jewel = ((0.30, 0.90, 0.95), (0.95, 0.40, 0.85), (0.55, 0.95, 0.45))
    for index in range(7):
        x, z = _around(0.9 * index + 0.2, _RADIUS - 2.3)
        gem = Material("marble", jewel[index % 3], 2, gloss=1.0, glow=0.35)

        def hover(time_s: float, x: float = x, z: float = z, index: int = index) -> Pose:
            hub = at(x, 1.05 + 0.12 * math.sin(1.7 * time_s + index), z, yaw=1.3 * time_s)
            return carried(hub, np.stack([at(0, 0.2, 0), at(0, -0.2, 0, pitch=math.pi)]))

        bodies.add("gems", (tube(0.14, 0.2, gem, taper=-0.97), tube(0.14, 0.2, gem, taper=-0.97)), hover)
    for index in range(6):
        tint = ((0.35, 0.80, 0.45), (0.40, 0.60, 0.95), (0.95, 0.55, 0.75))[index % 3]
        slime, eye = Material("clay", tint, 2, gloss=0.9), Material("plain", (0.08, 0.08, 0.1), 1, gloss=0.9)
        angle = 2 * math.pi * (index + 0.5) / 6

        def bounce(time_s: float, angle: float = angle, index: int = index) -> Pose:
            hop = abs(math.sin(2.2 * time_s + index))
            x, z = _around(angle + 0.05 * math.sin(0.9 * time_s), _RADIUS + 1.2 * math.sin(0.7 * time_s + index))
            hub = at(x, 0.30 * (0.8 + 0.3 * hop) + 0.45 * hop, z, yaw=angle - math.pi / 2)
            hub[:, 1] *= 0.8 + 0.35 * hop
            hub[:, 0] *= 1.1 - 0.15 * hop
            hub[:, 2] *= 1.1 - 0.15 * hop
            return carried(hub, np.stack([at(0, 0, 0), at(-0.13, 0.1, 0.28), at(0.13, 0.1, 0.28)]))

        bodies.add(
            "slimes", (ball(slime, 0.38, 0.32), ball(eye, 0.05, 0.08, 0.05), ball(eye, 0.05, 0.08, 0.05)), bounce
        )

    start = float(rng.uniform(0, 6.28))

    def path(time_s: float) -> tuple[float, float, float, float]:
        angle = 2 * math.pi * time_s / _LAP_S + start
        x, z = _around(angle, _RADIUS + 0.8 * math.sin(0.9 * time_s))
        return x, z, angle + math.pi / 2 - 0.22 * math.cos(0.9 * time_s), 2 * math.pi / _LAP_S * _RADIUS * time_s

    hero = Outfit(
        (0.24, 0.42, 0.72), (0.86, 0.80, 0.66), shoes=(0.45, 0.28, 0.16), hair=HAIRS[1], skin=SKINS[0], height_m=1.6
    )
    bodies.add("hero", figure(hero), walker(hero, path, gait=1.5))
    cloth = Material("cloth", CAPE, 2)
    steel = Material("plain", (0.85, 0.88, 0.95), 1, gloss=1.0)

    def cape(time_s: float) -> Pose:
        x, z, heading, way = path(time_s)
        wave = 0.10 * math.sin(8 * time_s)
        swing = 0.05 * math.cos(4 * math.pi * way / 1.5)
        return carried(
            at(x, swing * 0.4, z, yaw=heading),
            np.stack(
                [
                    at(0, 0.98, -0.30, pitch=0.46 + wave),
                    at(0, 1.22, -0.11, pitch=0.25),
                    at(0.1, 1.0, -0.24, roll=0.7, pitch=0.2),
                ]
            ),
        )

    bodies.add(
        "cape",
        (
            tube(0.24, 0.36, cloth, taper=-0.32, depth=0.045),
            ball(cloth, 0.20, 0.08, 0.10),
            box(0.025, 0.48, 0.012, steel),
        ),
        cape,
    )

    def camera(time_s: float) -> Camera:
        angle = 2 * math.pi * time_s / _LAP_S + start
        x, z = _around(angle - 0.235, _RADIUS + 0.5 * math.sin(0.9 * time_s - 0.4))
        hx, hz = _around(angle + 0.12, _RADIUS + 0.6 * math.sin(0.9 * time_s - 0.2))
        return Camera((x, 2.15, z), (hx, 1.22, hz), 1.02)

    shot = Shot(
        bodies,
        camera,
        _light,
        "sea",
        turn=float(rng.uniform(-3, 3)),
        reach=Reach((0, 0, 0), _RADIUS + 9, 768),
        interface=GameInterface(_LAP_S),
    )
    return [shot]


def _light(_: float) -> Light:
    return Light(
        sun=(2.7, 2.35, 1.7),
        towards=(-0.55, 0.75, -0.5),
        sky=(0.48, 0.60, 0.84),
        ground=(0.30, 0.32, 0.22),
        haze=(0.62, 0.78, 0.90),
        haze_m=75,
    )


WORLD = RaycastWorld(
    summary="a third-person adventure game with health, map and text drawn over it",
    challenge="text and user interface that must stay readable and still",
    subject="cape",
    edits=(
        Edit("recolour", "make the hero's red cape yellow", "cape", tints=((CAPE, (0.96, 0.78, 0.14)),)),
        Edit("background", "set the game before snowy mountains", backdrop="summit"),
        Edit("night", "make it night in the game"),
    ),
    build=build,
)
