"""The watermark's benchmark: the changes of pictures, the counts, and that a lost mark is noticed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from vivace.bench.document import read_document
from vivace.bench.watermark import attacks, benchmark
from vivace.bench.watermark.benchmark import WatermarkOptions, watermark_command
from vivace.media.frame import Rgb


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
    assert found["false_alarms"] == 0
    assert found["nearest_false_alarm"] > -4
    assert found["mark_ms_p50"] > 0
