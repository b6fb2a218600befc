"""What an edit does where, as an array that can be interpolated: a row of numbers for each place.

A stream walks from one prompt to the next along a straight line between their arrays, so a row is made of numbers for
which that is right: each has a weight, and what is weighted is multiplied by it. Half way from nothing to a red shirt
is a shirt half as red; half way from ink to oil is their mixture.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vivace.models.edits.places import ANYWHERE, PLACES, TREE

Embeds = NDArray[np.float32]
Rgb = tuple[float, float, float]
"""Red, green and blue, 0 to 1."""

_COUNTS, _LOOK, _TINT, _BLUR, _FILL, _GONE, _EMBEDS = 0, 1, slice(2, 6), 6, slice(7, 11), 11, 12
"""Of a row: whether the place counts, how much of a look it has, weight and colour that it is tinted with, blur, weight
and colour that it is filled with, how much it is gone, the embedding of its look."""


class Tint(NamedTuple):
    """A colour and how much of it."""

    weight: float
    rgb: Rgb


@dataclass(slots=True)
class PlaceEdit:
    """What is done to one place."""

    embeds: Embeds | None = None
    """Of the look that it is painted with."""
    look: float = 0.0
    """How much of the look is seen, 0 to 1."""
    tint: Tint | None = None
    blur: float = 0.0
    """0 to 1."""
    fill: Tint | None = None
    gone: float = 0.0
    """0 to 1: how much what is behind it is seen instead."""


Plan = NDArray[np.float32]
"""`[places 12 + d]` in the order of `PLACES`, where `d` is the length of an embedding of the painting model."""


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
        row[_BLUR], row[_GONE] = edit.blur, edit.gone
    return plan


def whole(embeds: Embeds) -> Plan:
    """Return the plan that paints all of the picture with one look."""
    return to_plan({name: PlaceEdit(embeds, 1.0) for name in TREE}, len(embeds))


@dataclass(frozen=True, slots=True)
class Layer:
    """One thing to do at one or more places."""

    places: frozenset[str]
    weight: float
    """0 to 1: opacity of a look, a tint or a fill; the amount of blur."""
    rgb: Rgb | None = None
    """Of a tint or a fill."""
    embeds: Embeds | None = field(default=None, repr=False, compare=False)
    """Of a look."""


@dataclass(frozen=True, slots=True)
class Layers:
    """A plan, sorted by what is to be done."""

    looks: tuple[Layer, ...]
    tints: tuple[Layer, ...]
    blurs: tuple[Layer, ...]
    fills: tuple[Layer, ...]
    gone: tuple[Layer, ...]
    present: dict[str, float]
    """The places anywhere that count, and how much."""

    @property
    def all(self) -> Iterable[Layer]:
        """Every layer, in the order in which they are laid."""
        return (*self.gone, *self.tints, *self.blurs, *self.fills, *self.looks)


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
        tuple(Layer(names, weight, embeds=value) for names, weight, value in groups(_LOOK, slice(_EMBEDS, None))),
        colours(_TINT),
        amounts(_BLUR),
        colours(_FILL),
        amounts(_GONE),
        present,
    )
