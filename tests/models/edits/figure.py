"""A picture of a drawn person, and a finder that knows the position of everything in it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from vivace.media.convert import cover_alpha
from vivace.regions.finder import Found

SIZE = (96, 64)
WIDTH, HEIGHT = SIZE
_Y, _X = np.mgrid[0:HEIGHT, 0:WIDTH]
PLACES = {
    "person": (abs(_X - 48) < 20) & (_Y > 8),
    "clothes": (abs(_X - 48) < 20) & (_Y > 40),
    "hair": (abs(_X - 48) < 12) & (_Y > 8) & (_Y <= 16),
    "face": (abs(_X - 48) < 12) & (_Y > 16) & (_Y <= 36),
    "eyes": (abs(abs(_X - 48) - 6) < 3) & (abs(_Y - 22) < 3),
    "sky": (_Y <= 8),
    "red": (_X > 80) & (_Y > 40),
}


class KnowingFinder:
    """Finder that knows the figure's parts; it finds nothing of a person who has left."""

    def __init__(self, size: tuple[int, int] = SIZE) -> None:
        self.size = size
        self.asked: list[frozenset[str]] = []
        self.gone = False
        self.resets = 0

    def find(self, rgb: np.ndarray, wanted: frozenset[str]) -> Mapping[str, Found]:
        del rgb
        self.asked.append(wanted)
        seen = 0 if self.gone else 255
        masks = {name: (PLACES.get(name, np.zeros((HEIGHT, WIDTH), bool)) * seen).astype(np.uint8) for name in wanted}
        return {name: Found(cover_alpha(mask, self.size), seen / 255) for name, mask in masks.items()}

    def reset(self) -> None:
        self.resets += 1


def picture(seed: int = 0) -> np.ndarray:
    """Return a smooth picture, slightly different for each seed."""
    waves = [np.sin(_X / 9 + c + seed / 7) * np.cos(_Y / (7 + c)) for c in range(3)]
    return np.stack([127 + 90 * wave for wave in waves], -1).astype(np.uint8)
