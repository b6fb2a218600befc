"""Edits by place, as an array that can be interpolated: a row of numbers for each place.

A stream walks from one prompt to the next along a straight line between their arrays, so a row is made of numbers for
which that is right: each has a weight, and what is weighted is multiplied by it. Half way from nothing to a red shirt
is a shirt half as red; half way from ink to oil is their mixture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vivace.models.edits.places import ANYWHERE, EVERYTHING, PLACES, TREE, parts_of

Embeds = NDArray[np.float32]
Rgb = tuple[float, float, float]
"""Red, green and blue, 0 to 1."""

_COUNTS, _LOOK, _TINT, _BLUR, _FILL, _GONE, _PICTURE, _CLEAR, _EMBEDS = (
    0,
    1,
    slice(2, 6),
    6,
    slice(7, 11),
    11,
    12,
    13,
    14,
)
"""Columns of a row. A tint and a fill are a weight and a colour times it, a look's embedding is multiplied by its
weight `_LOOK`, and all of a row by `_COUNTS`, which is 1 for a place of the tree and for one anywhere that is named."""

Plan = NDArray[np.float32]
"""`[places 14 + d]` in the order of `PLACES`, where `d` is the length of an embedding of the painting model."""


class Tint(NamedTuple):
    """A colour and how much of it, 0 to 1."""

    weight: float
    rgb: Rgb


@dataclass(slots=True)
class PlaceEdit:
    """The edit of one place; weights are 0 to 1."""

    embeds: Embeds | None = None
    """Embedding of the look that it is painted with."""
    look: float = 0.0
    """Opacity of the look."""
    tint: Tint | None = None
    blur: float = 0.0
    fill: Tint | None = None
    gone: float = 0.0
    """Opacity of what is behind it over the place itself."""
    picture: float = 0.0
    """Opacity of the user's picture over it."""
    clear: float = 0.0
    """Transparency of the output there."""


def to_plan(edits: dict[str, PlaceEdit], dim: int) -> Plan:
    """Return the array of what is done to each place; those that are not named stay as they are.

    A place anywhere (a colour, the subject) counts where it is named, even with nothing done to it: it is kept.
    """
    plan = np.zeros((len(PLACES), _EMBEDS + dim), np.float32)
    for row, name in zip(plan, PLACES, strict=True):
        edit = edits.get(name)
        row[_COUNTS] = name in TREE or edit is not None
        if edit is None:
            continue
        if edit.embeds is not None:
            row[_LOOK] = edit.look
            row[_EMBEDS:] = edit.look * edit.embeds
        row[_TINT], row[_FILL] = (
            (0, 0, 0, 0) if tint is None else (tint.weight, *(tint.weight * part for part in tint.rgb))
            for tint in (edit.tint, edit.fill)
        )
        row[_BLUR], row[_GONE], row[_PICTURE], row[_CLEAR] = edit.blur, edit.gone, edit.picture, edit.clear
    return plan


def whole(embeds: Embeds, opacity: float = 1.0) -> Plan:
    """Return the plan that paints all of the picture with one look, at an opacity of 0 to 1."""
    return to_plan(dict.fromkeys(TREE, PlaceEdit(embeds, opacity)), len(embeds))


def confined(plan: Plan, place: str) -> Plan:
    """Return the plan at one place alone, if it does the same everywhere; one that names places is returned itself."""
    everywhere, anywhere = plan[0], plan[len(TREE) :]
    if anywhere.any() or (plan[: len(TREE)] != everywhere).any():
        return plan
    there = to_plan({}, plan.shape[1] - _EMBEDS)
    there[[PLACES.index(name) for name in parts_of(place)]] = everywhere
    return there


def behind_people(plan: Plan) -> Plan:
    """Return the plan with the user's picture in place of the background, but where something else is put there."""
    plan = plan.copy()
    for name in parts_of("background"):
        row = plan[PLACES.index(name)]
        row[_PICTURE] = float(row[_FILL.start] + row[_CLEAR] == 0)
    return plan


def with_looks(plan: Plan, change: Callable[[Embeds], Embeds], otherwise: Embeds) -> Plan:
    """Return the plan with `change` of each look's embedding; one without looks paints all with `otherwise`."""
    plan = plan.copy()
    if not plan[:, _LOOK].any():
        plan[: len(TREE), _LOOK], plan[: len(TREE), _EMBEDS:] = 1, otherwise
        return plan
    for row in plan:
        if row[_LOOK] > 0:
            row[_EMBEDS:] = row[_LOOK] * change(row[_EMBEDS:] / row[_LOOK])
    return plan


@dataclass(frozen=True, slots=True)
class Layer:
    """One thing to do at one or more places."""

    places: frozenset[str]
    weight: float
    """Opacity, 0 to 1; of a blur its amount."""
    rgb: Rgb | None = None
    """Colour of a tint or a fill."""
    embeds: Embeds | None = field(default=None, repr=False, compare=False)
    """Embedding of a look."""


@dataclass(frozen=True, slots=True)
class Layers:
    """A plan, sorted by what is to be done."""

    looks: tuple[Layer, ...] = ()
    tints: tuple[Layer, ...] = ()
    blurs: tuple[Layer, ...] = ()
    fills: tuple[Layer, ...] = ()
    gone: tuple[Layer, ...] = ()
    pictures: tuple[Layer, ...] = ()
    clear: tuple[Layer, ...] = ()
    present: dict[str, float] = field(default_factory=dict)
    """The places anywhere that count, and how much, 0 to 1."""

    @property
    def all(self) -> tuple[Layer, ...]:
        """Every layer, in the order in which they are laid."""
        return (*self.gone, *self.tints, *self.blurs, *self.fills, *self.pictures, *self.looks, *self.clear)

    @property
    def whole(self) -> Layer | None:
        """The look that is painted on all of the picture, where that is all there is to do; else None."""
        if self.all != self.looks or len(self.looks) != 1 or self.present:
            return None
        [look] = self.looks
        return look if look.places == EVERYTHING and look.weight == 1 else None


def read_plan(plan: Plan) -> Layers:
    """Return what a plan asks for; places with the same to do are one layer."""
    present = {
        name: float(row[_COUNTS])
        for name, row in zip(PLACES, plan, strict=True)
        if name in ANYWHERE and row[_COUNTS] > 0
    }
    rows = {name: row / row[_COUNTS] for name, row in zip(PLACES, plan, strict=True) if row[_COUNTS] > 0}

    def groups(weight_at: int, value: slice) -> list[tuple[frozenset[str], float, NDArray[np.float32]]]:
        """Return which places have the same weight and value, and both."""
        found: dict[bytes, tuple[list[str], NDArray[np.float32]]] = {}
        for name, row in rows.items():
            if row[weight_at] > 0:
                key = row[weight_at : weight_at + 1].tobytes() + row[value].tobytes()
                found.setdefault(key, ([], row))[0].append(name)
        return [
            (frozenset(names), min(float(row[weight_at]), 1.0), row[value] / row[weight_at])
            for names, row in found.values()
        ]

    def colours(part: slice) -> tuple[Layer, ...]:
        found = groups(part.start, slice(part.start + 1, part.stop))
        return tuple(Layer(names, weight, rgb=(float(r), float(g), float(b))) for names, weight, (r, g, b) in found)

    def amounts(at: int) -> tuple[Layer, ...]:
        return tuple(Layer(names, weight) for names, weight, _ in groups(at, slice(0, 0)))

    return Layers(
        looks=tuple(Layer(names, weight, embeds=value) for names, weight, value in groups(_LOOK, slice(_EMBEDS, None))),
        tints=colours(_TINT),
        blurs=amounts(_BLUR),
        fills=colours(_FILL),
        gone=amounts(_GONE),
        pictures=amounts(_PICTURE),
        clear=amounts(_CLEAR),
        present=present,
    )
