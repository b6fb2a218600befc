"""What every scene is."""

from __future__ import annotations

from typing import Protocol

from vivace.media.frame import Rgb


class Scene(Protocol):
    """A world that can be looked at, at any moment."""

    def render(self, time_s: float) -> Rgb:
        """Return the picture at `time_s` ≥ 0, `uint8 [h w 3]`, a new array. The same time gives the same picture."""
