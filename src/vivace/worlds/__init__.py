"""Procedural scenes: small moving worlds with depth and occlusion, deterministic in name, seed and time."""

from __future__ import annotations

from importlib import import_module

import numpy as np

from vivace.errors import SourceNotFoundError, UsageError
from vivace.media.size import Size
from vivace.worlds.scene import Scene, World

PAINTED = ("city", "boat", "gallery")
"""Scenes of painted layers, which take a few milliseconds per frame."""
RAYCAST = (
    *("walkers", "table", "pan", "zoom", "shake", "chase", "lights", "columns", "cuts", "game", "rain", "mover"),
)
"""Ray-cast scenes with exact ground truth, used by the benchmark."""
SCENES = (*PAINTED, *RAYCAST)
"""Names of all scenes; the module of that name in `scenes` defines it, as `WORLD`."""


def load_world(name: str) -> World:
    """Return the description of a scene.

    Raises:
        SourceNotFoundError: no scene of that name.
    """
    if name not in SCENES:
        raise SourceNotFoundError(f"scene:{name}: no such scene; there are {', '.join(SCENES)}")
    world: World = import_module(f"{__name__}.scenes.{name}").WORLD
    return world


def make_scene(name: str, size: Size, seed: int = 0, *, edit: str | None = None) -> Scene:
    """Return the scene of that name at `(width, height)` px.

    Args:
        name: one of `SCENES`.
        size: `(width, height)` of the pictures, px.
        seed: another seed gives another world of the same kind.
        edit: key of one of the scene's `edits` to apply.

    Raises:
        SourceNotFoundError: no scene of that name.
        UsageError: the scene has no such edit.
    """
    world = load_world(name)
    keys = [one.key for one in world.edits]
    if edit is not None and edit not in keys:
        known = ", ".join(keys) or f"none, unlike {', '.join(RAYCAST)}"
        raise UsageError(f"scene:{name} has no edit {edit!r}; it has {known}")
    return world.scene(size, np.random.default_rng([seed, *name.encode()]), edit)
