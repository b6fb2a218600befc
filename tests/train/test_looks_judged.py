"""Judging of the looks: pictures as styles, faces under a look, ablations. Its findings are not judged here."""

from __future__ import annotations

import io
import json
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file
from skimage import data as pictures
from torch import Tensor

from media.clips import write_clip
from mini2_folder import TINY
from vivace.errors import CheckpointError, SourceNotFoundError, SourceUnsupportedError
from vivace.media.convert import cover
from vivace.regions.faces import FaceWatcher
from vivace.train.looks import ablations
from vivace.train.looks.ablations import ABLATIONS, ablate
from vivace.train.looks.classifier import (
    CLASSES,
    FORMAT,
    Judge,
    describe,
    fit_classifier,
    load_classifier,
    read_samples,
    save_classifier,
)
from vivace.train.looks.evaluate import named_code, stream, to_tensor
from vivace.train.looks.faces import SIDE_PX, Movement, eye_distance, fitted
from vivace.train.looks.features import Features
from vivace.train.looks.material import Material, rendered_texture
from vivace.train.looks.pictures import nearest_pictures, style_pictures
from vivace.train.looks.student import Student

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def test_looks_are_told_by_their_texture_and_colours_and_a_classifier_of_other_looks_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    features = Features()
    generator = torch.Generator().manual_seed(0)

    def painted(look: str, count: int) -> Tensor:
        noise = torch.rand(count, 3, 64, 64, generator=generator)
        if look == "ink":
            return (noise.mean(1, keepdim=True) > 0.5).float().expand_as(noise)
        soft = torch.nn.functional.avg_pool2d(noise, 5, 1, 2)
        return soft if look == "fog" else soft * torch.tensor([1.0, 0.5, 0.2]).view(3, 1, 1)

    looks = ("ink", "fog", "golden")
    described = torch.cat([describe(features, painted(look, 24)) for look in looks])
    classes = torch.tensor([CLASSES.index(look) for look in looks]).repeat_interleave(24)
    path = tmp_path / "classifier.safetensors"
    save_classifier(fit_classifier(described, classes, steps=120), path, 72)
    judge = Judge(load_classifier(path), features)
    for look in looks:
        assert judge(painted(look, 4)) == [look] * 4
    tensors, card = load_file(path), {"format": FORMAT, "classes": '["ink"]'}
    save_file(tensors, path, card)
    with pytest.raises(CheckpointError, match="knows other looks"):
        load_classifier(path)


def test_the_classifier_learns_from_named_looks_alone(tmp_path: Path) -> None:
    picture = Image.fromarray(np.full((512, 256, 3), 90, np.uint8))
    file = io.BytesIO()
    picture.save(file, "jpeg")
    jpeg = np.frombuffer(file.getvalue(), np.uint8)
    looks = ["picture", "retired ink", "oil", "fog", "neon"]
    ends = np.arange(1, 7)[None] * len(jpeg)
    path = tmp_path / "looks-00000.safetensors"
    save_file({"jpeg": np.tile(jpeg, 6), "ends": ends}, path, {"looks": json.dumps([looks])})
    described, classes = read_samples(tmp_path, Features(), lambda *_: None)
    assert len(described) == len(classes)
    assert {CLASSES[int(k)] for k in classes} == {"oil", "fog", "neon"}
    with pytest.raises(SourceNotFoundError, match="no baked targets"):
        read_samples(tmp_path / "nowhere", Features(), lambda *_: None)


def restless_student() -> Student:
    """Return a network that begins as anything but the identity."""
    torch.manual_seed(0)
    student = Student(TINY)
    with torch.no_grad():
        for weights in student.parameters():
            weights += torch.randn_like(weights) * 0.05
    return student.eval()


def test_what_is_painted_like_a_picture_is_nearest_to_it_and_a_network_without_looks_is_right_by_chance(
    tmp_path: Path,
) -> None:
    write_clip(tmp_path / "clip.mp4", [rendered_texture(np.random.default_rng(9), 128)] * 3)
    styles = {str(seed): rendered_texture(np.random.default_rng(seed)) for seed in range(4)}
    by_code = {float(seed): to_tensor([rgb]) for seed, rgb in enumerate(styles.values())}
    codes = iter(by_code)
    # A teacher that gives the picture itself is as near as can be.
    teacher = SimpleNamespace(
        code=lambda _: np.full(100, next(codes), np.float32), picture=lambda _, code: by_code[float(code[0])]
    )
    torch.manual_seed(0)
    found = nearest_pictures(Student(TINY), teacher, Features(), tmp_path, styles)
    assert found.right(found.teacher).tolist() == [1, 1, 1, 1]
    # It begins as the identity: whatever the code, the same picture is nearest.
    assert np.array_equal(found.ours, found.source)
    assert found.right(found.source).mean() == pytest.approx(1 / 4)


def test_pictures_to_paint_like_are_held_out_and_there_are_enough(tmp_path: Path) -> None:
    few = Material((), (), (), (tmp_path / "a.png",), (tmp_path / "a.png",))
    with pytest.raises(SourceUnsupportedError, match="1 held-out photographs that are no portraits, of 20"):
        style_pictures(few)


def test_a_face_that_is_moved_has_moved_by_so_much() -> None:
    source = cover(np.ascontiguousarray(pictures.astronaut()), (SIDE_PX, SIDE_PX))
    watcher = FaceWatcher(threads=1)
    watcher.look(source, None)
    oval = watcher.faces[0].oval
    mesh = fitted(watcher, source, oval)
    assert mesh is not None
    assert np.array_equal(mesh, fitted(watcher, source, oval))  # nothing is smoothed over what was seen before
    moved = fitted(watcher, np.roll(source, 6, axis=1), oval)
    assert moved is not None
    assert np.median(moved - mesh, axis=0) == pytest.approx([6, 0], abs=0.1 * eye_distance(mesh))
    assert fitted(watcher, np.full_like(source, 128), oval) is None


def test_where_half_of_the_faces_are_lost_no_movement_is_small() -> None:
    assert Movement([1.0, 3.0, 2.0]).median() == 2
    assert Movement([1.0, 3.0], lost=1).median() == 3
    assert Movement([1.0], lost=2).median() == np.inf


def test_each_ablation_switches_off_its_part_alone() -> None:
    student = restless_student()
    generator = torch.Generator().manual_seed(1)

    def painted(of: Student, **changed: Tensor) -> Tensor:
        inputs = {
            "source": torch.rand(1, 3, 64, 64, generator=generator.manual_seed(2)) * 2 - 1,
            "estimate": torch.rand(1, 3, 64, 64, generator=generator) * 2 - 1,
            "textures": torch.rand(1, 32, 16, 16, generator=generator) * 2 - 1,
            "maps": torch.rand(1, 80, 16, 16, generator=generator),
        } | changed
        with torch.no_grad():
            made: Tensor = of(**inputs, code=named_code(of, "ink"), step=torch.zeros(1, 4))
        return made

    whole, zeros = painted(student), torch.zeros(1, 32, 16, 16)
    for each in ABLATIONS[3:]:
        other = deepcopy(student)
        each.change(other.net)
        assert not torch.equal(painted(other), whole), each.name
        blind_to_textures = torch.equal(painted(other), painted(other, textures=zeros))
        blind_to_maps = torch.equal(painted(other), painted(other, maps=torch.zeros(1, 80, 16, 16)))
        blind_to_past = torch.equal(painted(other), painted(other, estimate=torch.zeros(1, 3, 64, 64)))
        assert blind_to_maps == each.name.startswith("nothing drawn"), each.name
        assert blind_to_textures == (each.name == "no textures"), each.name
        assert blind_to_past == (each.name == "no previous output"), each.name
    assert torch.equal(painted(student), whole)


def test_ablations_are_rows_with_scores_and_times(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_clip(tmp_path / "still.mp4", [rendered_texture(np.random.default_rng(9), 128)] * 30)
    monkeypatch.setattr(ablations, "SIZE", (64, 64))
    monkeypatch.setattr(ablations, "ROUNDS", 1)
    chosen = [each for each in ABLATIONS if each.name in ("whole, 1 step", "whole, 2 steps", "no attention")]
    monkeypatch.setattr(ablations, "ABLATIONS", chosen)
    paints = SimpleNamespace(paint_unfiltered=lambda look, frames, _: frames[-2:])
    rows = ablate(restless_student(), paints, tmp_path, looks=("ink",))
    assert [row.name for row in rows] == [each.name for each in chosen]
    assert len({row.psnr_db for row in rows}) == len(rows)
    assert all(row.step_ms > 0 for row in rows)


def test_a_frame_in_several_steps_begins_each_where_the_last_ended() -> None:
    student, picture = restless_student(), torch.rand(1, 3, 256, 256)
    code = named_code(student, "ink")
    once, twice = (stream(student, picture, code, 1, steps=steps) for steps in (1, 2))
    assert once.shape == twice.shape == picture.shape
    assert not torch.equal(once, twice)
