"""Faces: found, followed by a mesh of points, and drawn as outlines of the face, its lips and its eyes."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vivace.media.frame import Rgb
from vivace.media.size import Size
from vivace.regions.detector import Detection, Detector
from vivace.regions.networks import Perception
from vivace.regions.pixels import Flow

TURNS = 3
"""Frames take turns: in the first there is an outline to look for, in the second a mesh is put on a face, in the third
on another."""
MOST = 6
"""Most faces that are followed."""
_SEARCH_EVERY = 12
"""Frames from one search to the next."""
_FOUND, _SURE = 0.5, 0.64
"""A detection with this score may be of a face, and is one with the second."""
_NEAR = 0.75
"""The same of the network for near faces, which sees small ones too large and is unsure of them."""
_MESH, _MESH_STAYS = 0.3, 0.15
"""A mesh with this score is on a face; one that was on it stays with the second."""
_FITS = 6
"""Times that the mesh is put on a new face: the part that it is taken from is that of the detector at first."""
_SMALL_PX = 40
"""A sure face of up to this width, px, is believed without a mesh; a larger one is a toy or the back of a head,"""
_SKIN = 0.55
"""unless this share of its middle has a colour of skin: a face from above or from the side."""
_CROP = 1.5
"""Side of the part that the mesh is taken from, by the larger side of the face."""
_CALM = 0.012
"""Points that are seen to have moved by less than this share of the face's width are believed by half: noise."""
_FADE = 0.34
"""Presence gained or lost in a frame."""
_SAMPLES = 4
"""Outlines are drawn with this many samples a px and side."""

Points = NDArray[np.float32]
"""`[n 2]` (x, y), px of the picture."""


@cache
def outlines() -> dict[str, NDArray[np.intp]]:
    """Return the mesh's vertices of each outline, by name."""
    with (resources.files("vivace.regions") / "mesh.toml").open("rb") as file:
        return {name: np.array(each, np.intp) for name, each in tomllib.load(file).items()}


@dataclass(slots=True)
class Face:
    """A face that is followed."""

    points: Points
    """Vertices of the mesh, `[468 2]`; or corners of an ellipse, where it is too small or too turned for a mesh."""
    has_mesh: bool
    presence: float
    """0 to 1, rises and falls over some frames."""
    seen: bool = True
    sure: bool = False
    """Found with a score that needs no mesh."""
    from_behind: bool = False
    """Only a head, of which nothing is known but where it is."""

    def outline(self, name: str) -> Points | None:
        """Return an outline of the mesh; of a face without one there is but the oval."""
        if name == "oval":
            return self.oval
        if not self.has_mesh:
            return None
        points = self.points[outlines()[name]]
        if name.endswith("eye"):
            # lids and lashes are of the eye
            middle = points.mean(axis=0)
            points = np.asarray(middle + (points - middle) * (1.15, 1.5), np.float32)
        return points

    @property
    def oval(self) -> Points:
        """The outline of the face, forehead included."""
        return self.points[outlines()["oval"]] if self.has_mesh else self.points

    @property
    def width(self) -> float:
        """Width of the oval, px."""
        return float(np.ptp(self.oval[:, 0]))

    @property
    def middle(self) -> Points:
        """Middle of the oval, (x, y) px."""
        return np.asarray((self.oval.max(axis=0) + self.oval.min(axis=0)) / 2)


class FaceWatcher:
    """Follows all faces: a search now and then, a mesh on one of them every few frames, motion in between."""

    def __init__(self, threads: int | None = None) -> None:
        """Load the networks."""
        self._near, self._far = Detector("faces", threads), Detector("far_faces", threads)
        self._mesh = Perception("face_mesh", threads)
        self.forget()

    def forget(self) -> None:
        """Know of no face."""
        self.faces: list[Face] = []
        self._frame = self._next_search = self._searches = 0
        self._turn = 0

    @property
    def presence(self) -> float:
        """0 to 1, how sure it is that there is a face."""
        return max((face.presence for face in self.faces), default=0.0)

    def move(self, flow: Flow, size: Size) -> None:
        """Let the faces go with what is around them, in a picture of `(width, height)` px."""
        for face in self.faces:
            face.points = moved(face.points, flow, size)

    def shift(self, by: Points) -> None:
        """Take the faces to another part of the picture, whose px are others by (x, y)."""
        for face in self.faces:
            face.points = face.points + by

    def look(self, rgb: Rgb, turn: int | None) -> None:
        """Bring the faces up to date in a picture `uint8 [h w 3]`; `turn` is of `TURNS`, None for all at once."""
        self._frame += 1
        if turn is None or (turn == 2 and self._frame >= self._next_search):
            self._search(rgb, at_once=turn is None)
        if turn == 1 or (turn == 2 and len(self.faces) > 1):
            for face in self._next():
                self.fit(rgb, face)
        for face in self.faces:
            face.presence = min(1.0, max(0.0, face.presence + (_FADE if face.seen else -_FADE)))
        self.faces = [face for face in self.faces if face.presence > 0]

    def _next(self) -> list[Face]:
        if not self.faces:
            return []
        self._turn = (self._turn + 1) % len(self.faces)
        return [self.faces[self._turn]]

    def _search(self, rgb: Rgb, *, at_once: bool) -> None:
        self._next_search = self._frame + _SEARCH_EVERY
        found = self._near.run(rgb, _NEAR)
        # The network for far faces takes four times as long: where there is no near one, or now and then.
        if not found or self._searches % 4 == 0:
            found += [far for far in self._far.run(rgb, _FOUND) if not any(_same(far, near) for near in found)]
        self._searches += 1
        for each in found[:MOST]:
            face = _ellipse(each)
            known = [other for other in self.faces if _overlaps(face, other)]
            if known:
                for other in known:
                    if not other.has_mesh:
                        other.points, other.sure = face.points, face.sure
            elif len(self.faces) < MOST and self._is_face(rgb, face):
                face.presence = 1 - _FADE if at_once else 0.0  # a picture alone has one frame
                self.faces.append(face)
        for other in self.faces:
            if not other.has_mesh and not any(_overlaps(_ellipse(each), other) for each in found):
                other.seen = False

    def _is_face(self, rgb: Rgb, face: Face) -> bool:
        """Put the mesh on a face that was just found, as often as it takes to sit, and return whether it is one."""
        for _ in range(_FITS):
            width = face.width
            self.fit(rgb, face)
            if not face.has_mesh or abs(face.width - width) < 0.02 * width:
                break
        return face.seen

    def fit(self, rgb: Rgb, face: Face) -> None:
        """Put the mesh on a face, or see that it is none any more."""
        points = outlines()
        if face.has_mesh:
            right, left = (face.points[points[f"{side}_eye"]].mean(axis=0) for side in ("right", "left"))
            turn = float(np.arctan2(left[1] - right[1], left[0] - right[0]))
        else:
            turn = 0.0
        side = _CROP * float(np.ptp(face.oval, axis=0).max())
        if side < 8:
            face.seen = False
            return
        across = np.array([np.cos(turn), np.sin(turn)]) * side / self._mesh.size[0]
        down = np.array([-across[1], across[0]])
        corner = face.middle - (across + down) * self._mesh.size[0] / 2
        part = Image.fromarray(rgb).transform(
            self._mesh.size,
            Image.Transform.AFFINE,
            (across[0], down[0], corner[0], across[1], down[1], corner[1]),
            Image.Resampling.BILINEAR,
        )
        outputs = self._mesh.run(np.asarray(part))
        score = 1 / (1 + np.exp(-float(outputs["score"].ravel()[0])))
        if score < (_MESH_STAYS if face.has_mesh else _MESH):
            small = face.sure and face.width <= _SMALL_PX
            face.seen = not face.has_mesh and (small or _skin(rgb, face) >= _SKIN)
            return
        mesh = outputs["points"].reshape(-1, 3)[:, :2].astype(np.float64)
        seen = (corner + mesh[:, :1] * across + mesh[:, 1:] * down).astype(np.float32)
        if face.has_mesh:
            distance = np.linalg.norm(seen - face.points, axis=1, keepdims=True)
            gain = np.clip(0.5 + 0.5 * distance / (_CALM * max(face.width, 1.0)) - 0.5, 0.5, 1.0)
            seen = np.asarray(face.points + gain * (seen - face.points), np.float32)
        face.points, face.has_mesh, face.seen = seen, True, True


def _skin(rgb: Rgb, face: Face) -> float:
    """Return the share of a face's middle that has a colour of skin, 0 to 1, by Chai and Ngan's bounds (1999)."""
    x, y = face.middle - face.width / 4
    part = Image.fromarray(rgb).resize((16, 16), box=_inside(rgb, x, y, face.width / 2))
    _, blue, red = np.moveaxis(np.asarray(part.convert("YCbCr")), -1, 0)
    return float(((blue >= 77) & (blue <= 127) & (red >= 133) & (red <= 173)).mean())


def _inside(rgb: Rgb, x: float, y: float, side: float) -> tuple[float, float, float, float]:
    """Return the part of a square that is inside of a picture: left, top, right, bottom, at least a px each way."""
    height, width = rgb.shape[:2]
    left, top = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
    return left, top, min(max(x + side, left + 1), width), min(max(y + side, top + 1), height)


def moved(points: Points, flow: Flow, size: Size) -> Points:
    """Return points of the last picture of `(width, height)` px where they are now, as what is around them moved."""
    _, rows, columns = flow.shape
    cell = np.array([size[0] / columns, size[1] / rows], np.float32)
    at = np.clip((points / cell).astype(np.intp), 0, (columns - 1, rows - 1))
    # flow looks back; within a frame what was at a place has about the motion of what is there now
    return np.asarray(points - flow[:, at[:, 1], at[:, 0]].T * cell, np.float32)


def draw(outline: Points, opacity: float, into: NDArray[np.uint8]) -> None:
    """Draw the inside of an outline, `[n 2]` px, at an opacity of 0 to 1 over a mask `uint8 [h w]`."""
    height, width = into.shape
    left, top = np.maximum(np.floor(outline.min(axis=0)).astype(int) - 1, 0)
    right, bottom = np.minimum(np.ceil(outline.max(axis=0)).astype(int) + 2, (width, height))
    if right <= left or bottom <= top:
        return
    fine = Image.new("L", ((right - left) * _SAMPLES, (bottom - top) * _SAMPLES))
    corners = [(x, y) for x, y in ((outline - (left, top)) * _SAMPLES).tolist()]
    ImageDraw.Draw(fine).polygon(corners, fill=round(255 * opacity))
    part = into[top:bottom, left:right]
    np.maximum(part, np.asarray(fine.reduce(_SAMPLES)), out=part)


def _ellipse(found: Detection) -> Face:
    left, top, right, bottom = found.box
    # the box ends at the brows
    top -= 0.28 * (bottom - top)
    turns = np.linspace(0, 2 * np.pi, 36, endpoint=False)
    x = (left + right) / 2 + (right - left) / 2 * 0.92 * np.sin(turns)
    y = (top + bottom) / 2 - (bottom - top) / 2 * np.cos(turns)
    return Face(np.stack((x, y), axis=1).astype(np.float32), False, 0.0, sure=found.score >= _SURE)


def _overlaps(a: Face, b: Face) -> bool:
    return bool(np.linalg.norm(a.middle - b.middle) < 0.5 * max(a.width, b.width))


def _same(a: Detection, b: Detection) -> bool:
    return _overlaps(_ellipse(a), _ellipse(b))
