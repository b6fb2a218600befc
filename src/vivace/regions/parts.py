"""Hair, clothes, hands: parts of a person, told apart by where they are around the face and by their colours there.

No network: a histogram of colours for each part of each person, begun where the part surely is and refined by what was
taken for it (an expectation-maximisation step a look), so that a red shirt is clothes although lips are red.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vivace.media.size import Size
from vivace.regions.faces import Face, moved
from vivace.regions.picture import Picture
from vivace.regions.pixels import Box, Field, Flow

PARTS = ("hair", "clothes", "hands", "forehead")
"""Hands are skin far from the face, arms included; the forehead is what of the face is over the outline of its mesh."""
_KINDS = ("hair", "clothes", "skin")
"""Kinds of px that are told apart by colour."""
_HAIR, _CLOTHES, _SKIN = range(3)
_LEVELS = 16
"""Levels of a colour channel in histograms."""
_BEYOND = 7
"""Side of the window in which the nearest px of a person are looked for, px of the grid."""
_KEPT = 0.8
"""Share of a histogram that stays from one look to the next."""
_PEOPLE = 3
"""Most people whose colours are learned: those with the largest faces."""
_LEAST = 3e-4
"""Probability of a colour that a part was not seen with."""
_ALIKE = 0.09, 0.16
"""From the first to the second of this relative difference of colours, by roots, what is over a face is hair."""
_SHADES = 0.7, 0.5
"""Shares of the light on a face in which skin is known again, such as under a chin,"""
_SHADED = 0.1
"""and how much of the colours of skin each of them is."""
_IS_HAIR = 0.25
"""Least share of hair on the way from the head, from which on a px keeps its own."""
_SCALP = 0.9, 1.9
"""Distances from the middle of a face between which hair grows, in halves of the face."""
_SLANT = 2
"""Px of the grid that hair may go aside from one row to the next."""

Floats = NDArray[np.float32]


@dataclass(slots=True)
class _Colours:
    """The colours of one person's parts."""

    middle: Floats
    """Middle of the face, (x, y) px, by which the person is known again."""
    width: float
    """Width of the face, px."""
    long: float = 1.0
    """Likelihood that the hair reaches below the jaw, 0 to 1."""
    bald: float = 0.0
    """Likelihood that there is no hair over the face, 0 to 1."""
    histograms: Floats = field(default_factory=lambda: np.zeros((len(_KINDS), _LEVELS**3), np.float32))


class PartsWatcher:
    """Tells the parts of all people whose faces are seen."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Know of no colours."""
        self._known: list[_Colours] = []
        self._faces: list[Face] = []

    def move(self, flow: Flow, size: Size) -> None:
        """Let faces that are not seen any more go on with what is around them, in pictures of `(width, height)` px."""
        for face in self._faces:
            face.points = moved(face.points, flow, size)

    def shift(self, by: Floats) -> None:
        """Take the faces to another part of the picture, whose px are others by (x, y)."""
        for face in self._faces:
            face.points = face.points + by
        for known in self._known:
            known.middle = known.middle + by

    def look(self, picture: Picture, person: Field, faces: list[Face]) -> NDArray[np.float32]:
        """Return how much each px of the grid belongs to each of `PARTS`, `[4 h w]`, if it is of a person.

        Args:
            picture: what is looked at.
            person: outline of all people on the grid, `[h w]`.
            faces: those that are seen, or heads; where no face is seen, faces that were seen last count.
        """
        # a face that was seen and has turned away is worth more than a head that was not
        self._faces = [face for face in self._faces if face.has_mesh and self._is_inside(face, picture, person)]
        if any(face.has_mesh for face in faces) or (faces and not self._faces):
            self._faces = [
                replace(face, points=face.points.copy())
                for face in sorted(faces, key=lambda face: -face.width)[:_PEOPLE]
            ]
        self._known = [self._colours_of(face) for face in self._faces]
        height, width = person.shape
        for face in self._faces:
            if face.from_behind:
                _lift(face, person, (picture.rgb.shape[1] / width, picture.rgb.shape[0] / height))
        kinds = np.zeros((len(_KINDS), height * width), np.float32)
        at = np.zeros((height * width, 2), np.float32)
        # at the outline there are colours of what is behind
        inside = np.flatnonzero(Box(person.shape, 3).run(person) > 0.8)
        if not self._faces or not inside.size:
            return np.zeros((len(PARTS), height, width), np.float32)
        scale = np.array([picture.rgb.shape[1] / width, picture.rgb.shape[0] / height], np.float32)
        places = np.stack((inside % width, inside // width), axis=1).astype(np.float32)
        around_each = np.stack([around(face, (places + 0.5) * scale) for face in self._faces])
        # each px belongs to the face that is nearest, by faces' sizes and more across than down
        owner = (np.abs(around_each[:, :, 0]) + 0.3 * np.abs(around_each[:, :, 1])).argmin(axis=0)
        bins = _bins(picture.small.reshape(-1, 3)[inside])
        for index, (face, colours) in enumerate(zip(self._faces, self._known, strict=True)):
            mine = owner == index
            if mine.any():
                places_of = around_each[index, mine]
                at[inside[mine]] = places_of
                kinds[:, inside[mine]] = _tell(places_of, bins[mine], colours, from_behind=face.from_behind)
        _keep_grown_hair(kinds.reshape(-1, height, width), at.reshape(height, width, 2))
        # neighbours are mostly of one kind, and there is one kind to a px
        likely = Box(person.shape, 3).run(kinds.reshape(-1, height, width)).reshape(len(kinds), -1)[:, inside] ** 2
        shares = np.zeros((len(PARTS) + 1, height * width), np.float32)
        shares[:-1, inside] = _parts(at[inside], likely / likely.sum(axis=0))
        shares[-1, inside] = 1
        # parts go on a little beyond, where the outline ends them more finely than they could
        around_px = Box(person.shape, _BEYOND).run(shares.reshape(-1, height, width))
        shares = shares.reshape(-1, height, width)
        return np.where(shares[-1] > 0, shares[:-1], around_px[:-1] / np.maximum(around_px[-1], 1e-6))

    def _is_inside(self, face: Face, picture: Picture, person: Field) -> bool:
        height, width = person.shape
        x = int(face.middle[0] * width / picture.rgb.shape[1])
        y = int(face.middle[1] * height / picture.rgb.shape[0])
        return 0 <= x < width and 0 <= y < height and bool(person[y, x] > 0.5)

    def _colours_of(self, face: Face) -> _Colours:
        """Return what is known of the person with this face, or nothing yet."""
        for known in self._known:
            if np.linalg.norm(known.middle - face.middle) < face.width and 0.5 < known.width / face.width < 2:
                known.middle, known.width = face.middle, face.width
                return known
        return _Colours(face.middle, face.width)


def _lift(face: Face, person: Field, scale: tuple[float, float]) -> None:
    """Put a head that is known by its body alone to the upper end of the outline `[h w]` of px of a size."""
    (left, top), (right, bottom) = face.points.min(axis=0) / scale, face.points.max(axis=0) / scale
    columns = person[:, max(0, int(left)) : int(right) + 1]
    start, stop = max(0, int(2 * top - bottom)), max(0, int(bottom))
    rows = np.flatnonzero((columns[start:stop] > 0.5).any(axis=1)) if columns.size else np.zeros(0, np.intp)
    if rows.size:
        face.points[:, 1] += (start + rows[0] - top) * scale[1]


def around(face: Face, places: Floats) -> Floats:
    """Return places `[n 2]` px as (right, down) of a face's middle, in halves of its width and height."""
    oval = face.oval
    top, chin = oval[0], oval[len(oval) // 2]
    middle, down = (top + chin) / 2, (chin - top) / 2
    half_height = max(float(np.hypot(*down)), 1.0)
    axis = down / half_height
    right = np.array([axis[1], -axis[0]], np.float32)
    half_width = max(float(np.abs((oval - middle) @ right).max()), 1.0)
    offset = places - middle
    return np.stack((offset @ right / half_width, offset @ axis / half_height), axis=1).astype(np.float32)


def _tell(at: Floats, bins: NDArray[np.intp], colours: _Colours, *, from_behind: bool) -> Floats:
    """Return the shares of hair, clothes and skin, `[3 n]`, of px at places around the face, and learn from them."""
    prior = _prior(at)
    if from_behind:
        # no skin that one could know, and a collar where a face has its chin
        prior[_HAIR] = (prior[_HAIR] + prior[_SKIN]) * (1 - 0.75 * _ramp(at[:, 1], 0.5, 1.0))
        prior[_CLOTHES] += _ramp(at[:, 1], 0.5, 1.0)
        prior[_SKIN] = 0
    new = not colours.histograms.any()
    if new:
        for part, seed in enumerate(_seeds(at)):
            colours.histograms[part] = _histogram(bins, seed)
        for light in _SHADES:
            fresh = _histogram(_dimmed(bins, light), _seeds(at)[_SKIN])
            colours.histograms[_SKIN] += _SHADED * (fresh - colours.histograms[_SKIN])
        # what looks like the skin of the face is skin beside it, too
        likely = colours.histograms[:, bins] + _LEAST
        seeds = _seeds(at) * (likely / likely.sum(axis=0))
        for part in (_HAIR, _CLOTHES):
            colours.histograms[part] = _histogram(bins, seeds[part])
    # of a bald head what is over the face looks like the face
    colours.bald += (1.0 if new else 1 - _KEPT) * (_baldness(at, bins) - colours.bald)
    if not from_behind:
        prior[_HAIR] *= 1 - 0.97 * colours.bald
    # hair that does not reach down beside the jaw does not go on below it
    lower = _ramp(at[:, 1], 0.85, 1.15)
    for _ in range(3 if new else 1):
        limited = prior.copy()
        limited[_HAIR] *= 1 - lower * (1 - colours.long)
        shares = limited * (colours.histograms[:, bins] + _LEAST)
        shares /= shares.sum(axis=0)
        kept = 0.3 if new else _KEPT
        for part in range(len(_KINDS)):
            fresh = _histogram(bins, shares[part])
            colours.histograms[part] = kept * colours.histograms[part] + (1 - kept) * fresh
        colours.long += (1 - kept) * (_length(at, shares[_HAIR]) - colours.long)
    return np.asarray(shares, np.float32)


def _keep_grown_hair(kinds: Floats, at: Floats) -> None:
    """Take from hair, in shares of kinds `[3 h w]` in place, what does not hang down from the head.

    Brows and the shoulders of a shirt may have the colour of hair. It is followed down from row to row, from over and
    beside the upper half of a face, and is at most as likely as on its way; `at [h w 2]` are the px's places around
    faces.
    """
    hair = kinds[_HAIR]
    distance = np.hypot(at[..., 0], at[..., 1])
    grown = hair * ((distance > _SCALP[0]) & (distance < _SCALP[1]) & (at[..., 1] < 0))
    for row in range(1, len(hair)):
        above = grown[row - 1].copy()
        for by in range(1, _SLANT + 1):
            np.maximum(above[by:], grown[row - 1, :-by], out=above[by:])
            np.maximum(above[:-by], grown[row - 1, by:], out=above[:-by])
        np.maximum(grown[row], np.minimum(hair[row], above), out=grown[row])
    hair *= np.minimum(grown / _IS_HAIR, 1)


def _baldness(at: Floats, bins: NDArray[np.intp]) -> float:
    """Return how much the top of a head looks like the face below it, 0 to 1."""
    distance = np.hypot(at[:, 0], at[:, 1])
    top = (distance > 1.2) & (distance < 1.5) & (at[:, 1] < -0.6)
    face = _seeds(at)[_SKIN] > 0
    if not top.any() or not face.any():
        return 0.0
    levels = np.stack((bins // _LEVELS**2, bins // _LEVELS % _LEVELS, bins % _LEVELS)).astype(np.float32)
    difference, here = levels[:, top].mean(axis=1) - levels[:, face].mean(axis=1), levels[:, face].mean(axis=1)
    # shadows change how light skin is more than its hue
    difference = difference.mean() + 3 * (difference - difference.mean())
    apart = float(np.linalg.norm(difference)) / max(float(np.linalg.norm(here)), 1.0)
    return float(1 - _ramp(np.array([apart]), *_ALIKE)[0])


def _length(at: Floats, hair: Floats) -> float:
    """Return how much hair there is beside the jaw, 0 to 1, of what would be there if all of it were."""
    right, down = np.abs(at[:, 0]), at[:, 1]
    beside = (down > 0.3) & (down < 0.85) & (right > 0.95) & (right < 1.4)
    px_of_unit = float(np.count_nonzero(np.hypot(at[:, 0], down) < 0.8)) / (np.pi * 0.64)
    return float(_ramp(hair[beside].sum(keepdims=True) / max(px_of_unit * 2 * 0.55 * 0.45, 1.0), 0.04, 0.14)[0])


def _parts(at: Floats, shares: Floats) -> Floats:
    """Return the shares of `PARTS`, `[4 n]`, from those of hair, clothes and skin."""
    right, down = np.abs(at[:, 0]), at[:, 1]
    distance = np.hypot(at[:, 0], down)
    neck = _ramp(down, 0.3, 0.6) * (1 - _ramp(down, 1.9, 2.6)) * (1 - _ramp(right, 0.9, 1.4))
    # no further than arms reach: beyond is somebody whose face is not seen
    away = _ramp(distance, 1.3, 1.6) * (1 - neck) * (1 - _ramp(right, 5, 6.5))
    over = _ramp(down, -0.3, -0.5) * (1 - _ramp(distance, 1.45, 1.6))
    return np.stack((shares[_HAIR], shares[_CLOTHES], shares[_SKIN] * away, shares[_SKIN] * over))


def _ramp(x: NDArray[np.floating], start: float, stop: float) -> Floats:
    return np.asarray(np.clip((x - start) / (stop - start), 0, 1), np.float32)


def _prior(at: Floats) -> Floats:
    """Return how likely each part is at places around a face before its colour is seen, `[3 n]`."""
    right, down = np.abs(at[:, 0]), at[:, 1]
    distance = np.hypot(at[:, 0], down)
    outside = _ramp(distance, 0.86, 1.1)
    over = _ramp(down, -0.2, -0.6)
    # hair: over and beside the oval; a fringe inside of it; long hair falls beside the neck
    falling = 0.9 * (1 - _ramp(down, 0.8, 4.5)) * (1 - _ramp(right, 1.7, 2.5) * _ramp(down, 0.8, 1.3))
    # over the brow foreheads are of any height
    brow = _ramp(down, -0.5, -0.8) * (1 - _ramp(distance, 1.0, 1.45))
    hair = outside * np.where(down < 0.3, 1.0, falling) * (1 - 0.5 * brow)
    beside = _ramp(right, 1.25, 1.8) * _ramp(down, -1.2, -0.6) * (1 - _ramp(down, 0.3, 1.0))
    hair = hair * (1 - _ramp(distance, 1.9, 3.2)) * (1 - 0.8 * beside) + 0.25 * (1 - outside) * over
    clothes = _ramp(down, 0.9, 1.7) + 0.06 * outside
    neck = _ramp(down, 0.7, 1.0) * (1 - _ramp(down, 1.5, 2.1)) * (1 - _ramp(right, 0.7, 1.1))
    skin = (
        1.2 * (1 - outside)
        + 0.8 * neck
        + 0.4 * brow * outside
        + 0.08
        + 0.14 * np.maximum(over, _ramp(distance, 1.5, 2.1))
    )
    prior = np.stack((hair + 0.005 * (1 - _ramp(down, 2.5, 4)), clothes + 0.005, skin))
    return np.asarray(prior / prior.sum(axis=0), np.float32)


def _seeds(at: Floats) -> Floats:
    """Return where each part surely is around a face, `[3 n]`."""
    right, down = np.abs(at[:, 0]), at[:, 1]
    distance = np.hypot(at[:, 0], down)
    hair = _ramp(distance, 1.0, 1.3) * (1 - _ramp(distance, 1.5, 1.7)) * (down < -0.45)
    throat = (1 - _ramp(right, 0.4, 0.8)) * (1 - _ramp(down, 1.9, 2.6))
    clothes = _ramp(down, 1.2, 1.9) * (1 - _ramp(down, 8, 12)) * (1 - throat)
    eyes = (down > -0.5) & (down < -0.05)
    mouth = (down > 0.35) & (down < 0.75) & (right < 0.45)
    skin = (distance < 0.75) & ~eyes & ~mouth
    return np.stack((hair, clothes, skin)).astype(np.float32)


def _bins(rgb: NDArray[np.uint8]) -> NDArray[np.intp]:
    # by roots: hair and clothes are often dark, and differ little there
    levels = (np.sqrt(rgb, dtype=np.float32) * (_LEVELS / 16)).astype(np.intp)
    return np.asarray((levels[..., 0] * _LEVELS + levels[..., 1]) * _LEVELS + levels[..., 2])


def _dimmed(bins: NDArray[np.intp], light: float) -> NDArray[np.intp]:
    """Return the colours in a share of their light, 0 to 1."""
    levels = np.stack((bins // _LEVELS**2, bins // _LEVELS % _LEVELS, bins % _LEVELS)) + 0.5
    red, green, blue = (levels * light**0.5).astype(np.intp)
    return np.asarray((red * _LEVELS + green) * _LEVELS + blue)


def _histogram(bins: NDArray[np.intp], weights: Floats) -> Floats:
    """Return the probability of each colour, spread over its neighbours."""
    counts = np.bincount(bins, weights, minlength=_LEVELS**3).astype(np.float32).reshape((_LEVELS,) * 3)
    for axis in range(3):
        ahead = np.concatenate((counts.take(range(1, _LEVELS), axis), counts.take([-1], axis)), axis)
        behind = np.concatenate((counts.take([0], axis), counts.take(range(_LEVELS - 1), axis)), axis)
        counts = np.asarray((behind + 2 * counts + ahead) / 4, np.float32)
    return np.asarray(counts.ravel() / max(float(counts.sum()), 1e-6), np.float32)
