"""Real-time encoding of pictures into packets, one picture at a time without delay."""

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
"""Codecs in order of preference: x264 takes half of libvpx's time."""
CLOCK_HZ = 90_000
"""Clock rate of RTP video timestamps, Hz."""
TIME_BASE = Fraction(1, CLOCK_HZ)

BITS_PER_PX = 0.35
"""Bits per pixel at full quality. Painted pictures have more detail than camera pictures: at half of this, brush
strokes smear."""
MIN_BPS = 150_000
MAX_BPS = 12_000_000
BUFFER_S = 0.4
"""Rate control buffer, s: a keyframe's extra bits must be sent before the delay is noticed."""
KEYFRAME_S = 20.0
"""Interval between unrequested keyframes, s, for receivers that never request one."""
MAX_SLOWER, MAX_FASTER = 1.5, 1.25
"""Factors by which the frame rate may fall below or exceed the rate an encoder was opened for."""
BUSY_AREA_PX = 640 * 640
"""Area above which the encoder gets a second thread, px."""


def full_bitrate(size: Size, fps: float = 30.0) -> int:
    """Return the bitrate at which pictures of `(width, height)` px show no visible loss, bit/s."""
    return round(min(MAX_BPS, max(4 * MIN_BPS, size[0] * size[1] * fps * BITS_PER_PX)))


class YuvConverter:
    """Converter from RGB to the encoders' format: 4:2:0 in BT.601, which browsers assume for VP8.

    One thread at a time.
    """

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def convert(self, rgb: Rgb, *, half: bool = False) -> av.VideoFrame:
        """Return `uint8 [h w 3]` as a 4:2:0 picture; an odd last row or column is repeated. `half` halves each side."""
        picture = av.VideoFrame.from_numpy_buffer(np.ascontiguousarray(pad_even(rgb)), "rgb24")
        return self._reformatter.reformat(
            picture,
            width=max(2, picture.width // 4 * 2) if half else None,
            height=max(2, picture.height // 4 * 2) if half else None,
            format="yuv420p",
            dst_colorspace=Colorspace.ITU601,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )


class LiveEncoder:
    """Encoder for pictures of one size at one bitrate. One thread at a time."""

    def __init__(self, codec: str, size: Size, bitrate_bps: int, *, fps: float = 30.0, h264: Encoder = X264) -> None:
        """Open an encoder for 4:2:0 pictures of even `(width, height)` px; `h264` selects the H.264 implementation.

        A hardware encoder that cannot be opened is replaced by x264.

        Raises:
            SinkUnsupportedError: this FFmpeg lacks the encoder.
        """
        self.codec = codec
        self.size = size
        self.bitrate_bps = bitrate_bps
        self._fps = fps
        self.encoder = h264 if codec == "H264" else None
        """H.264 implementation in use; None for VP8."""
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
        """Return whether this encoder keeps its bitrate at a frame rate.

        x264 in zero-latency mode counts pictures and ignores their timestamps: at a third of the rate it was opened
        for, it produces a third of the bitrate.
        """
        return self.codec != "H264" or self._fps / MAX_SLOWER <= fps <= self._fps * MAX_FASTER

    def encode(self, picture: av.VideoFrame, pts: int, *, keyframe: bool = False) -> VideoPacket | None:
        """Return the packet of a picture; `pts` is in 1/90000 s.

        None if rate control dropped the picture.
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
        context.profile = "Baseline"  # the profile that every browser decodes
    else:
        context.bit_rate = bitrate_bps
        context.qmin, context.qmax = 4, 56
        context.options = {
            "deadline": "realtime",
            "cpu-used": "-8",
            "lag-in-frames": "0",
            "minrate": rate,  # minrate = maxrate: constant bitrate, less only where the best quality needs less
            "maxrate": rate,
            "bufsize": buffer,
            "undershoot-pct": "100",
            "overshoot-pct": "15",
            "static-thresh": "1",
        }
    return context


def rtp_time(now_s: float | None = None) -> int:
    """Return a monotonic time as an RTP timestamp, before the random origin is added."""
    return round((time.monotonic() if now_s is None else now_s) * CLOCK_HZ)
