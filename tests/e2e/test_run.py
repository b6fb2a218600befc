"""`vivace run`, from source to file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from e2e.helpers import CLIP_FRAMES, Vivace, count_frames, size_of
from vivace.cli.run import default_file

pytestmark = pytest.mark.e2e

STATS_KEYS = {
    "model", "runtime", "device", "size", "frames_in", "frames_out", "dropped", "fps", "latency_ms", "stages_ms",
    "time_to_first_frame_ms", "kept_token_ratio", "peak_memory_mib",
}  # fmt: skip


def test_a_file_comes_out_repainted_frame_by_frame(vivace_here: Vivace, clip: Path) -> None:
    done = vivace_here("run", clip, "-p", "pencil drawing", "-o", "out.mp4", "--size", "96x64")
    assert done.code == 0, done.err
    assert count_frames(Path("out.mp4")) == CLIP_FRAMES
    assert size_of(Path("out.mp4")) == (96, 64)
    assert f"{CLIP_FRAMES} frames to out.mp4" in done.out


def test_without_a_sink_the_file_lands_here_and_is_named(vivace_here: Vivace, clip: Path) -> None:
    done = vivace_here("run", clip, "-p", "pencil drawing")
    assert done.code == 0, done.err
    assert "clip.vivace.mp4" in done.out
    assert count_frames(Path("clip.vivace.mp4")) == CLIP_FRAMES


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("camera:1", "camera-1.vivace.mp4"),
        ("scene:city?seed=3", "scene-city-seed-3.vivace.mp4"),
        ("://", "stream.vivace.mp4"),
    ],
)
def test_what_is_no_file_gets_a_name_that_is_one(spec: str, name: str) -> None:
    assert default_file(spec) == name


def test_compare_puts_source_and_result_side_by_side(vivace_here: Vivace, clip: Path) -> None:
    done = vivace_here("run", clip, "-p", "pencil drawing", "-o", "both.mp4", "--size", "96x64", "--compare")
    assert done.code == 0, done.err
    width, height = size_of(Path("both.mp4"))
    assert height == 64
    assert width >= 2 * 96


def test_max_frames_stops(vivace_here: Vivace, clip: Path) -> None:
    assert vivace_here("run", clip, "-p", "oil painting", "-o", "out.mkv", "--max-frames", 5).code == 0
    assert count_frames(Path("out.mkv")) == 5


def test_without_a_prompt_the_source_passes_and_that_is_said(vivace_here: Vivace, clip: Path) -> None:
    done = vivace_here("run", clip, "-o", "null", "--stats", "s.json")
    assert done.code == 0, done.err
    assert "no prompt" in done.err
    assert json.loads(Path("s.json").read_text())["frames_untouched"] == CLIP_FRAMES


def test_the_statistics_hold_what_is_promised(vivace_here: Vivace, clip: Path) -> None:
    assert (
        vivace_here("run", clip, "-p", "oil painting", "-o", "null", "--stats", "s.json", "--size", "96x64").code == 0
    )
    document = json.loads(Path("s.json").read_text("utf-8"))
    assert document.keys() >= STATS_KEYS
    assert document["model"] == "mini"
    assert document["size"] == [96, 64]
    assert document["frames_in"] == document["frames_out"] == CLIP_FRAMES
    assert document["dropped"] == 0
    assert document["latency_ms"].keys() >= {"p50", "p95", "p99"}
    assert document["stages_ms"].keys() == {"capture", "prepare", "denoise", "refine", "encode"}
    for times in document["stages_ms"].values():
        assert times.keys() >= {"p50", "p95"}


def test_live_and_every_frame_are_two_words_for_one_choice(vivace_here: Vivace, clip: Path) -> None:
    assert vivace_here("run", clip, "-o", "null", "--live").code == 0
    done = vivace_here("run", clip, "-p", "oil painting", "-o", "a.mp4", "--every-frame", "--max-frames", 3)
    assert done.code == 0, done.err
    assert count_frames(Path("a.mp4")) == 3


def test_the_environment_chooses_where_no_flag_does(
    vivace_here: Vivace, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VIVACE_MODEL", "nimi")
    done = vivace_here("run", clip, "-o", "null")
    assert done.code == 2
    assert "nimi" in done.err
    assert vivace_here("run", clip, "-o", "null", "--model", "mini").code == 0


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX paths")
def test_a_mask_is_a_rectangle_or_a_file(vivace_here: Vivace, clip: Path) -> None:
    assert vivace_here("run", clip, "-p", "oil painting", "-o", "null", "--mask", "0,0,32,32").code == 0
    done = vivace_here("run", clip, "-p", "oil painting", "-o", "null", "--mask", "nowhere.png")
    assert done.code == 3
    assert "nowhere.png" in done.err
