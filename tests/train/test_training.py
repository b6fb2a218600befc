"""From a clip to an exported file: data, loop, resume and export, in miniature."""

from __future__ import annotations

import json
from dataclasses import replace

import av
import numpy as np
import pytest
import torch
from safetensors import safe_open

from media.clips import beep, write_clip
from tolerance import near
from vivace.errors import CheckpointError, SourceNotFoundError, SourceUnsupportedError
from vivace.models.mini.checkpoint import load_net
from vivace.models.mini.network import MiniNet
from vivace.models.mini.weights import read_files
from vivace.runtime.exported.openvino import OpenVinoNetwork
from vivace.train import batches, targets
from vivace.train.batches import BatchSource
from vivace.train.clips import Segment, read_evenly, read_run, read_segments, sample_clip, scene_segments
from vivace.train.export import example_inputs, export
from vivace.train.losses import picture_loss, temporal_loss
from vivace.train.mini import TrainConfig, rate, train


def segment(count: int = 8, seed: int = 0) -> Segment:
    y, x = np.mgrid[0:200, 0:300]
    frames = [
        np.stack([127 + 100 * np.sin((x + 4 * i) / (11 + c) + y / 17 + seed) for c in range(3)], -1)
        for i in range(count)
    ]
    return Segment("waves", np.stack(frames).astype(np.uint8))


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    folder = tmp_path_factory.mktemp("targets")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(targets, "ITEMS_PER_SHARD", 3)
        patch.setattr(targets, "SCALES", ((1.0, 64, 0.5), (2.0, 128, 0.5), (1.5, 96, 0.0)))
        patch.setattr(targets, "TORUS_PX", 64)
        targets.bake([segment()], folder, 2)
    return folder


@pytest.fixture(autouse=True)
def small_torus(monkeypatch):
    monkeypatch.setattr(targets, "TORUS_PX", 64)


def test_clips_are_read_from_video_and_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(SourceNotFoundError, match="no video"):
        read_segments(tmp_path)
    write_clip(tmp_path / "a.mp4", [np.ascontiguousarray(rgb) for rgb in segment(6).frames[:, :48, :64]])
    (found,) = read_segments(tmp_path, length=4)
    assert found.frames.shape == (4, 48, 64, 3)


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_a_run_begins_anywhere_in_a_video_even_one_that_does_not_count_its_frames(tmp_path, name):
    write_clip(tmp_path / name, [np.full((48, 64, 3), 8 * i, np.uint8) for i in range(25)])
    runs = [read_run(tmp_path / name, np.random.default_rng(i), frames=3, max_side_px=64) for i in range(12)]
    assert {run.shape for run in runs} == {(3, 48, 64, 3)}
    begins = {round(float(run[0].mean()) / 8) for run in runs}
    assert len(begins) > 5
    assert max(begins) > 12


def test_a_file_without_frames_is_named(tmp_path):
    write_clip(tmp_path / "talk.mp4", [np.zeros((48, 64, 3), np.uint8)] * 2, sound=beep(0.2, at_s=0.05))
    with av.open(str(tmp_path / "talk.mp4")) as film, av.open(str(tmp_path / "voice.mp4"), "w") as voice:
        copy = voice.add_stream_from_template(film.streams.audio[0])
        for packet in film.demux(audio=0):
            if packet.dts is not None:
                packet.stream = copy
                voice.mux(packet)
    (tmp_path / "talk.mp4").unlink()
    for read in (
        lambda: read_segments(tmp_path),
        lambda: read_evenly(tmp_path / "voice.mp4", 2),
        lambda: read_run(tmp_path / "voice.mp4", np.random.default_rng(0), frames=3, max_side_px=64),
    ):
        with pytest.raises(SourceUnsupportedError, match=r"voice\.mp4: it has no frames"):
            read()


def test_scenes_are_rendered_to_learn_from():
    found = scene_segments(per_scene=1, length=2, size=(64, 48))
    assert [s.name for s in found] == ["scene-city", "scene-boat", "scene-gallery"]
    assert all(s.frames.shape == (2, 48, 64, 3) for s in found)


def test_a_clip_depends_on_its_random_state_alone():
    a, b = (sample_clip(segment(), np.random.default_rng(3), frames=4, size=64, scale=1.0) for _ in range(2))
    torch.testing.assert_close(a.pictures, b.pictures)
    assert a.pictures.shape == (4, 3, 64, 64)
    assert (a.times.diff() > 0).all()


def test_baking_resumes_and_a_shard_depends_on_its_number_alone(shards, tmp_path, monkeypatch):
    monkeypatch.setattr(targets, "ITEMS_PER_SHARD", 3)
    monkeypatch.setattr(targets, "SCALES", ((1.0, 64, 0.5), (2.0, 128, 0.5), (1.5, 96, 0.0)))
    again = tmp_path / "again"
    again.mkdir()
    kept = again / "shard-00000.safetensors"
    kept.write_bytes((shards / kept.name).read_bytes())
    before = kept.stat().st_mtime_ns
    targets.bake([segment()], again, 2)
    assert kept.stat().st_mtime_ns == before
    with (
        safe_open(shards / "shard-00001.safetensors", "pt") as a,
        safe_open(again / "shard-00001.safetensors", "pt") as b,
    ):
        for name in ("first", "place", "styles"):
            assert torch.equal(a.get_tensor(name), b.get_tensor(name))


def test_batches_see_only_the_past_and_mixtures_sum_to_one(shards):
    for _ in range(4):
        batch = BatchSource(shards, seed=1).draw(2, 64)
        t = batch.frames
        future = torch.triu(torch.ones(t, t, dtype=torch.bool))
        assert (batch.ages[:, future] < 0).all()
        assert batch.ages.max() <= batches.MAX_AGE
        torch.testing.assert_close(batch.embeds.sum(1), torch.ones(len(batch.embeds)))
        assert not batch.follows.view(-1, t)[:, 0].any()
        assert batch.target.shape == batch.source.shape


def test_losses_vanish_on_the_target_and_grow_with_blur():
    target = torch.rand(4, 3, 32, 32) * 2 - 1
    blurred = torch.nn.functional.avg_pool2d(target, 3, 1, 1)
    assert picture_loss(target, target) == 0
    assert picture_loss(blurred, target) > 0.1
    follows = torch.tensor([False, True, True, True])
    assert near(temporal_loss(target + 0.3, target, follows), 0, scale=0.3)
    assert temporal_loss(target.flip(0), target, follows) > 0
    assert temporal_loss(target.flip(0), target, torch.zeros(4, dtype=torch.bool)) == 0


def test_the_rate_warms_up_and_falls_with_the_budget(tmp_path):
    cfg = TrainConfig(tmp_path, tmp_path)
    assert rate(0, 0, cfg) < rate(0, 1000, cfg) == cfg.learning_rate
    assert rate(0.5, 1000, cfg) > rate(0.9, 1000, cfg) > 0


def test_training_learns_resumes_and_exports(shards, tmp_path):
    cfg = TrainConfig(shards, tmp_path, budget_minutes=1e-9, clips=1, crop=32, compile=False)
    train(cfg)
    first = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert first["progress"]["step"] == 1
    minutes = first["progress"]["minutes"] + 0.02
    train(replace(cfg, budget_minutes=minutes))
    second = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert second["progress"]["step"] > 1
    assert second["progress"]["minutes"] >= minutes
    changed = [k for k in first["net"] if not torch.equal(first["net"][k], second["net"][k])]
    assert len(changed) > len(first["net"]) / 2
    net = load_net(tmp_path / "checkpoint.pt")
    hashes = export(net, tmp_path / "export", {"trained_step": "1"})
    assert set(hashes) == {"mini.xml", "mini.safetensors"}
    files = read_files(tmp_path / "export")
    inputs = {k: v.numpy() for k, v in example_inputs((32, 64), (50, 80), net.cfg).items()}
    out = OpenVinoNetwork(files.graph, files.constants).executor(inputs).run()
    assert out["picture"].shape == (1, 50, 80, 3)


def test_a_checkpoint_of_another_architecture_is_refused(shards, tmp_path):
    torch.save({"net": {"x": torch.zeros(1)}, "optimiser": {}, "ema": {}, "progress": {}}, tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match="move it away"):
        train(TrainConfig(shards, tmp_path, compile=False))


def test_a_checkpoint_that_does_not_say_how_far_it_is_is_refused(shards, tmp_path):
    net = MiniNet()
    optimiser = torch.optim.AdamW(net.parameters()).state_dict()
    torch.save({"net": net.state_dict(), "optimiser": optimiser, "ema": net.state_dict()}, tmp_path / "checkpoint.pt")
    with pytest.raises(CheckpointError, match=r"progress.*move it away"):
        train(TrainConfig(shards, tmp_path, compile=False))


def test_the_run_writes_what_it_was_told(shards, tmp_path):
    train(TrainConfig(shards, tmp_path, budget_minutes=1e-9, compile=False))
    assert json.loads((tmp_path / "config.json").read_text())["crop"] == "128"


def test_training_without_targets_says_how_to_make_them(tmp_path):
    with pytest.raises(SourceNotFoundError, match="vivace train targets"):
        BatchSource(tmp_path, seed=0).draw(1, 32)
