"""Composition of a look, independent of any weights: shares of named looks and of pictures.

A mixture is data that people keep and share. Its names and its numbers of pictures mean the same to all weights of this
family; the code that a network paints with is computed from them (`codes.Codes`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from vivace.models.mini2.looks import LOOKS

SOURCE = "source"
"""Key of the unchanged source as a look: strength is expressed as its share."""
_TITLES = {look.key: look.title for look in LOOKS}


@dataclass(frozen=True, slots=True)
class PictureShare:
    """Share of a picture in a look."""

    numbers: tuple[float, ...] = field(repr=False)
    """The 100 numbers of the picture, see `pictures.PictureReader`."""
    share: float


@dataclass(frozen=True, slots=True)
class Mixture:
    """Shares that sum to at most 1; the rest is the source."""

    looks: Mapping[str, float]
    """Shares by key of the look, 0 to 1."""
    pictures: tuple[PictureShare, ...] = ()

    @property
    def total(self) -> float:
        """Sum of the shares."""
        return sum(self.looks.values()) + sum(each.share for each in self.pictures)

    def filled(self) -> Mixture:
        """Return the mixture completed to 1 with the source."""
        missing = 1 - self.total
        if missing <= 1e-6:
            return self
        return Mixture({**self.looks, SOURCE: self.looks.get(SOURCE, 0.0) + missing}, self.pictures)

    def times(self, share: float) -> Mixture:
        """Return the mixture with every share multiplied by `share`."""
        pictures = tuple(PictureShare(each.numbers, each.share * share) for each in self.pictures)
        return Mixture({key: own * share for key, own in self.looks.items()}, pictures)

    def plus(self, other: Mixture) -> Mixture:
        """Return the sum of two mixtures."""
        keys = dict.fromkeys([*self.looks, *other.looks])
        looks = {key: self.looks.get(key, 0.0) + other.looks.get(key, 0.0) for key in keys}
        return Mixture(looks, self.pictures + other.pictures)

    @property
    def words(self) -> str:
        """Description of the mixture for people."""
        parts = [(share, _TITLES[key]) for key, share in self.looks.items()]
        parts += [(each.share, "a picture") for each in self.pictures]
        parts.sort(key=lambda part: -part[0])
        if len(parts) == 1 and parts[0][0] > 0.995:
            return parts[0][1]
        return " + ".join(f"{share:.0%} {title}" for share, title in parts)
