"""Faces under a look: how far the points of a face mesh move when a picture is painted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from vivace.errors import SourceUnsupportedError
from vivace.media.convert import cover
from vivace.media.frame import Rgb
from vivace.models.mini2.looks import LOOK_KEYS
from vivace.regions.faces import Face, FaceWatcher, Points, outlines
from vivace.train.clips import list_videos, read_evenly
from vivace.train.looks.evaluate import named_code, stream, to_rgb, to_tensor
from vivace.train.looks.student import Student
from vivace.train.looks.targets import FILTERED_FRAMES, FRAMES, Painter, Place, teacher_textures

SIDE_PX = 512
FRAMES_PER_CLIP = 2
LEAST_EYES_PX = 24.0
"""Least distance of the eyes, px: a mesh on a smaller face is less exact than what is measured."""
_PLACE = Place(0, 0, 0)


@dataclass(slots=True)
class Movement:
    """Movement of the faces under one look, one entry for each face on which the mesh still sits."""

    percent: list[float] = field(default_factory=list)
    """Median distance of the 468 points from where they are in the source, % of the distance of the eyes."""
    lost: int = 0
    """Number of faces that are no face any more to the mesh."""

    def median(self) -> float:
        """Return the median over the faces; infinite where half of them are lost."""
        return float(np.median([*self.percent, *[np.inf] * self.lost]))


def move_faces(
    student: Student, painter: Painter, clips: Path, looks: Sequence[str] = LOOK_KEYS[1:]
) -> dict[str, Mapping[str, Movement]]:
    """Return how faces move under each look, painted by the `teacher` and by the network (`ours`).

    Raises:
        SourceError: no video in the folder, or no face in them that is large enough.
    """
    watcher = FaceWatcher(threads=1)
    textures = teacher_textures([_PLACE] * FRAMES, SIDE_PX, SIDE_PX // 256)
    found: dict[str, Mapping[str, Movement]] = {look: {"teacher": Movement(), "ours": Movement()} for look in looks}
    faces = 0
    for path in list_videos(clips):
        for frame in read_evenly(path, FRAMES_PER_CLIP):
            source = cover(frame, (SIDE_PX, SIDE_PX))
            watcher.forget()
            watcher.look(source, None)
            ovals = [face.oval for face in watcher.faces if face.has_mesh]
            known = [(oval, mesh) for oval in ovals if (mesh := fitted(watcher, source, oval)) is not None]
            known = [(oval, mesh) for oval, mesh in known if eye_distance(mesh) >= LEAST_EYES_PX]
            faces += len(known)
            if not known:
                continue
            picture = to_tensor([source])
            for look, by in found.items():
                theirs = painter.paint(look, picture.expand(FILTERED_FRAMES, -1, -1, -1), textures)[-1:]
                ours = stream(student, picture, named_code(student, look), SIDE_PX // 256)
                for movement, painted in ((by["teacher"], theirs), (by["ours"], ours)):
                    _measure(watcher, to_rgb(painted)[0], known, movement)
    if not faces:
        raise SourceUnsupportedError(f"{clips}: no face whose eyes are {LEAST_EYES_PX:.0f} px apart at {SIDE_PX} px")
    return found


def _measure(watcher: FaceWatcher, painted: Rgb, known: list[tuple[Points, Points]], into: Movement) -> None:
    for oval, mesh in known:
        now = fitted(watcher, painted, oval)
        if now is None:
            into.lost += 1
        else:
            into.percent.append(float(np.median(np.linalg.norm(now - mesh, axis=1)) / eye_distance(mesh) * 100))


def fitted(watcher: FaceWatcher, rgb: Rgb, oval: Points) -> Points | None:
    """Return the mesh `[468 2]` px of the face inside an outline; None where there is none.

    It is put on once, from the same part of every picture, and not smoothed: two pictures differ by what is painted.
    """
    face = Face(oval, has_mesh=False, presence=1.0)
    watcher.fit(rgb, face)
    return face.points if face.has_mesh else None


def eye_distance(mesh: Points) -> float:
    """Return the distance of the middles of the eyes, px."""
    right, left = (mesh[outlines()[f"{side}_eye"]].mean(axis=0) for side in ("right", "left"))
    return float(np.linalg.norm(left - right))
