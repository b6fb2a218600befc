"""Folders of outputs become pairs, or are refused; a pair's video shows both in step, whichever is on the left."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.prefer.pairs_folder import BLUE, FRAMES, GREEN, RED, write_clip, write_folders
from vivace.bench.prefer.pairs import GAP_PX, digest, find_pairs, write_pair
from vivace.errors import SourceNotFoundError, SourceUnsupportedError, UsageError, VivaceError
from vivace.media import open_source


def test_a_pair_is_what_two_folders_have_under_one_name(tmp_path: Path) -> None:
    a, b, source = write_folders(tmp_path)
    pairs = find_pairs(a, b, source)
    assert [pair.name for pair in pairs] == ["x/ink", "y/ink", "z/oil"]
    assert (pairs[0].a, pairs[0].b, pairs[0].source) == (a / "x/ink.mp4", b / "x/ink", source / "x/ink.mkv")


def test_an_export_tells_what_was_asked_for(tmp_path: Path) -> None:
    a, b, _ = write_folders(tmp_path, ("x/style/ink",))
    write_clip(f"{tmp_path}/inputs/clips/x/", BLUE)
    case = {"case": "x/style/ink", "clip": "clips/x", "prompt": "ink drawing", "fps": 12.0}
    (tmp_path / "inputs" / "cases.json").write_text(json.dumps([case]))
    (pair,) = find_pairs(a, b, tmp_path / "inputs")
    assert (pair.source, pair.fps) == (tmp_path / "inputs" / "clips" / "x", 12.0)
    assert pair.title == "Asked for: “ink drawing”"
    (tmp_path / "inputs" / "cases.json").write_text('{"case": 1}')
    with pytest.raises(SourceUnsupportedError, match="export"):
        find_pairs(a, b, tmp_path / "inputs")


def test_folders_that_do_not_match_are_refused_by_name(tmp_path: Path) -> None:
    a, b, source = write_folders(tmp_path)
    write_clip(a / "more.mp4", RED)
    for clip in "klmno":
        write_clip(b / f"{clip}.mp4", GREEN)
    with pytest.raises(UsageError, match=r"only .*a has more; only .*b has k, l, m and 2 more"):
        find_pairs(a, b, source)
    with pytest.raises(UsageError, match="one folder"):
        find_pairs(a, a / "x" / "..", source)


def test_a_source_that_lacks_a_clip_or_is_not_there_is_refused(tmp_path: Path) -> None:
    a, b, source = write_folders(tmp_path)
    (source / "z/oil.mkv").unlink()
    with pytest.raises(UsageError, match="no source of z/oil"):
        find_pairs(a, b, source)
    with pytest.raises(SourceNotFoundError, match="nowhere"):
        find_pairs(a, b, tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceNotFoundError, match="holds no clips"):
        find_pairs(tmp_path / "empty", b, source)


@pytest.mark.parametrize(
    ("size", "frames", "message"), [((48, 64), FRAMES, "two shapes"), ((64, 48), FRAMES - 1, "ends before the others")]
)
def test_outputs_that_cannot_be_shown_together_are_refused(
    tmp_path: Path, size: tuple[int, int], frames: int, message: str
) -> None:
    a, b, source = write_folders(tmp_path, ("x",))
    write_clip(b / "x.mp4", GREEN, size=size, frames=frames)
    (pair,) = find_pairs(a, b, source)
    with pytest.raises(VivaceError, match=message):
        write_pair(replace(pair, b=b / "x.mp4"), {"a": tmp_path / "1.mp4", "b": tmp_path / "2.mp4"})


def test_the_video_has_either_system_on_its_left_and_both_beside_the_source(tmp_path: Path) -> None:
    a, b, source = write_folders(tmp_path, ("x",))
    write_clip(a / "x.mp4", RED, size=(128, 96))  # a larger output of the same shape
    write_clip(source / "x.mkv", BLUE, frames=FRAMES + 3)  # longer than a case
    (pair,) = find_pairs(a, b, source)
    left = {"a": tmp_path / "1.mp4", "b": tmp_path / "2.mp4"}
    write_pair(pair, left)  # type: ignore[arg-type]
    for side, colours in (("a", (RED, BLUE, GREEN)), ("b", (GREEN, BLUE, RED))):
        with open_source(left[side]) as video:
            frames = list(video)
        assert len(frames) == FRAMES
        assert frames[0].size == (3 * 128 + 2 * GAP_PX, 96)
        for place, colour in enumerate(colours):
            start = place * (128 + GAP_PX)
            assert np.abs(frames[-1].rgb[8:-8, start + 8 : start + 120].mean((0, 1)) - colour).max() < 12


def test_another_output_under_the_same_name_is_another_set_of_pairs(tmp_path: Path) -> None:
    a, b, source = write_folders(tmp_path)
    before = digest(find_pairs(a, b, source))
    assert digest(find_pairs(a, b, source)) == before
    # A folder of pictures may hold another's folder.
    write_folders(tmp_path, ("x/ink/near",))
    assert digest(find_pairs(a, b, source)) != before
    before = digest(find_pairs(a, b, source))
    write_clip(f"{b / 'y/ink'}/", RED)
    assert digest(find_pairs(a, b, source)) != before
