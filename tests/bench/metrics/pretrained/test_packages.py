"""LPIPS and RAFT with stand-ins for their packages: their inputs, and the use of their outputs."""

import sys
import types
from dataclasses import replace

import numpy as np
import pytest
import torch

import moving
from tolerance import ROUNDING, near
from vivace.bench.metrics.motion import warp_error
from vivace.bench.metrics.pretrained import judges
from vivace.bench.metrics.pretrained.perceptual import TRUNK, Lpips
from vivace.bench.metrics.pretrained.raft import CHECKPOINT, Raft
from vivace.errors import BackendUnavailableError, CheckpointError


@pytest.fixture(autouse=True)
def no_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))


@pytest.fixture(scope="module")
def clip():
    plain = moving.footage(9, cut=5, front=None, back=(-2, 1))
    return replace(plain, exact=plain.source, reference=255 - plain.source)


def stand_in(monkeypatch, name, **contents):
    module = types.ModuleType(name)
    module.__spec__ = types.SimpleNamespace(name=name)
    for key, value in contents.items():
        setattr(module, key, value)
    monkeypatch.setitem(sys.modules, name, module)


class Perceptual(torch.nn.Module):
    """Stand-in for the package, with one layer as trunk: the mean absolute difference of its outputs."""

    def __init__(self, net, pnet_rand, verbose):
        super().__init__()
        assert (net, pnet_rand, verbose) == ("alex", True, False)
        self.net = torch.nn.ModuleDict({"slice1": torch.nn.Sequential(torch.nn.Conv2d(3, 3, 1))})

    def forward(self, a, b):
        assert a.min() >= -1
        assert a.max() <= 1
        return (self.net["slice1"](a) - self.net["slice1"](b)).abs().mean(dim=(1, 2, 3), keepdim=True)


@pytest.fixture
def lpips(monkeypatch, tmp_path):
    stand_in(monkeypatch, "lpips", LPIPS=Perceptual)
    trunk = {"features.0.weight": torch.eye(3)[..., None, None], "features.0.bias": torch.zeros(3)}
    torch.save(trunk, tmp_path / TRUNK)
    return Lpips(tmp_path)


def test_lpips_compares_with_the_exact_run_the_edit_and_the_source_outside_the_mask(lpips, clip):
    assert lpips.reason() is None
    mask = np.zeros_like(clip.visible_back)
    mask[:, :48] = True
    changed = np.where(mask[..., None], 255 - clip.source, clip.source).astype(np.uint8)
    found = lpips.measure(replace(clip, mask=mask, output=changed))
    expected = np.abs(changed.astype(float) - clip.source).mean(axis=(1, 2, 3)) / 127.5
    assert near(found["lpips"], expected)
    assert found["untouched_lpips"] == pytest.approx(0)
    assert found["edit_lpips"].shape == (9,)
    assert list(lpips.measure(replace(clip, exact=None, mask=None))) == ["edit_lpips"]


def test_a_trunk_that_is_not_alexnet_is_refused(lpips, clip, tmp_path):
    torch.save({"features.0.weight": torch.zeros(1)}, tmp_path / TRUNK)
    with pytest.raises(CheckpointError, match="not AlexNet"):
        lpips.measure(clip)


class Flow:
    """Stand-in that finds the motion of the test, and checks its arguments."""

    def __init__(self, motion):
        self.motion = motion

    def eval(self):
        return self

    def __call__(self, inputs):
        images = inputs["images"]
        assert images.shape == (1, 2, 3, 96, 96)
        assert 0 <= images.min() <= images.max() <= 1
        flow = torch.tensor(self.motion(images), dtype=torch.float32)
        return {"flows": flow.reshape(1, 1, 2, 1, 1).expand(1, 1, 2, 96, 96)}


def raft(monkeypatch, folder, motion):
    def get_model(name, ckpt_path):
        assert name == "raft"
        assert ckpt_path == str(folder / CHECKPOINT)
        return Flow(motion)

    stand_in(monkeypatch, "ptlflow", get_model=get_model)
    (folder / CHECKPOINT).touch()
    return Raft(folder)


def motion_of(clip):
    """Return the motion between the two pictures, told by their blue channel, which the package wants first."""

    def motion(images):
        first = (images[0, 0, 0] * 255).round().numpy().astype(np.uint8)
        index = next(i for i, rgb in enumerate(clip.source) if np.array_equal(rgb[..., 2], first))
        second = (images[0, 1, 0] * 255).round().numpy().astype(np.uint8)
        other = next(i for i, rgb in enumerate(clip.source) if np.array_equal(rgb[..., 2], second))
        return np.array([-2.0, 1.0]) * (other - index)

    return motion


def test_raft_gives_the_warp_error_of_its_flow_and_leaves_known_cuts_out(monkeypatch, tmp_path, clip):
    judge = raft(monkeypatch, tmp_path, motion_of(clip))
    assert judge.reason() is None
    noisy = moving.with_noise(clip, 6)
    monkeypatch.setattr(judge, "_dynamic", lambda *_: np.zeros(9))
    errors = judge.measure(noisy)["raft_warp_error"]
    expected = warp_error(noisy)
    np.testing.assert_allclose(errors, expected, rtol=0, atol=ROUNDING * np.nanmax(expected))


@pytest.mark.parametrize(("speed", "dynamic"), [(1.0, 0), (4.0, 1)])
def test_a_clip_is_dynamic_where_enough_of_it_moves_fast(monkeypatch, tmp_path, clip, speed, dynamic):
    # The limit is 6 px at 256, so 2.25 at 96.
    judge = raft(monkeypatch, tmp_path, lambda _: [speed, 0.0])
    assert judge.measure(clip)["vbench_dynamic"] == pytest.approx([dynamic] * 9)


@pytest.mark.parametrize(("kind", "package"), [(Lpips, "lpips"), (Raft, "ptlflow")])
def test_without_package_or_weights_there_is_a_reason_and_never_a_value(kind, package, clip, tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, package, raising=False)
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == package else find(name, *rest))
    reason = kind(tmp_path).reason()
    assert f"pip install {package}" in reason
    assert "https://" in reason
    with pytest.raises(BackendUnavailableError, match=f"pip install {package}"):
        kind(tmp_path).measure(clip)


def test_every_judge_has_its_own_name_and_readings_and_says_what_it_lacks(tmp_path):
    found = judges(tmp_path)
    assert len({judge.name for judge in found}) == len(found)
    keys = [reading.key for judge in found for reading in judge.readings]
    assert len(set(keys)) == len(keys)
    for judge in found:
        reason = judge.reason()
        assert reason is None or reason.startswith("needs ")


def test_no_judge_shares_a_key_with_a_metric(tmp_path):
    from vivace.bench.metrics import METRICS

    keys = {reading.key for judge in judges(tmp_path) for reading in judge.readings}
    assert not keys & {metric.key for metric in METRICS}
