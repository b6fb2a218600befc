"""A shot: bodies before a backdrop, with light and a camera; and what an edit changes about it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vivace.media.frame import Rgb
from vivace.media.size import Size
from vivace.worlds.raycast.lens import Camera
from vivace.worlds.raycast.light import Light, Reach, tinted
from vivace.worlds.raycast.solids import Bodies, Body, Rgb01


class Interface(Protocol):
    """A user interface drawn over the picture; to the truth it is a surface of its own."""

    def mask(self, size: Size) -> NDArray[np.bool_]:
        """Return `[h w]` where it is, at all times."""

    def draw(self, canvas: Rgb, time_s: float) -> None:
        """Draw it over a picture."""


Weather = Callable[[Rgb, np.random.Generator, float], Rgb]
"""Takes a picture, the frame's own random numbers and the time; returns the picture through rain or a noisy sensor."""


@dataclass(frozen=True, slots=True)
class Shot:
    """What one camera sees until the next cut."""

    bodies: Bodies
    camera: Callable[[float], Camera]
    light: Callable[[float], Light]
    backdrop: str = "day"
    turn: float = 0.0
    """Of the backdrop, radians."""
    reach: Reach = field(default_factory=Reach)
    interface: Interface | None = None
    weather: Weather | None = None
    absent: frozenset[str] = frozenset()
    """Names of bodies that were taken away."""


@dataclass(frozen=True, slots=True)
class Edit:
    """An edit of a world, in words and in deeds."""

    key: str
    """`recolour`, `remove`, `background`, `night` or `snow`."""
    instruction: str
    subject: str | None = None
    """Name of the object it changes; None: the whole picture."""
    tints: tuple[tuple[Rgb01, Rgb01], ...] = ()
    """Of `recolour`: which tints of the subject become which."""
    backdrop: str | None = None
    """Of `background`, `night` and `snow`."""

    def apply(self, shot: Shot) -> Shot:
        """Return the shot changed; geometry, motion and camera stay what they are."""
        if self.key == "recolour":
            return replace(shot, bodies=Bodies([self._recoloured(body) for body in shot.bodies.bodies]))
        if self.key == "remove":
            assert self.subject is not None
            return replace(shot, absent=shot.absent | {self.subject})
        backdrop = self.backdrop or {"night": "night", "snow": "winter"}.get(self.key)
        assert backdrop is not None
        before = shot.light
        if self.key == "night":
            return replace(shot, backdrop=backdrop, light=lambda time_s: night(before(time_s)))
        if self.key == "snow":
            return replace(shot, backdrop=backdrop, light=lambda time_s: snow(before(time_s)))
        return replace(shot, backdrop=backdrop)

    def _recoloured(self, body: Body) -> Body:
        if body.name != self.subject:
            return body
        tints = dict(self.tints)
        solids = tuple(
            replace(solid, material=replace(solid.material, tint=tints.get(solid.material.tint, solid.material.tint)))
            for solid in body.solids
        )
        return replace(body, solids=solids)


def night(light: Light) -> Light:
    """Return the light of the same place at night: the moon where the sun was, lamps, lit windows."""
    return replace(
        light,
        sun=(0.20, 0.27, 0.46),
        sky=(0.055, 0.075, 0.15),
        ground=(0.03, 0.03, 0.05),
        haze=(0.012, 0.018, 0.04),
        shine=max(1.6, light.shine),
    )


def snow(light: Light) -> Light:
    """Return the light of the same place on a bright winter day."""
    return replace(
        light,
        sun=tinted(light.sun, 0.62),
        sky=(0.72, 0.78, 0.90),
        ground=(0.44, 0.46, 0.52),
        haze=(0.76, 0.79, 0.84),
        snow=1.0,
    )
