"""Shows with the command: played, kept, painted again to the byte; errors of one are reported in time."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from e2e.helpers import CLIP_FRAMES, Vivace, count_frames, size_of
from media.clips import beep, write_clip
from vivace.media.open import open_source
from vivace.show.osc import LOCAL

pytestmark = pytest.mark.e2e

SCRIPT = """
[[cue]]
time = 0
prompt = "ink"
[[cue]]
time = 0.1
strength = 0.2
over = 0.15
[[cue]]
time = 0.2
prompt = "neon"
crossfade_s = 0.1
mask = "0,0,0.5,1"
"""


def shown(folder: str) -> dict[str, Any]:
    """Return the pictures of a folder by their names."""
    return {path.name: np.array(Image.open(path)) for path in sorted(Path(folder).iterdir())}


def lines_of(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


KEYED = """
[[cue]]
time = 0.1
keyframe = "edited.png"
keyframe_source = "key.png"
[[cue]]
time = 0.3
defaults = ["keyframe", "keyframe_source"]
"""


def test_a_key_frame_is_set_and_taken_away_by_a_script_and_painted_again_to_the_byte(
    vivace_here: Vivace, clip: Path
) -> None:
    with open_source(str(clip)) as source:
        pictures = [frame.rgb for frame in source]
    Image.fromarray(pictures[0]).save("key.png")
    edited = pictures[0].copy()
    edited[20:40, 30:60] = (230, 40, 40)
    Image.fromarray(edited).save("edited.png")
    Path("show.toml").write_text(KEYED)
    out = ["--no-sign", "--label", "off", "--no-watermark"]
    done = vivace_here("run", clip, "--script", "show.toml", "--log", "a.jsonl", "-o", "a/%05d.png", *out)
    assert done.code == 0, done.err
    led = [(picture != plain).any() for picture, plain in zip(shown("a").values(), pictures, strict=True)]
    first, after = (update["frame"] for update in lines_of("a.jsonl")[1:-1])
    assert led == [first <= number < after for number in range(len(led))]
    repeated = vivace_here("replay", "a.jsonl", clip, "-o", "b/%05d.png", *out)
    assert repeated.code == 0, repeated.err
    for before, again in zip(shown("a").values(), shown("b").values(), strict=True):
        np.testing.assert_array_equal(before, again)


@pytest.mark.parametrize("live", [False, True])
def test_a_show_is_painted_again_to_the_byte(vivace_here: Vivace, clip: Path, live: bool) -> None:
    Path("show.toml").write_text(SCRIPT)
    how = ["--live"] if live else []
    done = vivace_here("run", clip, *how, "--script", "show.toml", "--log", "a.jsonl", "-o", "a/%05d.png", "--no-sign")
    assert done.code == 0, done.err
    again = ["--as-played"] if live else []
    repeated = vivace_here("replay", "a.jsonl", clip, *again, "--log", "b.jsonl", "-o", "b/%05d.png", "--no-sign")
    assert repeated.code == 0, repeated.err
    opening, *updates = lines_of("a.jsonl")
    assert opening["live"] is live
    assert next(line for line in updates if "update" in line)["controls"] == {"prompt": "ink"}
    first, second = shown("a"), shown("b")
    if live:  # numbered in writing order; a picture that nobody took was painted, too
        assert len(second) >= len(first) > 0
        missing = [
            name for name, picture in first.items() if not any((picture == other).all() for other in second.values())
        ]
        assert missing == []
    else:
        assert len(first) == CLIP_FRAMES
        assert first.keys() == second.keys()
        assert [name for name in first if not (first[name] == second[name]).all()] == []
        assert [line for line in lines_of("b.jsonl") if "update" in line] == [
            line for line in updates if "update" in line
        ]


def test_a_show_is_painted_larger_with_every_frame(vivace_here: Vivace, clip: Path) -> None:
    Path("show.toml").write_text(SCRIPT)
    assert vivace_here("run", clip, "--live", "--script", "show.toml", "--log", "a.jsonl", "-o", "null").code == 0
    done = vivace_here("replay", "a.jsonl", clip, "--size", "192x128", "-o", "large.mp4")
    assert done.code == 0, done.err
    assert size_of(Path("large.mp4")) == (192, 128)
    end = lines_of("a.jsonl")[-1]["end"]
    assert count_frames(Path("large.mp4")) == end


def test_a_source_drives_itself(vivace_here: Vivace, tmp_path: Path) -> None:
    write_clip(tmp_path / "loud.mp4", [np.full((64, 96, 3), 90, np.uint8)] * 20, sound=beep(0.8, at_s=0.4))
    done = vivace_here(
        *("run", "loud.mp4", "-p", "ink", "--drive", "strength=level", "--log", "a.jsonl", "-o", "null"),
    )
    assert done.code == 0, done.err
    set_at = [(line["frame"], line["controls"]["strength"]) for line in lines_of("a.jsonl") if "update" in line]
    assert set_at[0] == (0, 0.0)
    assert set_at[1][0] in (10, 11)  # 0.4 s at 25 frames a second
    assert max(strength for _, strength in set_at) == 1.0


@pytest.mark.parametrize(
    ("tokens", "word"),
    [
        (("--script", "bad.toml"), "did you mean 'strength'"),
        (("--script", "{clip}"), "is no TOML"),
        (("--osc", "loud"), "--osc 'loud': give a port"),
        (("--osc", "{port}"), "the port cannot be had"),
        (("--drive", "strength"), "give NAME=SIGNAL"),
        (("--drive", "strenght=level", "--sound", "{loud}"), "did you mean 'strength'"),
        (("--drive", "strength=level"), "has no sound to be driven by"),
        (("--sound", "{loud}"), "--sound is heard by --drive"),
        (("--log", "a.jsonl", "--resume"), "--log is for a run that is played once"),
    ],
)
def test_what_cannot_be_played_ends_with_2_before_anything_is_written(
    vivace_here: Vivace, clip: Path, tmp_path: Path, tokens: tuple[str, ...], word: str
) -> None:
    Path("bad.toml").write_text("[[cue]]\ntime = 1\nstrenght = 0.5")
    write_clip(tmp_path / "loud.mp4", [np.zeros((64, 96, 3), np.uint8)] * 3, sound=beep(0.12, at_s=0.0))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((LOCAL, 0))
        names = {"{clip}": str(clip), "{port}": str(taken.getsockname()[1]), "{loud}": str(tmp_path / "loud.mp4")}
        done = vivace_here("run", clip, *(names.get(token, token) for token in tokens), "-o", "out.mp4")
    assert done.code == 2, done.err
    assert word in done.err
    assert "Traceback" not in done.err
    assert not Path("out.mp4").exists()


@pytest.mark.parametrize(
    ("tokens", "code", "word"),
    [
        (("nowhere.jsonl", "{clip}"), 3, "nowhere.jsonl"),
        (("{clip}", "{clip}"), 2, "line 1: not JSON"),
        (("bad.jsonl", "{clip}"), 2, "update 1 of the show, at frame 2: .*zxqv"),
        (("old.jsonl", "{clip}", "--as-played"), 2, "--as-played is for a live show"),
        (("old.jsonl", "{clip}", "--log", "old.jsonl"), 2, "is the show that is played"),
        (("other.jsonl", "{clip}"), 2, "did you mean 'mini'"),
        (("flags.jsonl", "{clip}"), 2, "begun with --warp, which this Vivace does not know"),
    ],
)
def test_what_cannot_be_painted_again_is_said(
    vivace_here: Vivace, clip: Path, tokens: tuple[str, ...], code: int, word: str
) -> None:
    opening = {"vivace_show": 1, "model": "mini", "controls": {"prompt": "ink"}}
    update = {"update": 1, "frame": 2, "controls": {"prompt": "zxqv wplk"}}
    shows = {
        "old.jsonl": [opening],
        "bad.jsonl": [opening, update],
        "other.jsonl": [{**opening, "model": "minni"}],
        "flags.jsonl": [{**opening, "flags": {"warp": 1}}],
    }
    for name, lines in shows.items():
        Path(name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = vivace_here("replay", *(token.replace("{clip}", str(clip)) for token in tokens), "-o", "out.mp4")
    assert done.code == code, done.err
    assert re.search(word, done.err), done.err
    assert "Traceback" not in done.err
    assert not Path("out.mp4").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_is_full_ends_the_log_and_not_the_run(vivace_here: Vivace, clip: Path) -> None:
    done = vivace_here("run", clip, "-p", "ink", "--log", "/dev/full", "-o", "out.mp4")
    assert done.code == 3
    assert "/dev/full: the log cannot be written (No space left on device); the run goes on without it" in done.err
    assert count_frames(Path("out.mp4")) == CLIP_FRAMES


def test_shows_are_for_streams_and_not_for_photographs(vivace_here: Vivace) -> None:
    Image.fromarray(np.zeros((64, 96, 3), np.uint8)).save("photo.png")
    done = vivace_here("run", "photo.png", "-p", "ink", "--osc", "0", "-o", "ink.png")
    assert done.code == 2
    assert "--osc is for streams" in done.err
