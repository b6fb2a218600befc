"""The public files, and the tensors that each must have under the names of Wan, of diffusers, or of a training run.

| file | names |
|---|---|
| a transformer | Wan's own, with any of the wrappers that training leaves around them; or those of diffusers |
| the full autoencoder | Wan's own (`Wan2.1_VAE.pth`); or those of diffusers |
| TAEHV | its own (`taew2_1`) |

Every file must fit exactly: names, shapes, and nothing left over.
"""

from __future__ import annotations

import re
from pathlib import Path

from torch import nn

from vivace.checkpoints.filling import fit
from vivace.checkpoints.tensors import Stored, TensorFile
from vivace.errors import CheckpointError
from vivace.models.wan.network import WanNetwork
from vivace.models.wan.profile import Weights
from vivace.models.wan.vae import WanVae

VAE = "the autoencoder of Wan 2.1 (Wan2.1_VAE.pth)"
TAEHV = "TAEHV for Wan 2.1 (taew2_1)"
_WRAPPERS = ("_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_orig_mod", "module", "model", "diffusion_model")
"""Parts of names that say how a network was trained or packed."""
_DIFFUSERS = (
    (r"^condition_embedder\.time_embedder\.linear_1\.", "time_embedding.0."),
    (r"^condition_embedder\.time_embedder\.linear_2\.", "time_embedding.2."),
    (r"^condition_embedder\.text_embedder\.linear_1\.", "text_embedding.0."),
    (r"^condition_embedder\.text_embedder\.linear_2\.", "text_embedding.2."),
    (r"^condition_embedder\.time_proj\.", "time_projection.1."),
    (r"^scale_shift_table$", "head.modulation"),
    (r"^proj_out\.", "head.head."),
    (r"\.scale_shift_table$", ".modulation"),
    (r"\.attn1\.", ".self_attn."),
    (r"\.attn2\.", ".cross_attn."),
    (r"_attn\.to_([qkv])\.", r"_attn.\1."),
    (r"_attn\.to_out\.0\.", "_attn.o."),
    (r"\.norm2\.", ".norm3."),
    (r"\.ffn\.net\.0\.proj\.", ".ffn.0."),
    (r"\.ffn\.net\.2\.", ".ffn.2."),
)

_DIFFUSERS_VAE = (
    (r"^quant_conv\.", "conv1."),
    (r"^post_quant_conv\.", "conv2."),
    (r"coder\.conv_in\.", "coder.conv1."),
    (r"\.norm_out\.", ".head.0."),
    (r"\.conv_out\.", ".head.2."),
    (r"\.down_blocks\.", ".downsamples."),
    (r"\.mid_block\.resnets\.0\.", ".middle.0."),
    (r"\.mid_block\.attentions\.0\.", ".middle.1."),
    (r"\.mid_block\.resnets\.1\.", ".middle.2."),
    (r"(s\.\d+|middle\.\d)\.norm1\.", r"\1.residual.0."),
    (r"(s\.\d+|middle\.\d)\.conv1\.", r"\1.residual.2."),
    (r"(s\.\d+|middle\.\d)\.norm2\.", r"\1.residual.3."),
    (r"(s\.\d+|middle\.\d)\.conv2\.", r"\1.residual.6."),
    (r"\.conv_shortcut\.", ".shortcut."),
)


def canonical_name(name: str) -> str:
    """Return Wan's own name of a transformer's tensor, or of a layer in a LoRA."""
    name = ".".join(part for part in name.split(".") if part not in _WRAPPERS)
    if re.search(r"\.attn[12]\.|\.ffn\.net\.|^condition_embedder\.|^proj_out\.|scale_shift_table$|\.norm2\.", name):
        for pattern, new in _DIFFUSERS:
            name = re.sub(pattern, new, name)
    return name


def find_transformer(file: TensorFile, network: WanNetwork, what: str) -> dict[str, Stored]:
    """Return where the tensors of a transformer are.

    Raises:
        CheckpointError: the file is something else, or in a form that is not read.
    """
    if scaled := next((name for name in file.shapes if re.search(r"scale_weight|scaled_fp8|weight_scale", name)), None):
        raise CheckpointError(
            f"{file.path} has fp8 weights with scales of their own ({scaled}), which are not read here; take the bf16 "
            "or fp16 file"
        )
    cfg = network.cfg
    kind = f"{what} ({cfg.layers} blocks of width {cfg.dim}, {cfg.in_channels} channels in)"
    found: dict[str, Stored] = {}
    for name in file.shapes:
        plain = canonical_name(name)
        if plain in found:
            raise CheckpointError(f"{file.path} has {plain} twice, once as {name}")
        found[plain] = Stored(file, name)
    found.pop("freqs", None)  # the table of rotary positions, which some tools save
    patch = found.get("patch_embedding.weight")
    if patch is not None and len(patch.shape) == 5 and patch.shape[1] != cfg.in_channels:
        beside = "a source" if patch.shape[1] == 2 * cfg.out_channels else "no source"
        raise CheckpointError(
            f"{file.path} is not {kind}: it takes {patch.shape[1]} channels in, {beside} beside the noise"
        )
    return fit(found, network.state_dict(), kind, file.path)


def check_name(path: Path, weights: Weights) -> None:
    """Refuse a file that by its name is of another stage of the training, since its tensors look all the same.

    Raises:
        CheckpointError: it is.
    """
    for part, what in weights.others.items():
        if re.search(rf"(?<![a-z]){re.escape(part)}(?![a-z])", path.name.lower()):
            raise CheckpointError(f"{path} is {what} by its name; give {weights.kind}")


def find_vae(file: TensorFile, vae: WanVae) -> dict[str, Stored]:
    """Return where the tensors of the full autoencoder are.

    Raises:
        CheckpointError: the file is something else.
    """
    found = {_vae_name(name, vae.cfg.blocks + 2): Stored(file, name) for name in file.shapes}
    return fit(found, vae.state_dict(), VAE, file.path)


def _vae_name(name: str, level: int) -> str:
    """Return Wan's own name of an autoencoder's tensor; `level` is the number of modules of a decoder's level."""

    def flat(match: re.Match[str]) -> str:
        within = level - 1 if match[2] == "upsamplers" else int(match[3])
        return f"decoder.upsamples.{level * int(match[1]) + within}."

    name = re.sub(r"^decoder\.up_blocks\.(\d+)\.(resnets|upsamplers)\.(\d+)\.", flat, name)
    for pattern, new in _DIFFUSERS_VAE:
        name = re.sub(pattern, new, name)
    return name


def find_named(file: TensorFile, module: nn.Module, what: str) -> dict[str, Stored]:
    """Return where the tensors of a module are whose names are the file's.

    Raises:
        CheckpointError: the file is something else.
    """
    return fit({name: Stored(file, name) for name in file.shapes}, module.state_dict(), what, file.path)
