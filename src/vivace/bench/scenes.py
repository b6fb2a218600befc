"""Clips with exact ground truth, rendered as they are read; and the same clips rendered edited."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vivace.media.frame import Rgb
from vivace.media.scenes.truth import View


@dataclass(frozen=True, slots=True)
class Edit:
    """A change to a scene that can be asked for in words and rendered exactly."""

    key: str
    """`recolour`, `remove`, `background`, `night`, `snow`."""
    instruction: str
    subject: str | None = None
    """Name of the object it changes; None: the whole picture."""


@dataclass(frozen=True, slots=True)
class SceneInfo:
    """A benchmark scene: what is in it and what makes it hard."""

    name: str
    summary: str
    challenge: str
    """E.g. `fast motion`."""
    subject: str
    """Name of the object a region edit is about."""
    edits: tuple[Edit, ...]


def scene_infos() -> dict[str, SceneInfo]:
    """Return all benchmark scenes by name."""
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class SceneClip:
    """A stretch of a scene: `frames` frames of `size = (width, height)` px; streamed, never stored."""

    scene: str
    size: tuple[int, int] = (256, 256)
    fps: float = 24.0
    frames: int = 48
    seed: int = 0
    edit: str | None = None
    """Key of one of the scene's edits."""

    def views(self) -> Iterator[View]:
        """Render frame after frame with its truth. An edited clip's truth is that of its own surfaces."""
        raise NotImplementedError

    def pictures(self) -> Iterator[Rgb]:
        """Render frame after frame without truth: faster, the same pixels."""
        raise NotImplementedError

    def mask(self, view: View, subject: str) -> NDArray[np.bool_]:
        """Return `[h w]` where an object is seen.

        Raises:
            UsageError: the scene has no object of that name.
        """
        raise NotImplementedError
