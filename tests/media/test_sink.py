"""Files of a sink: times, colours, sizes, and the pictures written before an error."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import signal
import struct
import subprocess
import sys
import traceback
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from vivace.errors import SinkUnsupportedError, SinkWriteError
from vivace.media import encode
from vivace.media.encode import VideoSink
from vivace.media.frame import Frame
from vivace.media.gif import GifSink
from vivace.media.open import open_sink, open_source

from .clips import FullDisk, corners, frames_of, grey, quarters, read_all

CONTAINERS = ["mp4", "mov", "mkv", "webm"]
MUXERS = {"mp4": "mp4", "mov": "mov", "mkv": "matroska", "webm": "webm"}


def noisy(count: int, size: tuple[int, int] = (64, 48)) -> list[Frame]:
    rng = np.random.default_rng(0)
    return frames_of([rng.integers(0, 255, (size[1], size[0], 3), dtype=np.uint8) for _ in range(count)])


def write(spec: Path | str, frames: list[Frame], **how: Any) -> None:
    with open_sink(spec, **how) as sink:
        for frame in frames:
            sink.write(frame)


@pytest.mark.parametrize("kind", CONTAINERS)
def test_presentation_times_are_kept_less_the_first(tmp_path: Path, kind: str) -> None:
    stamps = [90_000, 93_000, 93_500, 120_000, 300_000]
    path = tmp_path / f"out.{kind}"
    write(path, frames_of([grey(99)] * 5, stamps, Fraction(1, 90_000)), fps=30)
    seen = [float(frame.pts * frame.time_base) for frame in read_all(path)]
    wanted = [(stamp - stamps[0]) / 90_000 for stamp in stamps]
    assert seen == pytest.approx(wanted, abs=1e-6 if kind in ("mp4", "mov") else 0.00051)


@pytest.mark.parametrize("kind", CONTAINERS)
def test_colours_come_back_and_are_tagged_bt709(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"out.{kind}"
    write(path, frames_of([quarters()] * 4))
    frame = read_all(path)[0]
    assert (frame.colorspace, frame.color_range) == (1, 1)
    with open_source(path) as source:
        assert corners(next(iter(source)).rgb) == ["red", "green", "blue", "white"]


@pytest.mark.parametrize("kind", CONTAINERS)
def test_a_half_written_file_plays(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"out.{kind}"
    with open_sink(path) as sink:
        for frame in noisy(60):
            sink.write(frame)
        # The file on disk at this moment is the one a killed process would leave.
        left_behind = tmp_path / f"killed.{kind}"
        shutil.copy(path, left_behind)
    assert 60 - 15 <= len(read_all(left_behind)) <= 60
    assert len(read_all(path)) == 60


def boxes(path: Path) -> list[str]:
    """Return the names of an MP4's top-level boxes (ISO/IEC 14496-12, 4.2)."""
    data, at, names = path.read_bytes(), 0, []
    while at < len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        names.append(name.decode())
        at += struct.unpack(">Q", data[at + 8 : at + 16])[0] if size == 1 else size
    assert at == len(data)
    return names


@pytest.mark.parametrize("kind", ["mp4", "mov"])
def test_a_finished_mp4_is_an_ordinary_one(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"out.{kind}"
    write(path, noisy(30))
    assert {"moov", "mdat"} <= set(boxes(path)) <= {"ftyp", "moov", "mdat", "free", "wide"}
    with av.open(str(path)) as container:
        assert container.streams.video[0].frames == 30
        assert container.duration == pytest.approx(30 / 25 * 1e6, abs=2)


@pytest.mark.parametrize("kind", CONTAINERS)
def test_odd_sizes_repeat_their_last_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"out.{kind}"
    write(path, frames_of([quarters((35, 27))] * 3))
    frame = read_all(path)[0]
    assert (frame.width, frame.height) == (36, 28)
    with open_source(path) as source:
        rgb = next(iter(source)).rgb.astype(int)
    assert np.abs(rgb[27] - rgb[26]).max() < 40
    assert np.abs(rgb[:, 35] - rgb[:, 34]).max() < 40


def test_a_frame_of_another_size_is_brought_to_the_first(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    write(path, frames_of([quarters(), quarters((128, 96)), quarters((48, 64))]))
    assert {(frame.width, frame.height) for frame in read_all(path)} == {(64, 48)}


def test_times_that_do_not_rise_are_pushed_apart(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    write(path, frames_of([grey(9)] * 4, [0, 5, 5, 3]))
    stamps = [frame.pts for frame in read_all(path)]
    assert stamps == sorted(set(stamps))
    assert len(stamps) == 4


def test_a_clock_finer_than_the_outputs_is_rounded(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    frames = frames_of([grey(9)] * 3, [0, 33_333_333, 66_666_667], Fraction(1, 10**9))
    write(path, frames, time_base=Fraction(1, 1000))
    assert [round(float(frame.pts * frame.time_base), 3) for frame in read_all(path)] == [0, 0.033, 0.067]


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("capacity", [30_000, 60_000, 61_234, 90_000])
def test_a_full_disk_is_an_error_that_keeps_what_was_written(tmp_path: Path, kind: str, capacity: int) -> None:
    disk = FullDisk(capacity)
    sink = VideoSink(tmp_path / f"out.{kind}", MUXERS[kind], open_file=lambda path: disk)  # type: ignore[arg-type,return-value]
    written = 0
    with pytest.raises(SinkWriteError, match="No space left"):
        for frame in noisy(200):
            sink.write(frame)
            written += 1
    with pytest.raises(SinkWriteError, match="failed before"):
        sink.write(noisy(1)[0])
    sink.close()
    path = tmp_path / f"kept.{kind}"
    path.write_bytes(disk.data.getvalue())
    # Up to a fragment (half a second, 13 frames) may be unfinished, or cut in two.
    assert len(read_tolerantly(path)) >= written - 13
    assert sink.frames_written == written


def read_tolerantly(path: Path) -> list[int]:
    with open_source(path) as source:
        return [frame.index for frame in source]


@pytest.mark.parametrize("kind", ["mp4", "mkv"])
def test_a_disk_that_fills_up_at_the_very_end_keeps_the_film(tmp_path: Path, kind: str) -> None:
    free = FullDisk(10**9)
    with VideoSink(tmp_path / f"a.{kind}", MUXERS[kind], open_file=lambda path: free) as sink:  # type: ignore[arg-type,return-value]
        for frame in noisy(30):
            sink.write(frame)
        before_the_end = len(free.data.getvalue())
    whole = len(free.data.getvalue())
    assert before_the_end < whole
    disk = FullDisk(whole - 10)
    sink = VideoSink(tmp_path / f"b.{kind}", MUXERS[kind], open_file=lambda path: disk)  # type: ignore[arg-type,return-value]
    for frame in noisy(30):
        sink.write(frame)
    with pytest.raises(SinkWriteError, match="30 frames before it are kept"):
        sink.close()
    path = tmp_path / f"kept.{kind}"
    path.write_bytes(disk.data.getvalue())
    assert len(read_tolerantly(path)) >= 25


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("kind", ["mp4", "gif"])
def test_a_disk_full_from_the_start_says_that_nothing_was_written(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"out.{kind}"
    path.symlink_to("/dev/full")
    sink = open_sink(path)
    with pytest.raises(SinkWriteError, match="No space left"):
        for frame in noisy(60):
            sink.write(frame)
    sink.close()


@pytest.mark.parametrize("kind", ["mp4", "mkv", "gif"])
def test_a_folder_that_vanishes_is_an_error(tmp_path: Path, kind: str) -> None:
    folder = tmp_path / "usb"
    folder.mkdir()
    sink = open_sink(folder / f"out.{kind}")
    sink.write(noisy(1)[0])
    shutil.rmtree(folder)
    with pytest.raises(SinkWriteError, match="vanished"):
        for frame in noisy(4)[1:]:
            sink.write(frame)
    sink.close()


def test_an_existing_file_survives_a_stream_without_frames(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"precious")
    open_sink(path).close()
    assert path.read_bytes() == b"precious"


def test_the_source_itself_is_not_overwritten(clip: Callable[..., Path]) -> None:
    path = clip()
    with open_source(path) as source, pytest.raises(SinkUnsupportedError, match="source itself"):
        open_sink(path, audio_from=source)


def test_closing_twice_is_fine_and_writing_after_is_not(tmp_path: Path) -> None:
    sink = open_sink(tmp_path / "out.mp4")
    sink.write(noisy(1)[0])
    sink.close()
    sink.close()
    with pytest.raises(SinkWriteError, match="closed"):
        sink.write(noisy(1)[0])


def test_an_error_inside_the_block_is_the_one_that_surfaces(tmp_path: Path) -> None:
    disk = FullDisk(3000)
    with (
        pytest.raises(KeyError, match="mine"),
        VideoSink(tmp_path / "out.mp4", "mp4", open_file=lambda path: disk) as sink,  # type: ignore[arg-type,return-value]
    ):
        sink.write(noisy(1)[0])
        raise KeyError("mine")


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("out.xyz", r"\.mp4.*\.gif"),
        ("out", "no suffix"),
        ("shot.png", r"shot\.mp4.*shot/.*shot-%05d\.png"),
        ("shot.webp", r"one picture.*shot-%05d\.webp"),
        ("srt://host:9", "udp://"),
        ("gopher://host/x", "rtmp"),
    ],
)
def test_what_cannot_be_written_is_refused_with_what_can(tmp_path: Path, spec: str, says: str) -> None:
    with pytest.raises(SinkUnsupportedError, match=says):
        open_sink(spec if ":" in spec else tmp_path / spec)


def test_a_folder_that_is_not_there_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(SinkWriteError, match="no folder"):
        open_sink(tmp_path / "nowhere" / "out.mp4")


def test_a_folder_without_permission_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    if not hasattr(os, "geteuid") or os.geteuid() == 0:  # root may write anywhere, and Windows knows no such modes
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != folder or not mode & os.W_OK)
    with pytest.raises(SinkWriteError, match="permission"):
        open_sink(folder / "out.mp4")


@pytest.mark.parametrize("name", ["x" * 300 + ".mp4", "~nobody-of-that-name/a.mp4", "a\0b.mp4"])
def test_a_name_the_system_refuses_is_a_write_error(name: str) -> None:
    with pytest.raises(SinkWriteError) as caught:
        open_sink(name)
    assert len(str(caught.value)) < 300


def test_no_name_is_no_output() -> None:
    with pytest.raises(SinkUnsupportedError, match="empty"):
        open_sink(" ")


def test_a_rate_too_low_to_say_is_no_rate(tmp_path: Path) -> None:
    with open_sink(tmp_path / "out.mp4", fps=1e-5) as sink:
        sink.write(frames_of([quarters()])[0])
    assert len(read_all(tmp_path / "out.mp4")) == 1


def test_an_unreachable_server_is_a_write_error() -> None:
    # Port 1 is reserved and answers to nobody.
    with open_sink("rtmp://127.0.0.1:1/live/hush") as sink, pytest.raises(SinkWriteError, match="refused") as error:
        for frame in noisy(10_000):
            sink.write(frame)
    assert sink.name == "rtmp://127.0.0.1:1/live/***"
    assert "hush" not in "".join(traceback.format_exception(error.value)), "the end of such an address is a key"


def test_null_counts(tmp_path: Path) -> None:
    with open_sink("null") as sink:
        for frame in noisy(3):
            sink.write(frame)
    assert sink.frames_written == 3
    assert not sink.finished


# GIF


def test_a_gif_keeps_pictures_and_times(tmp_path: Path) -> None:
    path = tmp_path / "out.gif"
    write(path, frames_of([quarters(), quarters()[::-1].copy(), quarters()], [0, 10, 40], Fraction(1, 100)))
    with Image.open(path) as image:
        assert image.n_frames == 3
        assert image.info["loop"] == 0
        seen = []
        durations = []
        for number in range(3):
            image.seek(number)
            durations.append(image.info["duration"])
            seen.append(corners(np.asarray(image.convert("RGB"))))
    assert durations[:2] == [100, 300]
    assert seen == [
        ["red", "green", "blue", "white"],
        ["blue", "white", "red", "green"],
        ["red", "green", "blue", "white"],
    ]


def test_a_gif_is_never_faster_than_players_show(tmp_path: Path) -> None:
    path = tmp_path / "out.gif"
    write(path, frames_of([grey(20 * number) for number in range(10)], list(range(10)), Fraction(1, 100)))
    with Image.open(path) as image:
        assert image.n_frames == 5


def test_a_half_written_gif_plays(tmp_path: Path) -> None:
    path = tmp_path / "out.gif"
    with open_sink(path) as sink:
        for frame in noisy(10):
            sink.write(frame)
        left_behind = path.read_bytes()
    frames = read_bytes(left_behind)
    assert 8 <= len(frames) <= 10


def test_an_encoder_that_this_ffmpeg_lacks_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(encode._CODECS, "mp4", ("libnone", {}))
    with pytest.raises(SinkUnsupportedError, match=r"cannot write mp4.*libnone"):
        write(tmp_path / "out.mp4", noisy(1))


def test_a_gif_on_a_full_disk_keeps_what_was_written(tmp_path: Path) -> None:
    disk = FullDisk(20_000)
    sink = GifSink(tmp_path / "out.gif", open_file=lambda path: disk)  # type: ignore[arg-type,return-value]
    written = 0
    with pytest.raises(SinkWriteError, match="No space left"):
        for frame in noisy(50):
            sink.write(frame)
            written += 1
    sink.close()
    assert len(read_bytes(disk.data.getvalue())) >= written - 1


def read_bytes(data: bytes) -> list[av.VideoFrame]:
    with av.open(io.BytesIO(data)) as container:
        frames: list[av.VideoFrame] = []
        with contextlib.suppress(av.InvalidDataError):
            frames.extend(container.decode(video=0))
        return frames


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_process_leaves_a_file_that_plays(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    code = (
        "import os, signal, sys\n"
        "from vivace.media import open_sink, open_source\n"
        "with open_source('scene:boat?frames=60', size=(64, 48)) as source, open_sink(sys.argv[1]) as sink:\n"
        "    for frame in source:\n"
        "        sink.write(frame)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert 60 - 16 <= len(read_all(path)) <= 60
