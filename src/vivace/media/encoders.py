"""H.264 encoders: x264, and those of graphics hardware, which are tried with pictures before they are offered.

FFmpeg lists hardware encoders on any machine, and what it says when they cannot be opened is of libraries and drivers.
A trial is a program of its own, since drivers hang and crash.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any, cast

import av
import numpy as np

from vivace.errors import SinkUnsupportedError
from vivace.media.size import Size

TRIAL_S = 20.0
"""A driver that has not encoded `TRIAL_FRAMES` pictures by then hangs."""
TRIAL_FRAMES = 12
TRIAL_SIZE = (512, 288)
MUCH_FASTER = 0.8
"""Hardware is taken where a picture costs this share of x264's time or less: at the same bitrate x264 looks better."""


@dataclass(frozen=True, slots=True)
class Encoder:
    """A way of encoding H.264."""

    word: str
    """Name on the command line."""
    codec: str
    """FFmpeg's name."""
    about: str
    pixels: str
    """FFmpeg's name of the 4:2:0 pixels that it takes."""
    options: tuple[tuple[str, str], ...]
    """For files and streams: of constant quality, no picture held back, keyframes where they are asked for."""
    live: tuple[tuple[str, str], ...]
    """For WebRTC, besides the bitrate."""


X264 = Encoder(
    "x264",
    "libx264",
    "on the CPU",
    "yuv420p",
    # Presets measured on 512x512 frames of a walk through a park, 1 thread, RGB conversion included: ultrafast 1.0 ms
    # and 1.6 Mbit/s, superfast 1.6 ms and 1.3 Mbit/s, veryfast 2.1 ms and 1.0 Mbit/s.
    (("preset", "superfast"), ("tune", "zerolatency"), ("crf", "18"), ("forced-idr", "1")),
    # Quality is constant up to the bitrate: a picture that stands costs next to nothing.
    (("preset", "ultrafast"), ("tune", "zerolatency"), ("crf", "20"), ("aq-mode", "1"), ("forced-idr", "1")),
)
_NVENC = (("preset", "p3"), ("tune", "ull"), ("zerolatency", "1"), ("delay", "0"), ("forced-idr", "1"))
_QSV = (("preset", "veryfast"), ("async_depth", "1"), ("low_power", "0"), ("forced_idr", "1"))
_AMF = (("usage", "ultralowlatency"), ("quality", "speed"), ("forced_idr", "1"))
HARDWARE = (
    Encoder("nvenc", "h264_nvenc", "NVIDIA", "yuv420p", (*_NVENC, ("rc", "vbr"), ("cq", "21")), _NVENC),
    Encoder("qsv", "h264_qsv", "Intel", "nv12", (*_QSV, ("global_quality", "21")), _QSV),
    Encoder("amf", "h264_amf", "AMD", "nv12", (*_AMF, ("rc", "cqp"), ("qp_i", "20"), ("qp_p", "22")), _AMF),
    Encoder(
        "videotoolbox",
        "h264_videotoolbox",
        "Apple",
        "nv12",
        (("realtime", "1"), ("q", "65"), ("allow_sw", "0")),
        (("realtime", "1"), ("allow_sw", "0")),
    ),
    Encoder("mf", "h264_mf", "Windows", "nv12", (("hw_encoding", "1"), ("quality", "80")), (("hw_encoding", "1"),)),
)
START_CODES = ("libx264", "h264_nvenc", "h264_qsv", "h264_amf")
"""Whose packets have start codes, so that SEI can be put before them."""
ENCODERS = {encoder.word: encoder for encoder in (X264, *HARDWARE)}
WORDS = ("auto", *ENCODERS)


@dataclass(frozen=True, slots=True)
class Trial:
    """Result of encoding a few pictures."""

    encoder: Encoder
    frame_ms: float | None = None
    """Time of a picture; None where it does not work."""
    reason: str = ""
    """Why not."""


@dataclass(frozen=True, slots=True)
class Choice:
    """The encoder that is used, and a note for people about it."""

    encoder: Encoder
    note: str


def try_encoder(encoder: Encoder, size: Size = TRIAL_SIZE, *, timeout_s: float = TRIAL_S) -> Trial:
    """Encode a few pictures of `(width, height)` px in a program of its own."""
    if encoder.codec not in av.codecs_available:
        return Trial(encoder, reason="this FFmpeg has none")
    command = [sys.executable, "-m", "vivace.media.encoders", encoder.word, str(size[0]), str(size[1])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired:
        return Trial(encoder, reason=f"it does not answer within {timeout_s:g} s")
    if done.returncode < 0:
        return Trial(encoder, reason=f"its driver crashed (signal {-done.returncode})")
    try:
        told = json.loads(done.stdout)
        return Trial(encoder, told.get("frame_ms"), str(told.get("reason", "")))
    except ValueError:
        lines = done.stderr.strip().splitlines()
        return Trial(encoder, reason=lines[-1] if lines else "it ended without a word")


@cache
def trials() -> tuple[Trial, ...]:
    """Return what each encoder does on this machine, x264 first; takes a second or two, once."""
    return tuple(try_encoder(encoder) for encoder in ENCODERS.values() if encoder.codec in av.codecs_available)


def choose(word: str, tried: Callable[[], Sequence[Trial]] = trials) -> Choice:
    """Return the encoder for a word of `WORDS`.

    `auto` is the fastest that works, x264 unless another one is much faster.

    Raises:
        SinkUnsupportedError: no such encoder, or it does not work here.
    """
    if word == "x264":
        return Choice(X264, "")
    if word == "auto":
        return _fastest(tried())
    if word not in ENCODERS:
        raise SinkUnsupportedError(f"encoder {word!r} is unknown; known are {', '.join(WORDS)}")
    trial = try_encoder(ENCODERS[word])
    if trial.frame_ms is None:
        raise SinkUnsupportedError(f"encoder {word}: {trial.reason}; `auto` takes what works")
    return Choice(trial.encoder, "")


def _fastest(found: Sequence[Trial]) -> Choice:
    works = {trial.encoder.word: trial.frame_ms for trial in found if trial.frame_ms is not None}
    least = works.get("x264", float("inf")) * MUCH_FASTER
    best = min(works, key=lambda word: works[word], default="x264")
    chosen = best if best != "x264" and works[best] <= least else "x264"
    told = [
        f"{trial.encoder.word} {trial.frame_ms:.1f} ms" if trial.frame_ms is not None else
        f"{trial.encoder.word} does not work here ({trial.reason})"
        for trial in found
    ]  # fmt: skip
    return Choice(ENCODERS[chosen], f"encoder: {chosen}; a picture takes {', '.join(told)}")


def open_trial(encoder: Encoder, size: Size) -> Any:
    """Open an encoder as a file's is opened; raises what FFmpeg raises."""
    context = cast(Any, av.CodecContext.create(encoder.codec, "w"))
    context.width, context.height = size
    context.pix_fmt = encoder.pixels
    context.time_base, context.framerate = Fraction(1, 30), Fraction(30)
    context.options = dict(encoder.options)
    context.open()
    return context


def measure(encoder: Encoder, size: Size) -> float:
    """Return the median time of a picture, ms; raises what FFmpeg raises, or ValueError where no picture comes out."""
    context = open_trial(encoder, size)
    random, times, packets = np.random.default_rng(0), list[float](), 0
    noise = random.integers(0, 256, (size[1], size[0], 3), np.uint8)
    for number in range(TRIAL_FRAMES):
        frame = av.VideoFrame.from_ndarray(np.roll(noise, 4 * number, 1), format="rgb24").reformat(
            format=encoder.pixels
        )
        frame.pts, frame.time_base = number, Fraction(1, 30)
        began_s = time.perf_counter()
        packets += len(context.encode(frame))
        times.append(time.perf_counter() - began_s)
    packets += len(context.encode(None))
    if packets < TRIAL_FRAMES:
        raise ValueError(f"of {TRIAL_FRAMES} pictures {packets} came out")
    return 1000 * float(np.median(times))


def main() -> None:
    """Try the encoder of a word at a size, and print what came of it as JSON."""
    word, width, height = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    try:
        told: dict[str, Any] = {"frame_ms": measure(ENCODERS[word], (width, height))}
    except (av.FFmpegError, ValueError, OSError) as error:
        told = {"reason": _words(ENCODERS[word], error)}
    print(json.dumps(told))


def _words(encoder: Encoder, error: Exception) -> str:
    """Return why an encoder cannot be opened: FFmpeg's own words are of what it tried last."""
    said = getattr(error, "strerror", None) or str(error)
    return f"no {encoder.about} hardware or driver for it (FFmpeg says: {said})" if encoder is not X264 else said


if __name__ == "__main__":
    main()
