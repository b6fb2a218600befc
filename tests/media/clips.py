"""Clips for the media tests, made on the spot with PyAV: small, each with one peculiarity."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from vivace.media.frame import Frame, Rgb

SIZE = (64, 48)
RED, GREEN, BLUE, WHITE = (200, 30, 30), (20, 180, 60), (30, 40, 220), (250, 250, 250)


def quarters(size: tuple[int, int] = SIZE) -> Rgb:
    """Return a picture whose corners show its orientation: red green / blue white."""
    width, height = size
    rgb = np.empty((height, width, 3), np.uint8)
    rgb[: height // 2, : width // 2], rgb[: height // 2, width // 2 :] = RED, GREEN
    rgb[height // 2 :, : width // 2], rgb[height // 2 :, width // 2 :] = BLUE, WHITE
    return rgb


def corners(rgb: Rgb) -> list[str]:
    """Name the colours of a picture's corners: upper left, upper right, lower left, lower right."""
    height, width = rgb.shape[:2]
    known = {"red": RED, "green": GREEN, "blue": BLUE, "white": WHITE, "black": (0, 0, 0)}
    names = []
    for y, x in ((0.2, 0.2), (0.2, 0.8), (0.8, 0.2), (0.8, 0.8)):
        pixel = rgb[int(y * height), int(x * width)].astype(int)
        name = min(known, key=lambda key: float(np.abs(pixel - known[key]).max()))
        names.append(name if np.abs(pixel - known[name]).max() <= 12 else str(pixel))
    return names


def grey(level: int, size: tuple[int, int] = SIZE) -> Rgb:
    """Return a uniform grey picture."""
    return np.full((size[1], size[0], 3), level, np.uint8)


def frames_of(
    pictures: Sequence[Rgb], pts: Sequence[int] | None = None, time_base: Fraction = Fraction(1, 25)
) -> list[Frame]:
    """Return frames as a source would deliver them."""
    times = range(len(pictures)) if pts is None else pts
    return [Frame(rgb, index, at, time_base, 0.0) for index, (rgb, at) in enumerate(zip(pictures, times, strict=True))]


def beep(seconds: float, at_s: float, rate: int = 48_000, length_s: float = 0.1) -> np.ndarray[Any, Any]:
    """Return silence with one loud tone in it, `float32 [1 samples]`."""
    time_s = np.arange(round(seconds * rate)) / rate
    inside = (time_s >= at_s) & (time_s < at_s + length_s)
    return (0.8 * np.sin(2 * np.pi * 1000 * time_s) * inside)[None].astype(np.float32)


def write_clip(
    target: Path | io.BytesIO,
    pictures: Sequence[np.ndarray[Any, Any]],
    *,
    pts: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    picture_format: str = "rgb24",
    options: dict[str, str] | None = None,
    muxer: str | None = None,
    muxer_options: dict[str, str] | None = None,
    rotation: tuple[int, bool] | None = None,
    aspect: Fraction | None = None,
    sound: np.ndarray[Any, Any] | None = None,
    sound_codec: str = "aac",
    sound_at_s: float = 0.0,
    gop: int = 10,
    tags: bool = True,
) -> None:
    """Encode pictures (and sound at 48 kHz) with these parameters."""
    height, width = pictures[0].shape[:2]
    target_name: Any = target if isinstance(target, io.BytesIO) else str(target)
    with av.open(target_name, "w", format=muxer, options=muxer_options or {}) as container:
        if options is None:
            options = {"tune": "zerolatency", "crf": "8"} if codec == "libx264" else {}
        stream: Any = container.add_stream(codec, rate=Fraction(25), options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.time_base = time_base
        stream.codec_context.gop_size = gop
        stream.codec_context.thread_count = 1
        if tags and "yuv" in pix_fmt:
            stream.codec_context.colorspace = stream.codec_context.color_range = 1
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        audio: Any = None
        if sound is not None:
            audio = container.add_stream(sound_codec, rate=48_000)
            audio.layout = "mono"
        for index, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format=picture_format)
            if pix_fmt != picture_format:
                colours = {"dst_colorspace": "ITU709", "dst_color_range": "MPEG"} if "yuv" in pix_fmt else {}
                frame = frame.reformat(format=pix_fmt, **colours)
            frame.pts = index if pts is None else pts[index]
            frame.time_base = time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        if audio is not None and sound is not None:
            samples = av.AudioFrame.from_ndarray(sound, format="fltp", layout="mono")
            samples.sample_rate = 48_000
            samples.pts = round(sound_at_s * 48_000)
            samples.time_base = Fraction(1, 48_000)
            container.mux(audio.encode(samples))
            container.mux(audio.encode(None))
    if rotation is not None:
        assert isinstance(target, Path)
        turn_mp4(target, *rotation)


def turn_mp4(path: Path, degrees: int, mirrored: bool) -> None:
    """Write a display matrix into an MP4: turned counter-clockwise by quarter turns, then mirrored left to right."""
    cos, sin = {0: (1, 0), 90: (0, 1), 180: (-1, 0), -90: (0, -1)}[degrees]
    a, b, c, d = cos, -sin, sin, cos
    if mirrored:
        a, c = -a, -c
    data = bytearray(path.read_bytes())
    # Track header (ISO/IEC 14496-12, 8.3.2), version 0: 40 bytes of other fields before the matrix.
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def read_all(path: Path) -> list[av.VideoFrame]:
    """Decode a file with PyAV alone, as a player would."""
    with av.open(str(path)) as container:
        return list(container.decode(video=0))


class FullDisk(io.RawIOBase):
    """File that takes a number of bytes and then reports a full disk."""

    def __init__(self, capacity: int):
        super().__init__()
        self.data = io.BytesIO()
        self.capacity = capacity

    def write(self, data: Any) -> int:
        room = self.capacity - self.data.tell()
        if room <= 0:
            raise OSError(28, "No space left on device")
        return self.data.write(bytes(data)[:room])

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.data.seek(offset, whence)

    def tell(self) -> int:
        return self.data.tell()

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True
