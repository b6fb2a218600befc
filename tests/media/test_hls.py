"""HLS: the files for a player at any moment, at the end, and after errors."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from sounds import tones_in
from vivace.errors import SinkWriteError
from vivace.media.encode import open_plain
from vivace.media.hls import HlsSink
from vivace.media.open import open_sink, open_source
from vivace.media.sink import SinkOptions

from .clips import beep, frames_of, grey

FPS = 25


def shades(seconds: float, fps: int = FPS) -> list[np.ndarray]:
    return [grey(30 + 3 * (number % 60)) for number in range(round(seconds * fps))]


def listed(playlist: Path) -> tuple[list[tuple[float, str]], list[tuple[float, str, bool]], str]:
    """Return the segments and the parts of a playlist, each with its length, and the text."""
    text = playlist.read_text()
    segments = [(float(length), name) for length, name in re.findall(r"#EXTINF:([\d.]+),\n(.+)", text)]
    parts = re.findall(r'#EXT-X-PART:DURATION=([\d.]+),URI="([^"]+)"(,INDEPENDENT=YES)?', text)
    return segments, [(float(length), name, bool(alone)) for length, name, alone in parts], text


def test_a_finished_stream_is_a_film_that_plays_and_seeks(tmp_path: Path, clip: Callable[..., Path]) -> None:
    playlist = tmp_path / "film.m3u8"
    with (
        open_source(clip("talk.mp4", shades(5.0), sound=beep(5.0, 3.2))) as source,
        open_sink(playlist, fps=FPS, audio_from=source) as sink,
    ):
        for frame in source:
            sink.write(frame)
    segments, parts, text = listed(playlist)
    assert [length for length, _ in segments] == pytest.approx([2.0, 2.0, 1.0])
    assert not parts
    assert "#EXT-X-PLAYLIST-TYPE:VOD" in text
    assert text.endswith("#EXT-X-ENDLIST\n")
    names = {path.name for path in tmp_path.iterdir()} - {"talk.mp4"}
    assert names == {"film.m3u8", "film-init.mp4", *(name for _, name in segments)}
    assert sorted(sink.written()) == sorted(tmp_path / name for _, name in segments)
    with av.open(str(playlist)) as film:
        assert [stream.codec_context.codec.canonical_name for stream in film.streams] == ["h264", "aac"]
        times = [frame.time for frame in film.decode(video=0)]
        assert np.diff(times) == pytest.approx([1 / FPS] * (5 * FPS - 1), abs=1e-3)
    with av.open(str(playlist)) as film:
        frames = list(film.decode(audio=0))
        (tone_s,) = tones_in(np.concatenate([frame.to_ndarray()[0] for frame in frames]), 48_000, frames[0].time)
        assert tone_s - times[0] == pytest.approx(3.2, abs=0.04)


def test_each_segment_can_be_played_by_itself(tmp_path: Path) -> None:
    with open_sink(tmp_path / "a.m3u8", fps=FPS) as sink:
        for frame in frames_of(shades(5.0)):
            sink.write(frame)
    head = (tmp_path / "a-init.mp4").read_bytes()
    for length, name in listed(tmp_path / "a.m3u8")[0]:
        (tmp_path / "one.mp4").write_bytes(head + (tmp_path / name).read_bytes())
        with av.open(str(tmp_path / "one.mp4")) as one:
            assert sum(1 for _ in one.decode(video=0)) == pytest.approx(length * FPS)


def test_while_it_runs_the_newest_pictures_are_there_in_parts(tmp_path: Path) -> None:
    playlist = tmp_path / "live.m3u8"
    sink = HlsSink(playlist, SinkOptions(fps=FPS, endless=True))
    assert sink.live
    late = []
    for number, frame in enumerate(frames_of(shades(5.5))):
        sink.write(frame)
        if not playlist.exists():
            continue
        segments, parts, text = listed(playlist)
        assert "ENDLIST" not in text
        for _, name in segments:
            assert (tmp_path / name).is_file()
        for _, name, _ in parts:
            assert (tmp_path / name).is_file()
        newest = [name for _, name, _ in parts if not name.startswith(segments[-1][1][:-4] if segments else "-")]
        there_s = sum(length for length, _ in segments)
        there_s += sum(length for length, name, _ in parts if name in newest)
        late.append((number + 1) / FPS - there_s)
    assert max(late) < 0.45, "a part, and the picture that shows that it is complete"
    target = float(re.findall(r"PART-TARGET=([\d.]+)", text)[0])
    assert all(length <= target for length, _, _ in parts)
    begins = {name[:-7]: alone for _, name, alone in parts if name.endswith("-00.m4s")}
    assert all(begins.values()), "a segment begins with a keyframe"
    sink.close()


def test_of_an_endless_stream_the_newest_stay(tmp_path: Path) -> None:
    playlist = tmp_path / "live.m3u8"
    with HlsSink(playlist, SinkOptions(fps=5, endless=True)) as sink:
        for frame in frames_of(shades(40.0, 5), time_base=Fraction(1, 5)):
            sink.write(frame)
    segments, _, text = listed(playlist)
    assert len(segments) == 10
    assert re.search(r"MEDIA-SEQUENCE:(\d+)", text)[1] == str(int(segments[0][1][5:11]))  # type: ignore[index]
    assert len(list(tmp_path.glob("*.m4s"))) <= 13


def test_few_pictures_a_second_make_no_segment_longer(tmp_path: Path) -> None:
    """A keyframe at a fixed number of pictures would make them ten times as long."""
    playlist = tmp_path / "slow.m3u8"
    with open_sink(playlist, fps=30) as sink:
        for frame in frames_of(shades(12.0, 3), time_base=Fraction(1, 3)):
            sink.write(frame)
    segments, _, text = listed(playlist)
    assert max(length for length, _ in segments) <= int(re.search(r"TARGETDURATION:(\d+)", text)[1])  # type: ignore[index]
    assert len(segments) >= 5


def test_what_an_earlier_stream_left_is_not_taken_for_this_one(tmp_path: Path) -> None:
    others = {"a-b-000003.m4s", "a-b-init.mp4", "a-notes.m4s"}
    for name in others:
        (tmp_path / name).touch()
    for seconds in (9.0, 1.0):
        with open_sink(tmp_path / "a.m3u8", fps=FPS) as sink:
            for frame in frames_of(shades(seconds)):
                sink.write(frame)
    there = {path.name for path in tmp_path.iterdir()}
    assert there == {"a.m3u8", "a-init.mp4", "a-000000.m4s", *others}, "those of a-b.m3u8 are somebody else's"


def test_a_full_disk_is_an_error_that_keeps_what_was_written(tmp_path: Path) -> None:
    room = 30_000

    class Filling:
        def __init__(self, path: Path) -> None:
            self._file = open_plain(path)

        def write(self, data: memoryview) -> int:
            nonlocal room
            room -= len(data)
            return self._file.write(data) if room > 0 else 0

        def __enter__(self) -> Filling:
            return self

        def __exit__(self, *_: object) -> None:
            self._file.close()

    playlist = tmp_path / "a.m3u8"
    sink = HlsSink(playlist, SinkOptions(fps=FPS), open_file=Filling)  # type: ignore[arg-type]
    noise = np.random.default_rng(0)
    with pytest.raises(SinkWriteError, match="No space left"):
        for number in range(500):
            sink.write(frames_of([noise.integers(0, 256, (48, 64, 3), np.uint8)], [number])[0])
    sink.close()
    assert not sink.written()
    assert listed(playlist)[0] or listed(playlist)[1]


def test_a_folder_that_is_not_there_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(SinkWriteError, match="no folder"):
        open_sink(tmp_path / "nowhere" / "a.m3u8")
