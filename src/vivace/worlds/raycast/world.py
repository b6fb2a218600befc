"""How a ray-cast scene is described."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from vivace.media.size import Size
from vivace.worlds.raycast.render import RaycastScene
from vivace.worlds.raycast.shot import Change, Shot


@dataclass(frozen=True, slots=True)
class RaycastWorld:
    """Shots, with what a benchmark asks of them."""

    summary: str
    challenge: str
    subject: str
    changes: tuple[Change, ...]
    build: Callable[[np.random.Generator], list[Shot]]
    shot_s: float = 0.0
    """How long each shot is shown, in turn; 0: the only one, for ever."""

    @property
    def edits(self) -> tuple[str, ...]:
        """Return the keys of its edits."""
        return tuple(change.key for change in self.changes)

    def scene(self, size: Size, rng: np.random.Generator, edit: str | None = None) -> RaycastScene:
        """Return it at a size, with one of its edits applied."""
        seed = int(rng.integers(2**32))
        shots = self.build(rng)
        for change in self.changes:
            if change.key == edit:
                shots = [change.apply(shot) for shot in shots]
        return RaycastScene(shots, size, seed, shot_s=self.shot_s)
