"""Worlds of clay with exact ground truth: solids, ray cast, textured, lit, with shadows."""

from __future__ import annotations

from importlib import import_module

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vivace.media.scenes.stage.stage import World

WORLDS = {
    "walkers": "people walking past each other on a plaza",
    "mover": "a toy car drives around a carpet, all else stands perfectly still",
    "table": "flowers, fruit and books on a table, circled slowly",
}
"""Every world by name, with what it shows; a world's module has its name."""


def load_world(name: str) -> World:
    """Return a world by name, one of `WORLDS`."""
    found: World = import_module(f"{__name__}.{name}").WORLD
    return found
