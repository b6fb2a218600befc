"""Description of a ray-cast scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vivace.media.size import Size
from vivace.worlds.raycast.render import RaycastScene
from vivace.worlds.raycast.shot import Edit, Shot


@dataclass(frozen=True, slots=True)
class RaycastWorld:
    """Shots, with the properties that a benchmark uses."""

    summary: str
    challenge: str
    """Difficulty, e.g. `fast motion`."""
    subject: str
    """Name of the object that region edits apply to."""
    edits: tuple[Edit, ...]
    build: Callable[[np.random.Generator], list[Shot]]
    shot_s: float = 0.0
    """Duration of each shot in turn, s; 0 if there is only one."""

    def scene(self, size: Size, rng: np.random.Generator, edit: str | None = None) -> RaycastScene:
        """Return the scene at a size, with one of its edits applied."""
        seed = int(rng.integers(2**32))
        shots = self.build(rng)
        for change in self.edits:
            if change.key == edit:
                shots = [change.apply(shot) for shot in shots]
        return RaycastScene(shots, size, seed, shot_s=self.shot_s)
