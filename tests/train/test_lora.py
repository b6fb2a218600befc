"""A LoRA is trained on clips, goes on where it was stopped, and is loaded by a run."""

from __future__ import annotations

import json
import wave
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import wan_mirror as toy
from tolerance import near
from vivace.bench.inputs.loops import render_clip
from vivace.checkpoints.files import Places
from vivace.cli import main
from vivace.errors import CheckpointError, UsageError
from vivace.models import describe
from vivace.models.base import Chunk, RuntimeInfo
from vivace.models.loading import LoadOptions
from vivace.models.wan.load import load_components
from vivace.models.wan.model import WanModel
from vivace.models.wan.objective import flow_loss
from vivace.models.wan.profile import WanProfile
from vivace.runtime.torch.device import open_device
from vivace.train.lora.commands import whole_chunks
from vivace.train.lora.examples import Example, encode_clips
from vivace.train.lora.fit import FitConfig, add_adapters, fit

CPU = torch.device("cpu")
pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with mirrors of three models and clips, one of them with a caption and a source."""
    folder = tmp_path_factory.mktemp("lora")
    for name in ("self-forcing", "liveedit", "streamdiffusionv2"):
        toy.write(name, folder)
    (folder / "clips").mkdir()
    render_clip(folder / "clips" / "walk.mp4", (96, 64), 22, 0)
    (folder / "pairs").mkdir()
    for name, seed in (("a.mp4", 1), ("a.source.mp4", 2)):
        render_clip(folder / "pairs" / name, (64, 64), 10, seed)
    (folder / "pairs" / "a.txt").write_text("turn the red mug into glass\n", "utf-8")
    return folder


def opened(folder: Path, name: str, **options: object) -> tuple[WanProfile, WanModel]:
    profile = describe(str(folder / f"{name}.toml"))
    assert isinstance(profile, WanProfile)
    chosen = LoadOptions(**options)  # type: ignore[arg-type]
    components = load_components(profile, chosen, CPU, torch.float32, Places(folder / "mirror", folder / "cache"))
    return profile, WanModel(components, open_device("cpu"), info=RuntimeInfo("eager", "CPU", "f32"))


def examples_of(folder: Path, name: str, clips: str, latents: int) -> tuple[WanProfile, WanModel, list[Path]]:
    profile, model = opened(folder, name)
    out = folder / f"examples-{name}"
    found = encode_clips(
        folder / clips, model.components, out, size=(64, 64), latents=latents, prompt="ink sketch of a fox"
    )
    return profile, model, found


def mean_loss(model: WanModel, examples: list[Path], profile: WanProfile) -> float:
    losses = []
    for clip in (Example.read(path, CPU) for path in examples):
        for seed in range(8):
            generator, network = torch.Generator().manual_seed(seed), model.components.network
            losses.append(flow_loss(network, profile.sampling, clip.latents, clip.embeds, generator, clip.source))
    return float(torch.stack(losses).detach().mean())


def test_clips_are_cut_into_examples_and_encoded_once(folder: Path, tmp_path: Path) -> None:
    _, model, found = examples_of(folder, "self-forcing", "clips", 3)
    assert [path.name for path in found] == ["walk-0.safetensors", "walk-1.safetensors"], "9 frames each, of 22"
    example = Example.read(found[1], CPU)
    assert example.latents.shape == (1, 3, 16, 8, 8)
    assert example.source is None
    before = [path.stat().st_mtime_ns for path in found]
    examples_of(folder, "self-forcing", "clips", 3)
    assert [path.stat().st_mtime_ns for path in found] == before
    with pytest.raises(UsageError, match=r"has no caption: write it to walk\.txt"):
        encode_clips(folder / "clips", model.components, folder / "x", size=(64, 64), latents=3, prompt=None)
    with pytest.raises(UsageError, match="fewer than the 49 frames"):
        encode_clips(folder / "clips", model.components, folder / "x", size=(64, 64), latents=13, prompt="ink")
    with wave.open(str(tmp_path / "sound.mp4"), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", "NONE"))
        file.writeframes(bytes(8000))
    with pytest.raises(UsageError, match=r"sound\.mp4 has fewer than the 9 frames"):
        encode_clips(tmp_path, model.components, tmp_path / "x", size=(64, 64), latents=3, prompt="ink")


@pytest.mark.parametrize(
    ("name", "clips"), [("self-forcing", "clips"), ("liveedit", "pairs"), ("streamdiffusionv2", "clips")]
)
def test_training_lowers_the_loss_of_its_clips(folder: Path, tmp_path: Path, name: str, clips: str) -> None:
    profile, model, examples = examples_of(folder, name, clips, 3)
    assert (Example.read(examples[0], CPU).source is not None) == (name == "liveedit")
    with torch.no_grad():
        before = mean_loss(model, examples, profile)
    cfg = FitConfig(tmp_path, steps=30, rank=4, learning_rate=1e-2, warmup_steps=2)
    fit(model.components.network, profile.sampling, examples, cfg)
    with torch.no_grad():
        assert mean_loss(model, examples, profile) < 0.9 * before


def test_a_run_that_was_stopped_ends_as_one_that_was_not(folder: Path, tmp_path: Path) -> None:
    made = {}
    for name, sessions in (("whole", [6]), ("stopped", [2, 6])):
        for steps in sessions:
            profile, model, examples = examples_of(folder, "self-forcing", "clips", 3)
            cfg = FitConfig(tmp_path / name, steps=steps, rank=2, learning_rate=1e-2)
            made[name] = fit(model.components.network, profile.sampling, examples, cfg)
    whole, stopped = (load_file(made[name]) for name in ("whole", "stopped"))
    assert whole.keys() == stopped.keys()
    assert all(torch.equal(value, stopped[name]) for name, value in whole.items())
    lines = (tmp_path / "stopped" / "log.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    _, model, examples = examples_of(folder, "self-forcing", "clips", 3)
    with pytest.raises(CheckpointError, match="adapters of another rank or model"):
        fit(model.components.network, profile.sampling, examples, FitConfig(tmp_path / "whole", steps=8, rank=3))


def test_the_file_loads_into_a_run_and_is_what_was_trained(folder: Path, tmp_path: Path) -> None:
    profile, model, examples = examples_of(folder, "self-forcing", "clips", 3)
    cfg = FitConfig(tmp_path, steps=5, rank=4, learning_rate=1e-2, warmup_steps=1)
    path = fit(model.components.network, profile.sampling, examples, cfg)
    _, merged = opened(folder, "self-forcing", loras={str(path): 1.0})
    with torch.no_grad():
        trained = mean_loss(model, examples, profile)
        assert near(torch.tensor(mean_loss(merged, examples, profile)), torch.tensor(trained))
    _, plain = opened(folder, "self-forcing")
    rgb = np.random.default_rng(0).integers(0, 256, (9, 64, 64, 3), np.uint8)
    pictures = []
    for each in (plain, merged):
        chunk = Chunk(rgb, each.encode_prompt("ink sketch of a fox").embeds, strength=0.9)
        pictures.append(each.step([each.open((64, 64), seed=1)], [chunk])[0].rgb)
    assert not np.array_equal(*pictures)


def test_adapters_change_nothing_before_they_are_trained(folder: Path) -> None:
    profile, model, examples = examples_of(folder, "self-forcing", "clips", 3)
    before = mean_loss(model, examples, profile)
    assert len(add_adapters(model.components.network, 4, 0)) == 2 * 10
    assert mean_loss(model, examples, profile) == before


@pytest.fixture
def models_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VIVACE_MODELS_DIR", str(folder / "mirror"))
    monkeypatch.setenv("HF_HUB_CACHE", str(folder / "cache"))


@pytest.mark.usefixtures("models_folder")
def test_the_command_trains_goes_on_and_refuses_other_choices(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "lora", str(folder / "clips"), "--out", str(tmp_path / "run"), "--size", "64x64", "--rank", "2"]
    words += ["--prompt", "ink sketch", "--latents", "3", "--model", str(folder / "self-forcing.toml")]
    assert main([*words, "--steps", "1"]) == 0
    assert main([*words, "--steps", "2"]) == 0
    assert len((tmp_path / "run" / "log.jsonl").read_text("utf-8").splitlines()) == 2
    larger = ["80x64" if word == "64x64" else word for word in words]
    assert main([*larger, "--steps", "3"]) == 2
    assert "was begun with size 64x64" in " ".join(capsys.readouterr().err.split())
    assert main([*["oil" if word == "ink sketch" else word for word in words], "--steps", "3"]) == 2
    assert "was begun with prompt ink sketch" in " ".join(capsys.readouterr().err.split())
    assert main([*words[:-1], "mini"]) == 2
    lora = ["--lora", str(tmp_path / "run" / "lora.safetensors")]
    clip, model = str(folder / "clips" / "walk.mp4"), str(folder / "self-forcing.toml")
    assert main(["run", clip, "--model", model, "-p", "ink sketch", "--size", "64x64", *lora, "-o", "null"]) == 0


def test_examples_are_whole_chunks_within_the_window(folder: Path) -> None:
    profile = describe("self-forcing")
    assert isinstance(profile, WanProfile)
    assert [whole_chunks(profile.sampling, latents) for latents in (3, 5, 21)] == [3, 3, 21]
    with pytest.raises(UsageError, match="--latents is 3 to 21"):
        whole_chunks(profile.sampling, 2)
