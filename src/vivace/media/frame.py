"""A picture on its way through Vivace, with its history."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vivace.checks import brief
from vivace.errors import ControlError

if TYPE_CHECKING:
    import av

Rgb = NDArray[np.uint8]
"""`uint8 [h w 3]`, RGB, C-contiguous: the one layout at the media boundary."""
Alpha = NDArray[np.uint8]
"""`uint8 [h w]`, from 0, nothing of a picture is there, to 255."""


def check_rgb(rgb: object, alpha: Alpha | None = None) -> Rgb:
    """Return a picture of an application, C-contiguous.

    Raises:
        ControlError: it is no `uint8 [h w 3]`, or `alpha` none of its size.
    """
    if not isinstance(rgb, np.ndarray):
        raise ControlError(f"the picture is {brief(rgb)}; give a uint8 array [h w 3], RGB")
    if rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3 or 0 in rgb.shape:
        raise ControlError(f"the picture is {rgb.dtype} {rgb.shape}; give uint8 [h w 3], RGB")
    if alpha is not None and (alpha.dtype != np.uint8 or alpha.shape != rgb.shape[:2]):
        raise ControlError(f"the alpha is {alpha.dtype} {alpha.shape}; give uint8 {rgb.shape[:2]}")
    return np.ascontiguousarray(rgb)


class Decoded(NamedTuple):
    """A picture as its decoder gave it: planar YUV in the primaries of BT.709, upright, with square pixels."""

    frame: av.VideoFrame
    matrix: str
    """That colours are taken to be encoded by, as FFmpeg names it."""
    rgb: Rgb
    """The picture as RGB. A frame whose `rgb` is another array by now has been painted since."""


@dataclass(slots=True, frozen=True)
class Frame:
    """One picture: pixels, place in its stream, and when it was captured and left each stage.

    Frames are shared between threads, so neither the object nor its pixels are changed after creation.
    """

    rgb: Rgb = field(repr=False)
    """`uint8 [h w 3]`, RGB."""
    index: int
    """Counts the frames of the source from 0, dropped ones included."""
    pts: int
    """Presentation time in units of `time_base`, from the source; strictly increasing."""
    time_base: Fraction
    """Seconds per unit of `pts`."""
    capture_time_s: float
    """Monotonic clock when the picture existed first (camera: arrival; file: decoded or due)."""
    marks: dict[str, float] = field(default_factory=dict)
    """Monotonic time at which the frame left each stage, by stage name."""
    duration: int | None = None
    """Time the picture is shown, in units of `time_base`, where the source says so. It ends the last one; another
    ends where the next begins."""
    alpha: Alpha | None = field(default=None, repr=False)
    """Opacity, None where all is opaque; `rgb` is the picture over black."""
    control_index: int = 0
    """Number of the control update this frame was made with (output frames)."""
    tag: int | None = None
    """Number that the giver of the frame knows it by; painted frames keep it."""
    thumbnail: NDArray[np.float32] | None = field(default=None, repr=False)
    """Mean colour of the cells of `rgb`, `float32 [h w 3]`, once a stream has prepared the frame."""
    source_rgb: Rgb | None = field(default=None, repr=False)
    """The source's picture, scaled and cut to this frame's size (output frames)."""
    decoded: Decoded | None = field(default=None, repr=False)
    """The picture before it was converted to RGB, where videos can be written of it without that."""
    painted: bool = False
    """True where any of it is painted (output frames); otherwise it shows its source as it is."""
    absent: tuple[str, ...] = ()
    """Places that the prompt changes and that are not in the picture, such as `hair` (output frames)."""
    followed: bool = False
    """True where an edited key frame was carried into it (output frames)."""

    @property
    def pts_s(self) -> float:
        """Presentation time in seconds."""
        return float(self.pts * self.time_base)

    @property
    def size(self) -> tuple[int, int]:
        """`(width, height)` in px."""
        return self.rgb.shape[1], self.rgb.shape[0]

    def _repr_png_(self) -> bytes:
        """Return the picture for a notebook."""
        from PIL import Image

        buffer = io.BytesIO()
        Image.fromarray(self.rgb).save(buffer, "PNG")
        return buffer.getvalue()

    def marked(self, stage: str, time_s: float) -> Frame:
        """Return this frame having left `stage` at `time_s`."""
        return replace(self, marks={**self.marks, stage: time_s})
