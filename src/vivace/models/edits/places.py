"""The places of a picture that an edit can be confined to, and the masks of combinations of them.

Places form a tree: the picture is background, on which the sky and the person lie, on whom lie clothes, hair, hands and
the face, on which lie eyes and lips. A place that an edit does not tell from what it lies on needs no mask. Things of a
colour, the subject and an object lie anywhere, over all others, where an edit names them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from vivace.regions.names import COLOURS

Mask = NDArray[np.uint8]
"""`[h w]` coverage, 0 to 255."""

ROOT = "background"
LIES_ON: dict[str, str] = {
    "sky": ROOT,
    "person": ROOT,
    "clothes": "person",
    "hair": "person",
    "hands": "person",
    "face": "person",
    "eyes": "face",
    "lips": "face",
}
"""Place by the place on it, from the lowest to the highest."""
TREE = (ROOT, *LIES_ON)
WORN = {f"{colour} clothes": frozenset({"clothes", colour}) for colour in COLOURS}
"""Clothes of a colour, such as "the red jacket", by the regions whose overlap they are."""
CHOICES = (*TREE, "subject", "object", *COLOURS)
"""Places that have a name for people."""
ANYWHERE = ("subject", "object", *COLOURS, *WORN)
"""Places that lie over all others: the subject, an object, everything of a colour, what is worn of a colour."""
PLACES = (*TREE, *ANYWHERE)
EVERYTHING = frozenset(TREE)


def parts_of(place: str) -> frozenset[str]:
    """Return a place and all that lies on it: of the subject the person too, of the background all but the person."""
    if place == "subject":
        return frozenset({place}) | parts_of("person")
    if place == ROOT:
        return frozenset({ROOT, "sky"})
    found = {place}
    for name, below in LIES_ON.items():
        if below in found:
            found.add(name)
    return frozenset(found)


def named(places: Set[str]) -> list[str]:
    """Return the names of places, as people choose them, without those of their parts."""
    parts = frozenset[str]().union(*(parts_of(place) - {place} for place in places))
    seen = {"clothes" if name in WORN else name for name in places - parts}
    return [name for name in CHOICES if name in seen]


def needed(inside: Set[str], present: Set[str]) -> frozenset[str]:
    """Return which places have to be found in a picture to know where the places `inside` are.

    Args:
        inside: places of the tree, and of those anywhere.
        present: the places anywhere that count, inside or not.
    """
    told_apart = {name for name, below in LIES_ON.items() if (name in inside) != (below in inside)}
    return frozenset[str]().union(told_apart, *(WORN.get(name, {name}) for name in present))


def coverage(
    inside: Set[str], present: Mapping[str, float], found: Callable[[str], Mask], size: tuple[int, int]
) -> Mask | None:
    """Return where the places `inside` are in a picture of `(width, height)` px; None is everywhere.

    Args:
        inside: places of the tree, and of those anywhere.
        present: the places anywhere that count, inside or not, and how much, 0 to 1: while a prompt fades in, a thing
            of a colour is told from what it lies on more and more.
        found: gives the mask of a place that is `needed`.
        size: `(width, height)` of the picture, px.
    """
    wanted = needed(inside, frozenset()) | present.keys()
    if not wanted and ROOT in inside:
        return None
    mask = Image.new("L", size, 255 if ROOT in inside else 0)
    for name in PLACES:
        if name in wanted:
            place = np.minimum.reduce([found(part) for part in WORN.get(name, (name,))])
            place = faded(place, present.get(name, 1.0), size)
            assert place is not None
            mask.paste(255 if name in inside else 0, mask=Image.fromarray(place))
    return np.asarray(mask)


def faded(mask: Mask | None, weight: float, size: tuple[int, int]) -> Mask | None:
    """Return a mask times a weight, 0 to 1, of a picture of `(width, height)` px; None is everywhere, and all of it."""
    if weight >= 1:
        return mask
    level = round(255 * weight)
    if mask is None:
        return np.full(size[::-1], level, np.uint8)
    return np.asarray(ImageChops.multiply(Image.fromarray(mask), Image.new("L", size, level)))


def both(first: Mask | None, second: Mask | None) -> Mask | None:
    """Return the union of two masks; None is everywhere."""
    if first is None or second is None:
        return None
    return np.maximum(first, second)
