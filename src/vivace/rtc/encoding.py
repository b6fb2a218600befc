"""Pictures become encoded packets, one at a time and at once: encoders tuned for real time."""

from __future__ import annotations

import logging
import time
from fractions import Fraction
from typing import Any, TypeAlias, cast

import av
import numpy as np
from av.video.frame import PictureType
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter

from vivace.errors import SinkUnsupportedError
from vivace.media.encode import pad_even
from vivace.media.encoders import X264, Encoder
from vivace.media.frame import Rgb
from vivace.media.size import Size

_log = logging.getLogger(__name__)

VideoPacket: TypeAlias = "av.Packet[Any]"

CODECS = ("H264", "VP8")
"""In the order in which they are preferred: x264 takes half of libvpx's time."""
CLOCK_HZ = 90_000
"""Of RTP timestamps of video."""
TIME_BASE = Fraction(1, CLOCK_HZ)

BITS_PER_PX = 0.35
"""Painted pictures are busier than camera pictures: at half of this, brush strokes smear."""
MIN_BPS = 150_000
MAX_BPS = 12_000_000
BUFFER_S = 0.4
"""Rate control may even out so much: what a keyframe adds must be through before anybody notices."""
KEYFRAME_S = 20.0
"""Keyframes come when they are asked for; these are for receivers that never ask."""
MAX_SLOWER, MAX_FASTER = 1.5, 1.25
"""Pictures may come by so much slower or faster than an encoder was opened for."""
BUSY_AREA_PX = 640 * 640
"""Above this the encoder gets a second thread."""


def full_bitrate(size: Size, fps: float = 30.0) -> int:
    """Return the bitrate at which pictures of `(width, height)` px lose nothing that matters, bit/s."""
    return round(min(MAX_BPS, max(4 * MIN_BPS, size[0] * size[1] * fps * BITS_PER_PX)))


class YuvConverter:
    """Turns RGB into what encoders take: 4:2:0 in BT.601, which browsers assume of VP8. For one thread at a time."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def convert(self, rgb: Rgb) -> av.VideoFrame:
        """Return `uint8 [h w 3]` as a 4:2:0 picture; an odd last row or column is repeated."""
        picture = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(pad_even(rgb)), "rgb24")
        return self._reformatter.reformat(
            picture,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )


class LiveEncoder:
    """Encodes pictures of one size at one bitrate. For one thread at a time."""

    def __init__(self, codec: str, size: Size, bitrate_bps: int, *, fps: float = 30.0, h264: Encoder = X264) -> None:
        """Open an encoder for 4:2:0 pictures of even `(width, height)` px; `h264` is that of H.264.

        Hardware that does not take them makes way for x264.

        Raises:
            SinkUnsupportedError: this FFmpeg lacks the encoder.
        """
        self.codec = codec
        self.size = size
        self.bitrate_bps = bitrate_bps
        self._fps = fps
        self.encoder = h264 if codec == "H264" else None
        """Of H.264, the one that is used."""
        self._context = self._open()

    def _open(self) -> Any:
        if self.encoder in (None, X264):
            return _open(self.codec, self.size, self.bitrate_bps, self._fps, X264)
        assert self.encoder is not None
        try:
            context = _open(self.codec, self.size, self.bitrate_bps, self._fps, self.encoder)
            context.open()
        except (SinkUnsupportedError, av.FFmpegError) as error:
            _log.warning("the encoder %s cannot be opened (%s); x264 is used", self.encoder.word, error)
            self.encoder = X264
            return self._open()
        return context

    def suits(self, fps: float) -> bool:
        """Tell whether pictures that come at `fps` get about the bitrate.

        x264 without delay counts pictures and does not look at their times: at a third of the fps that it was opened
        for, it gives a third of the bitrate.
        """
        return self.codec != "H264" or self._fps / MAX_SLOWER <= fps <= self._fps * MAX_FASTER

    def encode(self, picture: av.VideoFrame, pts: int, *, keyframe: bool = False) -> VideoPacket | None:
        """Return the packet of a picture, `pts` being its time in 1/90000 s.

        None where rate control left the picture out.
        """
        if self.encoder is not None and picture.format.name != self.encoder.pixels:
            picture = picture.reformat(format=self.encoder.pixels)
        picture.pts = pts
        picture.time_base = TIME_BASE
        picture.pict_type = PictureType.I if keyframe else PictureType.NONE
        packets = self._context.encode(picture)
        if not packets:
            return None
        (packet,) = packets
        return cast(VideoPacket, packet)


def _open(codec: str, size: Size, bitrate_bps: int, fps: float, h264: Encoder) -> Any:
    name = {"H264": h264.codec, "VP8": "libvpx"}[codec]
    try:
        context = cast(Any, av.CodecContext.create(name, "w"))
    except (ValueError, av.FFmpegError) as error:
        raise SinkUnsupportedError(f"{codec}: this FFmpeg has no {name}; install av from its wheel") from error
    context.width, context.height = size
    context.pix_fmt = h264.pixels if codec == "H264" else "yuv420p"
    context.time_base = TIME_BASE
    context.framerate = Fraction(fps).limit_denominator(1001)
    context.gop_size = round(KEYFRAME_S * fps)
    context.thread_count = 2 if size[0] * size[1] > BUSY_AREA_PX else 1
    context.color_range = ColorRange.MPEG
    context.colorspace = Colorspace.ITU601
    context.color_primaries = ColorPrimaries.SMPTE170M
    context.color_trc = ColorTrc.SMPTE170M
    rate, buffer = str(bitrate_bps), str(round(bitrate_bps * BUFFER_S))
    if codec == "H264":
        if h264 is not X264:
            context.bit_rate = bitrate_bps
        context.options = {**dict(h264.live), "maxrate": rate, "bufsize": buffer}
        context.profile = "Baseline"  # all that every browser decodes
    else:
        context.bit_rate = bitrate_bps
        context.qmin, context.qmax = 4, 56
        context.options = {
            "deadline": "realtime",
            "cpu-used": "-8",
            "lag-in-frames": "0",
            "minrate": rate,  # both: constant bitrate, and less where the best quality needs less
            "maxrate": rate,
            "bufsize": buffer,
            "undershoot-pct": "100",
            "overshoot-pct": "15",
            "static-thresh": "1",
        }
    return context


def rtp_time(now_s: float | None = None) -> int:
    """Return a monotonic time as an RTP timestamp, before the random origin."""
    return round((time.monotonic() if now_s is None else now_s) * CLOCK_HZ)
