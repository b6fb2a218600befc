"""A plaza on a sunny day: people walk to and fro and past each other, by a fountain, before a row of houses."""

from __future__ import annotations

import math

import numpy as np

from vivace.worlds.raycast.figures import HAIRS, SKINS, Outfit, figure, oval, stander, walker
from vivace.worlds.raycast.lens import Camera
from vivace.worlds.raycast.light import Lamp, Light, Reach
from vivace.worlds.raycast.props import bench, ground, house, house_width, planter, put, street_lamp, tree
from vivace.worlds.raycast.shot import Edit, Shot
from vivace.worlds.raycast.solids import Bodies, Material, Rgb01, at, ball, carried, moving, stack, tube
from vivace.worlds.raycast.world import RaycastWorld

RED: Rgb01 = (0.84, 0.17, 0.14)
CLOTHES: tuple[Rgb01, ...] = (
    (0.20, 0.42, 0.66),
    (0.95, 0.74, 0.26),
    (0.30, 0.56, 0.40),
    (0.92, 0.88, 0.80),
    (0.58, 0.32, 0.56),
    (0.90, 0.52, 0.36),
    (0.34, 0.36, 0.44),
)
WALLS: tuple[Rgb01, ...] = (
    (0.98, 0.84, 0.62),
    (0.90, 0.66, 0.56),
    (0.80, 0.88, 0.84),
    (0.98, 0.93, 0.84),
    (0.74, 0.80, 0.92),
)


def square(bodies: Bodies, rng: np.random.Generator) -> None:
    """Build the plaza: paving, houses, trees, a fountain, lamps, benches."""
    ground(bodies, Material("paving", (1, 0.97, 0.92), 2.2), half=45)
    walls = rng.permutation(len(WALLS))
    x = -13.5
    for index in range(5):
        wide = house_width((5.2, 4.2, 6.0, 4.6, 5.2)[index], 2.6)
        high = (4.6, 5.9, 3.2, 5.9, 4.6)[index]
        put(
            bodies,
            "houses",
            house(wide, high, 5, WALLS[walls[index]], storey=2.6),
            at(x + wide / 2, 0, 10.5 + 0.5 * (index % 2)),
        )
        x += wide + 0.6
    for index, x in enumerate((-5.6, 4.9, 8.4)):
        put(bodies, "trees", tree(rng, height=3.9 + 0.4 * index), at(x, 0, 6.0 + 0.7 * index))
    for x in (-3.2, 3.4):
        put(bodies, "lamps", street_lamp(2.9), at(x, 0, 4.2))
    put(bodies, "bench", bench(), at(-4.4, 0, 3.6, yaw=-0.35))
    put(bodies, "bench", bench(), at(5.2, 0, 3.4, yaw=0.4))
    blooms = ((0.95, 0.35, 0.40), (0.98, 0.80, 0.30), (0.80, 0.45, 0.85))
    for index, x in enumerate((-2.2, 2.3)):
        put(bodies, "flowers", planter((0.82, 0.46, 0.34), blooms[(index + int(rng.integers(3))) % 3]), at(x, 0, 5.2))
    stone = Material("marble", (0.95, 0.92, 0.88), 6)
    put(
        bodies,
        "fountain",
        (
            (
                tube(1.25, 0.24, stone, taper=0.06),
                tube(1.08, 0.02, Material("water", (0.9, 1, 1), 3, gloss=0.8)),
                tube(0.16, 0.55, stone, taper=-0.3),
                tube(0.42, 0.07, stone, taper=0.5),
                ball(stone, 0.15),
            ),
            stack(at(0, 0.24, 0), at(0, 0.475, 0), at(0, 0.95, 0), at(0, 1.42, 0), at(0, 1.60, 0)),
        ),
        at(0.2, 0, 5.4),
    )
    water = Material("water", (1, 1, 1), 2, gloss=0.8)
    drops = tuple(ball(water, 0.045, 0.055) for _ in range(10))

    def jets(time_s: float) -> np.ndarray:
        poses = []
        for index in range(10):
            share = (time_s * 0.9 + index * 0.37) % 1
            angle = index * 2.4
            out = 0.12 + 0.75 * share
            poses.append(
                at(out * math.cos(angle), 1.66 + 1.2 * share * (1 - share) - 1.15 * share**2, out * math.sin(angle))
            )
        return carried(at(0.2, 0, 5.4), stack(*poses))

    bodies.add("fountain", drops, jets)
    doves = Material("clay", (0.78, 0.80, 0.86), 2)
    for index in range(3):
        turn, x = float(rng.uniform(0, 6.28)), -1.6 + 1.5 * index + float(rng.uniform(-0.4, 0.4))

        def peck(time_s: float, turn: float = turn, x: float = x, index: int = index) -> np.ndarray:
            nod = max(0.0, math.sin(2.1 * time_s + 2 * index)) ** 3
            return at(
                x + 0.15 * math.sin(0.4 * time_s + turn),
                0.09,
                1.0 + 0.25 * math.sin(0.31 * time_s + index),
                yaw=turn + 0.5 * math.sin(0.4 * time_s),
                pitch=0.5 * nod,
            )

        parts = (
            ball(doves, 0.06, 0.055, 0.10),
            ball(doves, 0.035),
            tube(0.012, 0.02, Material("clay", (0.9, 0.6, 0.3)), taper=-0.8),
            ball(doves, 0.03, 0.012, 0.07),
        )
        bodies.add(
            "doves",
            parts,
            moving(peck, stack(at(0, 0, 0), at(0, 0.075, 0.085), at(0, 0.07, 0.13, pitch=1.57), at(0, 0.02, -0.11))),
        )


def build(rng: np.random.Generator) -> list[Shot]:
    """Return the plaza with its people."""
    bodies = Bodies()
    square(bodies, rng)
    colours = rng.permutation(len(CLOTHES))
    red = Outfit(RED, (0.27, 0.33, 0.48), hair=HAIRS[1], skin=SKINS[0], bag=(0.35, 0.26, 0.20))
    start = float(rng.uniform(-0.6, 0.6))
    bodies.add("red jacket", figure(red), walker(red, oval((0.1, 1.6), (2.5, 0.75), 17, start=-2.2 + start)))
    people = (
        (
            Outfit(
                CLOTHES[colours[0]],
                (0.85, 0.82, 0.74),
                hair=HAIRS[2],
                skin=SKINS[3],
                skirt=True,
                cloth="stripes",
                height_m=1.64,
            ),
            oval((-0.6, 3.0), (3.6, 0.7), -23, start=1.2),
        ),
        (
            Outfit(
                CLOTHES[colours[1]],
                (0.24, 0.26, 0.32),
                hair=HAIRS[3],
                skin=SKINS[2],
                hat=(0.80, 0.68, 0.46),
                height_m=1.82,
            ),
            oval((1.0, 3.9), (4.4, 0.6), 29, start=3.4),
        ),
        (
            Outfit(
                CLOTHES[colours[2]], (0.55, 0.30, 0.26), hair=HAIRS[0], skin=SKINS[1], cloth="checks", height_m=1.35
            ),
            oval((0.4, 0.8), (1.9, 0.6), -13, start=0.4),
        ),
        (
            Outfit(CLOTHES[colours[3]], (0.40, 0.42, 0.40), hair=HAIRS[1], skin=SKINS[0], height_m=1.75),
            oval((0.0, 7.6), (6.5, 0.5), 34, start=4.6),
        ),
    )
    for index, (outfit, path) in enumerate(people):
        bodies.add(f"walker {index + 1}", figure(outfit), walker(outfit, path, phase=float(rng.uniform(0, 6.28))))
    waving = Outfit(CLOTHES[colours[4]], (0.30, 0.30, 0.36), hair=HAIRS[2], skin=SKINS[0], skirt=True, height_m=1.66)
    bodies.add("waving woman", figure(waving), stander(waving, at(-2.75, 0, 2.5, yaw=2.5), wave_hz=1.1))
    return [
        Shot(bodies, _camera, daylight, "day", turn=float(rng.uniform(-1.5, 1.5)), reach=Reach((0, 0, 4.2), 6.6, 448))
    ]


def _camera(time_s: float) -> Camera:
    x = 0.25 * math.sin(0.23 * time_s)
    return Camera((x, 1.70, -2.9), (0.35 * x, 1.36, 4.0), 1.15)


def daylight(_: float) -> Light:
    """Return the light of the plaza."""
    return Light(
        sun=(2.5, 2.2, 1.75),
        towards=(-0.62, 0.85, -0.62),
        sky=(0.42, 0.52, 0.70),
        ground=(0.34, 0.30, 0.25),
        lamps=(Lamp((-3.2, 3.0, 4.2), (1.3, 0.85, 0.4), 1.8), Lamp((3.4, 3.0, 4.2), (1.3, 0.85, 0.4), 1.8)),
        haze=(0.60, 0.70, 0.80),
        haze_m=140,
    )


WORLD = RaycastWorld(
    summary="people walking past each other on a plaza",
    challenge="articulated motion and mutual occlusion",
    subject="red jacket",
    edits=(
        Edit("recolour", "make the red jacket blue", "red jacket", tints=((RED, (0.14, 0.30, 0.80)),)),
        Edit("remove", "remove the person in the red jacket", "red jacket"),
        Edit("night", "make it night"),
        Edit("snow", "cover the square in snow"),
    ),
    build=build,
)
