"""The regions at a point of a picture: what a click there may mean."""

from __future__ import annotations

from collections.abc import Mapping

from vivace.media.frame import Rgb
from vivace.regions.colours import bins_of, coloured
from vivace.regions.finder import Found, RegionFinder
from vivace.regions.names import COLOURS, REGIONS

_INSIDE = 128
"""Coverage of a px from which on it is of a region, of 255."""
_AROUND_PX = 2
"""Reach of the px around a point whose colour counts: one px alone may be noise."""
_THINGS = tuple(name for name in COLOURS if name not in ("blonde", "ginger"))
"""Colours by which a click may mean a thing; the others are of hair, which is a region of its own."""
_HAS_COLOUR = 0.5
"""Mean likelihood of a colour around a point from which on it may be meant."""
_THING = 0.15
"""Share of the picture up to which what has a colour is a thing on the background, and not the background itself."""


def at(x: int, y: int, found: Mapping[str, Found]) -> tuple[str, ...]:
    """Return the regions that cover a px, the smallest first."""
    covering = {name: each for name, each in found.items() if each.mask[y, x] >= _INSIDE}
    return tuple(sorted(covering, key=lambda name: (int(covering[name].mask.sum()), name)))


def pick(rgb: Rgb, x: int, y: int) -> tuple[str, ...]:
    """Return the regions and colours at a px of a picture by itself, `uint8 [h w 3]`, what is likeliest meant first.

    A part of a person comes before the person, and a small thing of a colour before the background that it is on. Takes
    as long as the first frame of a stream for which all regions are wanted.

    Raises:
        As `RegionFinder.open`.
    """
    around = rgb[max(0, y - _AROUND_PX) : y + _AROUND_PX + 1, max(0, x - _AROUND_PX) : x + _AROUND_PX + 1]
    bins = bins_of(around)
    colours = [name for name in _THINGS if coloured(bins, name).mean() >= _HAS_COLOUR]
    found = RegionFinder((rgb.shape[1], rgb.shape[0])).find(rgb, (*REGIONS, *colours))
    regions = [name for name in at(x, y, found) if name in REGIONS]
    if "person" in regions:
        regions = [name for name in regions if name != "subject"]
    by_size = sorted(colours, key=lambda name: (int(found[name].mask.sum()), name))
    things = [name for name in by_size if found[name].mask.mean() <= _THING * 255]
    if regions[:1] == ["background"]:
        return (*things, *regions, *(name for name in by_size if name not in things))
    return (*regions, *by_size)
