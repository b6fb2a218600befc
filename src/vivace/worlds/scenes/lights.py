"""A living room where the sun wanders, sets and rises, and a lamp is switched on and off."""

from __future__ import annotations

import math

import numpy as np

from vivace.worlds.raycast.lens import Camera
from vivace.worlds.raycast.light import Lamp, Light, Reach
from vivace.worlds.raycast.props import put
from vivace.worlds.raycast.shot import Edit, Shot
from vivace.worlds.raycast.solids import (
    Bodies,
    Material,
    Prop,
    Rgb01,
    at,
    ball,
    box,
    built,
    moving,
    pill,
    tube,
)
from vivace.worlds.raycast.world import RaycastWorld

SOFA: Rgb01 = (0.24, 0.50, 0.54)
_CYCLE_S = 16.0
"""Period of the sun, from noon to noon, s."""
_SWITCH_S = 0.12
"""Time that a lamp takes to light up, s."""


def _sofa() -> Prop:
    cloth, legs = Material("cloth", SOFA, 0.8), Material("grain", (0.5, 0.4, 0.34), 1)
    cushion = Material("checks", (0.98, 0.78, 0.42), 0.5)
    return built(
        (box(0.95, 0.16, 0.42, cloth), at(0, 0.30, 0)),
        (box(0.95, 0.34, 0.11, cloth), at(0, 0.62, 0.40, pitch=0.14)),
        *((box(0.12, 0.28, 0.44, cloth), at(x, 0.36, 0.02)) for x in (-0.98, 0.98)),
        *((ball(cloth, 0.125, 0.12, 0.45), at(x, 0.64, 0.02)) for x in (-0.98, 0.98)),
        *((box(0.44, 0.07, 0.36, cloth), at(x, 0.50, -0.05)) for x in (-0.455, 0.455)),
        (ball(cushion, 0.24, 0.20, 0.09), at(-0.6, 0.72, 0.16, pitch=0.35, roll=0.15)),
        (ball(Material("stripes", (0.9, 0.5, 0.42), 2), 0.21, 0.18, 0.09), at(0.55, 0.70, 0.17, pitch=0.4, roll=-0.2)),
        *((pill(0.03, 0.05, legs), at(x, 0.08, z)) for x in (-0.85, 0.85) for z in (-0.32, 0.35)),
    )


def build(rng: np.random.Generator) -> list[Shot]:
    """Return the living room."""
    bodies = Bodies()
    papers: tuple[Rgb01, ...] = ((0.93, 0.86, 0.74), (0.76, 0.84, 0.80), (0.88, 0.78, 0.74))
    paper = Material("plaster", papers[int(rng.integers(3))], 2.5)
    bodies.add(
        "floor", box(4, 0.1, 4, Material("wood", (0.82, 0.74, 0.68), 1.2, gloss=0.2)), at(0, -0.1, 0), casts=False
    )
    bodies.add(
        "wall",
        (box(4, 1.6, 0.1, paper), box(0.1, 1.6, 4, paper)),
        np.stack([at(0, 1.6, 2.4), at(2.7, 1.6, 0)]),
        casts=False,
    )
    rail = Material("plain", (0.97, 0.95, 0.9), 1)
    bodies.add(
        "wall",
        (box(4, 0.09, 0.03, rail), box(0.03, 0.09, 4, rail)),
        np.stack([at(0, 0.09, 2.28), at(2.58, 0.09, 0)]),
        casts=False,
    )
    bodies.add("carpet", box(1.25, 0.01, 0.85, Material("carpet", (1, 1, 1), 2.5)), at(0, 0.01, 0.35), casts=False)
    put(bodies, "sofa", _sofa(), at(-0.05, 0, 1.72))
    bodies.add("painting", box(0.55, 0.40, 0.03, Material("painting", (1, 1, 1), 1.1)), at(-0.1, 1.62, 2.29))
    bodies.add("painting", box(0.20, 0.26, 0.03, Material("painting", (0.9, 1, 1.1), 0.52)), at(0.85, 1.58, 2.29))
    wood = Material("grain", (0.7, 0.6, 0.54), 0.9, gloss=0.3)
    put(
        bodies,
        "low table",
        built(
            (tube(0.46, 0.025, wood), at(0, 0.40, 0)),
            *((tube(0.028, 0.19, wood), at(0.3 * math.cos(a), 0.19, 0.3 * math.sin(a))) for a in (0.5, 2.6, 4.7)),
            (tube(0.05, 0.05, Material("dots", (0.5, 0.7, 0.95), 2, gloss=0.5), taper=0.1), at(0.16, 0.475, -0.1)),
            (box(0.15, 0.016, 0.1, Material("cloth", (0.8, 0.3, 0.26), 0.4)), at(-0.15, 0.443, 0.06, yaw=0.4)),
            (box(0.13, 0.014, 0.09, Material("cloth", (0.92, 0.8, 0.5), 0.4)), at(-0.15, 0.473, 0.06, yaw=0.1)),
            (ball(Material("clay", (0.96, 0.62, 0.14), 2, gloss=0.5), 0.045), at(0.1, 0.47, 0.18)),
        ),
        at(0.0, 0.02, 0.38),
    )
    put(
        bodies,
        "lamp",
        built(
            (tube(0.16, 0.02, Material("clay", (0.25, 0.23, 0.22), gloss=0.4)), at(0, 0.02, 0)),
            (pill(0.018, 0.66, Material("clay", (0.75, 0.6, 0.3), gloss=0.6)), at(0, 0.70, 0)),
            (tube(0.19, 0.15, Material("lamp", (1.0, 0.88, 0.66), 2), taper=-0.3), at(0, 1.50, 0)),
        ),
        at(1.45, 0, 1.70),
    )
    put(
        bodies,
        "plant",
        built(
            (tube(0.19, 0.2, Material("clay", (0.85, 0.5, 0.35), 2), taper=0.2), at(0, 0.2, 0)),
            *(
                (ball(Material("foliage", (0.9, 1, 0.9), 2), r, 1.2 * r), at(dx, y, dz))
                for r, dx, y, dz in ((0.3, 0, 0.7, 0), (0.26, 0.16, 0.98, 0), (0.22, -0.14, 1.12, 0.05))
            ),
        ),
        at(-1.62, 0, 1.72),
    )
    put(
        bodies,
        "sideboard",
        built(
            (box(0.24, 0.36, 0.75, wood), at(0, 0.40, 0)),
            (box(0.10, 0.14, 0.30, Material("books", (1, 1, 1), 0.28)), at(0.02, 0.90, 0.25)),
            (ball(Material("clay", (0.2, 0.4, 0.7), 2, gloss=0.8), 0.11, 0.15), at(0, 0.91, -0.35)),
        ),
        at(2.3, 0, 0.5),
    )

    chair_wood = Material("grain", (0.85, 0.6, 0.45), 0.8)
    solids, poses = built(
        (ball(chair_wood, 0.09, 0.16, 0.34), at(0, 0.38, 0)),
        (ball(chair_wood, 0.075, 0.12, 0.12), at(0, 0.66, 0.32, pitch=-0.5)),
        (tube(0.05, 0.11, chair_wood, taper=-0.3), at(0, 0.70, 0.42, pitch=1.9)),
        (ball(Material("hair", (0.5, 0.3, 0.2), 2), 0.03, 0.16, 0.09), at(0, 0.62, 0.22, pitch=-0.5)),
        (ball(Material("cloth", (0.86, 0.25, 0.22), 2), 0.10, 0.05, 0.13), at(0, 0.53, -0.04)),
        *((pill(0.03, 0.15, chair_wood), at(x, 0.2, z)) for x in (-0.09, 0.09) for z in (-0.2, 0.2)),
        *((pill(0.024, 0.34, chair_wood), at(x, 0.035, 0, pitch=1.5708)) for x in (-0.12, 0.12)),
        (pill(0.014, 0.13, chair_wood), at(0, 0.6, 0.30, roll=1.5708)),
        (ball(Material("hair", (0.5, 0.3, 0.2), 2), 0.03, 0.14, 0.05), at(0, 0.34, -0.36, pitch=0.3)),
    )
    turn = float(rng.uniform(-0.4, 0.4))
    bodies.add(
        "rocking horse",
        solids,
        moving(lambda t: at(-1.12, 0.02, 0.25, yaw=2.2 + turn, pitch=0.20 * math.sin(2.4 * t)), poses),
    )
    cat = Material("hair", (0.42, 0.38, 0.36), 2)
    fur, tail = built(
        (ball(cat, 0.12, 0.11, 0.2), at(0, 0.11, 0)),
        (ball(cat, 0.085, 0.075, 0.075), at(0, 0.24, 0.17)),
        (tube(0.025, 0.035, cat, taper=-0.9), at(-0.045, 0.32, 0.17)),
        (tube(0.025, 0.035, cat, taper=-0.9), at(0.045, 0.32, 0.17)),
        (ball(Material("plain", (0.7, 0.85, 0.3), gloss=0.8), 0.016), at(-0.032, 0.26, 0.238)),
        (ball(Material("plain", (0.7, 0.85, 0.3), gloss=0.8), 0.016), at(0.032, 0.26, 0.238)),
        (pill(0.022, 0.12, cat), at(0.08, 0.06, -0.22, pitch=1.4, yaw=0.6)),
    )
    bodies.add(
        "cat",
        fur,
        moving(lambda t: at(0.75 + 0.05 * math.sin(0.8 * t), 0.02, -0.1, yaw=2.6 + 0.5 * math.sin(0.9 * t)), tail),
    )
    # Even a clip of one second shows the lamp being switched on.
    lag = 3.5 + float(rng.uniform(0.1, 0.4))
    return [Shot(bodies, _camera, lambda t: light(t + lag), "day", reach=Reach((0.1, 0.6, 0.9), 3.1, 512))]


def _camera(time_s: float) -> Camera:
    x = 0.12 * math.sin(0.33 * time_s)
    return Camera((x - 0.25, 1.42, -2.35), (0.05, 0.78, 1.2), 1.14)


def light(time_s: float) -> Light:
    """Return the light: a cycle of `_CYCLE_S`, and a lamp that is switched on when the sun is low, and blinks once."""
    hour = (time_s / _CYCLE_S) % 1
    height = math.cos(2 * math.pi * hour)
    day = min(1.0, max(0.0, (height + 0.25) / 0.9))
    warm = 1 - day
    angle = 0.9 * math.sin(2 * math.pi * hour)
    lit = _switched(hour, 0.27, 0.44) + _switched(hour, 0.48, 0.74)
    sun = (2.6 * day, 2.2 * day * (1 - 0.35 * warm), 1.7 * day * (1 - 0.6 * warm))
    return Light(
        sun=sun,
        towards=(-0.85, 0.45 + 0.5 * day, -0.55 + 0.6 * angle),
        sky=(0.17 + 0.36 * day, 0.18 + 0.36 * day, 0.27 + 0.34 * day),
        ground=(0.08 + 0.26 * day, 0.06 + 0.20 * day, 0.06 + 0.14 * day),
        lamps=(Lamp((1.45, 1.52, 1.62), (1.2, 0.8, 0.4), 1.1),),
        haze=(0.3, 0.3, 0.3),
        haze_m=300,
        shine=2.2 * lit,
        exposure=0.85,
    )


def _switched(hour: float, on: float, off: float) -> float:
    """Return the brightness of a lamp switched on and off at shares of the cycle, 0 to 1."""
    ramp = _CYCLE_S / _SWITCH_S
    return min(1.0, max(0.0, (hour - on) * ramp)) * min(1.0, max(0.0, (off - hour) * ramp))


WORLD = RaycastWorld(
    summary="a living room where the sun moves and a lamp is switched on and off",
    challenge="lighting change: brightness moves although nothing else does",
    subject="sofa",
    edits=(
        Edit("recolour", "make the teal sofa red", "sofa", tints=((SOFA, (0.74, 0.18, 0.20)),)),
        Edit("remove", "remove the rocking horse", "rocking horse"),
    ),
    build=build,
)
