"""Support of each kind of file, in and out, as docs/media.md describes it.

`python -m tests.media.test_formats` writes the document's tables from its observations.
"""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from vivace.media.audio import COPYABLE
from vivace.media.encode import VideoSink
from vivace.media.frame import Frame
from vivace.media.open import open_sink, open_source
from vivace.media.registry import VIDEO_FORMATS

from .clips import beep, corners, frames_of, quarters, write_clip

DOCUMENT = Path(__file__).parents[2] / "docs" / "media.md"
_TABLE = re.compile(r"(<!-- (in|out) -->\n)(.*?)(<!-- end -->)", re.DOTALL)

TICK = Fraction(1, 25)
STARTS = (0, 1, 2, 5, 6)
"""Start times, ticks: one picture is shown longer, as in screen recordings."""
LAST = 50
"""Duration of the last picture, ticks."""


@dataclass(frozen=True)
class Kind:
    """Parameters of a kind of file."""

    title: str
    codec: str = "libx264"
    pix_fmt: str = "yuv420p"
    sound: str | None = "aac"
    muxer: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    starts: tuple[int, ...] = STARTS


B_FRAMES = (("bf", "2"),)
KINDS = {
    "mp4": Kind("H.264 with B-frames, AAC", options=B_FRAMES),
    "mov": Kind("QuickTime Animation, PCM", "qtrle", "argb", "pcm_s16le"),
    "3gp": Kind("MPEG-4 part 2, AAC", "mpeg4", muxer="3gp"),
    "mkv": Kind("H.264 with B-frames, FLAC", sound="flac", options=B_FRAMES),
    "webm": Kind("VP9, Opus", "libvpx-vp9", "yuva420p", "libopus"),
    "ts": Kind("MPEG-2 with B-frames, MP2", "mpeg2video", sound="mp2", muxer="mpegts", options=B_FRAMES),
    "mpg": Kind("MPEG-1, MP2", "mpeg1video", sound="mp2", muxer="mpeg", starts=(0, 1, 2, 3, 4)),
    "avi": Kind(
        "MPEG-4 part 2 with B-frames, MP3", "mpeg4", sound="libmp3lame", options=B_FRAMES, starts=(0, 1, 2, 3, 4)
    ),
    "flv": Kind("H.264, AAC"),
    "wmv": Kind("WMV 8, MP3", "wmv2", sound="libmp3lame", muxer="asf"),
    "mxf": Kind("MPEG-2, PCM", "mpeg2video", sound="pcm_s16le", starts=(0, 1, 2, 3, 4)),
    "gif": Kind("GIF", "gif", "rgb8", None),
    "png": Kind("APNG", "apng", "rgba", None, muxer="apng"),
    "webp": Kind("animated WebP", "", sound=None),
    "avif": Kind("animated AVIF", "", sound=None),
}


def written(path: Path, kind: Kind, *, turned: int = 0, aspect: Fraction | None = None, sound: bool = False) -> None:
    """Write pictures at `kind.starts`, the last one shown for `LAST` ticks; the upper left is clear where it can be."""
    picture = np.dstack([quarters(), np.full((48, 64), 255, np.uint8)])
    picture[:24, :32, 3] = 0
    if not kind.codec or (kind.codec == "apng" and aspect is None):  # FFmpeg tells the length of all but the last.
        still = Image.fromarray(picture)
        still.putpixel((0, 0), (1, 1, 1, 1))
        others = [still.copy() for _ in kind.starts[1:]]
        for number, other in enumerate(others):
            other.putpixel((1, 0), (number, 1, 1, 1))
        ends = (*kind.starts[1:], kind.starts[-1] + LAST)
        lengths = [40 * (end - start) for start, end in zip(kind.starts, ends, strict=True)]
        still.save(path, save_all=True, append_images=others, duration=lengths, lossless=path.suffix == ".webp")
        return
    with av.open(str(path), "w", format=kind.muxer) as container:
        stream: Any = container.add_stream(kind.codec, rate=25, options=dict(kind.options))
        stream.width, stream.height, stream.pix_fmt = 64, 48, kind.pix_fmt
        stream.codec_context.time_base = TICK
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if turned:
            stream.set_display_rotation(turned)
        audio: Any = container.add_stream(kind.sound, rate=48_000, layout="mono") if sound and kind.sound else None

        def mux(packets: list[Any]) -> None:
            for packet in packets:
                at = round(packet.pts * packet.time_base / TICK)
                if at == kind.starts[-1]:
                    packet.duration = round(LAST * TICK / packet.time_base)
                container.mux(packet)

        for at in kind.starts:
            frame = av.VideoFrame.from_ndarray(picture, format="rgba").reformat(format=kind.pix_fmt)
            frame.pts, frame.time_base = at, TICK
            mux(stream.encode(frame))
        mux(stream.encode(None))
        if audio is not None:
            tone = av.AudioFrame.from_ndarray((beep(0.5, 0.1) * 32767).astype(np.int16), format="s16", layout="mono")
            tone.sample_rate, tone.pts, tone.time_base = 48_000, 0, Fraction(1, 48_000)
            for part in (*av.AudioResampler(audio.format, "mono", 48_000).resample(tone),):
                container.mux(audio.encode(part))
            container.mux(audio.encode(None))


def read(path: Path) -> list[Frame]:
    with open_source(path) as source:
        return list(source)


def mark(kept: bool) -> str:
    return "kept" if kept else "–"


def row_in(suffix: str, folder: Path) -> str:
    """Return a row of the table of inputs, by reading a file."""
    kind = KINDS[suffix]
    path = folder / f"in.{suffix}"
    written(path, kind, sound=True)
    with open_source(path) as source:
        frames = list(source)
        sounds = source.info.has_audio
    times = [Fraction(frame.pts - frames[0].pts) * frame.time_base for frame in frames]
    tick = frames[0].time_base
    wanted = [start * TICK for start in kind.starts]
    assert len(times) == len(wanted)
    assert all(abs(time - start) <= tick / 2 for time, start in zip(times, wanted, strict=True)), times
    lasts = (frames[-1].duration or 0) * frames[-1].time_base
    clear = frames[0].alpha is not None
    assert corners(frames[-1].rgb)[1:] == ["green", "blue", "white"] or suffix in ("gif", "mxf")
    turned = shaped = False
    if kind.codec:
        # A custom decoder, which alpha in WebM needs, does not learn the rotation.
        written(path, replace(kind, pix_fmt=kind.pix_fmt.replace("yuva", "yuv")), turned=90)
        turned = read(path)[0].size == (48, 64)
        written(path, kind, aspect=Fraction(4, 3))
        shaped = read(path)[0].size == (85, 48)
    rate = "any" if kind.starts == STARTS else "constant"
    cells = (
        f"`.{suffix}`, {kind.title}",
        f"{rate}, {tick}\u202fs",
        mark(abs(lasts - LAST * TICK) <= tick),
        mark(turned),
        mark(shaped),
        mark(clear),
        mark(sounds),
    )
    return f"| {' | '.join(cells)} |"


def row_out(suffix: str, folder: Path) -> str:
    """Return a row of the table of outputs, by writing a file."""
    path = folder / f"out.{suffix}"
    stamps = [90_000, 94_500, 99_000, 120_600]
    base = Fraction(1, 90_000)
    frames = [Frame(quarters(), index, at, base, 0.0, duration=180_000) for index, at in enumerate(stamps)]
    with open_sink(path, fps=30) as sink:
        for frame in frames:
            sink.write(frame)
    with av.open(str(path)) as container:
        decoded = list(container.decode(video=0))
        stream = container.streams.video[0]
        tick = Fraction(decoded[0].time_base)
        codec, pixels = stream.codec_context.codec.canonical_name, stream.pix_fmt
    starts = [frame.pts * tick for frame in decoded]
    wanted = [(stamp - stamps[0]) * base for stamp in stamps]
    assert all(abs(start - at) <= tick / 2 for start, at in zip(starts, wanted, strict=True)), starts
    end = (decoded[-1].pts + decoded[-1].duration) * tick
    level = max(np.abs(frame.rgb.astype(int) - quarters())[8:16, 8:24].max() for frame in read(path))
    tagged = (decoded[0].colorspace, decoded[0].color_range) == (1, 1)
    clear = folder / f"clear.{suffix}"
    alpha = np.zeros((48, 64), np.uint8)
    with open_sink(clear) as sink:
        for frame in frames_of([quarters()] * 2):
            sink.write(Frame(frame.rgb, frame.index, frame.pts, frame.time_base, 0.0, alpha=alpha))
    copied = ", ".join(COPYABLE[VIDEO_FORMATS[f".{suffix}"]]) if f".{suffix}" in VIDEO_FORMATS else "–"
    cells = (
        f"`.{suffix}`, {codec} {pixels}",
        f"{tick}\u202fs",
        mark(abs(end - wanted[-1] - 2) <= tick),
        "BT.709, tagged" if tagged else "sRGB",
        f"{'within 3 levels' if level <= 3 else 'a palette'}",
        mark(read(clear)[0].alpha is not None),
        copied,
        spoken(suffix, folder),
    )
    return f"| {' | '.join(cells)} |"


def spoken(suffix: str, folder: Path) -> str:
    """Return the codec of sound that is not copied."""
    if f".{suffix}" not in VIDEO_FORMATS:
        return "–"
    source = folder / "spoken.mkv"
    write_clip(source, [quarters()] * 5, sound=beep(0.2, 0.1), sound_codec="mp2")
    path = folder / f"sound.{suffix}"
    with open_source(source) as pictures, open_sink(path, audio_from=pictures, fps=25) as sink:
        assert isinstance(sink, VideoSink)
        for frame in pictures:
            sink.write(frame)
    with av.open(str(path)) as container:
        return str(container.streams.audio[0].codec_context.codec.canonical_name)


HEADS = {
    "in": ("file", "times", "length of the last picture", "rotation", "pixel shape", "alpha", "sound"),
    "out": (
        "file",
        "times",
        "length of the last picture",
        "colours",
        "of levels",
        "alpha",
        "sound copied",
        "other sound",
    ),
}
ROWS = {"in": (row_in, tuple(KINDS)), "out": (row_out, ("mp4", "mov", "mkv", "webm", "gif"))}


def table(which: str) -> str:
    row, suffixes = ROWS[which]
    with tempfile.TemporaryDirectory() as folder:
        lines = [row(suffix, Path(folder)) for suffix in suffixes]
    return "\n".join([f"| {' | '.join(HEADS[which])} |", "|---" * len(HEADS[which]) + "|", *lines, ""])


@pytest.mark.parametrize(("which", "suffix"), [(which, suffix) for which in ROWS for suffix in ROWS[which][1]])
def test_a_row_of_the_document_is_what_is_seen(which: str, suffix: str, tmp_path: Path) -> None:
    found = {match[2]: match[3] for match in _TABLE.finditer(DOCUMENT.read_text("utf-8"))}
    row = ROWS[which][0](suffix, tmp_path)
    assert row in found[which].splitlines(), "run `python -m tests.media.test_formats`"


def test_the_document_has_no_other_rows() -> None:
    for match in _TABLE.finditer(DOCUMENT.read_text("utf-8")):
        heads, _, *rows = match[3].splitlines()
        assert heads == f"| {' | '.join(HEADS[match[2]])} |"
        assert len(rows) == len(ROWS[match[2]][1])


if __name__ == "__main__":
    text = DOCUMENT.read_text("utf-8")
    DOCUMENT.write_text(_TABLE.sub(lambda match: match[1] + table(match[2]) + match[4], text), "utf-8")
