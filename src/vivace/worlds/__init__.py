"""Procedural scenes: small moving worlds with depth and occlusion, the same for the same name, seed and frame."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import numpy as np

from vivace.errors import SourceNotFoundError, UsageError
from vivace.media.size import Size
from vivace.worlds.raycast import WORLDS, load_world
from vivace.worlds.scene import Scene

_SCENES = {
    "city": "a skyline at dusk with traffic, seen from a moving car",
    "road": "driving through a forest towards the hills",
    "orbit": "textured balls circling over a checkered floor",
    "garden": "flowers and grass in the wind, clouds, butterflies",
    "boat": "a sailing boat on the waves at sunset",
    "shapes": "turning shapes that pass in front of each other",
    "gallery": "public-domain photographs under a slowly moving camera, with hard cuts",
}


SceneMaker = Callable[[Size, np.random.Generator], Scene]


def scene_names() -> dict[str, str]:
    """Return the names of all scenes, with what they show: the painted ones, then those with ground truth."""
    return _SCENES | WORLDS


def make_scene(name: str, size: Size, seed: int = 0, *, edit: str | None = None) -> Scene:
    """Build the world of that name at `(width, height)` px.

    Args:
        name: one of `scene_names()`.
        size: of the pictures, px.
        seed: another seed gives another world of the same kind.
        edit: what is changed about it (scenes with ground truth only): the key of an edit of its world.

    Raises:
        SourceNotFoundError: no scene of that name.
        UsageError: the scene has no such edit.
    """
    rng = np.random.default_rng([seed, *name.encode()])
    if name in WORLDS:
        from vivace.worlds.raycast.render import StageScene

        return StageScene(load_world(name), size, rng, edit)
    if name not in _SCENES:
        raise SourceNotFoundError(f"scene:{name}: no such scene; there are {', '.join(scene_names())}")
    if edit is not None:
        raise UsageError(f"scene:{name} cannot be edited; scenes with edits are {', '.join(WORLDS)}")
    maker: SceneMaker = import_module(f"{__name__}.scenes.{name}").Scene
    return maker(size, rng)
