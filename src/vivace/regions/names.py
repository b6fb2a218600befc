"""The names of regions, and of the colours that stand for what has them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from vivace.errors import ControlError

REGIONS = ("person", "background", "face", "hair", "clothes", "lips", "eyes", "hands", "subject", "object", "sky")
"""Regions by name. All people are one person, all faces one face; background is what is no person; the subject is the
person, or else the object: what stands out where nobody is."""


_ANY = (0.0, 360.0)


@dataclass(frozen=True, slots=True)
class Shade:
    """A part of the space of hue, chroma and lightness (CIE Lab) that has a colour's name."""

    hues: tuple[float, float]
    """Hues, degrees, from the first up to the second, over 360 if need be."""
    chroma: tuple[float, float]
    """Least and most chroma."""
    lightness: tuple[float, float]
    """Least and most lightness, 0 to 100."""

    @property
    def is_grey(self) -> bool:
        """True for a shade of any hue."""
        return self.hues == _ANY


_FAR = 200.0

COLOURS = {
    "red": Shade((5, 48), (38, _FAR), (12, 70)),
    "orange": Shade((42, 76), (42, _FAR), (40, 88)),
    "yellow": Shade((68, 112), (32, _FAR), (45, 100)),
    "green": Shade((112, 190), (18, _FAR), (10, 96)),
    "turquoise": Shade((170, 235), (14, _FAR), (25, 95)),
    "cyan": Shade((180, 245), (18, _FAR), (45, 97)),
    "blue": Shade((225, 310), (16, _FAR), (8, 85)),
    "navy": Shade((235, 312), (10, 60), (2, 34)),
    "purple": Shade((295, 340), (16, _FAR), (8, 80)),
    "magenta": Shade((318, 352), (42, _FAR), (25, 80)),
    "pink": Shade((335, 395), (14, _FAR), (58, 96)),
    "maroon": Shade((350, 400), (18, 60), (8, 38)),
    "brown": Shade((35, 80), (12, 48), (14, 52)),
    "ginger": Shade((42, 72), (24, 65), (28, 64)),
    "blonde": Shade((60, 95), (14, 52), (48, 90)),
    "beige": Shade((55, 100), (8, 30), (66, 95)),
    "olive": Shade((95, 130), (14, 50), (20, 60)),
    "black": Shade(_ANY, (0, 14), (0, 20)),
    "grey": Shade(_ANY, (0, 9), (24, 74)),
    "silver": Shade(_ANY, (0, 8), (58, 88)),
    "white": Shade(_ANY, (0, 10), (84, 100.1)),
}
"""Colours by name."""


def check_names(wanted: Iterable[str]) -> frozenset[str]:
    """Return names of regions and colours as a set.

    Raises:
        ControlError: one of them is neither.
    """
    names = frozenset(wanted)
    unknown = sorted(names - set(REGIONS) - COLOURS.keys())
    if unknown:
        raise ControlError(f"no region is called {unknown[0]!r}; there are {', '.join((*REGIONS, *COLOURS))}")
    return names
