"""Bad input: one clear message, the right exit code, and earlier output stays."""

from __future__ import annotations

import json
import sys
from collections.abc import Generator
from pathlib import Path

import pytest

import vivace.media.open
import vivace.models
from e2e.helpers import CLIP_FRAMES, Vivace, count_frames
from vivace.errors import CheckpointError, SourceLostError
from vivace.media.frame import Frame
from vivace.media.open import open_source
from vivace.media.source import Source

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize(
    ("tokens", "word"),
    [
        ((), "SOURCE"),
        (("{clip}", "--bogus", "1"), "--bogus"),
        (("{clip}", "--size", "512"), "WxH"),
        (("{clip}", "--size", "0x0"), "0x0"),
        (("{clip}", "--size", "999999x999999"), "999999x999999"),
        (("{clip}", "--size", "65x65"), "64x64"),
        (("{clip}", "--strength", "2"), "strength"),
        (("{clip}", "--strength", "nan"), "strength"),
        (("{clip}", "--seed", "-1"), "seed"),
        (("{clip}", "--steps", "3"), "steps"),
        (("{clip}", "--max-frames", "0"), "max-frames"),
        (("{clip}", "--threads", "0"), "threads"),
        (("{clip}", "--fps", "0"), "fps"),
        (("{clip}", "-p", ""), "prompt is empty"),
        (("{clip}", "-p", "!!!"), "prompt"),
        (("{clip}", "-p", "zxqv wplk"), "zxqv"),
        (("{clip}", "--mask", "1,2,3"), "mask"),
        (("{clip}", "--model", "mimi"), "did you mean 'mini'"),
        (("scene:boat?frames=three",), "whole numbers"),
        (("scene:boat?frames=-1",), "frames from 1"),
        (("",), "source is empty"),
    ],
)
def test_wrong_usage_ends_with_2_and_names_the_value(
    vivace_here: Vivace, clip: Path, tokens: tuple[str, ...], word: str
) -> None:
    done = vivace_here("run", *(token.replace("{clip}", str(clip)) for token in tokens), "-o", "out.mp4")
    assert done.code == 2, done.err
    assert word in done.err
    assert "Traceback" not in done.err
    assert not Path("out.mp4").exists()


@pytest.mark.parametrize(
    ("tokens", "word"),
    [
        (("nowhere.mp4", "-o", "out.mp4"), "nowhere.mp4"),
        (("camera:97", "-o", "out.mp4"), "camera"),
        (("scene:nowhere", "-o", "out.mp4"), "gallery"),
        (("{clip}", "-o", "out.xyz"), ".xyz"),
        (("{clip}", "-o", "no/such/folder/out.mp4"), "no/such/folder"),
        (("{clip}", "-o", "window"), "-o out.mp4"),
        (("{clip}", "-o", "null", "--stats", "no/such/folder/s.json"), "no/such/folder"),
        (("{clip}", "-o", ""), "output is empty"),
        (("x" * 300, "-o", "out.mp4"), "too long"),
        (("{clip}", "-o", "x" * 300 + ".mp4"), "too long"),
        (("{clip}", "-o", "null", "--stats", "x" * 300), "too long"),
        (("empty.mp4", "-o", "out.mp4"), "empty.mp4"),
        (("text.mp4", "-o", "out.mp4"), "text.mp4"),
    ],
)
def test_media_that_fails_ends_with_3_and_says_what(
    vivace_here: Vivace, clip: Path, tokens: tuple[str, ...], word: str
) -> None:
    Path("empty.mp4").touch()
    Path("text.mp4").write_text("no video at all\n" * 100)
    done = vivace_here("run", *(token.replace("{clip}", str(clip)) for token in tokens), "-p", "oil painting")
    assert done.code == 3, done.err
    assert word in done.err
    assert "Traceback" not in done.err
    assert not Path("out.mp4").exists()


def test_a_prompt_of_a_megabyte_is_refused_in_a_few_words(vivace_here: Vivace, clip: Path) -> None:
    done = vivace_here("run", clip, "-p", "ink " * 250_000, "-o", "out.mp4")
    assert done.code == 2
    assert "1,000,000" in done.err
    assert len(done.err) < 500


def test_the_source_is_never_overwritten(vivace_here: Vivace, clip: Path) -> None:
    Path("mine.mp4").write_bytes(clip.read_bytes())
    done = vivace_here("run", "mine.mp4", "-p", "oil painting", "-o", "./mine.mp4")
    assert done.code == 3
    assert "source itself" in done.err
    assert Path("mine.mp4").read_bytes() == clip.read_bytes()


@pytest.mark.parametrize("target", ["in/", "./in", "in/%05d.png"])
def test_pictures_are_never_written_over_the_ones_that_are_read(vivace_here: Vivace, clip: Path, target: str) -> None:
    assert vivace_here("run", clip, "-o", "in/", "--max-frames", 3).code == 0
    before = [path.read_bytes() for path in sorted(Path("in").iterdir())]
    done = vivace_here("run", "in", "-p", "oil painting", "-o", target)
    assert done.code == 3
    assert "source itself" in done.err
    assert [path.read_bytes() for path in sorted(Path("in").iterdir())] == before
    assert vivace_here("run", "in", "-p", "oil painting", "-o", "in/painted-%05d.png").code == 0


def test_a_mistyped_file_finds_its_neighbour(vivace_here: Vivace, clip: Path) -> None:
    done = vivace_here("run", clip.with_name("clpi.mp4"), "-o", "null")
    assert done.code == 3
    assert "clip.mp4" in done.err


def test_a_device_that_cannot_ends_with_4(vivace_here: Vivace, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(*_: object, **__: object) -> None:
        raise CheckpointError("mini.safetensors: its checksum does not fit the profile; reinstall Vivace")

    monkeypatch.setattr(vivace.models, "load_model", damaged)
    done = vivace_here("run", clip, "-o", "null")
    assert done.code == 4
    assert "reinstall" in done.err


class Unplugged(Source):
    """Source that vanishes after a few frames."""

    def __init__(self, source: Source, frames: int) -> None:
        super().__init__(source.info)
        self._inner = iter(source)
        self._frames = frames

    def _read(self) -> Generator[Frame, None, None]:
        for _ in range(self._frames):
            yield next(self._inner)
        raise SourceLostError("camera: stopped delivering; is it still plugged in?")


def test_a_camera_that_vanishes_leaves_what_came_before(
    vivace_here: Vivace, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vivace.media.open, "open_source", lambda *_, **__: Unplugged(open_source(clip), 7))
    done = vivace_here("run", "camera", "-p", "oil painting", "-o", "out.mp4", "--stats", "s.json", "--every-frame")
    assert done.code == 3
    assert "plugged in" in done.err
    assert "7 frames to out.mp4" in done.out
    assert count_frames(Path("out.mp4")) == 7
    assert json.loads(Path("s.json").read_text())["frames_out"] == 7


def test_a_truncated_file_gives_what_it_holds(vivace_here: Vivace, clip: Path) -> None:
    whole = clip.read_bytes()
    Path("cut.mp4").write_bytes(whole[: len(whole) * 3 // 4])
    done = vivace_here("run", "cut.mp4", "-p", "oil painting", "-o", "out.mp4")
    assert "Traceback" not in done.err
    if done.code == 0:
        assert 0 < count_frames(Path("out.mp4")) <= CLIP_FRAMES
    else:
        assert done.code == 3
        assert "cut.mp4" in done.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("option", ["-o", "--stats"])
def test_a_full_disk_is_named(vivace_here: Vivace, clip: Path, option: str) -> None:
    name = "out.mp4" if option == "-o" else "s.json"
    Path(name).symlink_to("/dev/full")
    rest = () if option == "-o" else ("-o", "null")
    done = vivace_here("run", clip, "-p", "oil painting", option, name, *rest)
    assert done.code == 3, done.err
    assert name in done.err
    assert any(word in done.err.lower() for word in ("full", "space")), done.err


def test_a_bug_is_called_one(vivace_here: Vivace, clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr(vivace.models, "load_model", broken)
    done = vivace_here("run", clip, "-o", "null")
    assert done.code == 1
    assert "ZeroDivisionError: oops" in done.err
    assert "VIVACE_DEBUG" in done.err
    monkeypatch.setenv("VIVACE_DEBUG", "1")
    done = vivace_here("run", clip, "-o", "null")
    assert done.code == 1
    assert "Traceback" in done.err
    assert done.err.endswith("ZeroDivisionError: oops\n")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX modes")
def test_a_stats_folder_is_refused_before_work_begins(vivace_here: Vivace, clip: Path) -> None:
    Path("folder").mkdir()
    done = vivace_here("run", clip, "-p", "oil painting", "-o", "out.mp4", "--stats", "folder")
    assert done.code == 3
    assert not Path("out.mp4").exists()
