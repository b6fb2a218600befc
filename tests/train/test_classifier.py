"""Training of the style classifier: batches, interrupted runs, and that the shipped network is the trained one."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from tolerance import near
from vivace.cli import main
from vivace.errors import CheckpointError, SourceNotFoundError, UsageError
from vivace.models.style.classifier import CLASSES, NONE, read_metadata
from vivace.train import targets
from vivace.train.classic import ClassicFilter
from vivace.train.classifier import samples as samples_module
from vivace.train.classifier.export import export, load_unversioned
from vivace.train.classifier.fit import FitConfig, fit, load, loss_of, rate
from vivace.train.classifier.network import StyleGraph, StyleNet
from vivace.train.classifier.samples import SampleSource, blank, blob, compress, relight
from vivace.train.classifier.score import Tally, spearman
from vivace.train.clips import Segment

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("targets")
    y, x = np.mgrid[0:120, 0:160]
    frames = np.stack([np.stack([127 + 100 * np.sin((x + 4 * i) / (11 + c) + y / 17) for c in range(3)], -1)
                       for i in range(6)])  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "ITEMS_PER_SHARD", 5)
        patch.setattr(targets, "SCALES", ((1.0, 64, 1.0), (2.0, 64, 0.0), (1.5, 96, 0.0)))
        patch.setattr(targets, "TORUS_PX", 64)
        targets.bake([Segment("waves", frames.astype(np.uint8))], folder, 2)
    return folder


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(samples_module, "SIDES_PX", (48, 64))


def test_a_batch_is_known_by_its_number_alone(shards):
    once, again = SampleSource(shards, seed=3), SampleSource(shards, seed=3)
    again.draw(7, 6)
    first, second, other = once.draw(2, 6), again.draw(2, 6), again.draw(3, 6)
    assert torch.equal(first.pictures, second.pictures)
    assert torch.equal(first.shares, second.shares)
    assert first.pictures.shape != other.pictures.shape or not torch.equal(first.pictures, other.pictures)


def test_shares_are_shares_and_every_second_picture_is_unpainted(shards):
    batch = SampleSource(shards, seed=0).draw(0, 12)
    assert near(batch.shares.sum(1), torch.ones(12))
    assert (batch.shares[1::2, NONE] == 1).all()
    assert (batch.shares[::2, NONE] < 1).all()
    assert 0 <= batch.pictures.min() <= batch.pictures.max() <= 1
    assert set(batch.areas.unique().tolist()) <= {0.0, 1.0}
    with pytest.raises(SourceNotFoundError, match="vivace train targets"):
        SampleSource(shards / "nowhere", seed=0)


def test_disturbances_stay_pictures():
    rng = np.random.default_rng(0)
    picture = torch.rand(1, 3, 48, 48)
    for _ in range(12):
        for made in (relight(picture, rng), blank(rng, 48), compress(picture, 60)):
            assert made.shape == picture.shape
            assert 0 <= made.min() <= made.max() <= 1
        area = blob(rng, 48)
        assert area.shape == (1, 1, 48, 48)
        assert set(area.unique().tolist()) <= {0.0, 1.0}


def test_the_loss_is_nothing_where_the_answer_is_right_and_the_rate_ends_low():
    shares = torch.tensor([[0.25, 0.75, 0.0]])
    assert near(loss_of(shares.clamp_min(1e-9).log(), shares), 0, scale=1)
    assert float(loss_of(torch.zeros(1, 3), shares)) > 0.1
    cfg = FitConfig(None, None, steps=1000)
    assert rate(0, cfg) < 0.01 * cfg.learning_rate < rate(999, cfg) * 1.1 < rate(300, cfg)


def test_a_stopped_run_goes_on_as_if_nothing_had_happened(shards, tmp_path):
    whole = fit(FitConfig(shards, tmp_path / "whole", steps=3, batch=4))
    half = FitConfig(shards, tmp_path / "half", steps=3, batch=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vivace.train.classifier.fit.SAVE_EVERY_S", -1.0)
        patch.setattr(SampleSource, "draw", stopping(SampleSource.draw, at=2))
        with pytest.raises(KeyboardInterrupt):
            fit(half)
    resumed = fit(half)
    (a, steps), (b, _) = load(whole), load(resumed)
    assert steps == 3
    for name, value in a.state_dict().items():
        assert torch.equal(value, b.state_dict()[name]), name
    (tmp_path / "half" / "checkpoint.pt").write_bytes(b"no")
    with pytest.raises(CheckpointError, match="vivace train"):
        load(tmp_path / "half" / "checkpoint.pt")


def stopping(draw, at):
    def stopped(self, number, batch):
        if number == at:
            raise KeyboardInterrupt
        return draw(self, number, batch)

    return stopped


def test_the_commands_train_and_export(shards, tmp_path):
    run = str(tmp_path / "run")
    assert main(["train", "classifier", "fit", "--targets", str(shards), "--out", run, "--steps", "1"]) == 0
    assert main(["train", "classifier", "export", "--out", run, "--version", "t"]) == 0
    exported = tmp_path / "run" / "export"
    assert load_unversioned(exported).version == "t"
    metadata = read_metadata((exported / "style.safetensors").read_bytes())
    assert metadata["trained_steps"] == "1"
    assert main(["train", "classifier", "score", str(tmp_path), "--export", str(exported)]) == 3


def trained_a_little() -> StyleNet:
    torch.manual_seed(1)
    net = StyleNet()
    for _ in range(3):
        net(torch.rand(6, 3, 64, 64), torch.ones(6, 1, 64, 64))
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return net.eval()


def test_folding_changes_nothing_and_what_ships_is_what_was_trained(tmp_path):
    net = trained_a_little()
    folded = net.folded()
    rgb = torch.randint(0, 256, (1, 64, 96, 3), dtype=torch.uint8)
    area = (torch.rand(1, 1, 64, 96) > 0.4).float()
    with torch.no_grad():
        whole, other = (StyleGraph(n)(rgb, area) for n in (net, folded))
    assert near(other, whole)
    hashes = export(net, tmp_path, "t1", {"trained_steps": "0"})
    assert hashes.keys() == {"style.xml", "style.safetensors"}
    classifier = load_unversioned(tmp_path)
    assert classifier.version == "t1"
    found = classifier.shares(rgb[0].numpy(), area[0, 0].numpy())
    # float16 weights
    assert found == pytest.approx(whole[0].numpy(), abs=0.02)
    assert near(found.sum(), 1)


def test_a_picture_is_judged_in_its_area_alone():
    net = trained_a_little()
    area = torch.zeros(1, 1, 128, 128)
    area[..., :32] = 1
    a = torch.rand(1, 3, 128, 128)
    b = a.clone()
    b[..., 80:] = 0.1
    with torch.no_grad():
        assert torch.allclose(net(a, area), net(b, area), atol=1e-4)
        assert not torch.allclose(net(a, 1 - area), net(b, 1 - area), atol=1e-2)


def test_a_tally_counts_and_names_what_was_confused():
    tally = Tally()
    one = np.eye(len(CLASSES))
    tally.add(0, one[0])
    tally.add(0, one[NONE])
    document = json.loads(json.dumps(tally.document()))
    assert document["accuracy"] == document["own_share"] == 0.5
    assert document["confused"] == [f"{CLASSES[0]} as none: 1 of 2"]
    assert spearman(np.arange(4.0), np.array([0.0, 2, 1, 3])) == pytest.approx(0.8)


def test_the_classic_filter_paints_what_the_teacher_paints_and_refuses_the_rest():
    painter = ClassicFilter((64, 48), seed=2)
    rgb = np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8)
    made = painter.paint("ink", rgb)
    assert (made.shape, made.dtype) == (rgb.shape, np.uint8)
    assert np.array_equal(made, ClassicFilter((64, 48), seed=2).paint("ink", rgb))
    assert not np.array_equal(painter.paint("oil", rgb), ClassicFilter((64, 48), seed=3).paint("oil", rgb))
    with pytest.raises(UsageError, match="no style 'blur'"):
        painter.paint("blur", rgb)
    with pytest.raises(UsageError, match="64x48"):
        painter.paint("ink", rgb[:32])
