"""Sound comes along, synchronous with the pictures, in any container."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.stream import Disposition

from vivace.media.open import open_sink, open_source

from .clips import beep, grey

FPS = 25
FLASH_S = 1.0
CODECS = {"aac": "mp4", "libopus": "webm", "pcm_s16le": "mkv", "libmp3lame": "mp4"}

Clip = Callable[..., Path]


def flash_and_beep(clip: Clip, codec: str, name: str | None = None, **how: Any) -> Path:
    """Return two seconds of black silence with a white frame and a tone at one second."""
    pictures = [grey(235 if number == FLASH_S * FPS else 10) for number in range(2 * FPS)]
    name = name or f"in.{CODECS[codec]}"
    if name.endswith("webm"):
        how = {"codec": "libvpx", "options": {"deadline": "realtime", "cpu-used": "8", "lag-in-frames": "0"}, **how}
    return clip(name, pictures, sound=beep(2.0, FLASH_S), sound_codec=codec, **how)


def flash_s(path: Path) -> float:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            if frame.to_ndarray(format="gray").mean() > 100:
                return float(frame.pts * frame.time_base)
    raise AssertionError("no flash")


def heard(path: Path) -> tuple[float, float]:
    """Return the start of the tone, and the end of the sound, s."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        start_s, end_s = None, 0.0
        for frame in container.decode(stream):
            at_s = float(frame.pts * frame.time_base)
            samples = np.abs(frame.to_ndarray().astype(np.float32)).reshape(-1)
            if frame.format.name.startswith("s16"):
                samples /= 32768
            loud = np.flatnonzero(samples > 0.3)
            if start_s is None and loud.size:
                start_s = at_s + loud[0] / frame.sample_rate / max(1, samples.size / frame.samples)
            end_s = at_s + frame.samples / frame.sample_rate
    assert start_s is not None, "no tone"
    return start_s, end_s


def passed_through(source_path: Path, target: Path, frames: int | None = None) -> None:
    with open_source(source_path) as source:
        assert source.info.has_audio
        with open_sink(target, fps=source.info.fps, audio_from=source) as sink:
            for number, frame in enumerate(source):
                if number == frames:
                    break
                sink.write(frame)


@pytest.mark.parametrize("kind", ["mp4", "mkv", "webm", "mov"])
@pytest.mark.parametrize("codec", ["aac", "libopus", "pcm_s16le"])
def test_flash_and_tone_stay_together(clip: Clip, tmp_path: Path, codec: str, kind: str) -> None:
    path = tmp_path / f"out.{kind}"
    passed_through(flash_and_beep(clip, codec), path)
    start_s, end_s = heard(path)
    assert flash_s(path) == pytest.approx(FLASH_S, abs=0.002)
    # Half a frame at 25 fps; people notice from about 45 ms.
    assert start_s == pytest.approx(flash_s(path), abs=0.02)
    assert end_s == pytest.approx(2.0, abs=0.06)


@pytest.mark.parametrize(
    ("codec", "kind", "kept"),
    [
        ("aac", "mp4", "aac"),
        ("aac", "mkv", "aac"),
        ("libopus", "webm", "opus"),
        ("aac", "webm", "opus"),
        ("pcm_s16le", "mp4", "aac"),
    ],
)
def test_sound_is_copied_where_the_container_takes_it(
    clip: Clip, tmp_path: Path, codec: str, kind: str, kept: str
) -> None:
    original = flash_and_beep(clip, codec)
    path = tmp_path / f"out.{kind}"
    passed_through(original, path)
    with av.open(str(path)) as container, av.open(str(original)) as first:
        assert container.streams.audio[0].codec_context.name == kept
        if first.streams.audio[0].codec_context.name == kept:
            before = [bytes(packet) for packet in first.demux(audio=0) if packet.size]
            after = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
            assert set(after) <= set(before)
            assert len(after) >= len(before) - 1


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_a_source_that_does_not_start_at_zero_stays_in_step(clip: Clip, tmp_path: Path, kind: str) -> None:
    # An MPEG transport stream starts at 1.4 s.
    path = tmp_path / f"out.{kind}"
    passed_through(flash_and_beep(clip, "aac", "in.ts", muxer="mpegts"), path)
    assert flash_s(path) == pytest.approx(FLASH_S, abs=0.002)
    assert heard(path)[0] == pytest.approx(FLASH_S, abs=0.025)


@pytest.mark.parametrize("kind", ["mp4", "webm"])
def test_pictures_that_start_late_cut_the_sound_before_them(clip: Clip, tmp_path: Path, kind: str) -> None:
    late = list(range(FPS // 2, FPS // 2 + 2 * FPS))
    source = flash_and_beep(clip, "aac", pts=late, time_base=Fraction(1, FPS))
    path = tmp_path / f"out.{kind}"
    passed_through(source, path)
    # The tone was half a second before the flash, and still is.
    assert flash_s(path) == pytest.approx(FLASH_S, abs=0.002)
    assert heard(path)[0] == pytest.approx(FLASH_S - 0.5, abs=0.025)


@pytest.mark.parametrize("kind", ["mp4", "mov", "mkv", "webm"])
def test_sound_that_starts_late_stays_late(clip: Clip, tmp_path: Path, kind: str) -> None:
    pictures = [grey(10)] * FPS
    source = clip("in.mkv", pictures, sound=beep(0.5, 0.2), sound_at_s=0.4, sound_codec="aac")
    path = tmp_path / f"out.{kind}"
    passed_through(source, path)
    assert heard(path)[0] == pytest.approx(0.6, abs=0.025)


def test_a_stream_stopped_early_stops_its_sound(clip: Clip, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    passed_through(flash_and_beep(clip, "aac"), path, frames=30)
    assert heard(path)[1] == pytest.approx(30 / FPS, abs=0.05)


def test_sound_longer_than_the_pictures_is_kept_whole(clip: Clip, tmp_path: Path) -> None:
    pictures = [grey(10)] * FPS
    path = tmp_path / "out.mp4"
    passed_through(clip("in.mp4", pictures, sound=beep(2.0, FLASH_S)), path)
    assert heard(path)[1] == pytest.approx(2.0, abs=0.05)


def test_sound_cut_short_does_not_stop_the_pictures(clip: Clip, tmp_path: Path) -> None:
    path = flash_and_beep(clip, "aac", muxer_options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.7)])
    out = tmp_path / "out.mp4"
    passed_through(path, out)
    with av.open(str(out)) as container:
        assert sum(1 for _ in container.decode(video=0)) > 10


def test_a_silent_source_makes_a_silent_file(clip: Clip, tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    with open_source(clip()) as source, open_sink(path, audio_from=source) as sink:
        assert source.open_audio() is None
        for frame in source:
            sink.write(frame)
    with av.open(str(path)) as container:
        assert not container.streams.audio


def part(codec: str, layout: str, rate: int, at_s: float, number: int) -> bytes:
    """Return a second of a broadcast: 25 pictures and a tone, from `at_s` on."""
    data = io.BytesIO()
    with av.open(data, "w", format="mpegts") as container:
        video: Any = container.add_stream("libx264", rate=FPS, options={"tune": "zerolatency"})
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio: Any = container.add_stream(codec, rate=rate)
        audio.layout = layout
        for index in range(FPS):
            picture = av.VideoFrame.from_ndarray(grey(100 + 100 * number), format="rgb24")
            picture.pts, picture.time_base = index + round(at_s * FPS), Fraction(1, FPS)
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        channels = audio.codec_context.channels
        tone = np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32) * 0.5
        samples = av.AudioFrame.from_ndarray(np.repeat(tone[None], channels, 0), format="fltp", layout=layout)
        samples.sample_rate, samples.time_base = rate, Fraction(1, rate)
        samples.pts = round(at_s * rate)
        container.mux(audio.encode(samples))
        container.mux(audio.encode(None))
    return data.getvalue()


@pytest.mark.parametrize("kind", ["mp4", "mov", "mkv", "webm"])
@pytest.mark.parametrize(
    ("before", "after", "restarts"),
    [
        (("aac", "stereo", 48_000), ("aac", "mono", 48_000), False),
        (("aac", "mono", 48_000), ("aac", "stereo", 44_100), True),
        (("mp2", "stereo", 44_100), ("mp2", "mono", 48_000), False),
        (("ac3", "stereo", 48_000), ("ac3", "5.1", 48_000), False),
        (("mp2", "stereo", 48_000), ("aac", "stereo", 48_000), True),
    ],
    ids=["channels", "rate-restarts", "mp2", "surround", "codec-restarts"],
)
def test_sound_that_changes_half_way_stops_nothing(
    tmp_path: Path, before: tuple[str, str, int], after: tuple[str, str, int], kind: str, restarts: bool
) -> None:
    """Recordings of broadcasts and joined streams, whose second part may restart its time."""
    source, path = tmp_path / "in.ts", tmp_path / f"out.{kind}"
    source.write_bytes(part(*before, 0.0, 0) + part(*after, 0.0 if restarts else 1.0, 1))
    passed_through(source, path)
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 2 * FPS
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    assert len({(frame.sample_rate, frame.layout.name) for frame in frames}) == 1
    times = [float(frame.pts * frame.time_base) for frame in frames]
    assert times == sorted(times)
    lasts = 2.0 if before[0] == after[0] else 1.0
    assert sum(frame.samples / frame.sample_rate for frame in frames) == pytest.approx(lasts, abs=0.15)
    loud = [frame for frame in frames if np.abs(frame.to_ndarray().astype(np.float64)).max() > 0.1]
    assert len(loud) > 0.9 * len(frames)


@pytest.mark.parametrize(("codec", "kind"), [("libopus", "mp4"), ("flac", "mp4"), ("ac3", "mp4"), ("libopus", "mov")])
def test_an_mp4_has_the_sound_that_every_player_has(clip: Clip, tmp_path: Path, codec: str, kind: str) -> None:
    path = tmp_path / f"out.{kind}"
    passed_through(clip("in.mkv", [grey(10)] * FPS, sound=beep(1.0, 0.5), sound_codec=codec), path)
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.name == "aac"
    assert heard(path)[0] == pytest.approx(0.5, abs=0.025)


def test_sound_that_ffmpeg_refuses_is_left_out_and_said(
    clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing:
        def __init__(self, *_: Any) -> None: ...

        def resample(self, _frame: Any) -> list[Any]:
            raise ValueError("no such layout")

    monkeypatch.setattr("vivace.media.audio.AudioResampler", Refusing)
    path = tmp_path / "out.mp4"
    with open_source(flash_and_beep(clip, "pcm_s16le")) as source, open_sink(path, audio_from=source) as sink:
        for frame in source:
            sink.write(frame)
    assert flash_s(path) == FLASH_S
    assert [warning for warning in source.warnings if "sound" in warning and "no such layout" in warning]


@pytest.mark.parametrize(
    ("marks", "heard_first"),
    [
        ((0, 0), True),
        ((Disposition.comment, 0), False),
        ((0, Disposition.default), False),
        ((Disposition.default, Disposition.default), True),
    ],
)
def test_the_sound_track_marked_as_default_is_the_one_that_comes_along(
    tmp_path: Path, marks: tuple[int, int], heard_first: bool
) -> None:
    source, path = tmp_path / "in.mkv", tmp_path / "out.mp4"
    with av.open(str(source), "w") as container:
        stream: Any = container.add_stream("libx264", rate=FPS, options={"tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        tracks: list[Any] = [container.add_stream("aac", rate=48_000, layout="mono") for _ in marks]
        for track, mark in zip(tracks, marks, strict=True):
            track.disposition = int(mark)
        for index in range(2 * FPS):
            picture = av.VideoFrame.from_ndarray(grey(100), format="rgb24")
            picture.pts, picture.time_base = index, Fraction(1, FPS)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        for track, at_s in zip(tracks, (0.5, 1.2), strict=True):
            samples = av.AudioFrame.from_ndarray(beep(2.0, at_s), format="fltp", layout="mono")
            samples.sample_rate = 48_000
            container.mux(track.encode(samples))
            container.mux(track.encode(None))
    passed_through(source, path)
    assert heard(path)[0] == pytest.approx(0.5 if heard_first else 1.2, abs=0.025)


def test_sound_whose_header_is_lost_does_not_cost_the_pictures(clip: Clip, tmp_path: Path) -> None:
    source, path = clip("in.mkv", 10, sound=beep(0.4, 0.1), sound_codec="flac"), tmp_path / "out.mkv"
    data = bytearray(source.read_bytes())
    private = data.rindex(b"\x63\xa2", 0, data.index(b"fLaC"))
    data[private : private + 2] = b"\x55\xf0"  # An unknown element in place of CodecPrivate.
    source.write_bytes(data)
    passed_through(source, path)
    with av.open(str(path)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 10
