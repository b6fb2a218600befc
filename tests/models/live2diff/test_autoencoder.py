"""Autoencoders: equal to diffusers', from every kind of file, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from safetensors.torch import save_file
from torch import Tensor, nn

from tolerance import near
from vivace.errors import CheckpointError
from vivace.models.live2diff.autoencoder import (
    LDM_AUTOENCODER,
    SCALING,
    FullAutoencoder,
    FullConfig,
    TinyAutoencoder,
    TinyConfig,
    ldm_autoencoder_name,
    load_full,
    load_tiny,
    old_autoencoder_name,
)

FULL = FullConfig(channels=(8, 16, 16, 16), layers=1, groups=4)
TINY = TinyConfig(width=8, blocks=(1, 1, 2, 1))


def seeded(module: nn.Module) -> nn.Module:
    """Give every parameter, norms included, a value that matters."""
    generator = torch.Generator().manual_seed(7)
    for parameter in module.parameters():
        parameter.data += torch.randn(parameter.shape, generator=generator) * 0.05
    return module


@pytest.fixture(scope="module")
def full() -> FullAutoencoder:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return seeded(FullAutoencoder(FULL)).place("cpu", torch.float32)


@pytest.fixture(scope="module")
def tiny() -> TinyAutoencoder:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return seeded(TinyAutoencoder(TINY)).place("cpu", torch.float32)


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    return torch.rand(2, 3, 40, 24, generator=torch.Generator().manual_seed(3)) * 2 - 1


def stored(full: FullAutoencoder, rename: Callable[[str], str], *, convolutions: bool = False) -> dict[str, Tensor]:
    """Return the full one's tensors under other names; LDM stores attention as convolutions."""
    tensors = {key: value.contiguous().clone() for key, value in full.net.state_dict().items()}
    if convolutions:
        tensors = {k: v[..., None, None] if ".to_" in k and v.ndim == 2 else v for k, v in tensors.items()}
    return {rename(key): value for key, value in tensors.items()}


def ldm(full: FullAutoencoder) -> dict[str, Tensor]:
    return stored(full, ldm_autoencoder_name, convolutions=True)


def same(one: FullAutoencoder, other: FullAutoencoder, pictures: Tensor) -> bool:
    latents = one.encode(pictures)
    return torch.equal(latents, other.encode(pictures)) and torch.equal(one.decode(latents), other.decode(latents))


# -- what is computed --------------------------------------------------------------------------------------------------


def test_the_full_one_is_the_scaled_mode_of_diffusers(full: FullAutoencoder, pictures: Tensor) -> None:
    latents = full.encode(pictures)
    assert latents.shape == (2, 4, 5, 3)
    assert near(latents, full.net.encode(pictures).latent_dist.mode() * SCALING)
    assert torch.equal(latents, full.encode(pictures)), "the same frame has the same latents"
    assert full.net.config.scaling_factor == SCALING
    decoded = full.decode(latents)
    assert decoded.shape == pictures.shape
    assert near(decoded, full.net.decode(latents / SCALING).sample)


def test_the_tiny_one_is_that_of_diffusers(tiny: TinyAutoencoder, pictures: Tensor) -> None:
    latents = tiny.encode(pictures)
    assert latents.shape == (2, 4, 5, 3)
    assert near(latents, tiny.net.encode(pictures).latents)
    assert tiny.net.config.scaling_factor == 1
    decoded = tiny.decode(latents)
    assert decoded.shape == pictures.shape
    assert near(decoded, tiny.net.decode(latents).sample)


@pytest.mark.parametrize(
    ("kind", "tensors", "numbers"), [(FullAutoencoder, 248, 83_653_863), (TinyAutoencoder, 134, 2_445_063)]
)
def test_the_true_sizes_are_the_published_ones(kind: type[nn.Module], tensors: int, numbers: int) -> None:
    with torch.device("meta"):
        state = kind().net.state_dict()
    assert len(state) == tensors
    assert sum(value.numel() for value in state.values()) == numbers


def test_pictures_keep_their_number_format(full: FullAutoencoder, tiny: TinyAutoencoder, pictures: Tensor) -> None:
    for autoencoder in (full, tiny):
        latents = autoencoder.encode(pictures.half())
        assert latents.dtype == torch.float16
        assert torch.allclose(latents.float(), autoencoder.encode(pictures.half().float()), atol=2e-3)
        assert autoencoder.decode(latents).dtype == torch.float16


@pytest.mark.parametrize("wanted", [torch.bfloat16, torch.float16])
def test_the_full_one_never_runs_in_float16(wanted: torch.dtype, full: FullAutoencoder, pictures: Tensor) -> None:
    half = FullAutoencoder(FULL)
    half.load_state_dict(full.state_dict())
    half.place("cpu", wanted)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.bfloat16}
    latents = full.encode(pictures)
    assert torch.allclose(half.encode(pictures), latents, atol=0.05 * float(latents.abs().max()))


def test_the_tiny_one_runs_in_float16() -> None:
    half = TinyAutoencoder(TINY).place("cpu", torch.float16)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.float16}


def test_no_pass_waits_for_its_own_numbers() -> None:
    """On a meta device any look at its numbers fails; looking would stop a recorded graph."""
    for autoencoder in (FullAutoencoder(FULL), TinyAutoencoder(TINY)):
        autoencoder.place("meta", torch.bfloat16)
        latents = autoencoder.encode(torch.empty(1, 3, 40, 24, device="meta"))
        assert autoencoder.decode(latents).shape == (1, 3, 40, 24)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", ["full", "tiny"])
def test_a_gpu_gives_the_same(kind: str, pictures: Tensor, request: pytest.FixtureRequest) -> None:
    here = request.getfixturevalue(kind)
    latents = here.encode(pictures)
    there = type(here)(FULL if kind == "full" else TINY)
    there.load_state_dict(here.state_dict())
    for dtype, share in ((torch.float32, 1e-2), (torch.float16, 0.1)):
        there.place("cuda", dtype)
        found = there.encode(pictures.cuda()).cpu()
        assert (found - latents).abs().max() < share * latents.abs().max()
        pictured = there.decode(latents.cuda()).cpu() - here.decode(latents)
        assert pictured.abs().max() < share


def test_nothing_is_left_to_train(full: FullAutoencoder, pictures: Tensor) -> None:
    assert not full.training
    assert not full.encode(pictures).requires_grad


# -- files -------------------------------------------------------------------------------------------------------------


def test_folders_of_diffusers_are_read(
    full: FullAutoencoder, tiny: TinyAutoencoder, pictures: Tensor, tmp_path: Path
) -> None:
    full.net.save_pretrained(tmp_path / "full")
    tiny.net.save_pretrained(tmp_path / "tiny")
    for path in (tmp_path / "full", tmp_path / "full" / "diffusion_pytorch_model.safetensors"):
        assert same(load_full(path, FULL), full, pictures)
    for path in (tmp_path / "tiny", tmp_path / "tiny" / "diffusion_pytorch_model.safetensors"):
        assert torch.equal(load_tiny(path, TINY).encode(pictures), tiny.encode(pictures))


def test_old_folders_of_diffusers_are_read(full: FullAutoencoder, pictures: Tensor, tmp_path: Path) -> None:
    tensors = stored(full, old_autoencoder_name)
    assert "encoder.mid_block.attentions.0.proj_attn.bias" in tensors
    assert "decoder.mid_block.attentions.0.query.weight" in tensors
    assert not any(".to_" in key for key in tensors)
    torch.save(tensors, tmp_path / "diffusion_pytorch_model.bin")
    assert same(load_full(tmp_path, FULL), full, pictures)


def test_a_whole_model_in_one_file_is_read(full: FullAutoencoder, pictures: Tensor, tmp_path: Path) -> None:
    tensors = {LDM_AUTOENCODER + key: value for key, value in ldm(full).items()}
    tensors["model.diffusion_model.time_embed.0.bias"] = torch.zeros(3)
    tensors["cond_stage_model.transformer.text_model.final_layer_norm.bias"] = torch.zeros(3)
    save_file(tensors, tmp_path / "style.safetensors")
    assert same(load_full(tmp_path / "style.safetensors", FULL), full, pictures)


@pytest.mark.parametrize("matrices", [False, True])
def test_the_autoencoder_alone_is_read(matrices: bool, full: FullAutoencoder, pictures: Tensor, tmp_path: Path) -> None:
    tensors = stored(full, ldm_autoencoder_name, convolutions=not matrices)
    tensors |= {"loss.logvar": torch.zeros(()), "model_ema.decay": torch.zeros(())}
    torch.save({"state_dict": {key: value.half() for key, value in tensors.items()}}, tmp_path / "vae.ckpt")
    found = load_full(tmp_path / "vae.ckpt", FULL)
    assert {parameter.dtype for parameter in found.parameters()} == {torch.float32}
    expected = full.encode(pictures)
    assert torch.allclose(found.encode(pictures), expected, atol=2e-2 * float(expected.abs().max()))


def test_ldm_names_are_those_diffusers_reads(full: FullAutoencoder) -> None:
    found = convert_ldm_vae_checkpoint(ldm(full), dict(full.net.config))
    expected = full.net.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[key].reshape(value.shape), value) for key, value in expected.items())


def test_diffusers_reads_the_same_from_one_file(full: FullAutoencoder, pictures: Tensor, tmp_path: Path) -> None:
    full.net.save_config(tmp_path)
    save_file({LDM_AUTOENCODER + key: value for key, value in ldm(full).items()}, tmp_path / "style.safetensors")
    theirs = AutoencoderKL.from_single_file(
        str(tmp_path / "style.safetensors"), config=str(tmp_path), local_files_only=True
    )
    ours = load_full(tmp_path / "style.safetensors", FULL)
    expected = theirs.encode(pictures).latent_dist.mode() * SCALING
    assert near(ours.encode(pictures), expected)


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_another_familys_scale_is_refused(full: FullAutoencoder, tmp_path: Path) -> None:
    full.net.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"scaling_factor": 0.13025}))
    with pytest.raises(CheckpointError, match=r"autoencoder of Stable Diffusion 1\.5.*0\.13025, not 0\.18215"):
        load_full(tmp_path, FULL)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"config\.json cannot be read"):
        load_full(tmp_path, FULL)


def test_swapped_autoencoders_are_refused(full: FullAutoencoder, tiny: TinyAutoencoder, tmp_path: Path) -> None:
    full.net.save_pretrained(tmp_path / "full")
    tiny.net.save_pretrained(tmp_path / "tiny")
    with pytest.raises(CheckpointError, match=r"is not the tiny autoencoder.*looks like"):
        load_tiny(tmp_path / "full", TINY)
    with pytest.raises(CheckpointError, match=r"not the autoencoder of Stable Diffusion 1\.5.*looks like"):
        load_full(tmp_path / "tiny" / "diffusion_pytorch_model.safetensors", FULL)


def test_wrong_and_damaged_files_are_refused(full: FullAutoencoder, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"none of diffusion_pytorch_model\.safetensors"):
        load_full(tmp_path, FULL)
    with pytest.raises(CheckpointError, match="is missing"):
        load_full(tmp_path / "nothing.safetensors", FULL)
    path = tmp_path / "part.safetensors"
    tensors = ldm(full)
    save_file(dict(list(tensors.items())[1:]), path)
    with pytest.raises(CheckpointError, match=r"1 of .* tensors are missing, the first being encoder"):
        load_full(path, FULL)
    save_file(tensors | {"encoder.mid.attn_1.norm.weight": torch.zeros(5)}, path)
    with pytest.raises(CheckpointError, match=r"attn_1\.norm\.weight with \[5\], not \[16\]"):
        load_full(path, FULL)
    save_file(tensors | {"encoder.surplus": torch.zeros(5)}, path)
    with pytest.raises(CheckpointError, match=r"do not belong to it, the first being encoder\.surplus"):
        load_full(path, FULL)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="damaged or truncated"):
        load_full(path, FULL)
    save_file({"model.diffusion_model.time_embed.0.bias": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="looks like a whole Stable Diffusion model"):
        load_full(path, FULL)


def test_published_names_are_covered() -> None:
    """Names of the largest autoencoder, from a list written after the LDM code's structure."""
    with torch.device("meta"):
        names = {ldm_autoencoder_name(key) for key in FullAutoencoder().net.state_dict()}

    def block(prefix: str, *, shortcut: bool) -> set[str]:
        parts = ["norm1", "conv1", "norm2", "conv2", *(["nin_shortcut"] if shortcut else [])]
        return {f"{prefix}.{part}.{leaf}" for part in parts for leaf in ("weight", "bias")}

    expected = set()
    for side in ("encoder", "decoder"):
        single = [f"{side}.{part}" for part in ("conv_in", "norm_out", "conv_out")]
        single += [f"{side}.mid.attn_1.{part}" for part in ("norm", "q", "k", "v", "proj_out")]
        way, layers = ("down", 2) if side == "encoder" else ("up", 3)
        for level in range(4):
            for layer in range(layers):
                widens = (side == "encoder" and level in (1, 2)) or (side == "decoder" and level in (0, 1))
                expected |= block(f"{side}.{way}.{level}.block.{layer}", shortcut=widens and layer == 0)
            if level != (3 if side == "encoder" else 0):
                single.append(f"{side}.{way}.{level}.{way}sample.conv")
        for index in (1, 2):
            expected |= block(f"{side}.mid.block_{index}", shortcut=False)
        expected |= {f"{name}.{leaf}" for name in single for leaf in ("weight", "bias")}
    expected |= {f"{name}.{leaf}" for name in ("quant_conv", "post_quant_conv") for leaf in ("weight", "bias")}
    assert names == expected
