"""The comparison with the teachers: its arithmetic, document and refusals. Its findings are not judged here."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from e2e.helpers import write_scene
from vivace.cli import main
from vivace.media.frame import Rgb
from vivace.models.mini.styles import STYLE_KEYS
from vivace.train.classic import ClassicFilter
from vivace.train.evaluate import change, disturb, edges, nearest_teacher, psnr

pytestmark = pytest.mark.usefixtures("one_torch_thread")

GREY = np.full((16, 24, 3), 100, np.uint8)


def test_equal_pictures_are_as_near_as_can_be_and_a_level_apart_is_48_db() -> None:
    assert psnr(GREY, GREY) > 70
    assert psnr(GREY, GREY + 1) == pytest.approx(48.13, abs=0.01)


def test_change_and_edges_are_mean_differences() -> None:
    assert change([GREY, GREY + 2, GREY + 6]) == pytest.approx(3.0)
    assert change([GREY + 2, GREY]) == pytest.approx(2.0)
    steps = np.repeat((np.arange(16, dtype=np.uint8) * 3)[:, None, None], 24, axis=1).repeat(3, axis=2)
    assert edges(steps) == pytest.approx(3.0)
    assert edges(GREY) == 0.0


def test_the_nearest_teacher_is_the_one_painted_alike() -> None:
    painted = {"dark": GREY - 60, "like": GREY + 5, "light": GREY + 90}
    assert nearest_teacher(GREY, painted) == "like"


def test_a_disturbance_depends_on_its_seed_alone_and_differs_from_frame_to_frame() -> None:
    once, twice, other = disturb([GREY, GREY]), disturb([GREY, GREY]), disturb([GREY, GREY], seed=1)
    assert np.array_equal(once, twice)
    assert not np.array_equal(once, other)
    assert not np.array_equal(once[0], once[1])


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    """Return a folder with one clip of 6 frames."""
    folder = tmp_path / "clips"
    folder.mkdir()
    write_scene(folder / "scene.mp4", 6)
    return folder


@pytest.mark.parametrize("model", ["mini", "mini2"])
def test_every_style_is_compared_and_the_last_line_is_the_document(
    model: str, clips: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, threads, paint = tmp_path / "out", set[int](), ClassicFilter.paint

    def painted(self: ClassicFilter, style: str, rgb: Rgb) -> Rgb:
        threads.add(torch.get_num_threads())
        return paint(self, style, rgb)

    monkeypatch.setattr(ClassicFilter, "paint", painted)
    torch.set_num_threads(2)
    tokens = ["train", "evaluate", str(clips), "--model", model, "--out", str(out), "--size", "64x64"]
    assert main([*tokens, "--frames", "4", "--skip", "1"]) == 0
    assert threads == {1}, "more would wait for the cores that the model's threads have"
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document["model"] == model
    assert document == json.loads((out / "evaluation.json").read_text("utf-8"))
    assert document["styles"].keys() == set(STYLE_KEYS)
    for row in (*document["styles"].values(), document["all"]):
        assert row.keys() == {"psnr_db", "recognised", "strength", "flicker_ratio", "sharpness_ratio"}
        assert all(np.isfinite(value) for value in row.values())
    with Image.open(out / "scene.png") as sheet:
        assert sheet.width > 6 * 64


@pytest.mark.parametrize(
    ("tokens", "code", "word"),
    [
        (("{clips}", "--frames", "3"), 2, "at least 4"),
        (("{clips}", "--skip", "-1"), 2, "--skip -1"),
        (("{clips}", "--size", "0x0"), 2, "0x0"),
        (("{clips}", "--frames", "30"), 3, "lower --frames"),
        (("nowhere",), 3, "nowhere"),
        (("{clips}", "--frames", "4", "--out", "{clips}/scene.mp4/out"), 3, "cannot be created"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    clips: Path, tokens: tuple[str, ...], code: int, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "evaluate", *(token.replace("{clips}", str(clips)) for token in tokens)]) == code
    assert word in capsys.readouterr().err
