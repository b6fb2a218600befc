"""Pictures keep the durations of their source, in and out, including the last one."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest
from PIL import Image

from vivace.errors import DecodeError, SourceUnsupportedError
from vivace.media.open import open_sink, open_source

from .clips import beep, frames_of, grey

STARTS_MS = (0, 100, 200, 900, 1000)
LENGTHS_MS = (100, 100, 700, 100, 2000)


def slides(path: Path) -> Path:
    """Write five pictures with these durations."""
    if path.suffix in (".gif", ".png", ".webp"):
        pictures = [Image.fromarray(grey(40 * number)) for number in range(1, 6)]
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=list(LENGTHS_MS), loop=0)
        return path
    with av.open(str(path), "w") as container:
        webm = path.suffix == ".webm"
        quick = {"lag-in-frames": "0", "deadline": "realtime", "cpu-used": "8"} if webm else {"tune": "zerolatency"}
        stream: Any = container.add_stream("libvpx" if webm else "libx264", rate=10, options=quick)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, (start, length) in enumerate(zip(STARTS_MS, LENGTHS_MS, strict=True)):
            picture = av.VideoFrame.from_ndarray(grey(40 * (number + 1)), format="rgb24")
            picture.pts, picture.time_base = start, Fraction(1, 1000)
            for packet in stream.encode(picture):
                packet.duration = length
                container.mux(packet)
        container.mux(stream.encode(None))
    return path


def seen(path: Path) -> tuple[list[float], float]:
    """Return the start times of pictures, and the end of the last one, s."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        base: Any = container.streams.video[0].time_base
        return [float(frame.pts * base) for frame in frames], float((frames[-1].pts + frames[-1].duration) * base)


@pytest.mark.parametrize("target", ["mp4", "mov", "mkv", "webm", "gif"])
@pytest.mark.parametrize("source", ["mp4", "mkv", "webm", "gif", "png", "webp"])
def test_the_output_lasts_as_long_as_the_source(tmp_path: Path, source: str, target: str) -> None:
    path = tmp_path / f"out.{target}"
    with open_source(slides(tmp_path / f"in.{source}")) as pictures, open_sink(path, fps=pictures.info.fps) as sink:
        for frame in pictures:
            sink.write(frame)
    assert pictures.warnings == []
    starts, end = seen(path)
    assert starts == pytest.approx([start / 1000 for start in STARTS_MS], abs=0.001)
    assert end == pytest.approx(3.0, abs=0.001)


def test_frames_that_are_left_out_leave_their_time_to_those_that_are_taken(tmp_path: Path) -> None:
    with open_source(slides(tmp_path / "in.mkv"), fps=5) as source:
        frames = list(source)
    assert [frame.pts_s for frame in frames] == [0, 0.2, 0.9]
    assert [float((frame.duration or 0) * frame.time_base) for frame in frames] == [0.2, 0.7, 0.2]


@pytest.mark.parametrize("count", [1, 2])
def test_a_gif_of_few_pictures_is_whole(tmp_path: Path, count: int) -> None:
    path = tmp_path / "out.gif"
    with open_sink(path) as sink:
        for frame in frames_of([grey(100 + number) for number in range(count)]):
            sink.write(replace(frame, duration=50))
    starts, end = seen(path)
    assert len(starts) == count
    assert count == 1 or end == pytest.approx(0.04 + 2.0)


def test_sound_goes_on_to_the_end_of_a_picture_that_is_held(tmp_path: Path) -> None:
    """Slides with a speaker: the sound after the last change is not lost when the run is stopped there."""
    source, path = tmp_path / "in.mkv", tmp_path / "out.mp4"
    with av.open(str(source), "w") as container:
        stream: Any = container.add_stream("libx264", rate=10, options={"tune": "zerolatency"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        audio: Any = container.add_stream("aac", rate=48_000, layout="mono")
        for at in (0, 1):
            picture = av.VideoFrame.from_ndarray(grey(100), format="rgb24")
            picture.pts, picture.time_base = at, Fraction(1, 1)
            for packet in stream.encode(picture):
                packet.duration = round((1 + at) / packet.time_base)
                container.mux(packet)
        container.mux(stream.encode(None))
        samples = av.AudioFrame.from_ndarray(beep(4.0, 2.0), format="fltp", layout="mono")
        samples.sample_rate = 48_000
        container.mux(audio.encode(samples))
        container.mux(audio.encode(None))
    with open_source(source) as pictures, open_sink(path, fps=pictures.info.fps, audio_from=pictures) as sink:
        for _, frame in zip(range(2), pictures, strict=False):
            sink.write(frame)
    with av.open(str(path)) as container:
        end = max(float(frame.pts * frame.time_base) for frame in container.decode(audio=0))
    assert end == pytest.approx(3.0, abs=0.06)


def test_an_animated_webp_has_its_sizes_rates_and_transparency(tmp_path: Path) -> None:
    path = tmp_path / "in.webp"
    pictures = [Image.new("RGBA", (64, 48), (200, 30, 30, 255 * (number % 2))) for number in range(4)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[100, 100, 0, 100], lossless=True)
    with open_source(path, size=(32, 32)) as source:
        frames = list(source)
    assert [frame.pts_s for frame in frames] == [0, 0.1, 0.2, 0.3]
    assert {frame.size for frame in frames} == {source.info.size} == {(32, 32)}
    assert [round(float(frame.rgb[..., 0].mean())) for frame in frames] == [0, 200, 0, 200]
    assert [frame.alpha is None for frame in frames] == [False, True, False, True]
    with open_source(path, fps=5) as source:
        assert [frame.index for frame in source] == [0, 2]


def test_an_animated_webp_under_another_name_is_refused_by_its_kind(tmp_path: Path) -> None:
    path = slides(tmp_path / "in.webp").rename(tmp_path / "in.gif")
    with pytest.raises(SourceUnsupportedError, match="animated WebP"):
        open_source(path)


def test_a_webp_cut_short_is_a_decode_error(tmp_path: Path) -> None:
    """Pillow's decoder needs the whole file."""
    path = slides(tmp_path / "in.webp")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    with pytest.raises(DecodeError):
        open_source(path)


def test_an_animated_avif_moves(tmp_path: Path) -> None:
    path = tmp_path / "in.avif"
    pictures = [Image.fromarray(grey(40 * number)) for number in range(1, 6)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=list(LENGTHS_MS))
    with open_source(path) as source:
        assert [frame.pts_s for frame in source] == pytest.approx([start / 1000 for start in STARTS_MS])
