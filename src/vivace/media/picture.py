"""From what a decoder gives (any format, range, aspect, orientation, alpha) to upright `uint8 [h w 3]` RGB."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple, cast

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from numpy.typing import NDArray

from vivace.media.clock import exact
from vivace.media.colour import ColourMap, colour_map_for
from vivace.media.convert import cover, cover_alpha, crop, interpolation_for
from vivace.media.frame import Alpha, Decoded, Frame, Rgb
from vivace.media.size import Size, cover_size

_UNSPECIFIED_SPACE, _BT2020 = 2, 9
_MATRICES = {1: "bt709", 2: "smpte170m", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 9: "bt2020nc"}
"""FFmpeg's names of the matrices of ITU-T H.273; what says nothing, and is no HD, is BT.601."""
_PLANAR = {form.format(n) for n in (420, 422, 444) for form in ("yuv{}p", "yuvj{}p", "yuv{}p10le", "yuv{}p12le")}
_HD_HEIGHT_PX = 720
"""Pictures that do not say how they encode colour use BT.709 from this height and BT.601 below, as players assume."""

Warn = Callable[[str], None]
"""Is told, for people, what was wrong with the data."""


def ignore(_text: str) -> None:
    """Warn nobody."""


class Picture(NamedTuple):
    """A picture over black, and where it is if that is not everywhere."""

    rgb: Rgb
    alpha: Alpha | None = None
    decoded: Decoded | None = None


class _Orientation(NamedTuple):
    """Quarter turns and mirrorings, as: transpose, then mirror."""

    transposes: bool
    mirrors_x: bool
    mirrors_y: bool


_UPRIGHT = _Orientation(False, False, False)


class PictureConverter:
    """Turns decoded frames into RGB pictures of one size.

    Sample aspect is undone by enlarging the short direction, so that no detail is lost; the display matrix turns and
    mirrors; alpha is laid over black. The first frame (or `size`) fixes the size delivered: later frames of another
    size are scaled to cover it, with one warning. Wider primaries and HDR become BT.709, and that is said. Colours and
    size change in one pass, so `size` is best what is needed in the end; it may be set between frames, from any thread.
    """

    def __init__(
        self,
        *,
        size: Size | None = None,
        aspect: Fraction | None = None,
        warn: Warn | None = None,
        unmarked_hd_is_bt709: bool = True,
    ):
        """Convert to one size.

        Args:
            size: `(width, height)` px; None: the first frame's.
            aspect: the sample aspect ratio.
            warn: told what is wrong with the data.
            unmarked_hd_is_bt709: what large pictures are taken for that do not say how they encode colour. Files mean
                BT.709; over WebRTC cameras are encoded in BT.601 at any size.
        """
        self.size = size
        """`(width, height)` of the pictures delivered, px."""
        self.source_size = (0, 0)
        """`(width, height)` of the last frame as it would be shown: upright, with square pixels, px."""
        self.rotation_deg = 0
        self._aspect = exact(aspect) if aspect else Fraction(1)
        self._warn = warn or ignore
        self._unmarked_hd_is_bt709 = unmarked_hd_is_bt709
        self._scaler = VideoReformatter()
        self._packer = VideoReformatter()
        self._first: tuple[Size, str] | None = None
        self._orientation = _UPRIGHT
        self._has_alpha = False
        self._colours: tuple[int, int, int] | None = None
        self._colour_map: ColourMap | None = None

    def __call__(self, frame: av.VideoFrame) -> Picture:
        """Convert one frame to a picture of `size`."""
        stored = (frame.width, frame.height)
        if self._first is None or self._first != (stored, frame.format.name):
            self._meet(frame, stored)
        if self._colours != (frame.color_primaries, frame.color_trc, frame.colorspace):
            self._meet_colours(frame)
        self.source_size = upright = self._turned(self._display_size(stored))
        wanted = self.size
        if wanted is None:
            wanted = self.size = upright
        covering = upright if upright == wanted else cover_size(upright, wanted)
        # Far wider or higher than what is wanted, and smaller: enlarging what is cut off would take all the memory.
        cuts_first = _area(covering) > max(_area(upright), 2 * _area(wanted))
        scaled = self._turned(upright if cuts_first else covering)
        seen = frame
        if self._colour_map is not None:
            seen = self._colour_map(frame, scaled, self._space(frame), interpolation_for(stored, scaled))
        pixels = self._pixels(seen, scaled)
        if self._has_alpha and seen is not frame:
            pixels[..., 3] = self._pixels(frame, scaled)[..., 3]
        pixels = _oriented(pixels, self._orientation)
        if cuts_first:
            whole = over_black(pixels)
            return Picture(cover(whole.rgb, wanted), None if whole.alpha is None else cover_alpha(whole.alpha, wanted))
        # Cut after it is scaled, unlike in `cover`: planes of a decoder cannot be cut, and one pass over colours and
        # size takes a quarter to four fifths of the time of two.
        picture = over_black(crop(pixels, wanted))
        if wanted == (seen.width, seen.height) and self._is_as_shown(seen):
            return picture._replace(decoded=Decoded(seen, _MATRICES[self._space(seen)], picture.rgb))
        return picture

    def _meet(self, frame: av.VideoFrame, stored: Size) -> None:
        if self._first is None:
            self._orientation = _orientation_of(frame)
            self.rotation_deg = _rotation_deg(self._orientation)
        elif self._first[0] != stored:
            self._warn(
                f"the video changes size from {self._first[0][0]}x{self._first[0][1]} to {stored[0]}x{stored[1]}; "
                f"it is scaled to the first size"
            )
        self._first = (stored, frame.format.name)
        # A palette may hold transparent entries, which FFmpeg does not count as an alpha component.
        self._has_alpha = frame.format.name == "pal8" or any(part.is_alpha for part in frame.format.components)

    def _meet_colours(self, frame: av.VideoFrame) -> None:
        self._colours = (frame.color_primaries, frame.color_trc, frame.colorspace)
        if frame.colorspace not in _MATRICES and not frame.format.is_rgb:
            self._warn(
                f"the video's colour matrix is unknown (matrix {frame.colorspace} of H.273); "
                f"{_MATRICES[self._space(frame)]} is assumed, and colours may be wrong"
            )
        self._colour_map = colour_map_for(frame)
        if self._colour_map is not None:
            how = "tone mapped" if self._colour_map.hdr else "converted"
            self._warn(f"the video's colours are {self._colour_map.name}; they are {how} to BT.709")

    def _display_size(self, stored: Size) -> Size:
        width, height = stored
        if self._aspect > 1:
            return max(1, round(width * self._aspect)), height
        if 0 < self._aspect < 1:
            return width, max(1, round(height / self._aspect))
        return stored

    def _turned(self, size: Size) -> Size:
        return (size[1], size[0]) if self._orientation.transposes else size

    def _pixels(self, frame: av.VideoFrame, size: Size) -> np.ndarray:
        packed, planar = ("rgba", "gbrap") if self._has_alpha else ("rgb24", "gbrp")
        stored = (frame.width, frame.height)
        space = self._space(frame)
        converted = self._scaler.reformat(
            frame,
            size[0],
            size[1],
            # What swscale scales it makes two levels too dark in packed formats, and is faster in planar ones.
            packed if size == stored else planar,
            src_colorspace=space,
            dst_colorspace=space,
            dst_color_range=ColorRange.JPEG,
            interpolation=interpolation_for(stored, size),
            threads=1,
        )
        converted = self._packer.reformat(converted, format=packed, threads=1)
        return np.ascontiguousarray(converted.to_ndarray())  # Some widths come with padded rows.

    def _space(self, frame: av.VideoFrame) -> int:
        """Return the matrix that colours are taken to be encoded by, which a picture may not say."""
        if frame.format.is_rgb:
            return Colorspace.ITU709
        if frame.colorspace in _MATRICES and frame.colorspace != _UNSPECIFIED_SPACE:
            return frame.colorspace
        if frame.color_primaries == _BT2020:
            return _BT2020
        hd = self._unmarked_hd_is_bt709 and frame.height >= _HD_HEIGHT_PX
        return Colorspace.ITU709 if hd else Colorspace.ITU601

    def _is_as_shown(self, frame: av.VideoFrame) -> bool:
        """Tell whether a picture that is not scaled is of the form of `Decoded`."""
        return frame.format.name in _PLANAR and self._orientation == _UPRIGHT and self._aspect == 1


def _area(size: Size) -> int:
    return size[0] * size[1]


def over_black(pixels: np.ndarray) -> Picture:
    """Lay `uint8 [h w 4]` (straight alpha) over black; `uint8 [h w 3]`, and what is opaque, is a picture as it is."""
    if pixels.shape[2] == 3:
        return Picture(cast(Rgb, pixels))
    alpha = np.ascontiguousarray(pixels[..., 3])
    if alpha.min() == 255:
        return Picture(np.ascontiguousarray(pixels[..., :3]))
    # (x * a + 127) / 255 without a division: exact for all bytes.
    product = pixels[..., :3] * alpha[..., None].astype(np.uint16) + 128
    return Picture(((product + (product >> 8)) >> 8).astype(np.uint8), alpha)


def straight(frame: Frame) -> np.ndarray:
    """Return a frame that has alpha as `uint8 [h w 4]` with straight alpha; where alpha is 255, its very colours.

    Edges are lifted by what lying over black took from them, and no further than the source was: a model that paints
    black brighter would leave a halo.
    """
    assert frame.alpha is not None
    share = np.maximum(frame.alpha, 1).astype(np.uint16)[..., None]
    colour = _lifted(frame.rgb, share)
    if frame.source_rgb is not None:
        colour = np.minimum(colour, np.maximum(frame.rgb, _lifted(frame.source_rgb, share)))
    return np.dstack([colour.astype(np.uint8), frame.alpha])


def _lifted(rgb: Rgb, share: NDArray[np.uint16]) -> NDArray[np.uint16]:
    lifted: NDArray[np.uint16] = np.minimum(255, (rgb * np.uint16(255) + share // 2) // share)
    return lifted


def _orientation_of(frame: av.VideoFrame) -> _Orientation:
    data = cast(Any, frame.side_data.get("DISPLAYMATRIX"))
    if data is None:
        return _UPRIGHT
    # A row vector (x, y, 1) times [[a, b, u], [c, d, v], [x, y, w]], 16.16 fixed point, y down (libavutil/display.h).
    a, b, _, c, d, *_ = np.frombuffer(bytes(data), np.int32).tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        return _Orientation(True, c < 0, b < 0)
    return _Orientation(False, a < 0, d < 0)


def _rotation_deg(orientation: _Orientation) -> int:
    if orientation.transposes:
        return 270 if orientation.mirrors_x and not orientation.mirrors_y else 90 if orientation.mirrors_y else 0
    return 180 if orientation.mirrors_x and orientation.mirrors_y else 0


def _oriented(rgb: np.ndarray, orientation: _Orientation) -> np.ndarray:
    if orientation == _UPRIGHT:
        return rgb
    view = rgb.swapaxes(0, 1) if orientation.transposes else rgb
    if orientation.mirrors_x:
        view = view[:, ::-1]
    if orientation.mirrors_y:
        view = view[::-1]
    return np.ascontiguousarray(view)
