"""Video files as sources: every frame, upright, with its own time, and a named error where there is none."""

from __future__ import annotations

import io
import struct
import threading
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from patience import PATIENCE_S
from vivace.errors import DecodeError, SourceNotFoundError, SourceUnsupportedError, UsageError
from vivace.media.open import open_source

from .clips import beep, corners, grey, quarters, write_clip

Clip = Callable[..., Path]


def levels(path: Path, **how: Any) -> list[int]:
    """Return the brightness of each delivered frame."""
    with open_source(path, **how) as source:
        return [int(frame.rgb.mean()) for frame in source]


def test_frames_come_all_in_order_counted_from_zero(clip: Clip) -> None:
    path = clip(pictures=[grey(20 * number) for number in range(1, 11)])
    with open_source(path) as source:
        frames = list(source)
    assert [frame.index for frame in frames] == list(range(10))
    assert [round(frame.rgb.mean() / 20) for frame in frames] == list(range(1, 11))


def test_capture_time_is_the_injected_clock_when_the_frame_is_decoded(clip: Clip) -> None:
    ticks = iter(range(100))
    with open_source(clip(pictures=4), clock=lambda: float(next(ticks))) as source:
        assert [frame.capture_time_s for frame in source] == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_a_variable_frame_rate_is_kept(clip: Clip, name: str) -> None:
    stamps = [0, 3, 4, 10, 11, 30, 31, 32, 50, 90]
    path = clip(name, pts=stamps, time_base=Fraction(1, 100))
    with open_source(path) as source:
        assert [frame.pts_s for frame in source] == pytest.approx([stamp / 100 for stamp in stamps], abs=0.001)


@pytest.mark.parametrize("fps", [1, 240])
def test_very_slow_and_very_fast_files_keep_their_times(clip: Clip, fps: int) -> None:
    with open_source(clip(time_base=Fraction(1, fps))) as source:
        assert [frame.pts_s for frame in source] == pytest.approx([number / fps for number in range(10)], abs=1e-4)


def test_presentation_times_always_rise(clip: Clip, tmp_path: Path) -> None:
    # Two joined recordings: the second starts over at zero.
    part = clip("part.h264", muxer="h264").read_bytes()
    glued = tmp_path / "glued.h264"
    glued.write_bytes(part + part)
    with open_source(glued) as source:
        stamps = [frame.pts for frame in source]
    assert len(stamps) == 20
    assert all(earlier < later for earlier, later in pairwise(stamps))


def test_odd_sizes_are_delivered_as_they_are(clip: Clip) -> None:
    path = clip("odd.mkv", [quarters((35, 27))] * 3, codec="ffv1", pix_fmt="yuv420p")
    with open_source(path) as source:
        frames = list(source)
    assert source.info.size == frames[0].size == (35, 27)
    assert frames[0].rgb.flags.c_contiguous
    assert corners(frames[0].rgb) == ["red", "green", "blue", "white"]


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "name"), [("libx264", "yuv420p10le", "deep.mp4"), ("ffv1", "yuv422p10le", "deep.mkv")]
)
def test_ten_bits_become_eight(clip: Clip, codec: str, pix_fmt: str, name: str) -> None:
    path = clip(name, [quarters()] * 3, codec=codec, pix_fmt=pix_fmt)
    with open_source(path) as source:
        frame = next(iter(source))
    assert source.info.pixel_format == pix_fmt
    assert frame.rgb.dtype == np.uint8
    assert corners(frame.rgb) == ["red", "green", "blue", "white"]


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("clear.mov", {"codec": "qtrle", "pix_fmt": "argb"}),
        ("clear.mkv", {"codec": "ffv1", "pix_fmt": "bgra"}),
        ("clear.webm", {"codec": "libvpx-vp9", "pix_fmt": "yuva420p", "options": {"crf": "4", "b": "0"}}),
        ("clear.png", {"codec": "apng", "pix_fmt": "rgba", "muxer": "apng"}),
    ],
)
def test_alpha_is_laid_over_black(clip: Clip, name: str, how: dict[str, Any]) -> None:
    picture = np.dstack([quarters(), np.full((48, 64), 255, np.uint8)])
    picture[:24, :32, 3] = 0
    path = clip(name, [picture] * 3, picture_format="rgba", **how)
    with open_source(path) as source:
        assert corners(next(iter(source)).rgb) == ["black", "green", "blue", "white"]


@pytest.mark.parametrize(
    ("turn", "mirrored", "upright"),
    [
        (0, True, ["green", "red", "white", "blue"]),
        (90, False, ["green", "white", "red", "blue"]),
        (-90, False, ["blue", "red", "white", "green"]),
        (180, False, ["white", "blue", "green", "red"]),
        (90, True, ["white", "green", "blue", "red"]),
    ],
)
def test_the_display_matrix_is_respected(clip: Clip, turn: int, mirrored: bool, upright: list[str]) -> None:
    path = clip(pictures=[quarters()] * 3, rotation=(turn, mirrored))
    with open_source(path) as source:
        frame = next(iter(source))
    assert corners(frame.rgb) == upright
    assert frame.size == source.info.size == ((48, 64) if turn in (90, -90) else (64, 48))
    assert frame.rgb.flags.c_contiguous
    if not mirrored:
        assert source.info.rotation_deg == turn % 360


@pytest.mark.parametrize(
    ("aspect", "turn", "size"),
    [(Fraction(2), 0, (128, 48)), (Fraction(1, 2), 0, (64, 96)), (Fraction(2), 90, (48, 128))],
)
def test_pixels_become_square_without_losing_any(
    clip: Clip, aspect: Fraction, turn: int, size: tuple[int, int]
) -> None:
    path = clip(pictures=[quarters()] * 3, aspect=aspect, rotation=(turn, False))
    with open_source(path) as source:
        assert next(iter(source)).size == source.info.size == size


def with_clean_aperture(path: Path, width: int, height: int, right: int, down: int) -> None:
    """Write a clean aperture (ISO/IEC 14496-12, 12.1.4) into an MP4 whose index comes last."""
    box = struct.pack(">I4sIIIIiIiI", 40, b"clap", width, 1, height, 1, right, 1, down, 1)
    data, at = bytearray(path.read_bytes()), 0
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        while data[at + 4 : at + 8] != name:
            at += int.from_bytes(data[at : at + 4], "big")
        size = int.from_bytes(data[at : at + 4], "big")
        data[at : at + 4] = (size + len(box)).to_bytes(4, "big")
        end, at = at + size, at + (16 if name == b"stsd" else 8)
    data[end:end] = box
    path.write_bytes(data)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_the_crop_of_a_container_is_applied(clip: Clip, suffix: str) -> None:
    path = clip(pictures=[quarters()] * 3, rotation=(90, False))
    with_clean_aperture(path, 40, 32, -4, 2)
    if suffix == "mkv":
        cropped = path.with_suffix(".mkv")
        with av.open(str(path)) as container, av.open(str(cropped), "w") as copy:
            stream = copy.add_stream_from_template(container.streams.video[0])
            for packet in container.demux(video=0):
                if packet.size:
                    packet.stream = stream
                    copy.mux(packet)
        path = cropped
    with open_source(path) as source:
        frames = list(source)
    # 8 px off the left, 16 off the right, 10 off the top, 6 off the bottom, and then rotated.
    assert [frame.size for frame in frames] == [(32, 40)] * 3
    rgb = frames[0].rgb
    red, green = rgb[19:38, :11], rgb[:13, :11]
    assert np.abs(red.astype(int) - (200, 30, 30)).max() < 12
    assert np.abs(green.astype(int) - (20, 180, 60)).max() < 12


def test_a_size_that_changes_is_brought_to_the_first_with_one_warning(tmp_path: Path) -> None:
    parts = []
    for size in ((64, 48), (96, 96)):
        part = io.BytesIO()
        write_clip(part, [quarters(size)] * 6, muxer="mpegts")
        parts.append(part.getvalue())
    path = tmp_path / "change.ts"
    path.write_bytes(b"".join(parts))
    with open_source(path) as source:
        frames = list(source)
    assert len(frames) == 12
    assert {frame.size for frame in frames} == {(64, 48)}
    assert corners(frames[-1].rgb) == ["red", "green", "blue", "white"]
    assert [warning for warning in source.warnings if "64x48 to 96x96" in warning] == source.warnings


@pytest.mark.parametrize("height", [48, 720])
def test_untagged_colour_is_read_as_players_do(clip: Clip, height: int) -> None:
    # BT.709 from 720 lines, BT.601 below: a saturated green distinguishes them.
    picture = np.zeros((height, 64, 3), np.uint8)
    picture[:] = (20, 180, 60)
    path = clip(pictures=[picture] * 2, tags=False)
    with open_source(path) as source:
        seen = next(iter(source)).rgb.mean(axis=(0, 1))
    assert (np.abs(seen - (20, 180, 60)).max() < 6) == (height == 720)


def test_a_size_asked_for_is_covered_and_cropped_evenly(clip: Clip) -> None:
    with open_source(clip(pictures=[quarters()] * 2), size=(32, 32)) as source:
        frame = next(iter(source))
    assert frame.size == source.info.size == (32, 32)
    assert corners(frame.rgb) == ["red", "green", "blue", "white"]


def test_a_frame_limit_leaves_out_evenly_and_keeps_count(clip: Clip) -> None:
    with open_source(clip(pictures=20), fps=5) as source:
        frames = list(source)
    assert [frame.index for frame in frames] == [0, 5, 10, 15]
    assert source.info.fps == 5


@pytest.mark.parametrize("name", ["a:b.mp4", "100%.mp4", "take %03d.mp4", "été [1].mp4", "clip.unknown"])
def test_any_name_can_be_opened(clip: Clip, tmp_path: Path, name: str) -> None:
    path = clip().rename(tmp_path / name)
    assert len(levels(path)) == 10


def test_a_file_address_is_a_file(clip: Clip) -> None:
    with open_source(clip().as_uri()) as source:
        assert len(list(source)) == 10


def noisy(count: int = 50) -> list[np.ndarray[Any, Any]]:
    """Return pictures that compress badly, so that a cut falls among them and not in a header."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 255, (count, 12, 16, 3), dtype=np.uint8)
    return list(np.kron(blocks, np.ones((1, 4, 4, 1), np.uint8)))


@pytest.mark.parametrize(("name", "options"), [("cut.mp4", {"movflags": "faststart"}), ("cut.mkv", {})])
@pytest.mark.parametrize("share", [0.3, 0.6])
def test_a_file_cut_short_gives_what_it_has_and_ends_with_a_warning(
    clip: Clip, name: str, options: dict[str, str], share: float
) -> None:
    path = clip(name, noisy(), muxer_options=options)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with open_source(path) as source:
        count = len(list(source))
    assert 50 * share - 5 < count <= 50 * share
    assert source.ended
    assert any("cut short" in warning for warning in source.warnings)


@pytest.mark.parametrize("name", ["damaged.mp4", "damaged.mkv"])
def test_damage_in_the_middle_costs_only_what_it_hits(clip: Clip, name: str) -> None:
    path = clip(name, noisy())
    data = bytearray(path.read_bytes())
    rng = np.random.default_rng(1)
    for offset in range(len(data) // 3, len(data) // 2, 97):
        data[offset] = int(rng.integers(256))
    path.write_bytes(data)
    with open_source(path) as source:
        count = len(list(source))
    assert 30 <= count <= 50
    # Matroska resynchronises by itself, without a message.
    assert name.endswith("mkv") or any("damaged" in warning for warning in source.warnings)


def test_a_sound_file_has_no_warnings(clip: Clip) -> None:
    with open_source(clip()) as source:
        list(source)
    assert source.warnings == []


def test_an_mp4_without_its_index_is_a_decode_error_that_says_why(clip: Clip) -> None:
    path = clip(pictures=noisy())
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DecodeError, match="index is missing"):
        open_source(path)


def test_a_video_of_which_nothing_is_left_is_a_decode_error(clip: Clip) -> None:
    path = clip(pictures=noisy(), muxer_options={"movflags": "faststart"})
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"mdat") + 8])
    with pytest.raises(DecodeError, match="not one of its pictures"):
        open_source(path)


@pytest.mark.parametrize("muxer", ["mp4", "matroska"])
def test_a_video_with_zero_frames_is_refused(tmp_path: Path, muxer: str) -> None:
    path = tmp_path / "zero.bin"
    with av.open(str(path), "w", format=muxer) as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height = 64, 48
        container.start_encoding()
    with pytest.raises(SourceUnsupportedError):
        open_source(path)


@pytest.mark.parametrize("content", [b"", b"these are words\n" * 50], ids=["empty", "text"])
@pytest.mark.parametrize("name", ["notes.txt", "notes.mp4", "notes"])
def test_what_is_no_video_is_refused(tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(SourceUnsupportedError, match="notes"):
        open_source(path)


def test_a_video_cut_off_before_it_began_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(b"\0\0\0\x20ftypisom\0\0\2\0isomiso2avc1mp41" + b"\0\0\x08Gmoov")
    with pytest.raises(SourceUnsupportedError, match="holds no video; was it cut off"):
        open_source(path)


@pytest.mark.parametrize("cover", [False, True], ids=["sound", "sound and cover picture"])
def test_music_is_refused(tmp_path: Path, cover: bool) -> None:
    path = tmp_path / "music.mp4"
    with av.open(str(path), "w") as container:
        audio: Any = container.add_stream("aac", rate=48_000)
        audio.layout = "mono"
        if cover:
            video: Any = container.add_stream("mjpeg", rate=25)
            video.width, video.height, video.pix_fmt = 64, 48, "yuvj420p"
            video.disposition = av.stream.Disposition.attached_pic.value
            container.mux(video.encode(av.VideoFrame.from_ndarray(quarters()).reformat(format="yuvj420p")))
            container.mux(video.encode(None))
        samples = av.AudioFrame.from_ndarray(beep(0.5, 0.2), format="fltp", layout="mono")
        samples.sample_rate = 48_000
        container.mux(audio.encode(samples))
        container.mux(audio.encode(None))
    with pytest.raises(SourceUnsupportedError, match="cover picture" if cover else "only audio"):
        open_source(path)


def test_a_missing_file_is_not_found_and_a_near_name_is_offered(clip: Clip) -> None:
    path = clip("holiday.mp4")
    with pytest.raises(SourceNotFoundError, match=r"did you mean .*holiday\.mp4"):
        open_source(path.with_name("hoilday.mp4"))
    with pytest.raises(SourceNotFoundError, match="there is no folder"):
        open_source(path.parent / "nowhere" / "clip.mp4")


@pytest.mark.parametrize("name", ["x" * 300 + ".mp4", "~nobody-of-that-name/a.mp4", "a\0b.mp4", "clip.mp4/inside.mp4"])
def test_a_name_the_system_refuses_is_not_found(clip: Clip, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(clip("clip.mp4").parent)
    with pytest.raises(SourceNotFoundError) as caught:
        open_source(name)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["", "  "])
def test_no_name_is_the_callers_mistake(name: str) -> None:
    with pytest.raises(UsageError, match="empty"):
        open_source(name)


@pytest.mark.parametrize(
    "how", [{"size": (0, 10)}, {"size": (10**6, 10)}, {"fps": 0.0}, {"fps": 1e-5}, {"fps": float("nan")}]
)
def test_absurd_wishes_are_the_callers_mistake(clip: Clip, how: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        open_source(clip(), **how)


def test_closing_ends_the_iteration_and_is_not_an_end(clip: Clip) -> None:
    source = open_source(clip())
    seen = 0
    for _ in source:
        seen += 1
        if seen == 3:
            source.close()
    source.close()
    assert seen == 3
    assert not source.ended
    assert list(source) == []


def test_a_source_closed_before_reading_gives_nothing(clip: Clip) -> None:
    source = open_source(clip())
    source.close()
    assert list(source) == []


def test_another_thread_may_close(clip: Clip) -> None:
    source = open_source(clip(pictures=60))
    reading, closed = threading.Event(), threading.Event()
    seen: list[int] = []

    def read() -> None:
        for frame in source:
            seen.append(frame.index)
            reading.set()
            closed.wait(PATIENCE_S)

    thread = threading.Thread(target=read)
    thread.start()
    assert reading.wait(PATIENCE_S)
    source.close()
    closed.set()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()
    assert seen == [0]


def test_iterating_again_goes_on_where_it_stopped(clip: Clip) -> None:
    with open_source(clip()) as source:
        first = next(iter(source))
        rest = list(source)
    assert [first.index, *(frame.index for frame in rest)] == list(range(10))
    assert source.ended


def test_what_no_output_takes_is_said(tmp_path: Path) -> None:
    path = tmp_path / "in.mkv"
    styles = (
        b"[Script Info]\nScriptType: v4.00+\n\n[V4+ Styles]\nFormat: Name\nStyle: Default\n\n[Events]\nFormat: Text\n"
    )
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("libx264", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        sounds: list[Any] = [container.add_stream("aac", rate=48_000, layout="mono") for _ in range(2)]
        subtitles: Any = container.add_stream("subrip")
        subtitles.codec_context.subtitle_header = styles
        container.mux(video.encode(av.VideoFrame.from_ndarray(quarters(), format="rgb24")))
        container.mux(video.encode(None))
        for sound in sounds:
            samples = av.AudioFrame.from_ndarray(beep(0.1, 0.0), format="fltp", layout="mono")
            samples.sample_rate = 48_000
            container.mux(sound.encode(samples))
            container.mux(sound.encode(None))
    with open_source(path) as source:
        for _ in range(2):  # two outputs
            track = source.open_audio()
            assert track is not None
            track.close()
    assert source.warnings == ["in.mkv: all but one of its 2 sounds and its subtitles are left out"]
