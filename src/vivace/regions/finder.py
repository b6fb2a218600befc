"""Finds regions in the pictures of one stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vivace.errors import ControlError
from vivace.media.frame import Rgb
from vivace.media.size import Size
from vivace.regions.motion import Motion
from vivace.regions.names import check_names
from vivace.regions.person import PersonWatcher
from vivace.regions.picture import Picture, grid_of
from vivace.regions.pixels import CELL_PX, Carry, Edges


@dataclass(frozen=True, slots=True)
class Found:
    """Where a region is in a picture."""

    mask: NDArray[np.uint8]
    """`[h w]` at the picture's size: how much of each px belongs to it, 0 to 255. All 0 where it is not there."""
    presence: float
    """0 to 1, how sure it is that the region is in the picture; 0 where it is not."""


class RegionFinder:
    """Finds regions in the pictures of one stream, frame by frame.

    Networks look at every few frames and what they saw moves along in between, so that frames must come in their order.
    The same pictures give the same masks. One stream's, and not safe to use from several threads; networks are shared
    by all of a process.
    """

    def __init__(self, size: Size, *, threads: int | None = None) -> None:
        """Find in pictures of `(width, height)` px; `threads` is for the networks, all by default."""
        self._size = size
        self._grid = grid_of(size)
        self._threads = threads
        self._motion = Motion((self._grid[0] // CELL_PX, self._grid[1] // CELL_PX))
        self._wanted: frozenset[str] = frozenset()
        self._person: PersonWatcher | None = None
        self._carry: Carry | None = None
        self._edges: dict[int, Edges] = {}

    @classmethod
    def open(cls, size: Size, wanted: frozenset[str] = frozenset(), *, threads: int | None = None) -> RegionFinder:
        """Open a finder that is ready for some regions and colours.

        Raises:
            ControlError: a name is no region's and no colour's.
            CheckpointError: files of a network are missing or damaged.
            BackendUnavailableError: OpenVINO is not installed or has no CPU device here.
        """
        finder = cls(size, threads=threads)
        finder.prepare(wanted)
        return finder

    def prepare(self, wanted: frozenset[str]) -> None:
        """Load and compile what these regions need and is not there yet; slow, and `find` need not do it then.

        Raises:
            As `open`.
        """
        check_names(wanted)
        if wanted and self._person is None:
            self._person = PersonWatcher(self._grid, self._threads)
            self._carry = Carry(self._grid, 1, self._threads)
        if wanted:
            self._edges_for(1)

    @property
    def loaded(self) -> tuple[str, ...]:
        """What has been loaded: names of regions that are looked for by networks."""
        return () if self._person is None else ("person",)

    def reset(self) -> None:
        """Forget the pictures so far, as at a cut."""
        self._motion.forget()
        if self._person is not None:
            self._person.forget()

    def find(self, rgb: Rgb, wanted: frozenset[str]) -> Mapping[str, Found]:
        """Return where the wanted regions are in the next picture, `uint8 [h w 3]`, by name.

        Without any nothing is computed, and the past is forgotten.

        Raises:
            ControlError: a name is no region's and no colour's, or the picture has another size.
        """
        if rgb.shape != (self._size[1], self._size[0], 3):
            raise ControlError(
                f"the picture is {rgb.shape}; this finder was opened for {self._size[0]}x{self._size[1]}"
            )
        if not wanted:
            if self._wanted:
                self.reset()
            self._wanted = wanted
            return {}
        self.prepare(wanted)
        self._wanted = wanted
        assert self._person is not None
        assert self._carry is not None
        picture = Picture.of(rgb)
        flow = self._motion.update(picture.cells)
        if flow is not None:
            self._carry.move(flow)
        (person,) = self._carry.fields
        self._person.look(picture, person)
        edges = self._edges_for(1)
        presence = self._person.presence
        if presence:
            edges.masks[0] = person
            mask = edges.run(rgb, picture.cells)[0].copy()
        else:
            mask = np.zeros(rgb.shape[:2], np.uint8)
        return {"person": Found(mask, presence), "background": Found(~mask, 1.0)}

    def _edges_for(self, masks: int) -> Edges:
        if masks not in self._edges:
            self._edges[masks] = Edges(self._size, self._grid, masks, self._threads)
        return self._edges[masks]
