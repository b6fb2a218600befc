"""Presence of people, the part of the picture that they are in, and their outline."""

from __future__ import annotations

import numpy as np

from vivace.media.frame import Rgb
from vivace.media.size import Box, Size
from vivace.regions.detector import Detection, Detector
from vivace.regions.faces import Face, Points, moved
from vivace.regions.networks import Perception
from vivace.regions.picture import Picture
from vivace.regions.pixels import Field, Flow, halved

_CALM, _DOUBT = 30, 8
"""Frames from one look for bodies to the next while nothing is in doubt; and while something has a person's outline and
is not known to be one, or is known and not seen again."""
_SEEN = 0.55
"""A body or face with this score is one."""
_LOST = 0.35
"""Below this score it is not seen again,"""
_LOSSES = 4
"""and after that many times in a row it is gone."""
SOMETHING = 0.004
"""Share of the picture below which an outline is of nothing."""
_FAR = 0.65
"""People who need at most this share of the picture are looked at closely,"""
_ROOM = 0.18
"""with room around them, by their larger side."""
_LEAST_PX = 64
"""Side of the smallest part."""
_BODY_POINTS = 4
"""Hips, how far the body reaches from there, shoulders, how far the upper body reaches from there."""


class BodyWatcher:
    """Looks for bodies, or a face where no body is seen, in the whole picture.

    The network of outlines takes whatever stands out for a person, be it a cat or a tower: this says whether it is one,
    and where about.
    """

    def __init__(self, threads: int | None = None) -> None:
        """Load the networks."""
        self._bodies = Detector("bodies", threads)
        self._faces = Detector("faces", threads)
        self.forget()

    def forget(self) -> None:
        """Know of nobody."""
        self.known = False
        self.sure = 0.0
        """Confidence that there is somebody, 0 to 1, by the last look."""
        self.heads: list[Face] = []
        """Places of heads, by the bodies."""
        self._losses = 0
        self._wait = 0

    def move(self, flow: Flow, size: Size) -> None:
        """Let the heads go with what is around them, in a picture of `(width, height)` px."""
        for head in self.heads:
            head.points = moved(head.points, flow, size)

    def shift(self, by: Points) -> None:
        """Take the heads to another part of the picture, whose px are others by (x, y)."""
        for head in self.heads:
            head.points = head.points + by

    def is_due(self, area: float) -> bool:
        """Return whether it is time to look again, where an outline covers a share of the picture."""
        self._wait -= 1
        if area >= SOMETHING and (not self.known or self._losses > 0):
            self._wait = min(self._wait, _DOUBT - 1)
        return self._wait <= 0

    def look(self, rgb: Rgb) -> None:
        """Look at a picture, `uint8 [h w 3]`."""
        self._wait = _CALM
        found = self._bodies.run(rgb, _LOST)
        if not found or found[0].score < _SEEN:
            found = max(found, self._faces.run(rgb, _SEEN), key=lambda each: each[0].score if each else 0.0)
        self.sure = found[0].score if found else 0.0
        if self.sure >= _SEEN:
            self.known, self._losses = True, 0
            self.heads = [_head(body) for body in found if body.score >= _SEEN and len(body.points) == _BODY_POINTS]
        elif self.known and self.sure < _LOST:
            self._losses += 1
            self.known = self._losses < _LOSSES


class Outline:
    """The outline of all people in a picture, or a part of one."""

    def __init__(self, threads: int | None = None) -> None:
        """Load the networks, for square pictures and for wide ones."""
        self._networks = {name: Perception(name, threads) for name in ("person", "person_wide")}

    def look(self, picture: Picture) -> Field:
        """Return how much each px of the grid is of a person, as the network sees it now."""
        height, width = picture.look.shape[:2]
        network = self._networks["person" if width == height else "person_wide"]
        return halved(network.run(picture.look)["mask"][0, :, :, 0])


def part_with(outline: Field, part: Box, size: Size) -> Box:
    """Return the part of a picture that people are to be looked at in: their outline with room around it.

    Args:
        outline: on the grid of `part`, `[h w]`.
        part: of the picture, in which they are looked at now.
        size: of the picture, `(width, height)` px.
    """
    people = outline > 0.4
    rows, columns = np.flatnonzero(people.any(axis=1)), np.flatnonzero(people.any(axis=0))
    if not rows.size:
        return Box(0, 0, *size)
    across, down = part.width / outline.shape[1], part.height / outline.shape[0]
    left, right = part.x + columns[0] * across, part.x + (columns[-1] + 1) * across
    top, bottom = part.y + rows[0] * down, part.y + (rows[-1] + 1) * down
    room = _ROOM * max(right - left, bottom - top)
    x, y = max(0, int(left - room)), max(0, int(top - room))
    w, h = min(size[0], int(right + room) + 1) - x, min(size[1], int(bottom + room) + 1) - y
    far = w >= _LEAST_PX and h >= _LEAST_PX and w * h <= _FAR * size[0] * size[1]
    return Box(x, y, w, h) if far else Box(0, 0, *size)


def _head(body: Detection) -> Face:
    """Return the head of a body, by how people are built: its middle half a trunk over the shoulders."""
    hips, _, shoulders, _ = body.points
    trunk = shoulders - hips
    middle, down, right = shoulders + 0.46 * trunk, -0.23 * trunk, 0.16 * np.array([-trunk[1], trunk[0]])
    turns = np.linspace(0, 2 * np.pi, 36, endpoint=False)[:, None]
    points = np.asarray(middle - np.cos(turns) * down + np.sin(turns) * right, np.float32)
    return Face(points, False, 0.0, from_behind=True)
