"""The public files, in miniature: matching ones are read exactly, others are refused by name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from vivace.checkpoints.filling import fill
from vivace.checkpoints.lora import LoraStack, Merge, parse_lora
from vivace.checkpoints.tensors import open_tensors
from vivace.errors import CheckpointError
from vivace.models.live2diff.checkpoint import (
    LDM_TEXT,
    find_motion,
    find_text,
    find_unet,
    is_added,
    ldm_name,
)
from vivace.models.live2diff.text import ClipText, TextConfig
from vivace.models.live2diff.unet import Live2DiffUNet, UNetConfig

Tensors = dict[str, Tensor]
# Three levels, so that all naming rules of the middle ones apply.
SMALL = UNetConfig(channels=(32, 32, 32), groups=8, text_channels=8, depth_channels=(4, 8))
SMALL_TEXT = TextConfig(vocabulary=16, width=8, inner=16, layers=2, heads=2)


@pytest.fixture(scope="module")
def weights() -> Tensors:
    with torch.random.fork_rng():
        torch.manual_seed(9)
        return Live2DiffUNet(SMALL).state_dict()


@pytest.fixture
def base(tmp_path: Path, weights: Tensors) -> Path:
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    save_file({key: value for key, value in weights.items() if not is_added(key)}, path)
    return path


@pytest.fixture
def motion(tmp_path: Path, weights: Tensors) -> Path:
    """Return the published form: a pickle, wrapped for training on many devices, with a stray tensor."""
    state = {f"module.{key}": value for key, value in weights.items() if is_added(key)}
    state["module.grid"] = torch.zeros(1)
    path = tmp_path / "live2diff.ckpt"
    torch.save({"global_step": 191999, "state_dict": state}, path)
    return path


def test_the_full_network_has_the_public_names_and_sizes() -> None:
    with torch.device("meta"):
        unet = Live2DiffUNet()
    state = unet.state_dict()
    added = {key: value for key, value in state.items() if is_added(key)}
    depth = {key: value for key, value in added.items() if key.startswith("flow_conv_in.")}
    tables = {key: value for key, value in added.items() if key.endswith(".pe")}
    assert (len(state) - len(added), len(added) - len(depth), len(depth), len(tables)) == (686, 560, 16, 40)

    def parameters(tensors: Tensors) -> int:
        return sum(value.numel() for value in tensors.values())

    assert parameters(depth) == 1_086_624
    assert parameters(tables) == 844_800
    assert parameters(added) == 417_137_600 + 844_800 + 1_086_624
    assert parameters(state) - parameters(added) == 859_520_964
    shapes = unet.cache_shapes(1, 64, 64)
    assert len(shapes) == 40
    assert shapes[0] == (1, 2, 4096, 16, 320)
    assert 2 * sum(torch.Size(shape).numel() for shape in shapes) == pytest.approx(1.416 * 2**30, rel=1e-3)


def load_unet(base: Path, motion: Path, merges: Sequence[Merge] = ()) -> Live2DiffUNet:
    unet = Live2DiffUNet(SMALL)
    stored = find_unet(open_tensors(base), unet) | find_motion(open_tensors(motion), unet)
    fill(unet, stored, merges=merges, prefix="lora_unet_")
    return unet


def test_the_public_files_are_read_exactly(base: Path, motion: Path, weights: Tensors) -> None:
    unet = load_unet(base, motion)
    assert all(torch.equal(value, weights[key]) for key, value in unet.state_dict().items())
    attention = unet.temporal_attentions()[-1]
    table = attention.to_k(attention.pos_encoder.pe[0, :16])
    assert torch.equal(attention.k_table, table), "position tables follow the weights that were read"


def test_a_style_in_one_file_is_read_exactly(tmp_path: Path, motion: Path, weights: Tensors) -> None:
    path = tmp_path / "style.safetensors"
    ldm = {ldm_name(key): value.clone() for key, value in weights.items() if not is_added(key)}
    key = ldm_name("mid_block.attentions.0.proj_in.weight")
    ldm[key] = ldm[key][..., 0, 0].clone()  # as some tools store it
    save_file({**ldm, "first_stage_model.quant_conv.bias": torch.zeros(8)}, path)
    unet = load_unet(path, motion)
    assert all(torch.equal(value, weights[key]) for key, value in unet.state_dict().items())


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("conv_in.weight", "input_blocks.0.0.weight"),
        ("time_embedding.linear_2.bias", "time_embed.2.bias"),
        ("down_blocks.0.resnets.1.conv1.weight", "input_blocks.2.0.in_layers.2.weight"),
        ("down_blocks.0.downsamplers.0.conv.bias", "input_blocks.3.0.op.bias"),
        ("down_blocks.1.resnets.0.conv_shortcut.weight", "input_blocks.4.0.skip_connection.weight"),
        ("down_blocks.2.attentions.1.proj_out.weight", "input_blocks.8.1.proj_out.weight"),
        ("down_blocks.3.resnets.1.time_emb_proj.bias", "input_blocks.11.0.emb_layers.1.bias"),
        ("mid_block.resnets.1.norm2.weight", "middle_block.2.out_layers.0.weight"),
        ("mid_block.attentions.0.norm.bias", "middle_block.1.norm.bias"),
        ("up_blocks.0.upsamplers.0.conv.weight", "output_blocks.2.1.conv.weight"),
        ("up_blocks.1.upsamplers.0.conv.weight", "output_blocks.5.2.conv.weight"),
        (
            "up_blocks.3.attentions.2.transformer_blocks.0.attn2.to_k.weight",
            "output_blocks.11.1.transformer_blocks.0.attn2.to_k.weight",
        ),
        ("conv_norm_out.bias", "out.0.bias"),
    ],
)
def test_names_of_whole_models_are_known(ours: str, theirs: str) -> None:
    assert ldm_name(ours) == f"model.diffusion_model.{theirs}"


@pytest.mark.parametrize(("prefix", "inner"), [("", "text_model."), (LDM_TEXT, "text_model."), (LDM_TEXT, "")])
def test_the_text_encoder_is_read_from_every_file(tmp_path: Path, prefix: str, inner: str) -> None:
    """transformers' file, a whole model, and a whole model saved with an old transformers."""
    state = ClipText(SMALL_TEXT).state_dict()
    named = {prefix + inner + key.removeprefix("text_model."): value for key, value in state.items()}
    named[f"{prefix}{inner}embeddings.position_ids"] = torch.arange(77)[None]
    if prefix:
        named["model.diffusion_model.out.2.bias"] = torch.ones(4)
    save_file(named, tmp_path / "text.safetensors")
    loaded = ClipText(SMALL_TEXT)
    fill(loaded, find_text(open_tensors(tmp_path / "text.safetensors"), loaded))
    assert all(torch.equal(value, state[key]) for key, value in loaded.state_dict().items())


# -- refusals ----------------------------------------------------------------------------------------------------------


def refusal(base: Path, motion: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_unet(base, motion)
    return str(caught.value)


def test_swapped_files_are_refused_by_name(base: Path, motion: Path) -> None:
    message = refusal(motion, base)
    assert f"{motion} is not the UNet of Stable Diffusion 1.5" in message
    assert "looks like live2diff.ckpt" in message
    message = refusal(base, base)
    assert "is not Live2Diff's motion modules and depth encoder (live2diff.ckpt)" in message
    assert "looks like the UNet of a Stable Diffusion model" in message


def test_truncated_files_are_refused(base: Path, motion: Path) -> None:
    for path in (base, motion):
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2])
        assert re.search(f"{path}.*damaged", refusal(base, motion))
        path.write_bytes(content)
    motion.write_bytes(b"")
    assert "damaged" in refusal(base, motion)
    assert "cannot be read" in refusal(base.parent, motion) or "damaged" in refusal(base.parent, motion)
    motion.unlink()
    assert f"{motion} is missing" in refusal(base, motion)


@pytest.mark.parametrize("change", ["missing", "extra", "shape", "other family"])
def test_a_file_must_fit_exactly(base: Path, motion: Path, weights: Tensors, change: str) -> None:
    state = {key: value for key, value in weights.items() if is_added(key)}
    first = next(key for key in state if "motion_modules" in key)
    if change == "missing":
        del state[first]
        expected = f"1 of {len(state) + 1} tensors are missing, the first being {first}"
    elif change == "extra":
        state["mid_block.motion_modules.0.stray"] = torch.zeros(1)
        expected = "1 tensors do not belong to it, the first being mid_block.motion_modules.0.stray"
    elif change == "shape":
        state[first] = torch.zeros(3)
        expected = f"1 tensors have another shape, the first being {first} with [3], not [32]"
    else:
        state = {key: value for key, value in state.items() if "flow_conv_in" not in key}
        expected = "looks like a motion module of another family"
    torch.save(state, motion)
    assert expected in refusal(base, motion)


# -- LoRA --------------------------------------------------------------------------------------------------------------


def lora(key: str, rank: int, shape: tuple[int, int]) -> Tensors:
    generator = torch.Generator().manual_seed(3)
    return {
        f"{key}.lora_down.weight": torch.randn(rank, shape[1], generator=generator),
        f"{key}.lora_up.weight": torch.randn(shape[0], rank, generator=generator),
        f"{key}.alpha": torch.tensor(rank / 2),
    }


def test_a_lora_on_motion_moves_the_position_tables(weights: Tensors) -> None:
    unet = Live2DiffUNet(SMALL)
    unet.load_state_dict(weights)
    attention = unet.temporal_attentions()[0]
    before = attention.v_table.clone()
    name = "lora_unet_down_blocks_0_motion_modules_0_temporal_transformer_transformer_blocks_0_attention_blocks_0_to_v"
    LoraStack(unet, "lora_unet_").add("motion", parse_lora(lora(name, 2, (32, 32))))
    assert not torch.equal(attention.v_table, before)
    assert torch.equal(attention.v_table, attention.to_v(attention.pos_encoder.pe[0, :16]))
