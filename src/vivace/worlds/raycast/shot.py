"""Shots: bodies before a backdrop, with light and a camera, and edits of them."""

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
    """User interface drawn over the picture; in the truth it is a surface of its own."""

    def mask(self, size: Size) -> NDArray[np.bool_]:
        """Return its pixels `[h w]`, the same at all times."""

    def draw(self, canvas: Rgb, time_s: float) -> None:
        """Draw it over a picture."""


Weather = Callable[[Rgb, np.random.Generator, float], Rgb]
"""Function of a picture, the frame's random generator and the time that adds rain or sensor noise."""


@dataclass(frozen=True, slots=True)
class Shot:
    """View of one camera until the next cut."""

    bodies: Bodies
    camera: Callable[[float], Camera]
    light: Callable[[float], Light]
    backdrop: str = "day"
    turn: float = 0.0
    """Rotation of the backdrop, radians."""
    reach: Reach = field(default_factory=Reach)
    interface: Interface | None = None
    weather: Weather | None = None
    absent: frozenset[str] = frozenset()
    """Names of removed bodies."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Edit of a world, as an instruction and as a change."""

    key: str
    """Kind: `recolour`, `remove`, `background`, `night` or `snow`."""
    instruction: str
    subject: str | None = None
    """Name of the object it changes; None is the whole picture."""
    tints: tuple[tuple[Rgb01, Rgb01], ...] = ()
    """Old and new tints of the subject, for `recolour`."""
    backdrop: str | None = None
    """New backdrop, for `background`, `night` and `snow`."""

    def apply(self, shot: Shot) -> Shot:
        """Return the edited shot; geometry, motion and camera stay the same."""
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
    """Return the light of the same place at night: the moon in place of the sun, lamps, lit windows."""
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
