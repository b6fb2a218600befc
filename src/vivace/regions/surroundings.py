"""Regions of one stream's pictures that are no people: the sky, things of a colour, an object where nobody is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vivace.media.frame import Rgb
from vivace.media.size import Size
from vivace.regions.colours import bins_of, coloured, shadows
from vivace.regions.edges import Edges
from vivace.regions.motion import Motion
from vivace.regions.names import COLOURS
from vivace.regions.object import ObjectWatcher
from vivace.regions.picture import Picture, grid_of
from vivace.regions.pixels import CELL_PX, Carry, Field, halved, learn
from vivace.regions.sky import SkyWatcher

OF_SURROUNDINGS = frozenset({"sky", "object", *COLOURS})
_EVERY = {"sky": 6, "object": 3}
"""Frames from one look to the next; three for a colour."""
_LEAST_COLOURED = 2e-3
"""Share of the picture below which what has a colour is not there."""


class Surroundings:
    """Sky, colours and object of one stream."""

    def __init__(self, size: Size, threads: int | None = None) -> None:
        """Know nothing yet of pictures of `(width, height)` px."""
        self._threads = threads
        self._grid = grid_of(size)
        self._motion = Motion((self._grid[0] // CELL_PX, self._grid[1] // CELL_PX))
        self._edges = Edges(size, self._grid)
        self._sky: SkyWatcher | None = None
        self._object: ObjectWatcher | None = None
        self._carry = Carry(self._grid, 0)
        self._names: list[str] = []
        """Regions that are looked for, in the order of the carried fields."""
        self._view: Picture | None = None
        self._seen: set[str] = set()
        self._frame = 0

    @property
    def loaded(self) -> tuple[str, ...]:
        """Names of what looks at pictures by now."""
        return tuple(type(watcher).__name__ for watcher in (self._object, self._sky) if watcher is not None)

    def prepare(self, names: frozenset[str]) -> None:
        """Load what regions and colours need."""
        if "sky" in names:
            self._sky = self._sky or SkyWatcher()
        if "object" in names:
            self._object = self._object or ObjectWatcher(self._grid, self._threads)

    def forget(self) -> None:
        """Know nothing of the pictures so far."""
        self._want(frozenset())

    def _want(self, names: frozenset[str]) -> None:
        """Look for these regions from now on; others are forgotten, or they would be of another time."""
        carry = Carry(self._grid, len(names))
        for field, name in zip(carry.fields, sorted(names), strict=True):
            if name in self._seen:
                field[:] = self._field(name)
        self._carry, self._names = carry, sorted(names)
        self._seen &= names
        for name, watcher in (("sky", self._sky), ("object", self._object)):
            if watcher is not None and name not in names:
                watcher.forget()
        if not names:
            self._motion.forget()
            self._frame = 0

    def _field(self, name: str) -> Field:
        field: Field = self._carry.fields[self._names.index(name)]
        return field

    def look(self, rgb: Rgb, names: frozenset[str]) -> None:
        """Bring the wanted regions and colours up to date, in the next picture `uint8 [h w 3]`."""
        if sorted(names) != self._names:
            self._want(names)
        if not names:
            return
        self._view = picture = Picture.of(rgb)
        flow = self._motion.update(picture.cells)
        if flow is not None:
            self._carry.move(flow)
        bins = None
        for name in self._names:
            if name in self._seen and self._frame % _EVERY.get(name, 3) != 1:
                continue
            if name == "sky":
                assert self._sky is not None
                seen = self._sky.look(picture).repeat(CELL_PX, axis=0).repeat(CELL_PX, axis=1)
            elif name == "object":
                assert self._object is not None
                seen = self._object.look(picture)
            else:
                bins = bins_of(picture.small) if bins is None else bins
                seen = coloured(bins, name)
                shaded = shadows(picture.cells, halved(seen), name)
                seen = np.maximum(seen, shaded.repeat(CELL_PX, axis=0).repeat(CELL_PX, axis=1))
            learn(self._field(name), seen, at_once=name not in self._seen)
            self._seen.add(name)
        self._edges.guide(picture.cells)
        self._frame += 1

    def presence(self, name: str) -> float:
        """Return how sure it is that a region is in the picture, 0 to 1."""
        if name == "sky":
            return 0.0 if self._sky is None else self._sky.presence
        if name == "object":
            return 0.0 if self._object is None else self._object.presence
        return float(np.clip(self._field(name).mean() / _LEAST_COLOURED - 0.5, 0, 1))

    def mask(self, name: str) -> NDArray[np.uint8]:
        """Return the mask of a region, `uint8 [h w]`."""
        assert self._view is not None
        return self._edges.run(self._view.rgb, self._field(name))
