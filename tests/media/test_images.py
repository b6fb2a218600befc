"""Folders of numbered pictures as sources and sinks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vivace.errors import DecodeError, SinkUnsupportedError, SinkWriteError, SourceNotFoundError, SourceUnsupportedError
from vivace.media.open import open_sink, open_source
from vivace.media.paths import numbered_name

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


def test_that_they_differ_in_size_is_said_once(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, ["1.png"])
    for name in ("2.png", "3.png"):
        Image.fromarray(quarters((100, 100))).save(folder / name)
    with open_source(folder) as source:
        list(source)
    assert len(source.warnings) == 1
    assert "2.png: is 100x100 px and the first picture 64x48" in source.warnings[0]


def test_pictures_come_at_their_own_size_where_that_is_asked_for(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, ["1.png"])
    wide = np.random.default_rng(0).integers(0, 255, (100, 300, 3), dtype=np.uint8)
    Image.fromarray(wide).save(folder / "2.png")
    with open_source(folder) as source:
        source.deliver_at(None)
        frames = list(source)
    assert [frame.size for frame in frames] == [(64, 48), (300, 100)]
    assert np.array_equal(frames[1].rgb, wide)
    assert source.warnings == []
    with open_source(folder) as source:
        source.deliver_at((32, 24))
        assert {frame.size for frame in source} == {(32, 24)}


def test_only_a_number_in_the_name_says_that_pictures_are_one_video(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, ["1.png", "2.png"])
    for spec, stills in [("", True), ("1.png", True), ("*.png", True), ("%d.png", False)]:
        with open_source(folder / spec) as source:
            assert source.info.stills is stills


@pytest.mark.parametrize(
    ("names", "pattern"),
    [
        (["f009.png", "f010.png", "f011.png"], "f%03d.png"),
        (["9.png", "10.png"], "%d.png"),
        (["a1b.jpg", "a2b.jpg"], "a%db.jpg"),
        (["1.png"], None),
        (["1.png", "3.png"], None),
        (["1.png", "2.jpg"], None),
        (["01.png", "2.png"], None),
        (["cat.png", "dog.png"], None),
    ],
)
def test_what_is_numbered_one_after_the_other_has_a_numbered_name(names: list[str], pattern: str | None) -> None:
    found = numbered_name([Path("in", name) for name in names])
    assert found == (None if pattern is None else Path("in", pattern))


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


def test_a_picture_that_is_far_too_large_is_left_out_with_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of(tmp_path, ["1.png", "2.png"])
    Image.fromarray(grey(9, (640, 480))).save(folder / "2.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 48)
    with open_source(folder) as source:
        assert [frame.index for frame in source] == [0]
    assert "2.png: left out" in source.warnings[0]
    with pytest.raises(DecodeError):
        open_source(folder / "2.png")


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


def photographs(tmp_path: Path, names: list[str]) -> list[Path]:
    folder = tmp_path / "photos"
    folder.mkdir()
    return [folder / name for name in names]


def test_photographs_keep_their_names_in_a_folder(tmp_path: Path) -> None:
    pictures = photographs(tmp_path, ["b.JPG", "a.png", "c.webp", "scan.tif", "old.bmp"])
    with open_sink(f"{tmp_path}/out/", pictures=pictures) as sink:
        assert sink.stills
        for frame, size in zip(
            frames_of([quarters()] * 5), [(64, 48), (30, 20), (20, 30), (8, 8), (9, 9)], strict=True
        ):
            if frame.index != 1:  # a damaged one is skipped
                sink.write(replace(frame, rgb=grey(50, size)))
    made = {}
    for path in (tmp_path / "out").iterdir():
        with Image.open(path) as image:
            made[path.name] = image.format, image.size
    assert made == {
        "b.JPG": ("JPEG", (64, 48)), "c.webp": ("WEBP", (20, 30)), "scan.png": ("PNG", (8, 8)),
        "old.png": ("PNG", (9, 9)),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["ink.png", "ink.jpg", "ink.JPEG", "ink.webp"])
def test_one_photograph_becomes_one_picture(tmp_path: Path, name: str) -> None:
    with open_sink(tmp_path / name, pictures=[tmp_path / "photo.jpg"]) as sink:
        assert not (tmp_path / name).exists()
        sink.write(frames_of([quarters()])[0])
    with Image.open(tmp_path / name) as image:
        assert corners(np.asarray(image)) == ["red", "green", "blue", "white"]


def test_photographs_that_would_not_have_a_file_each_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SinkUnsupportedError, match=r"ink\.png: is one picture, and the source has 2; name a folder"):
        open_sink(tmp_path / "ink.png", pictures=photographs(tmp_path, ["1.jpg", "2.jpg"]))
    for names in (["a.png", "a.bmp"], ["a.jpg", "A.JPG"], ["one/a.jpg", "two/a.jpg"]):
        with pytest.raises(SinkUnsupportedError, match=r"(?i)out.a\.(png|jpg): .*would both be written there"):
            open_sink(f"{tmp_path}/out/", pictures=[tmp_path / name for name in names])


def test_a_numbered_name_or_a_video_takes_pictures_as_frames(tmp_path: Path) -> None:
    for spec in ("%05d.png", "out.mp4"):
        with open_sink(tmp_path / spec, pictures=[tmp_path / "photo.jpg"]) as sink:
            assert not sink.stills


def test_a_photograph_that_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    with pytest.raises(SinkWriteError, match="no folder"):
        open_sink(tmp_path / "nowhere" / "ink.png", pictures=[tmp_path / "photo.jpg"])
    with pytest.raises(SinkUnsupportedError, match=r"no suffix.*\.png"):
        open_sink(tmp_path / "ink", pictures=[tmp_path / "photo.jpg"])
    sink = open_sink(f"{tmp_path}/out/", pictures=[tmp_path / "photo.jpg"])
    (tmp_path / "out" / "photo.jpg").mkdir()
    with pytest.raises(SinkWriteError, match=r"photo\.jpg: writing failed"):
        sink.write(frames_of([quarters()])[0])
    assert (tmp_path / "out" / "photo.jpg").is_dir()


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
