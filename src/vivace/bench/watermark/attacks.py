"""Attacks on a second of marked video: the usual processing on its way to a viewer, one kind at a time."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, cast

import av
import numpy as np
from PIL import Image, ImageDraw

from vivace.media.frame import Rgb
from vivace.rtc.encoding import CLOCK_HZ, LiveEncoder, YuvConverter

FPS = 24
WEBRTC_BPS = 1_000_000

Pictures = Sequence[Rgb]


@dataclass(frozen=True, slots=True)
class Attack:
    """Change of pictures; `single` ones use only the first."""

    key: str
    title: str
    change: Callable[[Pictures], list[Rgb]]
    single: bool = False


def x264(pictures: Pictures, crf: int = 28) -> list[Rgb]:
    """Return pictures encoded and decoded with x264 at its default preset."""
    buffer = io.BytesIO()
    height, width = (side // 2 * 2 for side in pictures[0].shape[:2])
    with av.open(buffer, "w", format="matroska") as container:
        stream = cast(Any, container.add_stream("libx264", rate=FPS))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"crf": str(crf)}
        for rgb in pictures:
            even = np.ascontiguousarray(rgb[:height, :width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        container.mux(stream.encode())
    buffer.seek(0)
    with av.open(buffer, "r") as decoding:
        return [_rgb(frame) for frame in decoding.decode(video=0)]


def webrtc(pictures: Pictures, codec: str) -> list[Rgb]:
    """Return pictures encoded as the server does for WebRTC, at 1 Mbit/s, and decoded; rate control may drop some."""
    height, width = (side // 2 * 2 for side in pictures[0].shape[:2])
    encoder, converter = LiveEncoder(codec, (width, height), WEBRTC_BPS, fps=FPS), YuvConverter()
    decoder = cast(Any, av.CodecContext.create({"VP8": "libvpx", "H264": "h264"}[codec], "r"))
    found: list[Rgb] = []
    for index, rgb in enumerate(pictures):
        picture = converter.convert(np.ascontiguousarray(rgb[:height, :width]))
        packet = encoder.encode(picture, round(index * CLOCK_HZ / Fraction(FPS)), keyframe=index == 0)
        if packet is not None:
            found += map(_rgb, decoder.decode(av.Packet(bytes(packet))))
    return [*found, *map(_rgb, decoder.decode(None))]


def _rgb(frame: av.VideoFrame) -> Rgb:
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)


def scaled(pictures: Pictures, scale: float) -> list[Rgb]:
    """Return pictures scaled with a bicubic filter, to even sides."""
    height, width = (2 * round(side * scale / 2) for side in pictures[0].shape[:2])
    return [np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BICUBIC)) for rgb in pictures]


def cropped(pictures: Pictures, width_share: float, height_share: float) -> list[Rgb]:
    """Return the centre of pictures."""
    height, width = pictures[0].shape[:2]
    kept_height, kept_width = round(height * height_share), round(width * width_share)
    top, left = (height - kept_height) // 2, (width - kept_width) // 2
    return [rgb[top : top + kept_height, left : left + kept_width] for rgb in pictures]


def gamma(pictures: Pictures, exponent: float) -> list[Rgb]:
    """Return pictures with values from 0 to 1 raised to a power: above 1 darkens."""
    table = np.rint(255 * (np.arange(256) / 255) ** exponent).astype(np.uint8)
    return [table[rgb] for rgb in pictures]


def padded(pictures: Pictures) -> list[Rgb]:
    """Return pictures with black bars: a fifth of the height above and below, a tenth of the width at the right."""
    height, width = pictures[0].shape[:2]
    bars = ((height // 5, height // 5), (0, width // 10), (0, 0))
    return [np.pad(rgb, bars) for rgb in pictures]


def screen(pictures: Pictures) -> list[Rgb]:
    """Return a screen recording at crf 23 of pictures shown in a page, 1.2 times as large, among text."""
    shown = scaled(pictures, 1.2)
    height, width = shown[0].shape[:2]
    page = Image.new("RGB", (width + 240, height + 120), (250, 250, 252))
    draw = ImageDraw.Draw(page)
    for line in range(0, page.height, 14):
        draw.text((8, line), "live video, repainted as you watch: ink, watercolour " * 4, fill=(30, 30, 40))
    screens = []
    for rgb in shown:
        now = np.array(page)
        now[60 : 60 + height, 120 : 120 + width] = rgb
        screens.append(now)
    return x264(screens, 23)


def jpeg(pictures: Pictures) -> list[Rgb]:
    """Return the first picture saved as JPEG of quality 75."""
    buffer = io.BytesIO()
    Image.fromarray(pictures[0]).save(buffer, "JPEG", quality=75)
    return [np.asarray(Image.open(buffer).convert("RGB"))]


ATTACKS = (
    Attack("nothing", "nothing", list),
    Attack("x264", "x264 crf 28", x264),
    Attack("vp8", "VP8, 1 Mbit/s", lambda pictures: webrtc(pictures, "VP8")),
    Attack("h264", "H.264, 1 Mbit/s", lambda pictures: webrtc(pictures, "H264")),
    Attack("half", "0.5x", lambda pictures: scaled(pictures, 0.5)),
    Attack("larger", "1.5x", lambda pictures: scaled(pictures, 1.5)),
    Attack("crop_4_3", "4:3 crop", lambda pictures: cropped(pictures, 0.75, 1)),
    Attack("crop_half", "crop to 50 %", lambda pictures: cropped(pictures, 0.5**0.5, 0.5**0.5)),
    Attack("bars", "black bars", padded),
    Attack("turn", "quarter turn", lambda pictures: [np.ascontiguousarray(np.rot90(rgb)) for rgb in pictures]),
    Attack("brighter", "gamma 0.8", lambda pictures: gamma(pictures, 0.8)),
    Attack("darker", "gamma 1.25", lambda pictures: gamma(pictures, 1.25)),
    Attack("screen", "screen capture", screen),
    Attack("jpeg", "JPEG q75, one picture", jpeg, single=True),
    Attack("half_x264", "0.5x, then crf 28", lambda pictures: x264(scaled(pictures, 0.5))),
    Attack("larger_x264", "1.5x, then crf 28", lambda pictures: x264(scaled(pictures, 1.5))),
    Attack("crop_x264", "4:3 crop, then crf 28", lambda pictures: x264(cropped(pictures, 0.75, 1))),
)
CRFS = (18, 23, 28, 33, 38)
SCALES = (0.5, 0.6, 0.75, 0.9, 1.0, 1.1, 1.25, 1.4, 1.5)
