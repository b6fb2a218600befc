"""Hard cuts: five setups in turn, each as different from the next as can be."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from vivace.worlds.raycast.lens import Camera
from vivace.worlds.raycast.shot import Edit, Shot
from vivace.worlds.raycast.solids import Rgb01
from vivace.worlds.raycast.world import RaycastWorld
from vivace.worlds.scenes import columns, lights, table, walkers

SHOT_S = 0.625
"""Duration of a shot, s: 15 frames at 24 fps, so that short clips have cuts too."""
_BLUE: Rgb01 = (0.14, 0.30, 0.80)


def build(rng: np.random.Generator) -> list[Shot]:
    """Return a plaza, the same from the side, a table, a lamp-lit room, a colonnade at dusk."""
    plaza = walkers.build(rng)[0]
    return [
        plaza,
        replace(plaza, camera=_close),
        table.build(rng)[0],
        replace(lights.build(rng)[0], light=lambda _: lights.light(5.6)),
        replace(columns.build(rng)[0], backdrop="dusk"),
    ]


def _close(time_s: float) -> Camera:
    sway = 0.1 * math.sin(0.7 * time_s)
    return Camera((-3.4, 1.6, -0.2 + sway), (0.6, 1.15, 3.4), 1.25)


WORLD = RaycastWorld(
    summary="hard cuts between a plaza, a table, a lamp-lit room and a colonnade",
    challenge="hard cuts: nothing may be carried over",
    subject="red jacket",
    edits=(
        Edit("recolour", "make the red jacket blue", "red jacket", tints=((walkers.RED, _BLUE),)),
        Edit("remove", "remove the person in the red jacket", "red jacket"),
    ),
    build=build,
    shot_s=SHOT_S,
)
