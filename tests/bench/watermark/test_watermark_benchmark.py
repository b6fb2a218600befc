"""The watermark's benchmark: the changes of pictures, the counts, and that a lost mark is noticed."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vivace.bench.document import read_document
from vivace.bench.inputs.clips import named_clips
from vivace.bench.watermark import attacks, benchmark, unmarked
from vivace.bench.watermark.benchmark import WatermarkOptions, watermark_command
from vivace.bench.watermark.unmarked import Searched, search_unmarked
from vivace.errors import UsageError
from vivace.media.frame import Frame, Rgb
from vivace.media.open import open_sink
from vivace.trust.watermark.embed import WatermarkEmbedder
from vivace.worlds import make_scene


@pytest.fixture(scope="module")
def pictures() -> list[Rgb]:
    ramp = np.add.outer(np.arange(96), np.arange(128))[..., None] % 200 + np.array([0, 20, 40])
    return [np.roll(ramp, 2 * index, axis=1).astype(np.uint8) for index in range(8)]


@pytest.mark.parametrize("attack", attacks.ATTACKS, ids=lambda attack: attack.key)
def test_an_attack_leaves_pictures_of_one_size(attack: attacks.Attack, pictures: list[Rgb]) -> None:
    done = attack.change(pictures)
    assert len(done) == 1 if attack.single else 1 < len(done) <= len(pictures)
    assert {rgb.shape for rgb in done} == {done[0].shape}
    assert all(rgb.dtype == np.uint8 for rgb in done)
    assert attack.key == "nothing" or not np.array_equal(done[0], pictures[0])


def test_codecs_keep_the_picture(pictures: list[Rgb]) -> None:
    for done in (attacks.x264(pictures), attacks.webrtc(pictures, "VP8"), attacks.webrtc(pictures, "H264")):
        error = np.abs(done[0].astype(float) - pictures[0]).mean()
        assert 0 < error < 12


class Fading:
    """Mark of one level that any change of the size destroys."""

    name, about = "fading", "lost when scaled"

    def mark(self, pictures: Sequence[Rgb], payload: int) -> list[Rgb]:
        self.payload, self.size = payload, pictures[0].shape
        return [rgb + (rgb < 128).astype(np.uint8) for rgb in pictures]

    def carries(self, pictures: Sequence[Rgb], payload: int) -> bool:
        return self.payload == payload and pictures[0].shape == self.size


def test_what_is_read_and_what_is_lost_is_in_the_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(benchmark, "methods", lambda: ([Fading()], []))
    monkeypatch.setattr(benchmark, "TIMED_SIZES", ((64, 48),))
    monkeypatch.setattr(benchmark, "FPS", 6)
    watermark_command(
        WatermarkOptions(("mover",), size=(128, 96), seconds=1, unmarked=2), tmp_path, tmp_path / "a.json"
    )
    document = read_document(tmp_path / "watermark.json")
    assert document == read_document(tmp_path / "a.json")
    assert (tmp_path / "watermark.html").exists()
    (row,) = document.rows
    found = {measured.metric: measured.value for measured in row.measurements}
    assert (found["read_x264"], found["read_half"], found["read_crop_4_3"]) == (100, 0, 0)
    assert found["mark_psnr"] == pytest.approx(50, abs=3)
    assert (found["unmarked_pictures"], found["false_alarms"]) == (12, 0)
    assert found["nearest_false_alarm"] > -4
    assert found["mark_ms_p50"] > 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Folder of a clip of two seconds and a bit, and of two photographs."""
    (tmp_path / "clips" / "photos").mkdir(parents=True)
    scene = make_scene("table", (64, 48))
    with open_sink(tmp_path / "clips" / "walk.mp4", fps=24) as sink:
        for index in range(50):
            sink.write(Frame(scene.render(index / 24), index, index, Fraction(1, 24), 0.0))
    for index in range(2):
        Image.fromarray(scene.render(9 + index)).save(tmp_path / "clips" / "photos" / f"{index}.png")
    return tmp_path / "clips"


def search(folder: Path, wanted: int, table: Path, *, resume: bool) -> list[Searched]:
    return search_unmarked(wanted, named_clips(folder), (64, 48), 0, table, lambda *_: None, resume=resume)


def test_a_count_of_false_alarms_goes_on_where_it_ended(folder: Path, tmp_path: Path) -> None:
    """No picture is searched twice: not after a resumption, and not when the clips are over, where scenes follow."""
    table = tmp_path / "unmarked.csv"
    first = search(folder, 20, table, resume=False)
    assert sum(row.pictures for row in first) >= 20
    rows = search(folder, 62, table, resume=True)
    assert rows[: len(first)] == first
    assert [row.pictures for row in rows] == [12, 12, 12, 12, 1, 1, 12]
    assert len({(row.clip, row.first) for row in rows}) == len(rows)
    assert {row.clip for row in rows[:6]} == {"walk", "photos/0.png", "photos/1.png"}
    assert "seed 1" in rows[6].clip
    assert min(row.false_alarm for row in rows) > 1e-3
    assert search(folder, 62, table, resume=True) == rows
    assert len(table.read_text().splitlines()) == 1 + len(rows)
    assert len(search(folder, 1, table, resume=False)) == 1


def test_a_count_by_another_reader_is_not_gone_on_with(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = tmp_path / "unmarked.csv"
    search(folder, 1, table, resume=False)
    before = table.read_text()
    monkeypatch.setattr(unmarked, "reader_hash", lambda: "another")
    with pytest.raises(UsageError, match="another version of the reader"):
        search(folder, 1, table, resume=True)
    assert table.read_text() == before
    table.write_text("a,b\n1,2\n")
    with pytest.raises(UsageError, match="no table of searches"):
        search(folder, 1, table, resume=True)


def test_a_picture_that_is_called_marked_is_counted(folder: Path, tmp_path: Path) -> None:
    marked = WatermarkEmbedder(7).mark(make_scene("table", (512, 288)).render(0.0))
    Image.fromarray(marked).save(folder / "photos" / "marked.png")
    (folder / "walk.mp4").unlink()
    rows = search(folder, 3, tmp_path / "unmarked.csv", resume=False)
    found = {one.metric: one.value for one in unmarked.measured(rows)}
    assert (found["unmarked_pictures"], found["false_alarms"]) == (3, 1)
    assert found["nearest_false_alarm"] < -6
