"""Worlds of clay with exact ground truth: solids, ray cast, textured, lit, with shadows."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vivace.worlds.raycast.world import World

WORLDS = {
    "walkers": "people walking past each other on a plaza",
    "table": "flowers, fruit and books on a table, circled slowly",
    "pan": "an alpine meadow with a windmill, the camera turning on the spot",
    "zoom": "a lighthouse at dusk, the camera zooming in and out",
    "shake": "a street market, filmed with a hand-held camera",
    "chase": "a car chase around a wooded hill",
    "lights": "a living room where the sun moves and a lamp is switched",
    "columns": "people passing behind the columns of a colonnade",
    "cuts": "hard cuts between a plaza, a table, a lamp-lit room and a colonnade",
    "game": "a third-person adventure game with its user interface",
    "rain": "a street at dusk in driving rain, seen by a noisy sensor",
    "mover": "a toy car drives around a carpet, all else stands perfectly still",
}
"""Every world by name, with what it shows; its module in `worlds.scenes` has its name."""


def load_world(name: str) -> World:
    """Return a world by name, one of `WORLDS`."""
    found: World = import_module(f"vivace.worlds.scenes.{name}").WORLD
    return found
