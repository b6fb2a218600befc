"""A marble colonnade by the sea: people walk behind the columns, hidden and seen in turn."""

from __future__ import annotations

import math

import numpy as np

from vivace.worlds.raycast.figures import HAIRS, SKINS, Outfit, figure, oval, walker
from vivace.worlds.raycast.lens import Camera
from vivace.worlds.raycast.light import Light, Reach
from vivace.worlds.raycast.props import column, planter, put
from vivace.worlds.raycast.shot import Edit, Shot
from vivace.worlds.raycast.solids import Bodies, Material, Rgb01, at, ball, box, built, moving, tube
from vivace.worlds.raycast.world import RaycastWorld

TOGA: Rgb01 = (0.88, 0.20, 0.24)
SASH: Rgb01 = (0.96, 0.78, 0.26)


def build(rng: np.random.Generator) -> list[Shot]:
    """Return the colonnade."""
    bodies = Bodies()
    bodies.add(
        "floor", box(12, 0.1, 6.5, Material("tiles", (1.0, 0.95, 0.86), 2.4, gloss=0.25)), at(0, -0.1, 1.4), casts=False
    )
    bodies.add(
        "sea", box(200, 0.1, 200, Material("water", (0.85, 0.95, 1.0), 9, gloss=0.6)), at(0, -4.0, 208), casts=False
    )
    for index in range(5):
        put(bodies, "columns", column(3.4, 0.27), at(-4.2 + 2.1 * index, 0, 2.2))
    stone = Material("marble", (1.0, 0.95, 0.88), 2)
    bodies.add(
        "architrave",
        (box(6.5, 0.22, 0.48, stone), box(6.5, 0.10, 0.62, stone)),
        np.stack([at(0, 3.62, 2.2), at(0, 3.94, 2.2)]),
    )
    rail = [(box(6.5, 0.05, 0.12, stone), at(0, 0.98, 7.2)), (box(6.5, 0.08, 0.14, stone), at(0, 0.08, 7.2))]
    rail += [(tube(0.075, 0.40, stone, taper=-0.3), at(-6 + 0.5 * k, 0.55, 7.2)) for k in range(25)]
    put(bodies, "balustrade", built(*rail), at(0, 0, 0))
    blooms: tuple[Rgb01, ...] = ((0.95, 0.35, 0.40), (0.98, 0.80, 0.30), (0.80, 0.45, 0.85))
    for index, x in enumerate((-5.3, 1.05, 5.2)):
        put(bodies, "flowers", planter((0.80, 0.46, 0.34), blooms[(index + int(rng.integers(3))) % 3]), at(x, 0, 6.4))
    statue = Material("marble", (0.92, 0.93, 0.95), 2, gloss=0.2)
    put(
        bodies,
        "statue",
        built(
            (box(0.32, 0.42, 0.32, stone), at(0, 0.42, 0)),
            (tube(0.19, 0.42, statue, taper=-0.25), at(0, 1.24, 0)),
            (ball(statue, 0.21, 0.26, 0.14), at(0, 1.72, 0)),
            (ball(statue, 0.115, 0.14, 0.12), at(0, 2.12, 0)),
            (tube(0.05, 0.3, statue), at(0.24, 1.78, 0.06, roll=-2.2)),
            (tube(0.045, 0.26, statue), at(-0.2, 1.66, 0.1, roll=0.4)),
        ),
        at(-2.6, 0, 6.2, yaw=math.pi + 0.2),
    )
    start = float(rng.uniform(-0.12, 0.12))
    lady = Outfit(TOGA, (0.9, 0.86, 0.78), hair=HAIRS[0], skin=SKINS[1], skirt=True, height_m=1.74)
    bodies.add("woman in red", figure(lady), walker(lady, oval((0.0, 3.5), (3.1, 0.35), 15, start=3.85 + start)))
    man = Outfit(
        ((0.24, 0.42, 0.62), (0.36, 0.50, 0.36), (0.86, 0.82, 0.72))[int(rng.integers(3))],
        (0.82, 0.76, 0.66),
        hair=HAIRS[3],
        skin=SKINS[2],
        height_m=1.84,
    )
    bodies.add("man", figure(man), walker(man, oval((0.4, 4.9), (3.9, 0.4), -19, start=0.9)))
    child = Outfit(SASH, (0.5, 0.36, 0.28), hair=HAIRS[2], skin=SKINS[3], height_m=1.2, cloth="stripes")
    bodies.add("child", figure(child), walker(child, oval((0.2, 2.35), (3.3, 1.25), 12, start=1.5 - start), gait=1.35))
    hoop = Material("dots", (0.3, 0.5, 0.85), 2, gloss=0.4)

    def roll_on(time_s: float) -> np.ndarray:
        x, z, heading, way = oval((0.2, 2.35), (3.3, 1.25), 12, start=2.0 - start)(time_s)
        return at(x, 0.17 + 0.12 * abs(math.sin(3 * time_s)), z, yaw=heading, pitch=way / 0.17)

    bodies.add("ball", ball(hoop, 0.17), moving(roll_on, at(0, 0, 0)))
    return [Shot(bodies, _camera, _light, "sea", turn=float(rng.uniform(-2, 2)), reach=Reach((0, 0.5, 3.6), 6.2, 512))]


def _camera(time_s: float) -> Camera:
    x = 0.55 * math.sin(0.25 * time_s)
    return Camera((x, 1.55, -2.1), (0.55 * x, 1.5, 3.5), 1.16)


def _light(_: float) -> Light:
    return Light(
        sun=(2.7, 2.25, 1.6),
        towards=(-0.55, 0.72, -0.62),
        sky=(0.46, 0.58, 0.76),
        ground=(0.40, 0.34, 0.27),
        haze=(0.66, 0.80, 0.86),
        haze_m=120,
        exposure=0.72,
    )


WORLD = RaycastWorld(
    summary="people walk behind the columns of a colonnade by the sea",
    challenge="occlusion: what vanishes must come back as it was",
    subject="woman in red",
    edits=(
        Edit("recolour", "make the red dress of the woman green", "woman in red", tints=((TOGA, (0.16, 0.58, 0.30)),)),
        Edit("remove", "remove the woman in the red dress", "woman in red"),
        Edit("background", "make it dusk beyond the colonnade", backdrop="dusk"),
    ),
    build=build,
)
