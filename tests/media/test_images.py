"""Folders of numbered pictures as sources and sinks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vivace.errors import DecodeError, SinkUnsupportedError, SinkWriteError, SourceNotFoundError, SourceUnsupportedError
from vivace.media.sink import open_sink
from vivace.media.source import open_source

from .clips import corners, frames_of, grey, quarters


def folder_of(tmp_path: Path, names: list[str]) -> Path:
    """Make a folder of grey pictures, each brighter than the one named before it."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, name in enumerate(names):
        Image.fromarray(grey(20 * (number + 1))).save(folder / name)
    return folder


def brightness(source_spec: str | Path) -> list[int]:
    with open_source(source_spec) as source:
        return [round(frame.rgb.mean() / 20) for frame in source]


def test_a_folder_is_read_in_natural_order(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, ["f1.png", "f2.png", "f10.png"])
    (folder / "notes.txt").write_text("not a picture")
    assert brightness(folder) == [1, 2, 3]
    assert brightness(f"{folder}/") == [1, 2, 3]


@pytest.mark.parametrize("pattern", ["f*.png", "f%d.png", "f%02d.png", "f[0-9]*.png"])
def test_a_pattern_picks_pictures(tmp_path: Path, pattern: str) -> None:
    folder = folder_of(tmp_path, ["f1.png", "f2.png", "f10.png"])
    Image.fromarray(grey(200)).save(folder / "cover.png")
    assert brightness(str(folder / pattern)) == [1, 2, 3]


def test_one_picture_is_a_film_of_one_frame(tmp_path: Path) -> None:
    path = tmp_path / "one.jpg"
    Image.fromarray(quarters()).save(path, quality=95)
    with open_source(path) as source:
        assert source.info.frames == 1
        assert corners(next(iter(source)).rgb) == ["red", "green", "blue", "white"]


def test_times_follow_the_rate(tmp_path: Path) -> None:
    with open_source(folder_of(tmp_path, ["1.png", "2.png", "3.png"]), fps=10) as source:
        assert [frame.pts_s for frame in source] == pytest.approx([0, 0.1, 0.2])
    assert source.info.duration_s == pytest.approx(0.3)


def test_pictures_of_other_sizes_are_brought_to_the_first(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, ["1.png"])
    Image.fromarray(quarters((100, 100))).save(folder / "2.png")
    with open_source(folder) as source:
        assert {frame.size for frame in source} == {(64, 48)}


def test_exif_rotation_alpha_and_depth_are_respected(tmp_path: Path) -> None:
    turned = Image.fromarray(quarters())
    exif = turned.getexif()
    exif[0x0112] = 6  # Shown turned clockwise.
    turned.save(tmp_path / "turned.png", exif=exif)
    with open_source(tmp_path / "turned.png") as source:
        assert corners(next(iter(source)).rgb) == ["blue", "red", "white", "green"]
    clear = np.dstack([quarters(), np.full((48, 64), 255, np.uint8)])
    clear[:24, :32, 3] = 0
    Image.fromarray(clear).save(tmp_path / "clear.png")
    with open_source(tmp_path / "clear.png") as source:
        assert corners(next(iter(source)).rgb) == ["black", "green", "blue", "white"]
    Image.fromarray(np.full((48, 64), 128 * 256, np.uint16)).save(tmp_path / "deep.png")
    with open_source(tmp_path / "deep.png") as source:
        assert next(iter(source)).rgb.mean() == 128
    Image.fromarray(quarters()).quantize(16).save(tmp_path / "palette.png")
    with open_source(tmp_path / "palette.png") as source:
        assert corners(next(iter(source)).rgb) == ["red", "green", "blue", "white"]


def test_a_damaged_picture_is_left_out_with_a_warning(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, ["1.png", "2.png", "3.png"])
    (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:40])
    with open_source(folder) as source:
        assert [frame.index for frame in source] == [0, 2]
    assert len(source.warnings) == 1
    assert "2.png" in source.warnings[0]


def test_nothing_but_damaged_pictures_is_a_decode_error(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(b"nonsense")
    with pytest.raises(DecodeError):
        open_source(tmp_path)


def test_no_pictures_have_their_errors(tmp_path: Path) -> None:
    with pytest.raises(SourceUnsupportedError, match="without pictures"):
        open_source(tmp_path)
    with pytest.raises(SourceNotFoundError):
        open_source(tmp_path / "*.png")
    with pytest.raises(SourceNotFoundError):
        open_source(tmp_path / "nowhere" / "%05d.png")


@pytest.mark.parametrize(("spec", "names"), [("out/", "00000.png"), ("f-%03d.jpg", "f-000.jpg")])
def test_frames_become_numbered_pictures(tmp_path: Path, spec: str, names: str) -> None:
    with open_sink(f"{tmp_path}/{spec}") as sink:
        for frame in frames_of([quarters()] * 3):
            sink.write(frame)
    first = tmp_path / ("out" if spec == "out/" else "") / names
    assert len(list(first.parent.glob(f"*{first.suffix}"))) == 3
    with Image.open(first) as image:
        assert corners(np.asarray(image)) == ["red", "green", "blue", "white"]


def test_only_the_place_of_the_number_in_a_name_is_filled_in(tmp_path: Path) -> None:
    with open_sink(tmp_path / "100%_%03d_%d.png") as sink:
        sink.write(frames_of([quarters()])[0])
    assert [path.name for path in tmp_path.iterdir()] == ["100%_000_%d.png"]


def test_what_is_written_as_pictures_can_be_read_back_exactly(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pictures = [rng.integers(0, 255, (27, 35, 3), dtype=np.uint8) for _ in range(3)]
    with open_sink(f"{tmp_path}/out/") as sink:
        for frame in frames_of(pictures):
            sink.write(frame)
    with open_source(tmp_path / "out") as source:
        for frame, picture in zip(source, pictures, strict=True):
            assert np.array_equal(frame.rgb, picture)


def test_pictures_into_a_vanished_folder_are_an_error(tmp_path: Path) -> None:
    sink = open_sink(f"{tmp_path}/out/")
    (tmp_path / "out").rmdir()
    with pytest.raises(SinkWriteError, match=r"00000\.png"):
        sink.write(frames_of([quarters()])[0])


def test_a_folder_in_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SinkWriteError, match="cannot be created"):
        open_sink(f"{tmp_path}/nowhere/out/")


def test_numbered_pictures_of_an_unknown_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SinkUnsupportedError):
        open_sink(f"{tmp_path}/%05d.tga")
