"""Readers of the public files: the tensors each must have, with errors that name what it has instead.

| file | tensors |
|---|---|
| UNet of Stable Diffusion 1.5, diffusers' naming | 686 |
| a whole Stable Diffusion 1.5 in one file (LDM naming), as styles are published | the same 686, renamed |
| `live2diff.ckpt` | 560 of the motion modules and 16 of the depth encoder, none of the UNet itself |

Every file must match exactly: names, shapes, and nothing left over in the part that is read.
"""

from __future__ import annotations

import re

from torch import Tensor, nn

from vivace.checkpoints.filling import fit
from vivace.checkpoints.tensors import LDM_UNET, Stored, TensorFile

UNET = "the UNet of Stable Diffusion 1.5"
MOTION = "Live2Diff's motion modules and depth encoder (live2diff.ckpt)"
TEXT = "the text encoder of Stable Diffusion 1.5"
LDM_TEXT = "cond_stage_model.transformer."


# -- names -------------------------------------------------------------------------------------------------------------


def is_added(key: str) -> bool:
    """Return whether a key of the network comes from live2diff.ckpt rather than Stable Diffusion."""
    return ".motion_modules." in key or key.startswith("flow_conv_in.")


_LDM_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_LDM_FIXED = {
    "conv_in": "input_blocks.0.0",
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}


def ldm_name(key: str, *, layers: int = 2) -> str:
    """Return the LDM name of a UNet tensor in diffusers' naming.

    LDM numbers layers through all levels; a resampling layer counts as one on the way down, and is the last part of a
    level's last layer on the way up.
    """
    module, _, leaf = key.rpartition(".")
    if module in _LDM_FIXED:
        return f"{LDM_UNET}{_LDM_FIXED[module]}.{leaf}"
    match = re.fullmatch(r"(down|mid|up)_blocks?(?:\.(\d+))?\.(\w+)\.(\d+)\.(.+)", module)
    if match is None:
        raise ValueError(f"{key!r} is no tensor of a UNet")
    way, part, rest = match[1], match[3], match[5]
    level, layer = int(match[2] or 0), int(match[4])
    if part == "resnets":
        rest = _LDM_RESNET[rest]
    if way == "mid":
        block = f"middle_block.{2 * layer if part == 'resnets' else 1}"
    elif way == "down":
        index = (layers if part == "downsamplers" else layer) + 1 + (layers + 1) * level
        block = f"input_blocks.{index}.{int(part == 'attentions')}"
        rest = "op" if part == "downsamplers" else rest
    else:
        index = (layers if part == "upsamplers" else layer) + (layers + 1) * level
        # The first level on the way up has no attention, so its resampling moves up one place.
        place = {"resnets": 0, "attentions": 1, "upsamplers": 1 if level == 0 else 2}[part]
        block = f"output_blocks.{index}.{place}"
    return f"{LDM_UNET}{block}.{rest}.{leaf}"


# -- parts -------------------------------------------------------------------------------------------------------------


def find_unet(file: TensorFile, unet: nn.Module, *, layers: int = 2) -> dict[str, Stored]:
    """Return the stored tensors of Stable Diffusion's UNet, in diffusers' naming or in a whole model's.

    Raises:
        CheckpointError: the file is something else.
    """
    wanted = {key: value for key, value in unet.state_dict().items() if not is_added(key)}
    found = {name: Stored(file, name) for name in file.shapes}
    if not any(name.startswith(LDM_UNET) for name in found):
        return fit(found, wanted, UNET, file.path)
    names = {ldm_name(key, layers=layers): key for key in wanted}
    ldm = {name: stored for name, stored in found.items() if name.startswith(LDM_UNET)}
    expected = {name: _as_ldm(wanted[key], ldm.get(name)) for name, key in names.items()}
    return {names[name]: stored for name, stored in fit(ldm, expected, UNET, file.path).items()}


def _as_ldm(wanted: Tensor, found: Stored | None) -> Tensor:
    """Return the expected tensor in the stored shape: some tools store 1x1 convolutions as matrices."""
    matrix = wanted.ndim == 4 and wanted.shape[-2:] == (1, 1)
    return wanted[..., 0, 0] if matrix and found is not None and len(found.shape) == 2 else wanted


def find_motion(file: TensorFile, unet: nn.Module) -> dict[str, Stored]:
    """Return the stored tensors of live2diff.ckpt, whose names carry prefixes from training, beside unused grids.

    Raises:
        CheckpointError: the file is something else.
    """
    wanted = {key: value for key, value in unet.state_dict().items() if is_added(key)}
    found = {name.replace("module.", ""): Stored(file, name) for name in file.shapes if "grid" not in name}
    return fit(found, wanted, MOTION, file.path)


def has_text(file: TensorFile) -> bool:
    """Return whether a whole model in one file includes a text encoder."""
    return any(name.startswith(LDM_TEXT) for name in file.shapes)


def find_text(file: TensorFile, encoder: nn.Module) -> dict[str, Stored]:
    """Return the stored tensors of the text encoder, in transformers' naming or in a whole model's.

    Raises:
        CheckpointError: the file is something else.
    """
    prefix = LDM_TEXT if has_text(file) else ""
    found = {name.removeprefix(prefix): Stored(file, name) for name in file.shapes if name.startswith(prefix)}
    if any(name.startswith("embeddings.token_embedding.") for name in found):
        found = {f"text_model.{name}": stored for name, stored in found.items()}  # saved by transformers before 4
    # Old files include the indices 0 to 76 for the position lookup.
    found.pop("text_model.embeddings.position_ids", None)
    return fit(found, encoder.state_dict(), TEXT, file.path)
