"""People in one stream's pictures: outline, faces and parts, looked at in the part of the picture that they are in."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vivace.media.frame import Rgb
from vivace.media.size import Box, Size
from vivace.regions.edges import Edges
from vivace.regions.faces import TURNS, FaceWatcher, draw
from vivace.regions.motion import Motion
from vivace.regions.parts import PARTS, PartsWatcher
from vivace.regions.person import SOMETHING, BodyWatcher, Outline, part_with
from vivace.regions.picture import Picture, grid_of
from vivace.regions.pixels import CELL_PX, Carry, Field, Flow, Line, Plane, learn

PERSON = frozenset({"person", "background", "subject"})
_OF_PARTS = frozenset({"face", "hair", "clothes", "hands"})
_OF_FACES = frozenset({"lips", "eyes"})
OF_PEOPLE = PERSON | _OF_PARTS | _OF_FACES
_OUTLINES = {"face": ("oval",), "lips": ("lips",), "eyes": ("left_eye", "right_eye")}
_FIELDS = ("person", *PARTS)
_LEAST = 4e-4
"""Share of the picture below which a part of a person is not there."""


class People:
    """All people of one stream.

    Of people who are far away the part of the picture that they are in is looked at, in which they are as large as near
    ones; whatever is kept is kept for that part.
    """

    def __init__(self, size: Size, threads: int | None = None) -> None:
        """Know of nobody in pictures of `(width, height)` px."""
        self._size = size
        self._threads = threads
        self._bodies: BodyWatcher | None = None
        self._outline: Outline | None = None
        self._faces: FaceWatcher | None = None
        self._parts: PartsWatcher | None = None
        self._part = Box(0, 0, *size)
        self._carry = Carry(grid_of(size), len(_FIELDS))
        self._view: Picture | None = None
        self._fine: dict[str, NDArray[np.uint8]] = {}
        self._wanted = frozenset[str]()
        """Regions that were looked for in the last picture."""
        self._enter(self._part, knowing=False)

    @property
    def loaded(self) -> tuple[str, ...]:
        """Names of what looks at pictures by now."""
        watchers = (self._bodies, self._outline, self._faces, self._parts)
        return tuple(type(watcher).__name__ for watcher in watchers if watcher is not None)

    def prepare(self, names: frozenset[str]) -> None:
        """Load what regions need."""
        if names & (PERSON | _OF_PARTS):
            self._bodies = self._bodies or BodyWatcher(self._threads)
            self._outline = self._outline or Outline(self._threads)
        if names & (_OF_PARTS | _OF_FACES):
            self._faces = self._faces or FaceWatcher(self._threads)
        if names & _OF_PARTS:
            self._parts = self._parts or PartsWatcher()

    def forget(self) -> None:
        """Know nothing of the pictures so far."""
        if self._wanted:
            self._want(frozenset())

    def _want(self, names: frozenset[str]) -> None:
        """Look for these regions from now on; what only others need is forgotten, or it would be of another time."""
        self._wanted = names
        if not names & (PERSON | _OF_PARTS):
            if self._bodies is not None:
                self._bodies.forget()
            self._enter(Box(0, 0, *self._size), knowing=False)
        if self._faces is not None and not ("faces" in self._seen and names & (_OF_PARTS | _OF_FACES)):
            self._faces.forget()
            self._seen.discard("faces")
        if self._parts is not None and not names & _OF_PARTS:
            self._parts.forget()
            self._seen.difference_update(PARTS)

    def _enter(self, part: Box, *, knowing: bool) -> None:
        """Look at a part of the picture from now on; `knowing` what is known of the part so far, or nothing."""
        grid = grid_of((part.width, part.height))
        carry = Carry(grid, len(_FIELDS))
        if knowing:
            before = self._part
            by = np.array([before.x - part.x, before.y - part.y], np.float32)
            for watcher in (self._bodies, self._faces, self._parts):
                if watcher is not None:
                    watcher.shift(by)
            carry.fields[:] = _resampled(self._carry.fields, before, part, grid)
        else:
            self._seen: set[str] = set()
        self._part, self._carry = part, carry
        self._motion = Motion((grid[0] // CELL_PX, grid[1] // CELL_PX))
        self._edges = Edges((part.width, part.height), grid)
        self._turn = 0

    def _field(self, name: str) -> Field:
        field: Field = self._carry.fields[_FIELDS.index(name)]
        return field

    def look(self, rgb: Rgb, names: frozenset[str]) -> None:
        """Bring what the wanted regions are made of up to date, in the next picture `uint8 [h w 3]`."""
        if names != self._wanted:
            self._want(names)
        if not names:
            return
        self._fine.clear()
        looked_for = bool(names & (PERSON | _OF_PARTS))
        if looked_for:
            self._look_for_bodies(rgb)
        x, y, w, h = self._part
        self._view = picture = Picture.of(rgb[y : y + h, x : x + w])
        flow = self._motion.update(picture.cells)
        if flow is not None:
            self._move(flow)
        # frames take turns, so that no one takes long
        if looked_for and (self._turn == 0 or "person" not in self._seen):
            assert self._outline is not None
            self._learn("person", self._outline.look(picture))
        if names & (_OF_PARTS | _OF_FACES):
            assert self._faces is not None
            self._faces.look(picture.rgb, self._turn if "faces" in self._seen else None)
            self._seen.add("faces")
            if looked_for:
                self._doubt_faces()
        if names & _OF_PARTS:
            self._look_for_parts(picture)
        self._edges.guide(picture.cells)
        self._turn = (self._turn + 1) % TURNS

    def _look_for_bodies(self, rgb: Rgb) -> None:
        assert self._bodies is not None
        person = self._field("person")
        whole = Box(0, 0, *self._size)
        if self._bodies.is_due(float(person.mean())):
            self._bodies.look(rgb)
            x, y, _, _ = self._part
            outside = [head for head in self._bodies.heads if not _is_in(head.middle, self._part)]
            self._bodies.shift(np.array([-x, -y], np.float32))
            if (outside or not self._bodies.known) and self._part != whole:
                self._enter(whole, knowing=True)
        elif self._bodies.known and self._turn == 1:
            # the outline was just seen
            part = part_with(person, self._part, self._size)
            if not _serves(self._part, part):
                self._enter(part, knowing=True)

    def _move(self, flow: Flow) -> None:
        size = self._part.width, self._part.height
        self._carry.move(flow)
        for watcher in (self._bodies, self._faces, self._parts):
            if watcher is not None:
                watcher.move(flow, size)

    def _doubt_faces(self) -> None:
        """Take faces that only their colour speaks for, and that are on nobody, for none."""
        assert self._bodies is not None
        assert self._faces is not None
        person = self._field("person")
        scale = np.array([person.shape[1] / self._part.width, person.shape[0] / self._part.height])
        for face in self._faces.faces:
            if not (face.has_mesh or face.sure):
                x, y = np.clip((face.middle * scale).astype(int), 0, (person.shape[1] - 1, person.shape[0] - 1))
                if not self._bodies.known or person[y, x] < 0.5:
                    face.seen, face.presence = False, 0.0

    def _look_for_parts(self, picture: Picture) -> None:
        assert self._bodies is not None
        assert self._faces is not None
        assert self._parts is not None
        if not self._bodies.known:
            self._parts.forget()
            self._seen.difference_update(PARTS)
        elif self._turn == TURNS - 1 or not self._seen.issuperset(PARTS):
            seen = [face for face in self._faces.faces if face.seen]
            faces = [face for face in seen if face.has_mesh] or self._bodies.heads or seen
            for name, share in zip(PARTS, self._parts.look(picture, self._field("person"), faces), strict=True):
                self._learn(name, share)

    def _learn(self, name: str, seen: Field) -> None:
        learn(self._field(name), seen, at_once=name not in self._seen)
        self._seen.add(name)

    def presence(self, name: str) -> float:
        """Return how sure it is that a region is in the picture, 0 to 1."""
        if name == "background":
            return 1.0
        if name in _OUTLINES:
            assert self._faces is not None
            faces = self._faces.faces if name == "face" else [face for face in self._faces.faces if face.has_mesh]
            return max((face.presence for face in faces), default=0.0)
        assert self._bodies is not None
        person = self._field("person")
        is_there = float(person.mean()) >= SOMETHING
        if name in PARTS:
            is_there = is_there and float((person * self._field(name)).mean()) >= _LEAST
        return self._bodies.sure if self._bodies.known and is_there else 0.0

    def mask(self, name: str) -> NDArray[np.uint8]:
        """Return the mask of a region, `uint8 [h w]`."""
        width, height = self._size
        x, y, w, h = self._part
        whole = np.zeros((height, width), np.uint8)
        if name == "background":
            whole[y : y + h, x : x + w] = self._at_size("person")
            return ~whole
        if name not in _OUTLINES:
            whole[y : y + h, x : x + w] = self._at_size("person" if name == "subject" else name)
            return whole
        assert self._faces is not None
        part = whole[y : y + h, x : x + w]
        for face in self._faces.faces:
            for outline in _OUTLINES[name]:
                line = face.outline(outline)
                if line is not None:
                    draw(line, face.presence, part)
        if name == "face":
            # the forehead up to the hair, and no fringe
            np.maximum(part, self._at_size("forehead"), out=part)
            np.minimum(part, ~self._at_size("hair"), out=part)
        return whole

    def _at_size(self, name: str) -> NDArray[np.uint8]:
        """Return what is of a person that is there at the size of the part, `uint8 [h w]`."""
        assert self._view is not None
        if name not in self._fine:
            known = self._bodies is not None and self._bodies.known
            field = self._field(name)
            fine = self._edges.run(self._view.rgb, field if known else np.zeros_like(field))
            # where a part ends at the outline the outline says where
            self._fine[name] = fine if name == "person" else np.minimum(fine, self._at_size("person"))
        return self._fine[name]


def _is_in(place: NDArray[np.float32], part: Box) -> bool:
    x, y = place - (part.x, part.y)
    return bool(0 <= x < part.width and 0 <= y < part.height)


def _serves(part: Box, wanted: Box) -> bool:
    """Return whether a part of the picture is as good as another: it holds most of it and is not much larger."""
    across = min(part.x + part.width, wanted.x + wanted.width) - max(part.x, wanted.x)
    down = min(part.y + part.height, wanted.y + wanted.height) - max(part.y, wanted.y)
    both = max(0, across) * max(0, down)
    return both >= 0.85 * wanted.width * wanted.height and both >= 0.55 * part.width * part.height


def _resampled(fields: NDArray[np.float32], before: Box, after: Box, grid: Size) -> NDArray[np.float32]:
    """Return fields `[k h w]` of one part of the picture on a grid of another, 0 where nothing is known."""
    across, down = grid[0] / after.width, grid[1] / after.height
    left, right = (before.x - after.x) * across, (before.x + before.width - after.x) * across
    top, bottom = (before.y - after.y) * down, (before.y + before.height - after.y) * down
    rows, columns = Line(fields.shape[1], grid[1], top, bottom), Line(fields.shape[2], grid[0], left, right)
    known = np.zeros((len(fields), grid[1], grid[0]), np.float32)
    y, x = slice(max(0, round(top)), max(0, round(bottom))), slice(max(0, round(left)), max(0, round(right)))
    known[:, y, x] = Plane(rows, columns).run(fields)[:, y, x]
    return known
