"""The places of a picture that an edit can be confined to, and which part of the picture each of several has.

Places form a tree: the picture is background, on which the sky and the person lie, on whom lie clothes, hair, hands and
the face, on which lie eyes and lips. A place that an edit does not tell from what it lies on needs no mask. Things of a
colour and the subject lie anywhere, over all others, where an edit names them.
"""

from __future__ import annotations

from collections.abc import Callable, Set

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
"""What each place lies on, from below to above."""
TREE = (ROOT, *LIES_ON)
ANYWHERE = ("subject", *COLOURS)
"""Places that lie over all others: a colour is what has it."""
PLACES = (*TREE, *ANYWHERE)


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


EVERYTHING = frozenset(TREE)


def needed(inside: Set[str], present: Set[str]) -> frozenset[str]:
    """Return which places have to be found in a picture to know where the places `inside` are.

    Args:
        inside: places of the tree, and of those anywhere.
        present: the places anywhere that count, inside or not.
    """
    told_apart = {name for name, below in LIES_ON.items() if (name in inside) != (below in inside)}
    return frozenset(told_apart | present)


def coverage(inside: Set[str], present: Set[str], found: Callable[[str], Mask], size: tuple[int, int]) -> Mask | None:
    """Return where the places `inside` are in a picture of `(width, height)` px; None is everywhere.

    Args:
        inside: as for `needed`.
        present: as for `needed`.
        found: gives the mask of a place that is `needed`.
        size: of the picture.
    """
    wanted = needed(inside, present)
    if not wanted and ROOT in inside:
        return None
    mask = Image.new("L", size, 255 if ROOT in inside else 0)
    for name in PLACES:
        if name in wanted:
            mask.paste(255 if name in inside else 0, mask=Image.fromarray(found(name)))
    return np.asarray(mask)


def both(first: Mask | None, second: Mask | None) -> Mask | None:
    """Return the union of two masks; None is everywhere."""
    if first is None or second is None:
        return None
    return np.asarray(ImageChops.lighter(Image.fromarray(first), Image.fromarray(second)))
