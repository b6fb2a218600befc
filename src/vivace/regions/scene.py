"""What is known of one stream's picture: who looks at which frame, and what regions are made of."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from vivace.media.size import Size
from vivace.regions.colours import bins_of, coloured
from vivace.regions.faces import FaceWatcher, draw
from vivace.regions.names import COLOURS
from vivace.regions.parts import PARTS, PartsWatcher
from vivace.regions.person import EVERY, PersonWatcher
from vivace.regions.picture import Picture
from vivace.regions.pixels import CELL_PX, Carry, Field, Flow
from vivace.regions.sky import SkyWatcher
from vivace.regions.subject import SecondOpinion, agreed, contrast

_OF_PARTS = frozenset({"face", "hair", "clothes", "hands"})
_OF_FACES = _OF_PARTS | {"lips", "eyes"}
_OF_PEOPLE = _OF_PARTS | {"person", "background", "subject"}
_OUTLINES = {"face": ("oval",), "lips": ("lips",), "eyes": ("left_eye", "right_eye")}
_FIELDS = {
    "person": ("person",),
    "background": ("person",),
    "face": ("hair", "forehead"),
    "lips": (),
    "eyes": (),
}
"""Fields that a region is made of at the picture's size, where that is not the one of its name."""
_SUBJECT_EVERY, _SKY_EVERY = 3, 6
_CALM_GAIN, _GAIN_PER_DIFFERENCE = 0.35, 1.0
"""How much of what is seen anew is believed: little where it differs little, which is noise."""
_LEAST, _LEAST_COLOURED = 4e-4, 2e-3
"""Share of the picture below which a part of a person, and what has a colour, is not there."""


class Scene:
    """Watchers of one stream, and the fields they keep: how much each px of the grid belongs to something."""

    def __init__(self, grid: Size, threads: int | None = None) -> None:
        """Know nothing yet, on a grid of `(width, height)`."""
        self._grid = grid
        self._threads = threads
        self._person: PersonWatcher | None = None
        self._faces: FaceWatcher | None = None
        self._parts: PartsWatcher | None = None
        self._second: SecondOpinion | None = None
        self._sky: SkyWatcher | None = None
        self._carry: Carry | None = None
        self._places: dict[str, int] = {}
        """Of fields in those that are carried along."""
        self._seen: set[str] = set()
        """Fields of which something is known."""
        self._standing_out = 0.0
        self._frame = 0

    @property
    def loaded(self) -> tuple[str, ...]:
        """Names of what looks at pictures by now."""
        watchers = (self._person, self._faces, self._parts, self._second, self._sky)
        return tuple(type(watcher).__name__ for watcher in watchers if watcher is not None)

    def prepare(self, names: frozenset[str]) -> None:
        """Load what regions and colours need."""
        kept = [name for name in sorted(names) if name in COLOURS]
        if names & _OF_PEOPLE:
            self._person = self._person or PersonWatcher(self._grid, self._threads)
            kept.append("person")
        if names & _OF_FACES:
            self._faces = self._faces or FaceWatcher(self._threads)
        if names & _OF_PARTS:
            self._parts = self._parts or PartsWatcher(self._grid)
            kept += PARTS
        if "subject" in names:
            self._second = self._second or SecondOpinion(self._grid, self._threads)
            kept += ["second", "subject"]
        if "sky" in names:
            self._sky = self._sky or SkyWatcher()
            kept.append("sky")
        new = [name for name in kept if name not in self._places]
        if new:
            fields = [*self._places, *new]
            carry = Carry(self._grid, len(fields))
            if self._carry is not None:
                carry.fields[: len(self._places)] = self._carry.fields
            self._carry, self._places = carry, {name: place for place, name in enumerate(fields)}

    def forget(self) -> None:
        """Know nothing of the pictures so far."""
        for watcher in (self._person, self._faces, self._parts, self._sky):
            if watcher is not None:
                watcher.forget()
        self._seen.clear()
        self._standing_out = 0.0
        self._frame = 0

    def _field(self, name: str) -> Field:
        assert self._carry is not None
        field: Field = self._carry.fields[self._places[name]]
        return field

    def look(self, picture: Picture, flow: Flow | None, names: frozenset[str]) -> None:
        """Bring what the wanted regions are made of up to date.

        Args:
            picture: the next one.
            flow: how it has moved since the last one; None if there is none.
            names: regions and colours that are wanted.
        """
        size = picture.rgb.shape[1], picture.rgb.shape[0]
        if flow is not None and self._carry is not None:
            self._carry.move(flow)
        if self._person is not None and names & _OF_PEOPLE:
            self._person.look(picture, self._field("person"), flow)
        if self._faces is not None and names & _OF_FACES:
            self._faces.look(picture, flow, size)
        if self._parts is not None and names & _OF_PARTS:
            self._look_at_parts(picture, flow, size)
        if self._second is not None and "subject" in names:
            self._look_at_subject(picture)
        if self._sky is not None and "sky" in names and (self._frame % _SKY_EVERY == 1 or "sky" not in self._seen):
            self._learn("sky", _enlarged(self._sky.look(picture), CELL_PX))
        colours = [name for name in names if name in COLOURS]
        if colours and (self._frame % EVERY == 1 or not self._seen.issuperset(colours)):
            bins = bins_of(picture.small)
            for name in colours:
                self._learn(name, coloured(bins, name))
        self._frame += 1

    def _look_at_parts(self, picture: Picture, flow: Flow | None, size: Size) -> None:
        assert self._parts is not None
        assert self._person is not None
        assert self._faces is not None
        if flow is not None:
            self._parts.move(flow, size)
        if not self._person.presence:
            self._parts.forget()
            return
        if self._frame % EVERY == 2 or not self._seen.issuperset(PARTS):
            faces = [face for face in self._faces.faces if face.seen] or self._person.heads
            for name, share in zip(PARTS, self._parts.look(picture, self._field("person"), faces), strict=True):
                self._learn(name, share)

    def _look_at_subject(self, picture: Picture) -> None:
        assert self._person is not None
        assert self._second is not None
        if self._person.presence or (self._frame % _SUBJECT_EVERY != 1 and "subject" in self._seen):
            return
        self._learn("second", self._second.look(picture))
        both, sure = agreed(self._field("person"), self._field("second"))
        if not sure:
            cells, sure = contrast(picture.cells)
            both = _enlarged(cells, CELL_PX)
        self._learn("subject", both)
        # what comes or goes does so over some looks
        self._standing_out = sure if self._frame == 0 else 0.5 * (self._standing_out + sure)

    def _learn(self, name: str, seen: Field) -> None:
        """Take what was seen anew into a field."""
        known = self._field(name)
        if name in self._seen:
            difference = seen - known
            known += difference * np.minimum(_CALM_GAIN + _GAIN_PER_DIFFERENCE * np.abs(difference), 1)
        else:
            known[:] = seen
            self._seen.add(name)

    def fields_for(self, names: frozenset[str]) -> tuple[str, ...]:
        """Return names of what has to be brought to the picture's size for the wanted regions."""
        return tuple(sorted({field for name in names for field in _FIELDS.get(name, (name,))}))

    def field(self, name: str) -> Field:
        """Return how much each px of the grid belongs to something that is there, `[h w]`."""
        if name == "subject" and self._person is not None and self._person.presence:
            name = "person"
        if name != "person" and name not in PARTS:
            return self._field(name)
        person = self._field("person")
        if self._person is None or not self._person.presence:
            return np.zeros_like(person)
        return person if name == "person" else person * self._field(name)

    def presence(self, name: str) -> float:
        """Return how sure it is that a region is in the picture, 0 to 1."""
        if name in COLOURS:
            return float(np.clip(self._field(name).mean() / _LEAST_COLOURED - 0.5, 0, 1))
        if name == "sky":
            return 0.0 if self._sky is None else self._sky.presence
        if name in _OUTLINES:
            assert self._faces is not None
            faces = self._faces.faces if name == "face" else [face for face in self._faces.faces if face.has_mesh]
            return max((face.presence for face in faces), default=0.0)
        assert self._person is not None
        person = self._person.presence
        if name == "background":
            return 1.0
        if name == "subject":
            return person or (self._standing_out if self._standing_out >= 0.1 else 0.0)
        if name in PARTS:
            area = float((self._field("person") * self._field(name)).mean())
            return person if area >= _LEAST else 0.0
        return person

    def mask(self, name: str, fine: Mapping[str, NDArray[np.uint8]], size: Size) -> NDArray[np.uint8]:
        """Return the mask of a region, `uint8 [h w]`, of fields at the picture's size `(width, height)`."""
        if name == "background":
            return np.asarray(~fine["person"])
        if name not in _OUTLINES:
            return fine[name]
        assert self._faces is not None
        mask = np.zeros((size[1], size[0]), np.uint8)
        for face in self._faces.faces:
            for outline in _OUTLINES[name]:
                line = face.outline(outline)
                if line is not None:
                    draw(line, face.presence, mask)
        if name == "face":
            # the forehead up to the hair, and no fringe
            np.maximum(mask, fine["forehead"], out=mask)
            np.minimum(mask, ~fine["hair"], out=mask)
        return mask


def _enlarged(field: NDArray[np.float32], by: int) -> Field:
    return np.asarray(field.repeat(by, axis=0).repeat(by, axis=1))
