"""What was seen behind things that are gone from the picture."""

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
"""Motion of the camera from one frame to the next from which on what was seen is no longer in its place."""
_CLEAR = 8
"""Coverage up to which a px is seen as it is, of 255."""
SURE_FRAMES = 8
"""Frames in a row in which a px has to be clear to be remembered: a mask may miss a part of a thing for a frame."""


@dataclass(slots=True)
class Behind:
    """Remembers what a camera that stands still has seen where a thing is now."""

    motion: CameraMotion = field(default_factory=CameraMotion)
    at: tuple[float, float] | None = None
    """Where the camera was, px."""
    plate: NDArray[np.uint8] | None = None
    """`[h w 3]` the picture without the thing, as far as it is known."""
    known: NDArray[np.bool_] | None = None
    """`[h w]`"""
    clear: NDArray[np.uint8] | None = None
    """`[h w]` frames in a row in which a px was clear, up to `SURE_FRAMES`."""

    def seen(self, source: Picture, hole: Mask, thumbnail: Thumbnail) -> Picture:
        """Return the picture with its hole filled: by what was seen there, else by what is around it."""
        rgb = np.asarray(source)
        at = self.motion.update(thumbnail, cell_px(source.size))
        moved = self.at is not None and max(abs(at[0] - self.at[0]), abs(at[1] - self.at[1])) > _STILL_PX
        self.at = at
        if self.plate is None or self.known is None or self.clear is None or moved:
            self.plate, self.known = rgb.copy(), np.zeros(hole.shape, np.bool_)
            self.clear = np.zeros(hole.shape, np.uint8)
        self.clear = np.where(hole <= _CLEAR, np.minimum(self.clear + 1, SURE_FRAMES), 0).astype(np.uint8)
        sure = self.clear == SURE_FRAMES
        self.plate[sure] = rgb[sure]
        self.known |= sure
        remembered = np.where((self.known & (hole > 0))[..., None], self.plate, rgb)
        unknown = np.where(self.known, np.uint8(0), hole)
        plate = Image.fromarray(remembered)
        return over(plate, filled_in(plate, unknown), unknown) if unknown.any() else plate

    def forget(self) -> None:
        """Have seen nothing."""
        self.motion.reset()
        self.at = self.plate = self.known = self.clear = None
