"""Interfaces of scenes and their descriptions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Protocol

import numpy as np

from vivace.media.frame import Rgb
from vivace.media.size import Size


class Scene(Protocol):
    """World that can be rendered at any moment."""

    def render(self, time_s: float) -> Rgb:
        """Return the picture at `time_s` ≥ 0, `uint8 [h w 3]`, a new array. Deterministic in time."""


class Edit(Protocol):
    """Change of a scene, given in words and rendered exactly."""

    @property
    def key(self) -> str:
        """Key, e.g. `night`."""


class World(Protocol):
    """Description of a scene."""

    @property
    def summary(self) -> str:
        """Summary of its content."""

    @property
    def edits(self) -> tuple[Edit, ...]:
        """Edits that it supports."""

    def scene(self, size: Size, rng: np.random.Generator, edit: str | None = None) -> Scene:
        """Return the scene at `(width, height)` px, varied by `rng`, with the edit of that key applied."""


@dataclass(frozen=True, slots=True)
class PaintedWorld:
    """Scene of painted layers: a few milliseconds per frame, without ground truth."""

    summary: str
    paint: Callable[[Size, np.random.Generator], Scene]
    edits: ClassVar[tuple[Edit, ...]] = ()

    def scene(self, size: Size, rng: np.random.Generator, edit: str | None = None) -> Scene:  # noqa: ARG002
        """Return the scene at a size."""
        return self.paint(size, rng)
