"""From public files to a model: the accepted forms, and the messages of refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan
from safetensors.torch import save_file
from torch import nn
from transformers import UMT5EncoderModel

import wan_mirror as toy
from tolerance import near
from vivace.checkpoints import converted
from vivace.checkpoints.files import Places
from vivace.checkpoints.filling import empty, fill
from vivace.checkpoints.hub import plan, pull
from vivace.checkpoints.profile import Profile
from vivace.checkpoints.tensors import open_tensors
from vivace.cli import main
from vivace.errors import BackendUnavailableError, CheckpointError, ControlError, UsageError
from vivace.models import describe
from vivace.models.base import Chunk, RuntimeInfo
from vivace.models.check import check_files
from vivace.models.loading import LoadOptions
from vivace.models.wan.checkpoint import find_vae
from vivace.models.wan.components import Components
from vivace.models.wan.load import Widths, choose_runtime, load_components
from vivace.models.wan.lora import read_wan_lora
from vivace.models.wan.model import WanModel
from vivace.models.wan.network import WanConfig, WanNetwork
from vivace.models.wan.profile import WanProfile
from vivace.models.wan.text import HashText, WanPrompts
from vivace.models.wan.umt5 import UmT5, find_text, read_tokenizer
from vivace.models.wan.vae import FeatureCache, VaeConfig, WanVae
from vivace.runtime.torch.device import open_device
from vivace.runtime.torch.packed import Int8Linear

CPU = torch.device("cpu")
CPU_DEVICE, INFO = open_device("cpu"), RuntimeInfo("eager", "CPU", "f32")
GENERATOR = "gdhe17/Self-Forcing/checkpoints/self_forcing_dmd.pt"
Load = Callable[..., Components]


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """Return a folder of models with the mirror of Self-Forcing."""
    toy.write("self-forcing", tmp_path)
    return Places(tmp_path / "mirror", tmp_path / "cache")


@pytest.fixture
def load(places: Places) -> Load:
    def components(name: str = "self-forcing", **options: Any) -> Components:
        profile = describe(str(places.folder.parent / f"{name}.toml"))
        assert isinstance(profile, WanProfile)
        return load_components(profile, LoadOptions(**options), CPU, torch.float32, places)

    return components


def weight(components: Components) -> torch.Tensor:
    return components.network.blocks[0].self_attn.q.weight


@pytest.mark.parametrize("name", toy.PROFILES)
def test_what_is_pulled_passes_the_check(name: str, tmp_path: Path) -> None:
    profile = describe(str(toy.write(name, tmp_path)))
    places = Places(tmp_path / "here", tmp_path / "cache")
    what = plan(profile, mirror=str(tmp_path / "mirror"), places=places, optional=True)
    pull(what)
    verdicts = list(check_files(profile, places=places))
    assert {verdict.state for verdict in verdicts} == {"ok"}, verdicts
    assert "tensors of the transformer" in verdicts[0].words


def test_lineage_is_told_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = toy.write("liveedit", tmp_path)
    monkeypatch.setenv("VIVACE_MODELS_DIR", str(tmp_path / "here"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    assert main(["models", "pull", str(path), "--mirror", str(tmp_path / "mirror"), "--yes"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert said.index("trained on Ditto-1M, which is for non-commercial use") < said.index("All of it is there")
    assert main(["models", "show", str(path)]) == 0
    assert "Ditto-1M" in capsys.readouterr().out


def test_every_shipped_profile_says_what_it_is() -> None:
    for name in toy.PROFILES:
        profile = describe(name)
        assert isinstance(profile, WanProfile)
        assert profile.lineage
        assert all(spec.licence for spec in profile.files.values())
        widths = Widths(profile)
        assert widths.transformer == WanConfig(in_channels=32 if name == "liveedit" else 16)


def test_the_large_transformer_is_a_style() -> None:
    profile = describe("streamdiffusionv2")
    assert isinstance(profile, WanProfile)
    large = Widths(profile, profile.chosen("14b")).transformer
    assert large == WanConfig(dim=5120, ffn_dim=13824, heads=40, layers=40)
    assert large.head_dim == Widths(profile).transformer.head_dim == 128
    assert [spec.role for spec in profile.needed(profile.style("14b")) if "wan_causal" in spec.path] == ["base"]
    with torch.device("meta"):
        assert sum(each.numel() for each in WanNetwork(large).parameters()) == pytest.approx(14.3e9, rel=0.01)


def test_the_autoencoder_of_diffusers_is_read_and_gives_its_numbers(tmp_path: Path) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        theirs = AutoencoderKLWan(base_dim=8).requires_grad_(False).eval()
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    save_file({name: value.contiguous() for name, value in theirs.state_dict().items()}, path)
    ours = empty(WanVae, VaeConfig(width=8), CPU, torch.float32)
    fill(ours, find_vae(open_tensors(path), ours))
    pictures = torch.rand(1, 5, 3, 32, 48, generator=torch.Generator().manual_seed(2)) * 2 - 1
    latents = theirs.encode(pictures.transpose(1, 2)).latent_dist.mode()
    assert near(ours.encode(pictures, FeatureCache()), latents.transpose(1, 2))
    shown = ours.decode(latents.transpose(1, 2), FeatureCache())
    assert near(shown.clamp(-1, 1), theirs.decode(latents).sample.transpose(1, 2))


def test_the_averaged_weights_are_taken_and_converted_once(
    load: Load, places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = load()
    assert torch.equal(weight(first), toy.transformer().blocks[0].self_attn.q.weight)
    kept = sorted(path.name.partition("-")[0] for path in (places.folder / "converted").iterdir())
    assert kept == ["models_t5_umt5", "self_forcing_dmd"]
    monkeypatch.setattr(converted, "convert", lambda *_: pytest.fail("converted twice"))
    assert torch.equal(weight(load()), weight(first))


def test_only_what_is_read_is_kept_in_the_conversion(load: Load, places: Places) -> None:
    load()
    [kept] = (places.folder / "converted").glob("self_forcing_dmd*")
    assert all(name.startswith("model.") for name in open_tensors(kept).shapes)


FORMS = {
    "bare": lambda state: state,
    "model": lambda state: {"model": state},
    "state_dict": lambda state: {"state_dict": toy.training_names(state)},
}


@pytest.mark.parametrize("form", FORMS)
def test_containers_and_wrappers_are_opened(load: Load, tmp_path: Path, form: str) -> None:
    content = FORMS[form](toy.state_of(toy.transformer()))
    path = tmp_path / "other.pt"
    torch.save(content, path)
    if form == "bare":
        assert torch.equal(weight(load(files={"generator": str(path)})), weight(load()))
    else:
        with pytest.raises(CheckpointError, match=f"has {form}, and not generator_ema"):
            load(files={"generator": str(path)})


def diffusers_names(state: toy.Tensors) -> toy.Tensors:
    """Return a transformer's weights under diffusers' names."""
    pairs = (
        ("time_embedding.0.", "condition_embedder.time_embedder.linear_1."),
        ("time_embedding.2.", "condition_embedder.time_embedder.linear_2."),
        ("text_embedding.0.", "condition_embedder.text_embedder.linear_1."),
        ("text_embedding.2.", "condition_embedder.text_embedder.linear_2."),
        ("time_projection.1.", "condition_embedder.time_proj."),
        ("head.head.", "proj_out."),
        ("head.modulation", "scale_shift_table"),
        (".modulation", ".scale_shift_table"),
        (".self_attn.o.", ".attn1.to_out.0."),
        (".cross_attn.o.", ".attn2.to_out.0."),
        (".self_attn.norm_", ".attn1.norm_"),
        (".cross_attn.norm_", ".attn2.norm_"),
        (".self_attn.", ".attn1.to_"),
        (".cross_attn.", ".attn2.to_"),
        (".norm3.", ".norm2."),
        (".ffn.0.", ".ffn.net.0.proj."),
        (".ffn.2.", ".ffn.net.2."),
    )
    renamed = {}
    for name, value in state.items():
        for ours, theirs in pairs:
            name = name.replace(ours, theirs)
        renamed[name] = value
    return renamed


@pytest.mark.parametrize("layout", ["diffusers", "comfy", "fp8"])
def test_layouts_of_other_programs_are_read(load: Load, tmp_path: Path, layout: str) -> None:
    state = toy.state_of(toy.transformer())
    content = {
        "diffusers": diffusers_names(state),
        "comfy": {f"model.diffusion_model.{name}": value for name, value in state.items()},
        "fp8": {name: value.to(torch.float8_e4m3fn) for name, value in state.items()},
    }[layout]
    path = tmp_path / "other.safetensors"
    save_file(content, path)
    components, expected = load(files={"generator": str(path)}), load()
    for name, value in components.network.state_dict().items():
        wanted = expected.network.state_dict()[name]
        assert torch.equal(value, wanted.to(torch.float8_e4m3fn).float() if layout == "fp8" else wanted), name


def refused(load: Load, path: Path, content: dict[str, Any], match: str, role: str = "generator") -> None:
    if path.suffix == ".safetensors":
        save_file(content, path)
    else:
        torch.save(content, path)
    with pytest.raises(CheckpointError, match=match):
        load(files={role: str(path)})


def test_other_files_are_refused_by_name(load: Load, places: Places, tmp_path: Path) -> None:
    state = toy.state_of(toy.transformer())
    ode = {"generator": toy.training_names(state)}
    refused(load, tmp_path / "a.pt", ode, "has generator, and not generator_ema: it is another stage of the training")
    refused(load, tmp_path / "ode_init.pt", {"generator_ema": state}, "is the initialisation by ODE pairs by its name")
    wide = toy.state_of(toy.transformer(channels=32))
    refused(load, tmp_path / "b.pt", {"generator_ema": wide}, "takes 32 channels in, a source beside the noise")
    scaled = {**state, "blocks.0.ffn.0.scale_weight": torch.ones(1)}
    refused(load, tmp_path / "c.safetensors", scaled, "fp8 weights with scales of their own")
    less = {name: value for name, value in state.items() if not name.startswith("blocks.1")}
    refused(load, tmp_path / "d.safetensors", less, "27 of 69 tensors are missing, the first being blocks.1.")
    vace = {**state, "vace_blocks.0.before_proj.weight": torch.ones(1)}
    refused(load, tmp_path / "e.safetensors", vace, "it looks like a Wan transformer with VACE")
    text = toy.wan_text(toy.text_encoder())
    refused(load, tmp_path / "f.safetensors", text, "it looks like a T5 text encoder")
    refused(
        load,
        tmp_path / "g.safetensors",
        state,
        "is not umT5's encoder.*it looks like a Wan transformer",
        "text_encoder",
    )
    truncated = tmp_path / "h.pt"
    truncated.write_bytes((places.folder / GENERATOR).read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="is damaged or truncated"):
        load(files={"generator": str(truncated)})


def test_a_missing_file_is_named_with_the_way_to_get_it(load: Load, places: Places) -> None:
    (places.folder / toy.WAN / "models_t5_umt5-xxl-enc-bf16.pth").unlink()
    with pytest.raises(CheckpointError, match=r"1 files.*\n *text_encoder: Wan-AI.*\n.*vivace models pull"):
        load()
    (places.folder / "Kijai/WanVideo_comfy/taew2_1.safetensors").unlink()
    with pytest.raises(CheckpointError, match="2 files of model"):
        load()
    toy.save(places.folder / "Kijai/WanVideo_comfy/taew2_1.safetensors", toy.state_of(toy.tiny_autoencoder()))
    (places.folder / toy.WAN / "google/umt5-xxl/tokenizer.json").write_text("{}")
    toy.save(places.folder / toy.WAN / "models_t5_umt5-xxl-enc-bf16.pth", toy.wan_text(toy.text_encoder()))
    with pytest.raises(CheckpointError, match=r"tokenizer.json is no tokenizer.json, or damaged"):
        load()


def test_choices_that_do_not_exist_are_refused(load: Load) -> None:
    with pytest.raises(UsageError, match="has 1 to 4 steps, not 5"):
        load(steps=5)
    with pytest.raises(UsageError, match="has no style 'ink'"):
        load(style="ink")
    with pytest.raises(UsageError, match="the tiny autoencoder is chosen"):
        load(files={"autoencoder": "x"})
    assert load(steps=2).checkpoint.sampling.steps == (1000, 250)


def test_longlives_tuning_is_merged(places: Places, load: Load, tmp_path: Path) -> None:
    toy.write("longlive", tmp_path)
    merged = load("longlive")
    base, lora = toy.transformer(), toy.peft_lora(toy.transformer())
    prefix = "base_model.model.blocks.0.self_attn.q.lora_"
    expected = base.blocks[0].self_attn.q.weight + lora[f"{prefix}B.weight"] @ lora[f"{prefix}A.weight"]
    torch.testing.assert_close(weight(merged), expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def test_a_style_is_another_checkpoint(tmp_path: Path, load: Load, places: Places) -> None:
    toy.write("causal-forcing", tmp_path)
    frames, chunks = load("causal-forcing"), load("causal-forcing", style="chunkwise")
    assert (frames.checkpoint.sampling.chunk, chunks.checkpoint.sampling.chunk) == (1, 3)
    assert torch.equal(weight(chunks), toy.transformer(seed=3).blocks[0].self_attn.q.weight)
    assert torch.equal(weight(frames), toy.transformer().blocks[0].self_attn.q.weight)


# -- LoRAs -------------------------------------------------------------------------------------------------------------


def layouts(lora: toy.Tensors) -> Iterator[tuple[str, toy.Tensors]]:
    """Yield a LoRA of peft under the names of other programs."""
    plain = {name.removeprefix("base_model.model."): value for name, value in lora.items()}
    yield "peft", lora
    yield "diffsynth", {name.replace(".weight", ".default.weight"): value for name, value in plain.items()}
    yield "comfy", {f"diffusion_model.{name}": value for name, value in plain.items()}
    kohya = {}
    for name, value in plain.items():
        layer, _, part = name.rpartition(".lora_")
        side = "down" if part.startswith("A") else "up"
        kohya[f"lora_unet_{layer.replace('.', '_')}.lora_{side}.weight"] = value
    yield "musubi", kohya
    theirs = {}
    for name, value in plain.items():
        layer, _, part = name.rpartition(".lora_")
        [renamed] = diffusers_names({f"{layer}.weight": value})
        theirs[f"transformer.{renamed.removesuffix('.weight')}.lora_{part}"] = value
    yield "diffusers", theirs


def test_loras_of_all_programs_are_the_same(tmp_path: Path) -> None:
    network = toy.transformer()
    found = {}
    for name, content in layouts(toy.peft_lora(network)):
        path = tmp_path / f"{name}.safetensors"
        save_file(content, path)
        found[name] = read_wan_lora(open_tensors(path), network)
    assert {len(layers) for layers in found.values()} == {2 * 10}
    for name, layers in found.items():
        for key, layer in layers.items():
            for part, factor in layer.factors.items():
                assert torch.equal(factor, found["peft"][key].factors[part]), (name, key)


def test_ones_own_loras_are_weighed_while_a_stream_runs(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "brush.safetensors"
    save_file(toy.peft_lora(toy.transformer()), path)
    plain, painted = (WanModel(load(loras=loras), CPU_DEVICE, info=INFO) for loras in ({}, {str(path): 1.0}))
    assert [option.name for option in painted.spec.options][-1] == "lora_brush"
    words = toy_words(plain)

    def made(model: WanModel, weight: float | None) -> np.ndarray:
        options = {} if weight is None else {"lora_brush": weight}
        state = model.open((64, 64), seed=1)
        rgb = np.random.default_rng(0).integers(0, 256, (9, 64, 64, 3), np.uint8)
        return model.step([state], [Chunk(rgb, words, strength=0.9, options=options)])[0].rgb

    unpainted = made(plain, None)
    assert not np.array_equal(made(painted, None), unpainted)
    assert np.array_equal(made(painted, 0.0), unpainted)
    half = WanModel(load(loras={str(path): 0.5}), CPU_DEVICE, info=INFO)
    assert np.array_equal(made(painted, 0.5), made(half, None))
    with pytest.raises(ControlError, match="lora_brush"):
        load(loras={str(path): 5.0})


def toy_words(model: WanModel) -> np.ndarray:
    return model.encode_prompt("ink sketch").embeds


def test_a_lora_of_another_model_is_refused(tmp_path: Path) -> None:
    network, path = toy.transformer(), tmp_path / "lora.safetensors"
    for content, match in (
        ({"diffusion_model.blocks.9.self_attn.q.lora_A.weight": torch.ones(2, 48)}, "lora_up is missing"),
        (
            {
                "diffusion_model.blocks.9.self_attn.q.lora_A.weight": torch.ones(2, 48),
                "diffusion_model.blocks.9.self_attn.q.lora_B.weight": torch.ones(48, 2),
            },
            "this one has no layer lora_unet_blocks_9_self_attn_q",
        ),
        ({"lora_te_text_model_encoder.lora_down.weight": torch.ones(2, 4)}, "lora_up is missing"),
        ({"diffusion_model.img_emb.proj.1.diff": torch.ones(3)}, "is no LoRA that can be used"),
    ):
        save_file(content, path)
        with pytest.raises(CheckpointError, match=match):
            read_wan_lora(open_tensors(path), network)


# -- prompts -----------------------------------------------------------------------------------------------------------


def test_both_layouts_of_the_text_encoder_read_the_same(tmp_path: Path) -> None:
    encoder = toy.text_encoder()
    wan, theirs = tmp_path / "wan.pth", tmp_path / "theirs.safetensors"
    torch.save(toy.wan_text(encoder), wan)
    state = {name: value for name, value in toy.state_of(encoder).items() if name != "encoder.embed_tokens.weight"}
    save_file(state, theirs)
    for path in (wan, theirs):
        found = find_text(open_tensors(path), encoder)
        for name, value in encoder.state_dict().items():
            assert torch.equal(found[name].read(), value), name


def prompts(tmp_path: Path, encoder: UMT5EncoderModel) -> WanPrompts:
    path = tmp_path / "tokenizer.json"
    path.write_text(toy.tokenizer(), "utf-8")
    return WanPrompts(UmT5(encoder, read_tokenizer(path, 40), 12))


def test_a_prompt_ends_where_the_encoder_stops_reading(tmp_path: Path) -> None:
    read = prompts(tmp_path, toy.text_encoder())
    short = read.encode("ink sketch of a  fox")
    assert short.embeds.shape == (6, 16)
    assert not short.message
    assert (short.embeds == read.encode("ink &amp;#32;sketch of a fox".replace("&amp;#32;", " ")).embeds).all()
    long = read.encode("ink " * 11 + "fox in the snow")
    assert long.embeds.shape == (12, 16)
    assert long.message == "only the first 11 tokens are read; left out: 'fox in the snow'"
    whole = read.encode("ink " * 11).embeds
    assert (whole == long.embeds).all()


def test_a_book_is_no_prompt(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="10,000,000 characters"):
        prompts(tmp_path, toy.text_encoder()).encode("x" * 10_000_000)
    assert WanPrompts(HashText(8, 12)).encode("a b").embeds.shape == (3, 8)


def test_weights_become_integers_while_they_are_read(places: Places, load: Load) -> None:
    profile = describe(str(places.folder.parent / "self-forcing.toml"))
    assert isinstance(profile, WanProfile)
    rounded = load_components(profile, LoadOptions(), CPU, torch.float32, places, packed=Int8Linear).network
    assert not any(isinstance(part, nn.Linear) for part in rounded.blocks.modules())
    assert isinstance(rounded.head.head, nn.Linear)
    x = torch.randn(1, 6, 48, generator=torch.Generator().manual_seed(1))
    for block, exact in zip(rounded.blocks, load().network.blocks, strict=True):
        with torch.inference_mode():
            found, wanted = block.ffn(x), exact.ffn(x)
        assert 0 < float((found - wanted).norm() / wanted.norm()) < 0.05


def test_integers_take_no_loras_and_no_other_runtime() -> None:
    assert choose_runtime(None, CPU, "int8", changes=False)[0] == "packed"
    for runtime, changes in (("eager", False), (None, True)):
        with pytest.raises(BackendUnavailableError, match="int8 needs the runtime packed"):
            choose_runtime(runtime, CPU, "int8", changes=changes)


def test_random_weights_need_no_files_and_follow_the_seed(tmp_path: Path) -> None:
    path = toy.write("liveedit", tmp_path)
    shutil.rmtree(tmp_path / "mirror")
    profile = describe(str(path))
    assert isinstance(profile, WanProfile)

    def components(seed: int, **options: Any) -> Components:
        return load_components(profile, LoadOptions(random_weights=True, seed=seed, **options), CPU, torch.float32)

    one, again, other = components(1), components(1), components(2)
    assert torch.equal(weight(one), weight(again))
    assert not torch.equal(weight(one), weight(other))
    assert type(components(1, controls={"autoencoder": "full"}).autoencoder).__name__ == "FullCodec"
    with pytest.raises(UsageError, match="take no files"):
        components(1, files={"generator": "x"})


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"window": 2}, "a window of 2 has no room for 3 anchors and 3 new ones"),
        ({"stream_batch": True}, "a stream batch has chunks of one latent"),
        ({"anchors_renewed_below": 0.2}, "anchors are renewed in a stream batch alone"),
        ({"steps": [], "windows": 3}, "windows"),
    ],
)
def test_a_profile_that_cannot_be_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    text = toy.write("self-forcing", tmp_path).read_text("utf-8")
    for key, value in change.items():
        lines = [line for line in text.split("\n") if not line.startswith(f"{key} =")]
        text = "\n".join(lines).replace("[sampling]", f"[sampling]\n{key} = {json.dumps(value)}")
    path = tmp_path / "changed.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(UsageError, match=said):
        describe(str(path))


def test_a_profile_is_of_its_family() -> None:
    assert isinstance(describe("liveedit"), Profile)
