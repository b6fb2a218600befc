"""The object of a picture where nobody is: a thing that stands out from its surroundings."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vivace.media.convert import resize
from vivace.media.frame import Rgb
from vivace.media.size import Size
from vivace.regions.networks import Perception
from vivace.regions.picture import Picture
from vivace.regions.pixels import CELL_PX, Field, Line, Plane, halved

_AGREE, _DIFFER = 0.55, 0.3
"""Share of their union in which two networks see the same, from which and down to which it is believed."""
_UNSURE = 0.1
_LEAST = 0.004
"""Share of the picture below which there is nothing."""


class ObjectWatcher:
    """Looks for what stands out.

    The networks of outlines, made for people, take whatever stands out: a cat, a cup, a flower. Where the one for
    square and the one for wide pictures see the same thing it is the object; else what differs from the picture's
    edges.
    """

    def __init__(self, grid: Size, threads: int | None = None) -> None:
        """Look at pictures on a grid of `(width, height)`."""
        self._networks = [Perception(name, threads) for name in ("person", "person_wide")]
        self._planes = [
            Plane(Line(network.size[1] // 2, grid[1]), Line(network.size[0] // 2, grid[0]))
            for network in self._networks
        ]
        self.forget()

    def forget(self) -> None:
        """Know of nothing."""
        self._sure: float | None = None

    @property
    def presence(self) -> float:
        """0 to 1, how sure it is that something stands out."""
        return self._sure if self._sure is not None and self._sure >= _UNSURE else 0.0

    def look(self, picture: Picture) -> Field:
        """Return how much each px of the grid is of the object."""
        seen = [
            plane.run(halved(network.run(resize(picture.rgb, network.size))["mask"][0, :, :, 0])[None])[0]
            for network, plane in zip(self._networks, self._planes, strict=True)
        ]
        found, sure = agreed(*seen)
        if not sure:
            cells, sure = contrast(picture.cells)
            found = cells.repeat(CELL_PX, axis=0).repeat(CELL_PX, axis=1)
        # what comes or goes does so over some looks
        self._sure = sure if self._sure is None else 0.5 * (self._sure + sure)
        return found


def agreed(one: Field, other: Field) -> tuple[Field, float]:
    """Return what two outlines have in common, and how sure that is a thing, 0 to 1."""
    both = np.minimum(one, other)
    total = float(np.maximum(one, other).sum())
    if both.mean() < _LEAST or total == 0:
        return both, 0.0
    share = float(both.sum()) / total
    return both, float(np.clip((share - _DIFFER) / (_AGREE - _DIFFER), 0, 1))


def contrast(cells: Rgb) -> tuple[NDArray[np.float32], float]:
    """Return how much each cell differs from the picture's edges, `[h w]`, and how sure that is a thing, 0 to 1.

    Colours of the outer cells are taken to be those of the surroundings (as Wei et al., Geodesic saliency, 2012).
    """
    rgb = cells.astype(np.float32) / 255
    h, w = rgb.shape[:2]
    outer = np.concatenate(
        (rgb[:2].reshape(-1, 3), rgb[-2:].reshape(-1, 3), rgb[:, :2].reshape(-1, 3), rgb[:, -2:].reshape(-1, 3))
    )
    # to each of a few colours along the edges, the nearest counts
    few = outer[np.linspace(0, len(outer) - 1, 48).astype(int)]
    distance = np.sqrt(((rgb[:, :, None] - few) ** 2).sum(axis=3)).min(axis=2)
    down, across = np.mgrid[-1 : 1 : h * 1j, -1 : 1 : w * 1j]
    distance *= np.exp(-(down**2 + across**2)).astype(np.float32)
    for _ in range(2):
        padded = np.pad(distance, 1, mode="edge")
        distance = sum(padded[y : y + h, x : x + w] for y in range(3) for x in range(3)) / 9
    level = _threshold(distance)
    mask = np.clip((distance - level) / 0.06 + 0.5, 0, 1)
    inside = mask > 0.5
    if not 4 * _LEAST < inside.mean() < 0.5:
        return np.zeros_like(mask), 0.0
    apart = float(distance[inside].mean() - distance[~inside].mean())
    return mask, float(np.clip((apart - 0.08) / 0.2, 0, 1))


def _threshold(x: NDArray[np.float32]) -> float:
    """Return the value that parts a picture's values in two as well as can be (Otsu, 1979)."""
    counts, edges = np.histogram(x, 64)
    below = np.cumsum(counts)
    sums = np.cumsum(counts * (edges[:-1] + edges[1:]) / 2)
    above = below[-1] - below
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (sums / below - (sums[-1] - sums) / above) ** 2
    return float(edges[1 + int(np.nanargmax(between[:-1]))])
