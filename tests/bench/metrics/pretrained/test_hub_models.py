"""CLIP, DINO and MiDaS with tiny random networks: the mathematics, and that nothing is made up."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
import transformers

import moving
from tolerance import ROUNDING, near
from vivace.bench.metrics.pretrained.clip import ClipJudge
from vivace.bench.metrics.pretrained.depth import Depth, aligned_error
from vivace.bench.metrics.pretrained.dino import Dino
from vivace.errors import BackendUnavailableError

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SMALL = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Return a folder with networks of the right kind and random weights."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    words = ["<|startoftext|>", "<|endoftext|>", *"abcdefghijklmnopqrstuvwxyz", *(f"{c}</w>" for c in "aekrst")]
    tokens = {word: number for number, word in enumerate(words)}
    text = SMALL | {"vocab_size": len(words), "max_position_embeddings": 12, "bos_token_id": 0, "eos_token_id": 1}
    clip = transformers.CLIPModel(
        transformers.CLIPConfig(
            text_config=text, vision_config=SMALL | {"image_size": 32, "patch_size": 8}, projection_dim=16
        )
    )
    clip.save_pretrained(folder / "clip-vit-base-patch32")
    (folder / "clip-vit-base-patch32" / "vocab.json").write_text(json.dumps(tokens))
    (folder / "clip-vit-base-patch32" / "merges.txt").write_text("#version: 0.2\n")
    dino = transformers.ViTModel(transformers.ViTConfig(**SMALL, image_size=32, patch_size=8))
    dino.save_pretrained(folder / "dino-vitb16")
    depth = transformers.DPTForDepthEstimation(
        transformers.DPTConfig(
            **(SMALL | {"num_hidden_layers": 4}),
            image_size=32,
            patch_size=8,
            backbone_out_indices=[0, 1, 2, 3],
            neck_hidden_sizes=[8, 8, 8, 8],
            fusion_hidden_size=8,
            is_hybrid=False,
        )
    )
    with torch.no_grad():
        for name, parameter in depth.named_parameters():
            # With its initial weights it says the same of every picture.
            if name.startswith(("neck", "head")):
                parameter.copy_(torch.randn_like(parameter) / 4 + 0.1)
    depth.save_pretrained(folder / "dpt-large")
    return folder


@pytest.fixture(scope="module")
def clip():
    return replace(moving.footage(10, cut=6, back=(3, 2)), prompt="a ink sketch")


@pytest.fixture(autouse=True)
def no_cache(monkeypatch, tmp_path):
    """Hide this machine's caches from tests."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))


@pytest.mark.parametrize("kind", [ClipJudge, Dino, Depth])
def test_without_weights_there_is_a_reason_and_never_a_value(kind, clip, tmp_path):
    judge = kind(tmp_path)
    assert "needs" in judge.reason()
    assert "hf download" in judge.reason()
    with pytest.raises(BackendUnavailableError, match="hf download"):
        judge.measure(clip)


@pytest.mark.parametrize("kind", [ClipJudge, Dino, Depth])
def test_without_transformers_the_reason_says_how_to_get_it(kind, weights, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "transformers" else find(name, *rest)
    )
    assert "pip install transformers" in kind(weights).reason()


@pytest.mark.parametrize("kind", [ClipJudge, Dino, Depth])
def test_with_weights_every_reading_is_taken_in_its_range(kind, clip, weights):
    judge = kind(weights)
    assert judge.reason() is None
    found = judge.measure(clip)
    assert set(found) == {reading.key for reading in judge.readings}
    for reading in judge.readings:
        values = found[reading.key]
        assert values.shape == (10,)
        known = values[~np.isnan(values)]
        assert len(known)
        slack = ROUNDING * np.abs(known).max()
        assert reading.low - slack <= known.min() <= known.max() <= reading.high + slack
    again = judge.measure(clip)
    for key, values in found.items():
        np.testing.assert_array_equal(values, again[key])


def test_clip_frames_are_compared_with_the_one_before_but_not_across_cuts(clip, weights):
    judge = ClipJudge(weights)
    steady = judge.measure(clip)["clip_consistency"]
    assert list(np.flatnonzero(np.isnan(steady))) == [0, 6]
    frozen = judge.measure(moving.frozen(clip))["clip_consistency"]
    assert np.nanmin(frozen) == pytest.approx(1)
    assert np.nanmean(steady) < 1


def test_clip_text_is_the_cosine_of_the_networks_own_embeddings(clip, weights):
    folder = weights / "clip-vit-base-patch32"
    model = transformers.CLIPModel.from_pretrained(folder)
    tokens = transformers.CLIPTokenizer.from_pretrained(folder)([clip.prompt], return_tensors="pt")
    grey = moving.blank(clip)
    value = (128 / 255 - np.array([0.48145466, 0.4578275, 0.40821073])) / [0.26862954, 0.26130258, 0.27577711]
    pixels = torch.tensor(np.broadcast_to(value[:, None, None], (1, 3, 32, 32)).astype(np.float32))
    with torch.inference_mode():
        out = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], pixel_values=pixels)
        expected = float(out.image_embeds[0] @ out.text_embeds[0])
    # The cosine of two unit vectors.
    assert near(ClipJudge(weights).measure(grey)["clip_text"], [expected] * 10, scale=1)


def test_clip_text_needs_a_prompt_and_a_long_one_is_cut(clip, weights):
    judge = ClipJudge(weights)
    assert "clip_text" not in judge.measure(replace(clip, prompt=None))
    assert not np.isnan(judge.measure(replace(clip, prompt="a sketch " * 40))["clip_text"]).any()


def test_vbench_consistency_is_that_of_its_formula(clip, weights):
    from vivace.bench.metrics.pretrained.tensors import consistency

    vectors = np.array([[1, 0], [0, 1], [-1, 0], [1, 1]], np.float32)
    half = 0.5 / 2**0.5
    assert consistency(vectors)[1:] == pytest.approx([0, 0, half])
    for kind, key in ((ClipJudge, "vbench_background"), (Dino, "vbench_subject")):
        frozen = kind(weights).measure(moving.frozen(clip))[key]
        assert np.isnan(frozen[0])
        assert frozen[1:] == pytest.approx(1)


def test_dino_finds_no_distance_between_equal_pictures_and_some_between_others(clip, weights):
    judge = Dino(weights)
    others = judge.measure(moving.blank(clip))["dino_structure"]
    assert np.all(others > 0)
    assert near(judge.measure(clip)["dino_structure"], 0, scale=others.min())


def test_depth_of_the_source_itself_has_no_error(clip, weights):
    judge = Depth(weights)
    others = judge.measure(moving.blank(clip))["depth_mse"]
    assert np.all(others > 0)
    assert near(judge.measure(clip)["depth_mse"], 0, scale=others.min())


def test_depth_is_aligned_by_scale_and_shift():
    rng = np.random.default_rng(0)
    wanted = rng.normal(size=(20, 20)).astype(np.float32)
    noise = rng.normal(size=(20, 20)).astype(np.float32)
    assert near(aligned_error(3 * wanted + 7, wanted), 0, scale=1)
    assert aligned_error(np.zeros_like(wanted), wanted) == 1
    assert aligned_error(wanted + noise, wanted) == pytest.approx(0.5, abs=0.07)
    assert np.isnan(aligned_error(wanted, np.ones_like(wanted)))
