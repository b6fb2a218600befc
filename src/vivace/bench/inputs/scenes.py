"""Clips with exact ground truth, rendered as they are read, also in edited form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from vivace.errors import UsageError
from vivace.media.frame import Rgb
from vivace.worlds import RAYCAST, load_world, make_scene
from vivace.worlds.raycast.render import RaycastScene
from vivace.worlds.raycast.world import RaycastWorld
from vivace.worlds.truth import TruthScene, View


def scene_worlds() -> dict[str, RaycastWorld]:
    """Return all benchmark scenes by name, with their content, difficulty and edits."""
    worlds = {name: load_world(name) for name in RAYCAST}
    return {name: world for name, world in worlds.items() if isinstance(world, RaycastWorld)}


@dataclass(frozen=True, slots=True)
class SceneClip:
    """Part of a scene: `frames` frames of `size = (width, height)` px; streamed, never stored."""

    scene: str
    size: tuple[int, int] = (256, 256)
    fps: float = 24.0
    frames: int = 48
    seed: int = 0
    edit: str | None = None
    """Key of one of the scene's edits; None is unedited."""

    def views(self) -> Iterator[View]:
        """Return an iterator over rendered frames with truth. The truth of an edited clip is that of its own surfaces.

        Raises:
            UsageError: no scene, or no edit, of that name.
        """
        scene, frame_s = self._scene(self.size), self._frame_s()
        for index in range(self.frames):
            yield scene.view(float(index * frame_s), float(frame_s))

    def pictures(self) -> Iterator[Rgb]:
        """Return an iterator over rendered frames without truth: faster, with identical pixels.

        Raises:
            UsageError: no scene, or no edit, of that name.
        """
        scene, frame_s = self._scene(self.size), self._frame_s()
        for index in range(self.frames):
            yield scene.render(float(index * frame_s))

    def mask(self, view: View, subject: str) -> NDArray[np.bool_]:
        """Return the pixels `[h w]` that show an object.

        Raises:
            UsageError: the scene has no object of that name.
        """
        objects = _identities(self.scene, self.seed)
        if subject not in objects:
            raise UsageError(f"scene {self.scene} has no object {subject!r}; it has {', '.join(sorted(objects))}")
        found: NDArray[np.bool_] = view.ids == objects[subject]
        return found

    def objects(self) -> dict[int, str]:
        """Return the name of every identity in the views; the same with and without an edit."""
        return {identity: name for name, identity in _identities(self.scene, self.seed).items()}

    def _frame_s(self) -> Fraction:
        # The same arithmetic as in `SceneSource`, so that `scene:NAME` shows identical frames.
        return 1 / Fraction(self.fps).limit_denominator(1001)

    def _scene(self, size: tuple[int, int]) -> TruthScene:
        if self.scene not in RAYCAST:
            raise UsageError(f"no benchmark scene {self.scene!r}; there are {', '.join(RAYCAST)}")
        scene = make_scene(self.scene, size, self.seed, edit=self.edit)
        assert isinstance(scene, RaycastScene)
        return scene


@lru_cache(maxsize=64)
def _identities(scene: str, seed: int) -> dict[str, int]:
    objects = SceneClip(scene, (8, 8), seed=seed)._scene((8, 8)).objects
    return {name: identity for identity, name in objects.items()}
