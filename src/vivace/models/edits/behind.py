"""The picture behind things that are gone: what a camera that stands still has seen there."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vivace.models.camera_motion import CameraMotion
from vivace.models.edits.paint import Picture, filled_in, over
from vivace.models.edits.places import Mask
from vivace.models.thumbnail import Thumbnail, cell_px

_STILL_PX = 0.5
"""Motion of the camera from which on what was seen is no longer in its place."""
_CLEAR = 8
"""Coverage up to which a px is seen as it is, of 255."""
SURE_FRAMES = 8
"""Frames in a row in which a px has to be clear to be remembered: a mask may miss a part of a thing for a frame."""


@dataclass(slots=True)
class Plate:
    """The picture without the thing, as far as it is known."""

    rgb: NDArray[np.uint8]
    """`[h w 3]`."""
    known: NDArray[np.bool_]
    """`[h w]`, the px of it that are known."""
    clear: NDArray[np.uint8]
    """`[h w]`, frames in a row in which a px was clear, up to `SURE_FRAMES`."""
    at: tuple[float, float]
    """Place of the camera that it was seen from, (down, right) px."""


@dataclass(slots=True)
class Behind:
    """Memory of what a camera that stands still has seen where a thing is now."""

    motion: CameraMotion = field(default_factory=CameraMotion)
    plate: Plate | None = None

    def seen(self, source: Picture, hole: Mask, thumbnail: Thumbnail) -> Picture:
        """Return the picture with its hole filled: by what was seen there, else by what is around it."""
        rgb = np.asarray(source)
        down, right = self.motion.update(thumbnail, cell_px(source.size))
        plate = self.plate
        if plate is None or max(abs(down - plate.at[0]), abs(right - plate.at[1])) > _STILL_PX:
            clear = np.zeros(hole.shape, np.uint8)
            self.plate = plate = Plate(rgb.copy(), np.zeros(hole.shape, np.bool_), clear, (down, right))
        plate.clear = np.where(hole <= _CLEAR, np.minimum(plate.clear + 1, SURE_FRAMES), 0).astype(np.uint8)
        sure = plate.clear == SURE_FRAMES
        plate.rgb[sure] = rgb[sure]
        plate.known |= sure
        remembered = Image.fromarray(np.where((plate.known & (hole > 0))[..., None], plate.rgb, rgb))
        unknown = np.where(plate.known, np.uint8(0), hole)
        return over(remembered, filled_in(remembered, unknown), unknown) if unknown.any() else remembered

    def forget(self) -> None:
        """Begin anew, with nothing seen."""
        if self.plate is not None:
            self.motion.reset()
            self.plate = None
