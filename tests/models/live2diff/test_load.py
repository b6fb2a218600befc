"""From files to components: the whole path in miniature, and refusals that name what was expected."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

import live2diff_mirror as toy
from tolerance import near
from vivace.checkpoints import converted
from vivace.checkpoints.files import Places
from vivace.checkpoints.hub import plan, pull
from vivace.checkpoints.profile import Profile
from vivace.errors import BackendUnavailableError, CheckpointError, UsageError
from vivace.models import describe, load_model
from vivace.models.live2diff import load as module
from vivace.models.live2diff.autoencoder import TINY
from vivace.models.live2diff.choose import steps_of
from vivace.models.live2diff.components import Components
from vivace.models.live2diff.detector import DETECTOR
from vivace.models.live2diff.load import load_components
from vivace.models.live2diff.text import ClipText
from vivace.models.live2diff.unet import Live2DiffUNet, UNetConfig
from vivace.models.live2diff.window import row_window
from vivace.models.loading import LoadOptions
from vivace.runtime.torch import choose
from vivace.runtime.torch.choose import COMPILES, choose_mode
from vivace.runtime.torch.device import open_device

CPU = torch.device("cpu")
QUERY = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
UNET_FILE = f"{toy.SD}/unet/diffusion_pytorch_model.safetensors"
Load = Callable[..., Components]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the profile and, beside it, everything pulled from its mirror."""
    folder = tmp_path_factory.mktemp("toy")
    profile = describe(str(toy.write(folder)))
    places = Places(folder / "models", folder / "hub")
    for style in profile.styles:
        pull(plan(profile, style=style, optional=True, mirror=str(folder / "mirror"), places=places))
    return folder


@pytest.fixture(scope="module")
def profile(made: Path) -> Profile:
    return describe(str(made / "tiny.toml"))


@pytest.fixture
def models(made: Path, tmp_path: Path) -> Path:
    """Return a folder of models that a test may damage."""
    return Path(shutil.copytree(made / "models", tmp_path / "models"))


@pytest.fixture
def load(profile: Profile, models: Path, tmp_path: Path) -> Load:
    places = Places(models, tmp_path / "hub")

    def load(dtype: torch.dtype = torch.float32, **options: object) -> Components:
        return load_components(profile, LoadOptions(**options), CPU, dtype, places)

    return load


def change_of(path: Path, key: str, *, scale: float = 1.0) -> Tensor:
    """Return the change of a layer by a LoRA file of half the usual scale."""
    tensors = load_file(path)
    return scale * (tensors[f"{key}.lora_up.weight"] @ tensors[f"{key}.lora_down.weight"])


def weight(components: Components, key: str = QUERY) -> Tensor:
    return components.unet.state_dict()[f"{key}.weight"]


# -- what is loaded ----------------------------------------------------------------------------------------------------


def test_the_plain_style_is_the_base_with_motion_and_the_few_step_lora(load: Load, made: Path, models: Path) -> None:
    components = load()
    base = toy.seeded(Live2DiffUNet, toy.UNET, 1).state_dict()
    few = made / "mirror/latent-consistency/lcm-lora-sdv1-5/pytorch_lora_weights.safetensors"
    touched = {key.removesuffix(".alpha") for key in load_file(few) if key.endswith(".alpha")}
    for key, value in components.unet.state_dict().items():
        layer = "lora_unet_" + key.removesuffix(".weight").replace(".", "_")
        if layer not in touched or key.endswith(".bias"):
            assert torch.equal(value, base[key]), key
    layer = "lora_unet_" + QUERY.replace(".", "_")
    assert torch.equal(weight(components), base[f"{QUERY}.weight"] + 0.5 * change_of(few, layer))
    text = toy.seeded(ClipText, toy.TEXT, 1)
    assert torch.equal(
        components.prompts._encoder.text_model.final_layer_norm.weight, text.text_model.final_layer_norm.weight
    )
    assert components.style.t_index == (30, 40)
    assert components.style.name == "tiny/plain"
    assert [stack.weights for stack in components.loras] == [{}, {}]
    table = components.unet.temporal_attentions()[0]
    assert torch.equal(table.k_table, table.to_k(table.pos_encoder.pe[0, :16]))


def test_a_style_brings_base_lora_words_and_steps(load: Load, made: Path) -> None:
    components = load(style="painted")
    few = made / "mirror/latent-consistency/lcm-lora-sdv1-5/pytorch_lora_weights.safetensors"
    brush = made / "mirror" / toy.STYLE_LORA
    layer = next(key for key in load_file(brush) if key.startswith("lora_unet_") and "_attn1_to_q" in key).partition(
        "."
    )[0]
    key = next(
        name
        for name, part in components.unet.named_modules()
        if layer == "lora_unet_" + name.replace(".", "_") and part
    )
    base = toy.seeded(Live2DiffUNet, toy.UNET, 2).state_dict()[f"{key}.weight"]
    plain = base + 0.5 * change_of(few, layer)
    assert near(weight(components, key), plain + 0.7 * 0.5 * change_of(brush, layer))
    as_published = load(style="painted", controls={"lora_scaling": "reference"})
    assert near(weight(as_published, key), plain + 0.7 * change_of(brush, layer))
    for stack in components.loras:
        assert stack.weights == {"brush": 0.7}
        stack.set_weights({"brush": 0})
    assert torch.equal(weight(components, key), plain)
    assert torch.equal(
        components.prompts._encoder.state_dict()["text_model.encoder.layers.1.mlp.fc1.weight"],
        toy.seeded(ClipText, toy.TEXT, 2).state_dict()["text_model.encoder.layers.1.mlp.fc1.weight"],
    )
    assert components.style.t_index == (25, 34, 43)
    assert components.style.licence == "Apache-2.0; files of the style: unknown: read it where you get the file"
    known, other = components.prompts.encode_negative("sks"), components.prompts.encode_negative("ska")
    assert not torch.equal(torch.from_numpy(known.embeds), torch.from_numpy(other.embeds))


def test_the_users_files_go_before_the_styles(load: Load, made: Path, tmp_path: Path) -> None:
    folder = made / "mirror" / toy.SD
    own = tmp_path / "brush.safetensors"
    shutil.copy(made / "mirror" / toy.STYLE_LORA, own)
    components = load(
        style="painted", files={"base": str(folder)}, loras={str(own): 0.2}, controls={"clip_skip": 0}, steps=2
    )
    assert components.loras[0].weights == {"brush": 0.2}
    assert components.style.t_index == (25, 37)
    expected = toy.seeded(Live2DiffUNet, toy.UNET, 1).state_dict()["conv_norm_out.weight"]
    assert torch.equal(components.unet.state_dict()["conv_norm_out.weight"], expected)
    assert components.prompts._clip_skip == 0
    word = load(files={"word:felt": str(made / "mirror" / toy.WORD)}).prompts.encode_negative("felt")
    assert word.embeds.shape == (77, 16)


def test_either_form_of_the_depth_detector_is_the_same(load: Load, made: Path) -> None:
    original = load(files={"detector": str(made / "mirror/dpt_hybrid_384.pt")}).detector
    pictures = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1
    assert torch.equal(original(pictures), load().detector(pictures))


def test_the_full_autoencoder_comes_from_its_file_or_from_the_base(load: Load) -> None:
    pictures = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1
    for style, seed in (("plain", 1), ("painted", 2)):
        expected = toy.seeded(toy.FullAutoencoder, toy.FULL, seed).place("cpu", torch.float32)
        found = load(style=style, controls={"autoencoder": "full"}).autoencoder
        assert near(found.encode(pictures), expected.encode(pictures))


def test_half_as_large_files_do_as_well(load: Load, made: Path, models: Path) -> None:
    whole = weight(load())
    (models / UNET_FILE).unlink()
    with pytest.raises(CheckpointError, match="diffusion_pytorch_model"):
        load()
    half = UNET_FILE.replace(".safetensors", ".fp16.safetensors")
    shutil.copy(made / "mirror" / half, models / half)
    assert torch.allclose(weight(load()), whole, atol=1e-3)


def test_the_cache_of_the_hub_does_as_well(profile: Profile, models: Path, tmp_path: Path) -> None:
    for repo in {spec.repo for spec in profile.files.values() if spec.repo}:
        cached = tmp_path / "hub" / f"models--{repo.replace('/', '--')}"
        (cached / "refs").mkdir(parents=True)
        (cached / "refs" / "main").write_text("abc")
        shutil.move(models / repo, cached / "snapshots" / "abc")
    components = load_components(
        profile, LoadOptions(), CPU, torch.float32, Places(tmp_path / "models", tmp_path / "hub")
    )
    assert components.style.name == "tiny/plain"


def test_weights_have_the_type_asked_for_and_prompts_are_exact(load: Load) -> None:
    components = load(torch.bfloat16, style="painted")
    assert {value.dtype for value in components.unet.state_dict().values()} == {torch.bfloat16}
    assert {value.dtype for value in components.prompts._encoder.parameters()} == {torch.float32}
    assert not any(value.requires_grad for value in components.unet.parameters())
    exact = load(style="painted")
    # One rounding, of the sum and not of its parts.
    components.loras[0].set_weights({"brush": 0})
    exact.loras[0].set_weights({"brush": 0})
    assert torch.equal(weight(components), weight(exact).bfloat16())


def test_the_checkpoint_is_converted_once(load: Load, models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load()
    (kept,) = (models / "converted").glob("live2diff-*.safetensors")
    monkeypatch.setattr(converted, "convert", lambda *_: pytest.fail("converted twice"))
    load()
    kept.unlink()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(converted, "convert", full)
    load()  # read as it is
    assert not list((models / "converted").iterdir())


# -- random weights ----------------------------------------------------------------------------------------------------


def test_random_weights_need_no_files_and_follow_the_seed(profile: Profile, tmp_path: Path) -> None:
    nowhere = Places(tmp_path / "a", tmp_path / "b")

    def components(seed: int, **options: object) -> Components:
        chosen = LoadOptions(random_weights=True, seed=seed, **options)
        return load_components(profile, chosen, CPU, torch.float32, nowhere)

    one, again, other = components(1), components(1), components(2)
    for key, value in one.unet.state_dict().items():
        assert torch.equal(value, again.unet.state_dict()[key]), key
    assert not torch.equal(weight(one), weight(other))
    assert (one.prompts.encode("ink").embeds == again.prompts.encode("ink").embeds).all()
    assert len(components(1, steps=4).style.t_index) == 4
    skipping, whole = (components(1, controls={"clip_skip": skip}).prompts.encode("ink").embeds for skip in (2, 0))
    assert (skipping != whole).any()
    assert type(components(1, controls={"autoencoder": "full"}).autoencoder).__name__ == "FullAutoencoder"


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_random_weights_stay_finite_at_any_depth(profile: Profile, dtype: torch.dtype) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        unet = module.empty(Live2DiffUNet, UNetConfig(channels=(32, 32, 64), layers=6, groups=8), CPU, dtype)
        module.randomise_unet(unet, 3)
        latents, depth = torch.randn(2, 1, 4, 16, 16).to(dtype)
        text = torch.randn(1, 77, 768).to(dtype)
        context = module.motion.ClipContext(1)
        noise = unet(latents, depth, torch.tensor([399]), text, context)
    assert noise.isfinite().all()
    assert 0.05 < noise.float().std() < 20


# -- choices -----------------------------------------------------------------------------------------------------------


def test_other_steps_keep_the_styles_strength(profile: Profile) -> None:
    style = profile.style("painted")
    assert steps_of(style, None) == (25, 34, 43)
    assert steps_of(style, 3) == (25, 34, 43)
    assert steps_of(style, 4) == (25, 31, 37, 43)
    assert steps_of(profile.style(), 1) == (30,)
    assert steps_of(style, 25) == tuple(range(25, 50))
    with pytest.raises(UsageError, match="1 to 25 steps"):
        steps_of(style, 26)


def test_a_device_that_is_not_there_is_refused() -> None:
    assert open_device("cpu").torch == CPU
    missing = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(BackendUnavailableError, match=f"no device {missing}"):
        open_device(missing)


def test_runtimes_say_what_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose_mode("eager", CPU) == ("eager", ())
    monkeypatch.setattr(choose, "compiler_problem", lambda _: "")
    assert choose_mode("compiled", CPU) == ("compiled", (COMPILES,))
    assert choose_mode("compiled", torch.device("cuda")) == ("graph", (COMPILES,))
    assert choose_mode(None, torch.device("cuda")) == ("graph", (COMPILES,))
    monkeypatch.setattr(choose, "compiler_problem", lambda _: "no compiler here")
    assert choose_mode(None, torch.device("cuda")) == ("eager", ("no compiler here",))
    with pytest.raises(BackendUnavailableError, match="no compiler here"):
        choose_mode("compiled", CPU)


# -- refusals ----------------------------------------------------------------------------------------------------------


def halve(models: Path, target: str) -> None:
    path = models / target
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


CKPT = "Leoxing/Live2Diff/live2diff.ckpt"
FEW = "latent-consistency/lcm-lora-sdv1-5/pytorch_lora_weights.safetensors"
TEXT_FILE = f"{toy.SD}/text_encoder/model.safetensors"
TAESD = "madebyollin/taesd/diffusion_pytorch_model.safetensors"
DPT = "Intel/dpt-hybrid-midas/model.safetensors"


@pytest.mark.parametrize(
    ("target", "source", "expected", "looks_like"),
    [
        (UNET_FILE, TEXT_FILE, "is not the UNet of Stable Diffusion 1.5", "a CLIP text encoder"),
        (UNET_FILE, FEW, "is not the UNet of Stable Diffusion 1.5", "a LoRA"),
        (CKPT, "dpt_hybrid_384.pt", "is not Live2Diff's motion modules and depth encoder", "a depth detector"),
        (TEXT_FILE, UNET_FILE, "is not the text encoder of Stable Diffusion 1.5", "the UNet of a Stable"),
        (FEW, UNET_FILE, "is no LoRA", "the UNet of a Stable"),
        (TAESD, DPT, f"is not {TINY}", "a depth detector"),
        (DPT, TAESD, f"is not {DETECTOR}", "an autoencoder"),
    ],
)
def test_swapped_files_are_refused_by_name(
    load: Load, made: Path, models: Path, target: str, source: str, expected: str, looks_like: str
) -> None:
    origin = models / source if (models / source).exists() else made / "mirror" / source
    shutil.copy(origin, models / target)
    with pytest.raises(CheckpointError) as caught:
        load()
    assert f"{models / target} {expected}" in str(caught.value)
    assert looks_like in str(caught.value)


def test_every_lora_that_is_named_is_used_under_a_name_of_its_own(load: Load, made: Path, tmp_path: Path) -> None:
    layers = load_file(made / "mirror" / toy.STYLE_LORA)
    text = {key: value for key, value in layers.items() if key.startswith("lora_te_")}
    named = {}
    for number, name in enumerate(["a/wool.safetensors", "b/wool.safetensors", "fine (v2).safetensors", "c"]):
        path = tmp_path / name
        (path if name == "c" else path.parent).mkdir(exist_ok=True)
        save_file(layers, path / "pytorch_lora_weights.safetensors" if name == "c" else path)
        named[str(path)] = number / 4
    components = load(loras=named)
    expected = {"wool": 0.0, "wool-2": 0.25, "fine _v2_": 0.5, "c": 0.75}
    assert [stack.weights for stack in components.loras] == [expected, expected]
    (tmp_path / "again.safetensors").symlink_to(tmp_path / "a/wool.safetensors")
    for weights, words in (
        ({str(tmp_path / "a/wool.safetensors"): 1.0, str(tmp_path / "again.safetensors"): 1.0}, "given twice"),
        ({str(tmp_path / "a/wool.safetensors"): 3.0}, "lora_wool is 3.0; give -2 to 2"),
    ):
        with pytest.raises(UsageError, match=words):
            load(loras=weights)
    few = made / "mirror" / FEW
    plain = components.prompts.encode("wool").embeds
    both = tmp_path / "few.safetensors"
    save_file(load_file(few) | text, both)
    other = load(files={"lcm_lora": str(both)}).prompts.encode("wool").embeds
    assert not torch.equal(torch.from_numpy(plain), torch.from_numpy(other)), "the text encoder's part counts, too"


@pytest.mark.parametrize("target", [UNET_FILE, CKPT, TEXT_FILE, FEW, TAESD, DPT])
def test_truncated_files_are_refused_by_name(load: Load, models: Path, target: str) -> None:
    shutil.rmtree(models / "converted", ignore_errors=True)
    halve(models, target)
    with pytest.raises(CheckpointError, match="damaged") as caught:
        load()
    assert str(models / target) in str(caught.value)


def test_a_lora_of_another_model_is_refused(load: Load, models: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    tensors = load_file(models / FEW)
    stray = {
        "lora_unet_no_such_layer.lora_up.weight": torch.ones(2, 2),
        "lora_unet_no_such_layer.lora_down.weight": torch.ones(2, 2),
    }
    save_file({**tensors, **stray}, other)
    with pytest.raises(CheckpointError, match="no layer lora_unet_no_such_layer"):
        load(loras={str(other): 1.0})
    save_file({"lora_te2_text_model_x.lora_up.weight": torch.ones(2, 2)}, other)
    with pytest.raises(CheckpointError, match="Stable Diffusion XL"):
        load(loras={str(other): 1.0})
    with pytest.raises(CheckpointError, match="does not exist"):
        load(loras={"/nowhere.safetensors": 1.0})
    with pytest.raises(CheckpointError, match="is not a LoRA: it has none of pytorch_lora"):
        load(loras={str(tmp_path): 1.0})
    save_file({**tensors, **stray}, models / FEW)
    with pytest.raises(CheckpointError, match="no layer lora_unet_no_such_layer"):
        load()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"cross_attention_dim": 1024}, "Stable Diffusion 2"),
        ({"cross_attention_dim": 2048, "addition_embed_type": "text_time"}, "Stable Diffusion XL"),
        ({"in_channels": 9}, "an inpainting model"),
        ({"block_out_channels": [32, 64]}, "a UNet of widths [32, 64]"),
    ],
)
def test_other_models_are_refused_by_name(
    load: Load, made: Path, tmp_path: Path, change: dict[str, object], name: str
) -> None:
    folder = Path(shutil.copytree(made / "mirror" / toy.SD, tmp_path / "other"))
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **change}))
    with pytest.raises(CheckpointError) as caught:
        load(files={"base": str(folder)})
    assert f"{config} describes {name}" in str(caught.value)
    config.write_text("[]")
    with pytest.raises(CheckpointError, match="not the description of a UNet"):
        load(files={"base": str(folder)})


@pytest.mark.parametrize(
    "options",
    [
        {"files": {"autoencoder": "x"}},
        {"files": {"tiny_autoencoder": "x"}, "controls": {"autoencoder": "full"}},
        {"files": {"base": "x", "unet": "y"}},
        {"random_weights": True, "files": {"base": "x"}},
        {"random_weights": True, "loras": {"x": 1.0}},
    ],
)
def test_what_would_have_no_effect_is_refused(load: Load, options: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        load(**options)


def test_a_folder_that_is_no_model_is_refused(load: Load, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="is not a Stable Diffusion"):
        load(files={"base": str(tmp_path / "empty")})


def test_a_whole_model_without_text_encoder_takes_the_usual_one(load: Load, models: Path) -> None:
    tensors = {key: value for key, value in load_file(models / toy.STYLE_BASE).items() if "cond_stage" not in key}
    save_file(tensors, models / toy.STYLE_BASE)
    components = load(style="painted", controls={"lora_scaling": "alpha"})
    components.loras[1].set_weights({"brush": 0})
    expected = toy.seeded(ClipText, toy.TEXT, 1).text_model.final_layer_norm.weight
    assert torch.equal(components.prompts._encoder.text_model.final_layer_norm.weight, expected)
    (models / TEXT_FILE).unlink()
    with pytest.raises(CheckpointError, match="has no text encoder"):
        load(style="painted")


def test_a_profile_of_other_conventions_is_refused(made: Path, tmp_path: Path) -> None:
    text = (made / "tiny.toml").read_text()
    path = tmp_path / "other.toml"
    path.write_text(text.replace("anchors = 8", "anchors = 4"))
    with pytest.raises(CheckpointError, match="anchors is 8 here and 4 there"):
        load_model(str(path), options=LoadOptions(random_weights=True, device="cpu"))
    path.write_text(text.replace("layers = 1", "storeys = 1", 1))
    with pytest.raises(UsageError, match=r"network\.unet"):
        load_model(str(path), options=LoadOptions(random_weights=True, device="cpu"))
    with pytest.raises(UsageError, match="known: eager, compiled"):
        load_model(str(path), runtime="openvino")


def test_the_family_is_loaded_by_name_and_runs(made: Path) -> None:
    model = load_model(str(made / "tiny.toml"), runtime="eager", options=LoadOptions(random_weights=True, device="cpu"))
    assert model.spec.family == "live2diff"
    assert model.spec.denoising_steps == (2,)
    assert model.spec.default_strength == pytest.approx(0.4)
    assert model.spec.warmup_frames == sum(row_window(-1)[0])
    assert model.runtime.runtime == "eager"
