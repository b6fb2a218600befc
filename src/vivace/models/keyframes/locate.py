"""Positions of a stream's px in its key frame: followed, searched for afresh, and recognised; each px has the best."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vivace.models.keyframes.motion import Field, Luma, Motion, Rgb, after, find, grey, regular, search, trust
from vivace.models.keyframes.recognise import Looks

FOLLOWED = 0.05
"""Gain in trust from which followed motion replaces what was searched for afresh. In a plain place both explain the
picture, and what is followed drifts: it tore a star on a shirt when arms crossed it."""
RECOGNISED = 0.1
"""Gain in trust from which a recognised place replaces motion."""
DOUBT = 0.7
"""Trust in motion below which places are recognised."""


class Located(NamedTuple):
    """Positions of a picture's px in a key frame, `[h w]` of the small picture."""

    motion: Motion
    trust: Field
    likeness: float
    """Mean trust in motion alone: how far the picture is one of the key frame's scene, 0 to 1."""


class Locator:
    """Locates the px of one stream's pictures in one key frame, picture by picture."""

    def __init__(self, key: Rgb, edit: Rgb) -> None:
        """Locate in a key frame that became `edit`, small pictures `uint8 [h w 3]`."""
        self._key, self._luma = key, grey(key)
        self._looks = Looks(key, edit)
        self._search = search()
        self.motion: Motion | None = None
        """Positions of the last picture's px in the key frame, if there was one."""

    def locate(self, small: Rgb, luma: Luma, step: Motion | None, *, recognise: bool = True) -> Located:
        """Return the positions of the px of the next picture.

        Args:
            small: the picture, `uint8 [h w 3]` of the key frame's size.
            luma: its luma.
            step: motion from the picture before, if there was one.
            recognise: False leaves what motion lost.
        """
        motion = find(self._search, luma, self._luma, None)
        certain = self._trust(motion, small)
        if self.motion is not None and step is not None:
            # What was followed reaches far; what is searched for afresh has not drifted. Each px has the better one.
            followed = find(self._search, luma, self._luma, after(self.motion, step))
            believed = self._trust(followed, small)
            motion, certain = _chosen(believed > certain + FOLLOWED, followed, believed, motion, certain)
        self.motion = motion
        likeness = float(certain.mean())
        found = self._looks.recognised(small, certain < DOUBT) if recognise else None
        if found is not None:
            places, known = found
            believed = trust(places, small, self._key)
            better = known & (believed > certain + RECOGNISED)
            motion, certain = _chosen(better, places, believed, motion, certain)
        return Located(motion, certain, likeness)

    def _trust(self, motion: Motion, small: Rgb) -> Field:
        return trust(motion, small, self._key) * regular(motion)


def _chosen(
    first: NDArray[np.bool_], motion: Motion, certain: Field, other: Motion, other_certain: Field
) -> tuple[Motion, Field]:
    """Return a motion and its trust where `first` is true, and another's elsewhere."""
    return (
        Motion(np.where(first, motion.x, other.x), np.where(first, motion.y, other.y)),
        np.where(first, certain, other_certain),
    )
