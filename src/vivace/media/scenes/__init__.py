"""Procedural scenes: small moving worlds with depth and occlusion, the same for the same name, seed and frame."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from fractions import Fraction
from importlib import import_module

import numpy as np

from vivace.errors import SourceNotFoundError, UsageError
from vivace.media.clock import Clock
from vivace.media.frame import Frame
from vivace.media.scenes.scene import Scene
from vivace.media.scenes.stage import WORLDS, load_world
from vivace.media.size import Size
from vivace.media.source import Source, SourceInfo

DEFAULT_SCENE = "city"
DEFAULT_SIZE = (512, 288)
DEFAULT_FPS = 30.0

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
        from vivace.media.scenes.stage.render import StageScene

        return StageScene(load_world(name), size, rng, edit)
    if name not in _SCENES:
        raise SourceNotFoundError(f"scene:{name}: no such scene; there are {', '.join(scene_names())}")
    if edit is not None:
        raise UsageError(f"scene:{name} cannot be edited; scenes with edits are {', '.join(WORLDS)}")
    maker: SceneMaker = import_module(f"{__name__}.{name}").Scene
    return maker(size, rng)


class SceneSource(Source):
    """A procedural scene as a source; a frame depends on name, seed, size, rate and index alone."""

    def __init__(
        self,
        name: str = DEFAULT_SCENE,
        *,
        size: Size = DEFAULT_SIZE,
        fps: float = DEFAULT_FPS,
        seed: int = 0,
        frames: int | None = None,
        edit: str | None = None,
        clock: Clock = time.monotonic,
    ):
        """Build the scene.

        Args:
            name: one of `scene_names()`.
            size: `(width, height)`, px.
            fps: frames per second of the scene's own time.
            seed: another seed gives another world of the same kind.
            frames: how many to deliver; None: no end.
            edit: what is changed about the scene, see `make_scene`.
            clock: stamps `capture_time_s` when a frame is drawn.

        Raises:
            SourceNotFoundError: no scene of that name.
            UsageError: the scene has no such edit.
        """
        self._scene = make_scene(name, size, seed, edit=edit)
        self._time_base = 1 / Fraction(fps).limit_denominator(1001)
        self._frames = frames
        self._clock = clock
        super().__init__(
            SourceInfo(
                name=f"scene:{name}" if edit is None else f"scene:{name}?edit={edit}",
                size=size,
                fps=float(1 / self._time_base),
                frames=frames,
                duration_s=None if frames is None else float(frames * self._time_base),
            )
        )

    def _read(self) -> Generator[Frame, None, None]:
        index = 0
        while self._frames is None or index < self._frames:
            rgb = self._scene.render(float(index * self._time_base))
            yield Frame(rgb, index, index, self._time_base, self._clock())
            index += 1
