"""What every scene is, and how it is described."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from vivace.media.frame import Rgb
from vivace.media.size import Size


class Scene(Protocol):
    """A world that can be looked at, at any moment."""

    def render(self, time_s: float) -> Rgb:
        """Return the picture at `time_s` ≥ 0, `uint8 [h w 3]`, a new array. The same time gives the same picture."""


class Edit(Protocol):
    """Something that can be changed about a scene, asked for in words and rendered exactly."""

    @property
    def key(self) -> str:
        """What it is called, e.g. `night`."""


class World(Protocol):
    """The description of a scene."""

    @property
    def summary(self) -> str:
        """What it shows."""

    @property
    def edits(self) -> tuple[Edit, ...]:
        """What can be changed about it."""

    def scene(self, size: Size, rng: np.random.Generator, edit: str | None = None) -> Scene:
        """Return it at `(width, height)` px, one of `rng`'s kind, with one of its edits applied, named by its key."""


@dataclass(frozen=True, slots=True)
class PaintedWorld:
    """A scene of painted layers: a few milliseconds a frame, and no truth about it."""

    summary: str
    paint: Callable[[Size, np.random.Generator], Scene]
    edits: ClassVar[tuple[Edit, ...]] = ()

    def scene(self, size: Size, rng: np.random.Generator, edit: str | None = None) -> Scene:  # noqa: ARG002
        """Return it at a size."""
        return self.paint(size, rng)
