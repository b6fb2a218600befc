"""How a ray-cast scene is described."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vivace.media.size import Size
from vivace.worlds.raycast.render import RaycastScene
from vivace.worlds.raycast.shot import Edit, Shot


@dataclass(frozen=True, slots=True)
class RaycastWorld:
    """Shots, with what a benchmark asks of them."""

    summary: str
    challenge: str
    """What makes it hard, e.g. `fast motion`."""
    subject: str
    """Name of the object that an edit of a region is about."""
    edits: tuple[Edit, ...]
    build: Callable[[np.random.Generator], list[Shot]]
    shot_s: float = 0.0
    """How long each shot is shown, in turn; 0: the only one, for ever."""

    def scene(self, size: Size, rng: np.random.Generator, edit: str | None = None) -> RaycastScene:
        """Return it at a size, with one of its edits applied."""
        seed = int(rng.integers(2**32))
        shots = self.build(rng)
        for change in self.edits:
            if change.key == edit:
                shots = [change.apply(shot) for shot in shots]
        return RaycastScene(shots, size, seed, shot_s=self.shot_s)
