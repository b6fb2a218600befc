"""Training of key frames in miniature: exact examples, a step that learns, a run that resumes, files that load."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from train.test_looks import write_data
from vivace.errors import CheckpointError, SourceNotFoundError
from vivace.models.keyframes.follower import Follower
from vivace.models.keyframes.load import load
from vivace.models.keyframes.motion import carry
from vivace.models.keyframes.network import KeyframeNet
from vivace.train.keyframes.edits import EDITS, edited
from vivace.train.keyframes.evaluate import WAYS, measure
from vivace.train.keyframes.export import export, load_net
from vivace.train.keyframes.fit import FitConfig, Objective, fit
from vivace.train.keyframes.pairs import Pool, draw_example, known_motion
from vivace.train.looks.material import read_material
from vivace.train.looks.optimiser import Optimiser

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_data(tmp_path_factory.mktemp("keyframes") / "data")


@pytest.fixture(scope="module")
def pool(data: Path) -> Pool:
    return Pool(read_material(data), None, np.random.default_rng(0))


def test_a_folder_of_looks_without_any_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceNotFoundError, match="no baked targets"):
        Pool(read_material(data), tmp_path, np.random.default_rng(0))


@pytest.mark.parametrize("kind", EDITS)
def test_an_edit_changes_a_copy_and_is_the_same_for_the_same_numbers(pool: Pool, kind: str) -> None:
    picture = pool.picture(np.random.default_rng(1))
    before = picture.copy()
    first, second = (edited(picture, kind, np.random.default_rng(2)) for _ in range(2))
    np.testing.assert_array_equal(picture, before)
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - picture).max() > 0.05


def test_what_is_carried_along_the_exact_motion_is_the_exact_edit(pool: Pool) -> None:
    """Inside the picture, but for edges of what passes in front and one more interpolation."""
    errors = []
    for seed in range(12):
        example = draw_example(pool, 64, np.random.default_rng(seed))
        if not example.same:
            continue
        for n in (1, 2):
            motion = example.motions[n - 1]
            inside = (np.minimum(motion.x, motion.y) > 1) & (np.maximum(motion.x, motion.y) < 62)
            same = cv2.absdiff(carry(motion, example.sources[0]), example.sources[n]).max(-1) < 6
            if (inside & same).sum() > 200:
                carried = carry(motion, example.targets[0]).astype(int)
                errors.append(np.abs(carried - example.targets[n])[inside & same].mean())
    assert len(errors) > 6
    assert np.median(errors) < 6


def test_another_scene_has_no_edit(pool: Pool) -> None:
    examples = [draw_example(pool, 64, np.random.default_rng(seed)) for seed in range(60)]
    others = [example for example in examples if not example.same]
    assert others
    for example in others:
        for source, target in zip(example.sources[1:], example.targets[1:], strict=True):
            assert cv2.absdiff(source, target).mean() < 8  # noise of the camera is in the source alone


def test_motion_is_sometimes_lost_and_sometimes_followed(pool: Pool) -> None:
    example = draw_example(pool, 64, np.random.default_rng(3))
    known = [known_motion(example, 1, np.random.default_rng(seed)) for seed in range(12)]
    assert {motion is None for motion in known} == {True, False}


def test_a_few_steps_beat_the_beginning(pool: Pool) -> None:
    torch.manual_seed(0)
    objective = Objective(KeyframeNet())
    examples = [draw_example(pool, 64, np.random.default_rng(seed)) for seed in (1, 2, 4)]

    def loss() -> torch.Tensor:
        objective.last = None
        return sum(objective(examples, np.random.default_rng(5)).values())

    optimiser = Optimiser(objective.net, 1e-3)
    first = float(loss().detach())
    for _ in range(8):
        loss().backward()
        optimiser.step(1e-3)
    assert float(loss().detach()) < 0.98 * first


def test_a_run_resumes_and_its_files_follow_a_key_frame(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vivace.train.keyframes.fit.SIDES", (64,))
    monkeypatch.setattr("vivace.train.keyframes.fit.SAY_EVERY_STEPS", 1)
    monkeypatch.setattr("vivace.train.keyframes.fit.Stop", lambda: type("Never", (), {"asked": False}))
    for steps in (2, 4):
        fit(FitConfig(tmp_path, data, steps=steps, pairs=1, crop=64, warmup_steps=1))
    with (tmp_path / "log.csv").open() as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == [1, 2, 3, 4]
    net, card = load_net(tmp_path / "checkpoint.pt")
    assert card["trained_step"] == "4"
    export(net, tmp_path / "files", card)
    follower = Follower(load(tmp_path / "files"), (64, 64))
    picture = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    follower.take((picture, 255 - picture))
    assert follower.follow(picture).shape == (64, 64, 3)
    (tmp_path / "checkpoint.pt").write_bytes(b"half")
    with pytest.raises(CheckpointError, match="move it away"):
        load_net(tmp_path / "checkpoint.pt")


def test_scores_compare_the_network_with_what_takes_no_learning(pool: Pool) -> None:
    table = measure(KeyframeNet().eval(), pool, side=64, count=1)
    assert table.keys() == {*EDITS}, "there are no baked looks"
    for row in table.values():
        assert tuple(row) == WAYS
        assert all(0 < value < 60 for value in row.values())
