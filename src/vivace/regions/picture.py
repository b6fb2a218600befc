"""One picture as what looks for regions sees it: at its own size, on the grid, and in cells."""

from __future__ import annotations

from dataclasses import dataclass

from vivace.media.convert import resize
from vivace.media.frame import Rgb
from vivace.media.size import Size
from vivace.regions.pixels import CELL_PX

_SQUARE: Size = (128, 128)
_WIDE: Size = (128, 72)
_WIDE_FROM = 1.4
"""Width by height from which a picture is wide."""


def grid_of(size: Size) -> Size:
    """Return the grid for pictures of a size, both `(width, height)`: half of what the networks of people take."""
    return _WIDE if size[0] >= _WIDE_FROM * size[1] else _SQUARE


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and what is made of it once."""

    rgb: Rgb
    """`uint8 [H W 3]`."""
    look: Rgb
    """As networks of people take it, `uint8 [2h 2w 3]`; its px need not be square."""
    small: Rgb
    """On the grid, `uint8 [h w 3]`."""
    cells: Rgb
    """Mean colours of the grid's cells, `uint8 [h/2 w/2 3]`."""

    @classmethod
    def of(cls, rgb: Rgb) -> Picture:
        """Scale a picture."""
        width, height = grid_of((rgb.shape[1], rgb.shape[0]))
        look = resize(rgb, (2 * width, 2 * height))
        small = resize(look, (width, height))
        return cls(rgb, look, small, resize(small, (width // CELL_PX, height // CELL_PX)))
