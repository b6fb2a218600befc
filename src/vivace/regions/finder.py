"""Finds regions in the pictures of one stream."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vivace.errors import ControlError
from vivace.media.frame import Rgb
from vivace.media.size import Size
from vivace.regions.names import check_names
from vivace.regions.people import OF_PEOPLE, People
from vivace.regions.surroundings import OF_SURROUNDINGS, Surroundings


@dataclass(frozen=True, slots=True)
class Found:
    """A region of one picture."""

    mask: NDArray[np.uint8]
    """`[h w]` at the picture's size, coverage of each px, 0 to 255; all 0 where the region is not in the picture."""
    presence: float
    """Confidence that the region is in the picture, 0 to 1; 0 where it is not found."""


class RegionFinder:
    """Finds regions in the pictures of one stream, frame by frame.

    Networks look at every few frames and what they saw moves along in between, so that frames must come in their order.
    The same pictures give the same masks. One stream's, and not safe to use from several threads; networks are shared
    by all of a process.
    """

    def __init__(self, size: Size, *, threads: int | None = None) -> None:
        """Find in pictures of `(width, height)` px; `threads` is for the networks, all by default."""
        self._size = size
        self._people = People(size, threads)
        self._surroundings = Surroundings(size, threads)

    @classmethod
    def open(cls, size: Size, wanted: Iterable[str] = (), *, threads: int | None = None) -> RegionFinder:
        """Open a finder that is ready for some regions and colours.

        Raises:
            ControlError: a name is no region's and no colour's.
            CheckpointError: files of a network are missing or damaged.
            BackendUnavailableError: OpenVINO is not installed or has no CPU device here.
        """
        finder = cls(size, threads=threads)
        finder.prepare(wanted)
        return finder

    def prepare(self, wanted: Iterable[str]) -> None:
        """Load and compile what these regions need and is not there yet; slow, and `find` need not do it then.

        Raises:
            As `open`.
        """
        names = check_names(wanted)
        people, others = _parts(names)
        self._people.prepare(people)
        self._surroundings.prepare(others)

    @property
    def loaded(self) -> tuple[str, ...]:
        """Names of the watchers that are loaded by now: only those that the regions so far need."""
        return self._people.loaded + self._surroundings.loaded

    def reset(self) -> None:
        """Forget the pictures so far, as at a cut."""
        self._people.forget()
        self._surroundings.forget()

    def find(self, rgb: Rgb, wanted: Iterable[str]) -> Mapping[str, Found]:
        """Return where the wanted regions are in the next picture, `uint8 [h w 3]`, by name.

        A region that is not wanted for a frame is forgotten and found anew when it is; without any nothing is computed.

        Raises:
            ControlError: a name is no region's and no colour's, or the picture has another size.
        """
        if rgb.shape != (self._size[1], self._size[0], 3) or rgb.dtype != np.uint8:
            raise ControlError(
                f"the picture is {rgb.dtype} {rgb.shape}; this finder was opened for uint8 "
                f"{(self._size[1], self._size[0], 3)}"
            )
        names = check_names(wanted)
        self.prepare(names)
        people, others = _parts(names)
        self._people.look(rgb, people)
        nobody = not ("object" in others and self._people.presence("person") > 0)
        self._surroundings.look(rgb, others if nobody else others - {"object"})
        found = {}
        for name in sorted(names):
            seen = "object" if name == "subject" and nobody else name
            of = self._surroundings if seen in others else self._people
            presence = of.presence(seen) if nobody or seen != "object" else 0.0
            found[name] = Found(of.mask(seen) if presence else np.zeros(rgb.shape[:2], np.uint8), presence)
        return found


def _parts(names: frozenset[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Return what is to be found of people and of the rest: an object is one where nobody is, and then the subject."""
    if not names & {"subject", "object"}:
        return names & OF_PEOPLE, names & OF_SURROUNDINGS
    return names & OF_PEOPLE | {"subject"}, names & OF_SURROUNDINGS | {"object"}
