"""People: which part of the picture they are, and whether there are any."""

from __future__ import annotations

import numpy as np

from vivace.media.convert import resize
from vivace.media.size import Box, Size
from vivace.regions.detector import Detection, Detector
from vivace.regions.faces import Face, moved
from vivace.regions.networks import Perception
from vivace.regions.picture import Picture
from vivace.regions.pixels import Field, Flow, Line, Plane, halved

EVERY = 3
"""Frames from one look at their outline to the next; in the others there is time for faces and parts."""
_CHECK_CALM = 30
"""Frames from one look for bodies to the next while nothing is in doubt,"""
_CHECK_DOUBT = 8
"""and while something has the outline of a person and is not known to be one, or is known and not seen again."""
_SEEN = 0.6
"""A body or face with this score is one."""
_LOST = 0.35
"""Below this score it is not seen again,"""
_LOSSES = 4
"""and after that many times in a row it is gone."""
_SOMETHING = 0.004
"""Share of the picture below which an outline is of nothing."""
_FAR = 0.5
"""People who need at most this share of the picture are looked at closely."""
_BODY_POINTS = 4
"""Hips, how far the body reaches from there, shoulders, how far the upper body reaches from there."""
_CALM_GAIN, _GAIN_PER_DIFFERENCE = 0.35, 1.3
"""How much of what the network sees anew is believed: little where it differs little, which is noise."""


class PersonWatcher:
    """Follows the outline of all people.

    The network of outlines takes whatever stands out for a person, be it a cat or a tower, so that a detector of bodies
    looks whether it is one. Where the bodies are small, the outline is taken from that part of the picture alone.
    """

    def __init__(self, grid: Size, threads: int | None = None) -> None:
        """Look at pictures on a grid of `(width, height)`."""
        self._grid = grid
        self._close = Perception("person", threads)
        self._whole = self._close if grid[0] == grid[1] else Perception("person_wide", threads)
        self._bodies = Detector("bodies", threads)
        self._faces = Detector("faces", threads)
        self.forget()

    def forget(self) -> None:
        """Know of nobody."""
        self._frame = 0
        self._next_check = 0
        self._losses = 0
        self._known = False
        self._part: Box | None = None
        self.heads: list[Face] = []
        """Where heads would be, by the bodies that were seen last."""
        self._area = self._sure = 0.0

    @property
    def presence(self) -> float:
        """0 to 1, how sure it is that there is somebody."""
        return self._sure if self._known and self._area >= _SOMETHING else 0.0

    def look(self, picture: Picture, field: Field, flow: Flow | None) -> None:
        """Bring the outline `[h w]` up to date, which has been moved along with `flow` since the last picture."""
        if flow is not None:
            for head in self.heads:
                head.points = moved(head.points, flow, (picture.rgb.shape[1], picture.rgb.shape[0]))
        first = self._frame == 0
        checks = self._frame >= self._next_check
        if checks:
            self._check(picture)
        # the two take as long as a frame may take, so that they have a frame each
        if first or (not checks and self._frame % EVERY == 0):
            seen = self._outline(picture)
            if first:
                field[:] = seen
            else:
                difference = seen - field
                field += difference * np.minimum(_CALM_GAIN + _GAIN_PER_DIFFERENCE * np.abs(difference), 1)
            self._area = float(field.mean())
            doubtful = self._area >= _SOMETHING and (not self._known or self._losses > 0)
            if doubtful:
                self._next_check = min(self._next_check, self._frame + _CHECK_DOUBT)
        self._frame += 1

    def _check(self, picture: Picture) -> None:
        """Look for bodies, or a face where no body is seen, and where they are."""
        height, width = picture.rgb.shape[:2]
        found = self._bodies.run(picture.rgb, _LOST)
        if not found or found[0].score < _SEEN:
            found = max(found, self._faces.run(picture.rgb, _SEEN), key=lambda each: each[0].score if each else 0.0)
        self._sure = found[0].score if found else 0.0
        if self._sure >= _SEEN:
            self._known, self._losses = True, 0
        elif self._known and self._sure < _LOST:
            self._losses += 1
            self._known = self._losses < _LOSSES
        self.heads = [_head(body) for body in found if body.score >= _SEEN and len(body.points) == _BODY_POINTS]
        self._part = part_with(found, (width, height)) if self._sure >= _SEEN else None
        self._next_check = self._frame + _CHECK_CALM

    def _outline(self, picture: Picture) -> Field:
        """Return the outline as the network sees it now, on the grid."""
        if self._part is None:
            return halved(self._whole.run(picture.look)["mask"][0, :, :, 0])
        x, y, w, h = self._part
        seen = halved(self._close.run(resize(picture.rgb[y : y + h, x : x + w], self._close.size))["mask"][0, :, :, 0])
        width, height = self._grid
        across, down = width / picture.rgb.shape[1], height / picture.rgb.shape[0]
        while seen.shape[0] > 1.5 * h * down and seen.shape[1] > 1.5 * w * across:
            seen = halved(seen)
        outline = np.zeros((height, width), np.float32)
        y_part, x_part = (
            slice(round(y * down), round((y + h) * down)),
            slice(round(x * across), round((x + w) * across)),
        )
        rows = Line(seen.shape[0], height, y * down, (y + h) * down)
        columns = Line(seen.shape[1], width, x * across, (x + w) * across)
        outline[y_part, x_part] = Plane(rows, columns).run(seen[None], y_part, x_part)[0]
        return outline


def part_with(found: list[Detection], size: Size) -> Box | None:
    """Return the part of a picture of `(width, height)` px that holds all bodies; None if that is most of it."""
    width, height = size
    left, top, right, bottom = float(width), float(height), 0.0, 0.0
    for each in found:
        if len(each.points) != _BODY_POINTS:
            return None
        (x, y), reach = each.points[0], 1.15 * float(np.hypot(*(each.points[1] - each.points[0])))
        left, top, right, bottom = (
            min(left, x - reach),
            min(top, y - reach),
            max(right, x + reach),
            max(bottom, y + reach),
        )
    x, y = max(0, int(left)), max(0, int(top))
    w, h = min(width, int(right) + 1) - x, min(height, int(bottom) + 1) - y
    return Box(x, y, w, h) if w > 0 and h > 0 and w * h <= _FAR * width * height else None


def _head(body: Detection) -> Face:
    """Return the head of a body, by how people are built: its middle half a trunk over the shoulders."""
    hips, _, shoulders, _ = body.points
    trunk = shoulders - hips
    middle, down, right = shoulders + 0.46 * trunk, -0.23 * trunk, 0.16 * np.array([-trunk[1], trunk[0]])
    turns = np.linspace(0, 2 * np.pi, 36, endpoint=False)[:, None]
    return Face(
        np.asarray(middle - np.cos(turns) * down + np.sin(turns) * right, np.float32), False, 0.0, from_behind=True
    )
