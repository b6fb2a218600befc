"""A lighthouse on a rock at dusk; the camera stands and zooms in and out."""

from __future__ import annotations

import math

import numpy as np

from vivace.worlds.raycast.figures import HAIRS, Outfit, figure, stander
from vivace.worlds.raycast.lens import Camera
from vivace.worlds.raycast.light import Lamp, Light, Reach
from vivace.worlds.raycast.props import ground, house, put
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

STRIPE: Rgb01 = (0.86, 0.22, 0.18)


def _tower() -> Prop:
    white, red = Material("plaster", (0.98, 0.95, 0.90), 5), Material("plaster", STRIPE, 5)
    iron = Material("clay", (0.16, 0.17, 0.2), 2, gloss=0.3)
    parts = []
    for index in range(5):
        radius = 0.86 - 0.075 * index
        parts.append((tube(radius, 0.55, white if index % 2 else red, taper=-0.045), at(0, 0.55 + 1.1 * index, 0)))
    parts += [
        (tube(0.78, 0.06, iron), at(0, 5.56, 0)),
        (tube(0.74, 0.02, iron), at(0, 5.95, 0)),
        *((pill(0.018, 0.17, iron), at(0.72 * math.cos(a), 5.78, 0.72 * math.sin(a))) for a in np.arange(10) * 0.628),
        (tube(0.36, 0.36, Material("lamp", (1.0, 0.92, 0.66), 2, glow=0.9)), at(0, 5.98, 0)),
        *((pill(0.022, 0.36, iron), at(0.37 * math.cos(a), 5.98, 0.37 * math.sin(a))) for a in np.arange(6) * 1.047),
        (tube(0.26, 0.24, red, taper=-0.92), at(0, 6.58, 0)),
        (ball(iron, 0.07), at(0, 6.86, 0)),
        (box(0.24, 0.42, 0.06, Material("grain", (0.5, 0.36, 0.28), 1)), at(0, 0.42, -0.86)),
        *(
            (box(0.10, 0.16, 0.05, Material("facade", (1, 1, 1), 0.5)), at(0, 1.9 + 1.1 * k, -0.76 + 0.08 * k))
            for k in range(3)
        ),
    ]
    return built(*parts)


def _boat() -> Prop:
    hull, cloth = Material("wood", (0.55, 0.75, 0.9), 1.2), Material("cloth", (0.98, 0.94, 0.86), 2)
    return built(
        (ball(hull, 0.42, 0.34, 1.25), at(0, 0.12, 0)),
        (box(0.25, 0.16, 0.34, Material("plain", (0.98, 0.95, 0.9), 1)), at(0, 0.5, -0.35)),
        (pill(0.03, 1.3, Material("grain", (0.7, 0.55, 0.4), 1)), at(0, 1.6, 0.15)),
        (tube(0.36, 1.0, cloth, taper=-0.97, depth=0.03), at(0.38, 1.7, 0.15)),
        (tube(0.24, 0.85, cloth, taper=-0.97, depth=0.03), at(-0.28, 1.5, 0.15)),
    )


def build(rng: np.random.Generator) -> list[Shot]:
    """Return the coast."""
    bodies = Bodies()
    ground(bodies, Material("water", (0.9, 0.95, 1.0), 7, gloss=0.9), half=160, name="sea")
    stone = Material("rock", (1.0, 0.95, 0.9), 3)
    for index in range(17):
        angle = index * 2.4 + float(rng.uniform(-0.3, 0.3))
        out = 0.75 * math.sqrt(index) * 1.15
        size = 1.5 - 0.055 * index + float(rng.uniform(-0.2, 0.2))
        x, z = 0.6 + 1.3 * out * math.cos(angle), 9.5 + out * math.sin(angle)
        bodies.add("rocks", ball(stone, size, 0.62 * size, size), at(x, -0.1, z, yaw=angle, roll=0.2))
    bodies.add("rocks", tube(3.0, 0.5, Material("grass", (0.95, 0.9, 0.75), 8), taper=-0.1), at(0.8, 0.42, 9.7))
    put(bodies, "lighthouse", _tower(), at(-0.35, 0.9, 9.8))
    put(bodies, "cottage", house(2.6, 1.6, 2.0, (0.98, 0.92, 0.82), storey=1.45), at(2.05, 0.9, 9.5, yaw=-0.25))
    keeper = Outfit((0.95, 0.75, 0.2), (0.25, 0.3, 0.4), hair=HAIRS[3], hat=(0.2, 0.24, 0.35), height_m=1.25)
    bodies.add("keeper", figure(keeper), stander(keeper, at(0.75, 0.92, 7.9, yaw=math.pi), wave_hz=0.8))
    beam = at(-0.35, 6.88, 9.8)
    ray = Material("lamp", (1.0, 0.9, 0.6), 1, glow=1.2)
    bodies.add(
        "lighthouse",
        ball(ray, 0.12, 0.2, 0.3),
        lambda t: carried(beam, at(0.3 * math.sin(1.4 * t), 0, 0.3 * math.cos(1.4 * t), yaw=1.4 * t)[None]),
        casts=False,
    )
    solids, poses = _boat()
    for index, (lane, rate, start) in enumerate(((18.0, 0.10, 1.2), (27.0, -0.07, 4.0), (4.4, 0.16, 2.6))):
        start += float(rng.uniform(-0.5, 0.5))

        def sail(time_s: float, lane: float = lane, rate: float = rate, start: float = start) -> Pose:
            phase = rate * time_s + start
            x = 0.62 * lane * math.sin(phase)
            turned = math.atan2(math.cos(phase) * rate, 0.25 * rate)
            return at(
                x,
                0.05 * math.sin(1.7 * time_s + start),
                lane,
                yaw=turned,
                roll=0.07 * math.sin(1.2 * time_s + start),
                pitch=0.04 * math.sin(1.5 * time_s),
            )

        bodies.add("boats" if index < 2 else "near boat", solids, moving(sail, poses))
    white = Material("plain", (0.98, 0.97, 0.95), 1)
    for index in range(5):
        turn, high = float(rng.uniform(0, 6.28)), 4.5 + 0.8 * index

        def body(time_s: float, turn: float = turn, high: float = high) -> Pose:
            angle = 0.45 * time_s + turn
            return at(
                3.4 * math.sin(angle),
                high + 0.3 * math.sin(time_s + turn),
                8.4 + 2.4 * math.cos(angle),
                yaw=angle + math.pi / 2,
                roll=-0.3,
            )

        def gull(time_s: float, turn: float = turn, body: object = body) -> Pose:
            flap = 0.5 * math.sin(7 * time_s + turn)
            wings = [at(s * 0.24 * math.cos(flap), 0.24 * math.sin(flap), 0, roll=s * flap) for s in (-1, 1)]
            assert callable(body)
            return carried(body(time_s), np.stack([at(0, 0, 0), *wings]))

        bodies.add(
            "gulls",
            (ball(white, 0.07, 0.065, 0.2), ball(white, 0.26, 0.015, 0.08), ball(white, 0.26, 0.015, 0.08)),
            gull,
        )
    return [
        Shot(
            bodies, _camera, _light, "dusk", turn=float(rng.uniform(-0.6, 0.2)), reach=Reach((0.6, 0.5, 9.5), 6.5, 448)
        )
    ]


def _camera(time_s: float) -> Camera:
    near = 0.5 - 0.5 * math.cos(0.8 * time_s + 0.7)
    return Camera((-2.2, 2.6, -1.5), (0.25, 2.9 + 1.1 * near, 9.6), 0.95 * 2.9**near)


def _light(_: float) -> Light:
    return Light(
        sun=(2.6, 1.45, 0.75),
        towards=(-0.95, 0.42, -0.45),
        sky=(0.38, 0.36, 0.58),
        ground=(0.20, 0.16, 0.20),
        lamps=(Lamp((2.0, 1.9, 7.9), (0.9, 0.55, 0.2), 0.9),),
        haze=(0.66, 0.34, 0.27),
        haze_m=110,
        shine=0.8,
        exposure=0.85,
    )


WORLD = RaycastWorld(
    summary="a lighthouse at dusk, seen by a camera that zooms in and out",
    challenge="zoom: the picture grows and shrinks about its middle",
    subject="lighthouse",
    edits=(
        Edit(
            "recolour",
            "make the red stripes of the lighthouse blue",
            "lighthouse",
            tints=((STRIPE, (0.16, 0.32, 0.74)),),
        ),
        Edit("background", "put snowy mountains behind the lighthouse", backdrop="summit"),
        Edit("night", "make it night"),
    ),
    build=build,
)
