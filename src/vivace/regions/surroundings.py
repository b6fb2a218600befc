"""What is no person in one stream's pictures: the sky, what has a colour, and what a picture is of where nobody is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vivace.media.frame import Rgb
from vivace.media.size import Size
from vivace.regions.colours import bins_of, coloured
from vivace.regions.edges import Edges
from vivace.regions.motion import Motion
from vivace.regions.names import COLOURS
from vivace.regions.picture import Picture, grid_of
from vivace.regions.pixels import CELL_PX, Carry, Field, learn
from vivace.regions.sky import SkyWatcher
from vivace.regions.subject import SubjectWatcher

OF_SURROUNDINGS = frozenset({"sky", "subject", *COLOURS})
_EVERY = {"sky": 6, "subject": 3}
"""Frames from one look to the next; three for a colour."""
_LEAST_COLOURED = 2e-3
"""Share of the picture below which what has a colour is not there."""


class Surroundings:
    """Sky, colours and subject of one stream."""

    def __init__(self, size: Size, threads: int | None = None) -> None:
        """Know nothing yet of pictures of `(width, height)` px."""
        self._threads = threads
        self._grid = grid_of(size)
        self._motion = Motion((self._grid[0] // CELL_PX, self._grid[1] // CELL_PX))
        self._edges = Edges(size, self._grid)
        self._sky: SkyWatcher | None = None
        self._subject: SubjectWatcher | None = None
        self._carry = Carry(self._grid, 0)
        self._names: list[str] = []
        """Of fields."""
        self._view: Picture | None = None
        self.forget()

    @property
    def loaded(self) -> tuple[str, ...]:
        """Names of what looks at pictures by now."""
        return tuple(type(watcher).__name__ for watcher in (self._subject, self._sky) if watcher is not None)

    def prepare(self, names: frozenset[str]) -> None:
        """Load what regions and colours need."""
        if "sky" in names:
            self._sky = self._sky or SkyWatcher()
        if "subject" in names:
            self._subject = self._subject or SubjectWatcher(self._grid, self._threads)
        new = sorted((names & OF_SURROUNDINGS) - set(self._names))
        if new:
            carry = Carry(self._grid, len(self._names) + len(new))
            carry.fields[: len(self._names)] = self._carry.fields
            self._carry, self._names = carry, [*self._names, *new]

    def forget(self) -> None:
        """Know nothing of the pictures so far."""
        for watcher in (self._sky, self._subject):
            if watcher is not None:
                watcher.forget()
        self._motion.forget()
        self._seen: set[str] = set()
        self._frame = 0

    def _field(self, name: str) -> Field:
        field: Field = self._carry.fields[self._names.index(name)]
        return field

    def look(self, rgb: Rgb, names: frozenset[str]) -> None:
        """Bring the wanted regions and colours up to date, in the next picture `uint8 [h w 3]`."""
        self._view = picture = Picture.of(rgb)
        flow = self._motion.update(picture.cells)
        if flow is not None:
            self._carry.move(flow)
        bins = None
        for name in sorted(names & OF_SURROUNDINGS):
            if name in self._seen and self._frame % _EVERY.get(name, 3) != 1:
                continue
            if name == "sky":
                assert self._sky is not None
                seen = self._sky.look(picture).repeat(CELL_PX, axis=0).repeat(CELL_PX, axis=1)
            elif name == "subject":
                assert self._subject is not None
                seen = self._subject.look(picture)
            else:
                bins = bins_of(picture.small) if bins is None else bins
                seen = coloured(bins, name)
            learn(self._field(name), seen, at_once=name not in self._seen)
            self._seen.add(name)
        self._edges.guide(picture.cells)
        self._frame += 1

    def presence(self, name: str) -> float:
        """Return how sure it is that a region is in the picture, 0 to 1."""
        if name == "sky":
            return 0.0 if self._sky is None else self._sky.presence
        if name == "subject":
            return 0.0 if self._subject is None else self._subject.presence
        return float(np.clip(self._field(name).mean() / _LEAST_COLOURED - 0.5, 0, 1))

    def mask(self, name: str) -> NDArray[np.uint8]:
        """Return the mask of a region, `uint8 [h w]`."""
        assert self._view is not None
        return self._edges.run(self._view.rgb, self._field(name))
