"""Masks: the part of the picture that may change, given as a rectangle, a picture, an array or a video.

White is painted, black keeps the source pixel exactly, grey blends. A mask is fitted like the source, scaled to cover
the output and centre-cropped, so a mask drawn over a frame of the source stays aligned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

import numpy as np

from vivace.checks import brief
from vivace.errors import ControlError, SourceNotFoundError
from vivace.media.convert import cover, cover_alpha
from vivace.media.frame import Frame
from vivace.media.paths import naming
from vivace.media.registry import PICTURE_SUFFIXES
from vivace.media.size import Size
from vivace.media.source import Source, on_error
from vivace.models.controls import ControlSpec
from vivace.stream.blend import Region
from vivace.stream.pictures import Alpha, luma, read_picture

MASK = ControlSpec(name="mask", kind="mask", help="White may change, black stays the source.")
"""Declaration of the control for masks given as a picture."""

VIDEO_SNAP = 12
"""Values this close to 0 or 255 snap to them in a video mask: video codecs turn flat black into 1s and 2s, and the
source would not stay exact outside the mask."""

_REMEDY = (
    "give an image or video file, a rectangle x,y,w,h (px, or fractions of the output when all are at most 1), "
    "or an array [h w] of uint8, bool or float 0..1"
)


@runtime_checkable
class Mask(Protocol):
    """Mask for any output size and time."""

    def region(self, size: Size, time_s: float) -> Region:
        """Return the region for an output of `(width, height)` px at a stream time, s."""

    def prepare(self, size: Size) -> None:
        """Check that the mask suits an output of `(width, height)` px, and precompute what can be.

        Raises:
            ControlError: the mask lies outside the output.
        """

    def close(self) -> None:
        """Close files."""


class StillMask:
    """Static mask: a rectangle or a picture."""

    def __init__(self, draw: Callable[[Size], Alpha]) -> None:
        """Take `draw`, which returns the mask for an output of `(width, height)` px, 0 (source) to 255 (painted)."""
        self._draw = draw
        self._known: tuple[Size, Region] | None = None

    def region(self, size: Size, time_s: float) -> Region:  # noqa: ARG002  (the protocol's)
        """Return the region for an output of `(width, height)` px."""
        if self._known is None or self._known[0] != size:
            self._known = size, Region(self._draw(size))
        return self._known[1]

    def prepare(self, size: Size) -> None:
        """Draw the region for an output of `(width, height)` px."""
        self.region(size, 0.0)

    def close(self) -> None:
        """Do nothing: no file is held."""


class VideoMask:
    """Video mask, played in step with the stream from the first frame it applies to; its last picture stays."""

    def __init__(self, source: Source, *, owned: bool = False) -> None:
        """Use the frames of `source`, which is closed with the mask if `owned`.

        Raises:
            ControlError: the source has no frames.
        """
        self._source = source
        self._owned = owned
        self._frames: Iterator[Frame] = iter(source)
        first = next(self._frames, None)
        if first is None:
            raise ControlError(f"mask {source.info.name} has no frames; {_REMEDY}")
        self._current = first
        self._next = next(self._frames, None)
        self._start_s: float | None = None
        self._first_pts_s = first.pts_s
        self._known: tuple[Size, Frame, Region] | None = None

    def region(self, size: Size, time_s: float) -> Region:
        """Return the region of the mask frame nearest in time; times must not decrease."""
        if self._start_s is None:
            self._start_s = time_s
        wanted_s = time_s - self._start_s + self._first_pts_s
        while self._next is not None and self._next.pts_s - wanted_s <= wanted_s - self._current.pts_s:
            self._current, self._next = self._next, next(self._frames, None)
        if self._known is None or self._known[0] != size or self._known[1] is not self._current:
            alpha = luma(cover(self._current.rgb, size))
            alpha[alpha <= VIDEO_SNAP] = 0
            alpha[alpha >= 255 - VIDEO_SNAP] = 255
            self._known = size, self._current, Region(alpha)
        return self._known[2]

    def prepare(self, size: Size) -> None:
        """Do nothing: a video fits every size, and its time has not come."""

    def close(self) -> None:
        """Close the video if the mask opened it."""
        if self._owned:
            self._source.close()


def open_mask(spec: object) -> Mask | None:
    """Return the mask that a user's value describes, or None."""
    if spec is None or isinstance(spec, Mask):
        return spec
    if isinstance(spec, (np.ndarray, bytes, bytearray)) or (isinstance(spec, str) and spec.startswith("data:")):
        return _picture(spec)
    if isinstance(spec, str) and (numbers := _numbers(spec.split(","))) is not None:
        return _rectangle(numbers)
    if isinstance(spec, (str, Path)):
        return _open_file(spec)
    if isinstance(spec, Sequence) and (numbers := _numbers(spec)) is not None:
        return _rectangle(numbers)
    if hasattr(spec, "info") and hasattr(spec, "__iter__"):
        return VideoMask(cast("Source", spec))  # duck-typed source
    raise ControlError(f"mask is {brief(spec)}; {_REMEDY}")


def _numbers(parts: Sequence[object]) -> list[float] | None:
    """Return the parts as numbers, or None if one is not a number."""
    try:
        return [float(part) for part in parts]  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None


def _rectangle(numbers: Sequence[float]) -> StillMask:
    """Return a rectangle with hard edges, in output px, or in fractions of the output if no number is above 1."""
    if len(numbers) != 4:
        raise ControlError(f"mask has {len(numbers)} numbers; {_REMEDY}")
    x, y, width, height = numbers
    if not (all(np.isfinite(numbers)) and min(numbers) >= 0 and width > 0 and height > 0):
        raise ControlError(f"mask rectangle is {x:g},{y:g},{width:g},{height:g}; give x and y from 0, w and h above 0")

    def draw(size: Size) -> Alpha:
        scale = size if max(numbers) <= 1 else (1, 1)
        left, right = round(x * scale[0]), round((x + width) * scale[0])
        top, bottom = round(y * scale[1]), round((y + height) * scale[1])
        if left >= size[0] or top >= size[1]:
            raise ControlError(
                f"mask rectangle {x:g},{y:g},{width:g},{height:g} lies outside the output of {size[0]}x{size[1]} px"
            )
        alpha = np.zeros((size[1], size[0]), np.uint8)
        alpha[top : max(bottom, top + 1), left : max(right, left + 1)] = 255
        return alpha

    return StillMask(draw)


def _picture(value: object) -> StillMask:
    alpha = read_picture(MASK, value)
    return StillMask(lambda size: cover_alpha(alpha, size))


def _open_file(spec: str | Path) -> Mask:
    if isinstance(spec, str) and (not spec.strip() or len(spec) > 4096 or "\0" in spec):
        raise ControlError(f"mask is {brief(spec)}; {_REMEDY}")
    if Path(spec).suffix.lower() in PICTURE_SUFFIXES and ("://" not in str(spec) or str(spec).startswith("http")):
        from vivace.media.images import is_animated

        with naming(spec, SourceNotFoundError) as path:
            moves = is_animated(path)
        if not moves:
            return _picture(spec)
    from vivace.media.open import open_source

    source = open_source(spec)
    with on_error(source.close):
        return VideoMask(source, owned=True)
