"""Where the picture may change: a rectangle, a picture, an array, or a video of masks.

White is painted, black stays the source pixel exactly, grey blends. A mask lies over the picture as the source does:
scaled to cover the output and centre-cropped, so a mask drawn over a frame of the source fits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from vivace.errors import ControlError, SourceNotFoundError
from vivace.media.convert import cover
from vivace.media.frame import Frame, Rgb
from vivace.media.paths import naming
from vivace.media.size import Size
from vivace.stream.blend import Region
from vivace.stream.checks import brief

if TYPE_CHECKING:
    from vivace.media.source import Source

Alpha = NDArray[np.uint8]
"""`uint8 [h w]`: 0 keeps the source, 255 is painted."""

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".pgm", ".ppm"})

VIDEO_SNAP = 12
"""A video codec turns flat black into 1s and 2s; so near to black or white, a video mask means black or white. Without
it the source would not be exact outside a mask that came as a video."""

_REMEDY = (
    "give an image or video file, a rectangle x,y,w,h (px, or fractions of the output when all are at most 1), "
    "or an array [h w] of uint8, bool or float 0..1"
)


@runtime_checkable
class Mask(Protocol):
    """Where a picture may change, at any size and time."""

    def region(self, size: Size, time_s: float) -> Region:
        """Return the region for an output of `(width, height)` px at a time of the stream."""

    def prepare(self, size: Size) -> None:
        """Check that the mask fits an output of `(width, height)` px, and do now what need be done once.

        Raises:
            ControlError: a mask that lies outside the output.
        """

    def close(self) -> None:
        """Let go of files."""


class RectangleMask:
    """A rectangle with hard edges."""

    def __init__(self, x: float, y: float, width: float, height: float) -> None:
        """Mask a rectangle in output px, or in fractions of the output when all four numbers are at most 1."""
        given = (x, y, width, height)
        if not (all(np.isfinite(given)) and min(given) >= 0 and width > 0 and height > 0):
            raise ControlError(f"mask rectangle is {x:g},{y:g},{width:g},{height:g}; x and y from 0, w and h above 0")
        self._rectangle = given
        self._fractions = max(given) <= 1
        self._known: tuple[Size, Region] | None = None

    def region(self, size: Size, time_s: float) -> Region:  # noqa: ARG002  (the rectangle does not move)
        """Return the region for an output of `(width, height)` px."""
        if self._known is None or self._known[0] != size:
            self._known = size, self._draw(size)
        return self._known[1]

    def _draw(self, size: Size) -> Region:
        scale = (size[0], size[1]) if self._fractions else (1, 1)
        x, y, width, height = self._rectangle
        left, right = round(x * scale[0]), round((x + width) * scale[0])
        top, bottom = round(y * scale[1]), round((y + height) * scale[1])
        if left >= size[0] or top >= size[1]:
            raise ControlError(
                f"mask rectangle {x:g},{y:g},{width:g},{height:g} lies outside the output of {size[0]}x{size[1]} px"
            )
        alpha = np.zeros((size[1], size[0]), np.uint8)
        alpha[top : max(bottom, top + 1), left : max(right, left + 1)] = 255
        return Region(alpha)

    def prepare(self, size: Size) -> None:
        """Draw the region for an output of `(width, height)` px."""
        self.region(size, 0.0)

    def close(self) -> None:
        """Do nothing: a rectangle holds no file."""


class PictureMask:
    """A still picture: an array or an image file."""

    def __init__(self, alpha: Alpha) -> None:
        """Mask by `uint8 [h w]`, 0 (the source stays) to 255 (painted)."""
        self._alpha = alpha
        self._known: tuple[Size, Region] | None = None

    @classmethod
    def from_file(cls, path: Path) -> PictureMask:
        """Read an image file; what is transparent counts as black."""
        from PIL import Image, UnidentifiedImageError

        try:
            with Image.open(path) as image:
                rgba = image.convert("RGBA")
        except FileNotFoundError as error:
            raise SourceNotFoundError(f"mask {path}: no such file") from error
        except (UnidentifiedImageError, OSError, Image.DecompressionBombError) as error:
            raise ControlError(f"mask {path} cannot be read as a picture: {error}") from error
        black = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
        return cls(np.asarray(Image.alpha_composite(black, rgba).convert("L")))

    def region(self, size: Size, time_s: float) -> Region:  # noqa: ARG002  (a still picture)
        """Return the region for an output of `(width, height)` px."""
        if self._known is None or self._known[0] != size:
            self._known = size, Region(_fit_alpha(self._alpha, size))
        return self._known[1]

    def prepare(self, size: Size) -> None:
        """Draw the region for an output of `(width, height)` px."""
        self.region(size, 0.0)

    def close(self) -> None:
        """Do nothing: the picture is in memory."""


class VideoMask:
    """A video of masks, played beside the stream from the first frame it applies to; its last picture stays."""

    def __init__(self, source: Source, *, owned: bool = False) -> None:
        """Mask by the frames of `source`, which is closed with the mask if `owned`.

        Raises:
            ControlError: the source has no frames.
        """
        self._source = source
        self._owned = owned
        self._frames: Iterator[Frame] = iter(source)
        first = next(self._frames, None)
        if first is None:
            raise ControlError(f"mask {source.info.name} has no frames")
        self._current = first
        self._next = next(self._frames, None)
        self._start_s: float | None = None
        self._first_pts_s = first.pts_s
        self._known: tuple[Size, Frame, Region] | None = None

    def region(self, size: Size, time_s: float) -> Region:
        """Return the region of the mask frame nearest in time; times must not fall."""
        if self._start_s is None:
            self._start_s = time_s
        wanted_s = time_s - self._start_s + self._first_pts_s
        while self._next is not None and self._next.pts_s - wanted_s <= wanted_s - self._current.pts_s:
            self._current, self._next = self._next, next(self._frames, None)
        if self._known is None or self._known[0] != size or self._known[1] is not self._current:
            alpha = _luma(cover(self._current.rgb, size))
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
    """Return the mask that a user's value means; None means none.

    Args:
        spec: None, a `Mask`, an image or video path, `"x,y,w,h"` or four numbers, an array `[h w]`, or a `Source`.

    Raises:
        ControlError: a value that is no mask.
        SourceError: a file that is missing or cannot be read.
    """
    if spec is None or isinstance(spec, Mask):
        return spec
    if isinstance(spec, np.ndarray):
        return PictureMask(_alpha_of(spec))
    if isinstance(spec, str) and (numbers := _numbers(spec.split(","))) is not None:
        return _rectangle(numbers)
    if isinstance(spec, (str, Path)):
        return _open_file(spec)
    if isinstance(spec, Sequence) and (numbers := _numbers(spec)) is not None:
        return _rectangle(numbers)
    if hasattr(spec, "info") and hasattr(spec, "__iter__"):
        return VideoMask(cast("Source", spec))  # any object with a source's shape will do
    raise ControlError(f"mask is {brief(spec)}; {_REMEDY}")


def _numbers(parts: Sequence[object]) -> list[float] | None:
    """Return the parts as numbers, or None if one of them is not."""
    try:
        return [float(part) for part in parts]  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None


def _rectangle(numbers: Sequence[float]) -> RectangleMask:
    if len(numbers) != 4:
        raise ControlError(f"mask has {len(numbers)} numbers; {_REMEDY}")
    return RectangleMask(*numbers)


def _open_file(spec: str | Path) -> Mask:
    if isinstance(spec, str) and (not spec.strip() or len(spec) > 4096 or "\0" in spec):
        raise ControlError(f"mask is {brief(spec)}; {_REMEDY}")
    if Path(spec).suffix.lower() in IMAGE_SUFFIXES and "://" not in str(spec):
        with naming(spec, SourceNotFoundError) as path:
            return PictureMask.from_file(path)
    from vivace.media.open import open_source

    source = open_source(spec)
    try:
        return VideoMask(source, owned=True)
    except BaseException:
        source.close()
        raise


def _alpha_of(array: NDArray[np.generic]) -> Alpha:
    """Return an array of the user's as `uint8 [h w]`, a copy."""
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2 or 0 in array.shape:
        raise ControlError(f"mask array has shape {array.shape}; give [h w]")
    if array.dtype == np.uint8:
        return np.array(array, np.uint8)
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if np.issubdtype(array.dtype, np.floating):
        values = array.astype(np.float64)
        if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
            raise ControlError(f"mask array runs from {values.min():g} to {values.max():g}; floats are 0 to 1")
        return np.rint(values * 255).astype(np.uint8)
    raise ControlError(f"mask array is of {array.dtype}; give uint8 (0..255), bool, or float (0..1)")


def _fit_alpha(alpha: Alpha, size: Size) -> Alpha:
    """Scale a mask to cover `(width, height)` and crop it, through the same path as pictures."""
    if (alpha.shape[1], alpha.shape[0]) == size:
        return alpha
    return np.ascontiguousarray(cover(np.repeat(alpha[..., None], 3, axis=2), size)[..., 1])


def _luma(rgb: Rgb) -> Alpha:
    """Return brightness, `uint8 [h w]`; black stays 0 and white 255."""
    wide = rgb.astype(np.uint16)
    return ((wide[..., 0] * 77 + wide[..., 1] * 150 + wide[..., 2] * 29) >> 8).astype(np.uint8)
