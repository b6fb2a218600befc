"""A rainy street at dusk: lit windows, umbrellas, driving rain before a noisy sensor."""

from __future__ import annotations

import math

import numpy as np

from vivace.worlds.raycast.figures import HAIRS, SKINS, Outfit, Path, figure, walker
from vivace.worlds.raycast.lens import Camera
from vivace.worlds.raycast.light import Lamp, Light, Reach
from vivace.worlds.raycast.props import ground, house, house_width, put, street_lamp, toy_car, tree
from vivace.worlds.raycast.shot import Edit, Shot
from vivace.worlds.raycast.solids import Bodies, Material, Pose, Rgb01, at, box, built, moving, scaled, tube
from vivace.worlds.raycast.weather import rain
from vivace.worlds.raycast.world import RaycastWorld

UMBRELLA: Rgb01 = (0.90, 0.18, 0.16)
_LAMPS = ((-3.4, 4.6), (3.0, 4.6), (-0.6, 12.5))


def _to_and_fro(z: float, reach: float, speed: float, start: float) -> Path:
    """Return a path along the pavement, turning in a half circle at both ends."""
    bend = 0.35
    straight, half_turn = 2 * reach, math.pi * bend
    lap = 2 * (straight + half_turn)

    def place(time_s: float) -> tuple[float, float, float, float]:
        way = (speed * time_s + start) % lap
        total = speed * time_s + start
        back = way >= lap / 2
        way -= lap / 2 if back else 0
        if way < straight:
            x, dz, turned = -reach + way, -bend, math.pi / 2
        else:
            angle = (way - straight) / bend
            x, dz, turned = reach + bend * math.sin(angle), -bend * math.cos(angle), math.pi / 2 - angle
        # The way back is the way there, rotated by half a turn.
        return (-x, z - dz, turned + math.pi, total) if back else (x, z + dz, turned, total)

    return place


def build(rng: np.random.Generator) -> list[Shot]:
    """Return the street."""
    bodies = Bodies()
    ground(bodies, Material("asphalt", (0.72, 0.76, 0.86), 3.0, gloss=0.5), half=60, name="street")
    bodies.add(
        "pavement",
        box(30, 0.06, 1.5, Material("paving", (0.72, 0.74, 0.80), 2.0, gloss=0.4)),
        at(0, 0.0, 3.2),
        casts=False,
    )
    bodies.add(
        "pavement",
        box(30, 0.06, 2.0, Material("paving", (0.66, 0.68, 0.76), 2.0, gloss=0.4)),
        at(0, 0.0, 11.0),
        casts=False,
    )
    white = Material("plain", (0.8, 0.8, 0.82), 1, gloss=0.4)
    put(
        bodies,
        "street",
        built(*((box(0.7, 0.008, 0.07, white), at(-9 + 2.4 * k, 0.008, 6.9)) for k in range(9))),
        at(0, 0, 0),
    )
    walls: tuple[Rgb01, ...] = (
        (0.78, 0.62, 0.52),
        (0.62, 0.66, 0.74),
        (0.84, 0.74, 0.58),
        (0.66, 0.56, 0.58),
        (0.72, 0.76, 0.72),
    )
    order = rng.permutation(5)
    x = -14.0
    for index in range(6):
        wide = house_width((4.2, 5.4, 3.8, 5.0, 4.4, 5.0)[index], 2.6)
        put(
            bodies,
            "houses",
            house(wide, 3.2 + 2.6 * ((index * 2 + 1) % 3), 5, walls[order[index % 5]], (0.62, 0.6, 0.66), storey=2.6),
            at(x + wide / 2, 0, 15.5),
        )
        x += wide + 0.6
    glass = Material("lamp", (1.0, 0.82, 0.5), 1)
    for x in (-4.4, 1.9):
        put(
            bodies,
            "shop windows",
            built(
                (box(1.0, 0.75, 0.03, glass), at(0, 1.15, 0)),
                (box(1.3, 0.06, 0.4, Material("stripes", (0.9, 0.4, 0.36), 1.2)), at(0, 2.15, -0.35, pitch=-0.35)),
            ),
            at(x, 0, 12.95),
        )
    for x, z in _LAMPS:
        put(bodies, "lamps", street_lamp(3.0), at(x, 0, z))
    put(bodies, "trees", tree(rng, height=3.6, tint=(0.8, 0.75, 0.5)), at(5.3, 0, 4.3))
    put(
        bodies,
        "pillar box",
        built(
            (tube(0.24, 0.55, Material("clay", (0.75, 0.14, 0.14), 2, gloss=0.6)), at(0, 0.6, 0)),
            (tube(0.27, 0.06, Material("clay", (0.75, 0.14, 0.14), 2, gloss=0.6), taper=-0.4), at(0, 1.2, 0)),
        ),
        at(-2.3, 0, 4.3),
    )
    people = (
        (
            "red umbrella",
            Outfit((0.78, 0.68, 0.50), (0.22, 0.24, 0.32), hair=HAIRS[1], skin=SKINS[0], umbrella=UMBRELLA),
            _to_and_fro(2.5, 2.6, 1.05, 0.6 + float(rng.uniform(0, 2))),
        ),
        (
            "walker 1",
            Outfit(
                (0.30, 0.34, 0.44),
                (0.2, 0.2, 0.24),
                hair=HAIRS[3],
                skin=SKINS[2],
                umbrella=(0.22, 0.36, 0.62),
                height_m=1.8,
            ),
            _to_and_fro(3.7, 3.4, 1.25, 6.5),
        ),
        (
            "walker 2",
            Outfit(
                (0.95, 0.80, 0.25),
                (0.3, 0.34, 0.5),
                hair=HAIRS[2],
                skin=SKINS[3],
                hat=(0.95, 0.80, 0.25),
                height_m=1.25,
            ),
            _to_and_fro(1.6, 1.9, 1.35, 3.0 + float(rng.uniform(0, 2))),
        ),
        (
            "walker 3",
            Outfit(
                (0.45, 0.24, 0.30),
                (0.5, 0.45, 0.42),
                hair=HAIRS[0],
                skin=SKINS[1],
                skirt=True,
                umbrella=(0.95, 0.85, 0.6),
            ),
            _to_and_fro(10.6, 5.5, 1.1, 14.0),
        ),
    )
    for name, outfit, path in people:
        bodies.add(name, figure(outfit), walker(outfit, path))
    for index, (tint, lane, speed, start) in enumerate(
        (
            ((0.30, 0.46, 0.70), 6.0, 5.5, 6.0),
            ((0.90, 0.88, 0.84), 8.0, -6.5, 22.0),
            ((0.55, 0.20, 0.22), 6.0, 5.5, 33.0),
        )
    ):
        solids, poses = scaled(toy_car(tint), 7.4)
        start += float(rng.uniform(-3, 3))

        def drive(time_s: float, lane: float = lane, speed: float = speed, start: float = start) -> Pose:
            # It jumps back to the start far outside the picture.
            x = (speed * time_s + start) % 54 - 27
            return at(x, 0, lane, yaw=math.copysign(math.pi / 2, speed))

        bodies.add(f"car {index + 1}", solids, moving(drive, poses))
    return [
        Shot(
            bodies,
            _camera,
            _light,
            "storm",
            turn=float(rng.uniform(-3, 3)),
            reach=Reach((0, 0, 5.5), 7.5, 384),
            weather=rain,
        )
    ]


def _camera(time_s: float) -> Camera:
    x = 0.15 * math.sin(0.27 * time_s)
    return Camera((x, 1.75, -2.6), (0.5 * x, 1.45, 4.0), 1.15)


def _light(_: float) -> Light:
    return Light(
        sun=(0.30, 0.32, 0.38),
        towards=(-0.35, 0.9, -0.35),
        sky=(0.24, 0.30, 0.44),
        ground=(0.14, 0.15, 0.18),
        lamps=tuple(Lamp((x, 3.1, z), (1.9, 1.15, 0.5), 2.0) for x, z in _LAMPS),
        haze=(0.17, 0.20, 0.27),
        haze_m=34,
        shine=1.4,
        exposure=0.9,
    )


WORLD = RaycastWorld(
    summary="a street at dusk in driving rain, seen by a noisy sensor",
    challenge="rain and noise: change that is no motion",
    subject="red umbrella",
    edits=(
        Edit("recolour", "make the red umbrella blue", "red umbrella", tints=((UMBRELLA, (0.12, 0.30, 0.86)),)),
        Edit("remove", "remove the person with the red umbrella", "red umbrella"),
        Edit("night", "make it night"),
    ),
    build=build,
)
