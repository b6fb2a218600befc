"""Reading the public files: which tensors a file must have, and a refusal by name of what it has instead.

| file | tensors |
|---|---|
| UNet of Stable Diffusion 1.5, diffusers' naming | 686 |
| a whole Stable Diffusion 1.5 in one file (LDM naming), as styles are published | the same 686, renamed |
| `live2diff.ckpt` | 560 of the motion modules and 16 of the depth encoder, none of the UNet itself |

Every file must fit exactly: names, shapes, and nothing left over in the part that is read. Pickles are opened for
tensors alone, which runs no code of theirs, and can be turned into safetensors once.
"""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from vivace.errors import CheckpointError
from vivace.models.live2diff.text import ClipText
from vivace.models.live2diff.unet import Live2DiffUNet

UNET = "the UNet of Stable Diffusion 1.5"
MOTION = "Live2Diff's motion modules and depth encoder (live2diff.ckpt)"
TEXT = "the text encoder of Stable Diffusion 1.5"
LDM_UNET = "model.diffusion_model."
LDM_TEXT = "cond_stage_model.transformer."
ModuleT = TypeVar("ModuleT", bound=nn.Module)

# The first pattern that any key matches says what a file is.
_KINDS = (
    (r"lora_(unet|te)_", "a LoRA in kohya's naming"),
    (r"(.*\.)?lora_[AB]\.|.*\.lora\.(up|down)\.", "a LoRA in another naming than kohya's"),
    (r"conditioner\.embedders\.", "a Stable Diffusion XL model"),
    (rf"{re.escape(LDM_UNET)}", "a whole Stable Diffusion model in one file"),
    (r".*flow_conv_in\.", "live2diff.ckpt"),
    (r".*motion_modules\.", "a motion module of another family (AnimateDiff)"),
    (r"add_embedding\.", "the UNet of Stable Diffusion XL"),
    (r"controlnet_|input_hint_block\.", "a ControlNet"),
    (r"time_embedding\.linear_1\.", "the UNet of a Stable Diffusion model"),
    (r"(text_model\.)?embeddings\.token_embedding\.", "a CLIP text encoder"),
    (r"pretrained\.model\.|dpt\.", "a depth detector (MiDaS)"),
    (r"(encoder\.(conv_in|down_blocks|layers)|decoder\.(conv_in|up_blocks|layers))\.", "an autoencoder"),
)


def describe(keys: Mapping[str, object]) -> str:
    """Say in words what a file with these keys seems to be."""
    for pattern, words in _KINDS:
        if any(re.match(pattern, key) for key in keys):
            return words
    return "no kind of file known here"


# -- files -------------------------------------------------------------------------------------------------------------


def read_content(path: Path) -> dict[str, Any]:
    """Return what a safetensors file or a pickle holds by name: tensors, and in a pickle also plain values.

    Raises:
        CheckpointError: missing, damaged, or holding something that is opened only by running its code.
    """
    try:
        return load_file(path) if path.suffix == ".safetensors" else _read_pickle(path)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged or truncated ({error}); download it again") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read ({error})") from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file or of a pickle, whose `state_dict` or `model` is unwrapped.

    Raises:
        CheckpointError: missing, damaged, or holding something else than tensors.
    """
    content = read_content(path)
    for wrapper in ("state_dict", "model"):
        if isinstance(wrapped := content.get(wrapper), dict):
            content = wrapped
    tensors = {key: value for key, value in content.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError(f"{path} holds no tensors")
    return tensors


# What torch raises on damaged pickles: whatever the first wrong byte led to.
_DAMAGE = (
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    struct.error,
)


def _read_pickle(path: Path) -> dict[str, Any]:
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path} is damaged, or holds more than tensors and is not opened, since that would run its code"
        ) from error
    except _DAMAGE as error:
        raise CheckpointError(f"{path} is damaged or truncated ({error}); download it again") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not tensors by name")
    return content


def convert_pickle(path: Path, target: Path) -> None:
    """Write the tensors of a pickle to a safetensors file, once and for all."""
    save_file({key: value.contiguous().clone() for key, value in read_tensors(path).items()}, target)


# -- names -------------------------------------------------------------------------------------------------------------


def is_added(key: str) -> bool:
    """Tell whether a key of the network comes from live2diff.ckpt and not from Stable Diffusion."""
    return ".motion_modules." in key or key.startswith("flow_conv_in.")


def motion_names(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return live2diff.ckpt under the network's names: training wrapped it, and left grids in it."""
    return {key.replace("module.", ""): value for key, value in tensors.items() if "grid" not in key}


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

    LDM counts layers through all levels, the change of size being one of them on the way down and the last part of the
    last layer of a level on the way up.
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
        # The first level on the way up has no attention, so its change of size moves up one place.
        place = {"resnets": 0, "attentions": 1, "upsamplers": 1 if level == 0 else 2}[part]
        block = f"output_blocks.{index}.{place}"
    return f"{LDM_UNET}{block}.{rest}.{leaf}"


# -- fitting -----------------------------------------------------------------------------------------------------------


def fit(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor], what: str, path: Path) -> dict[str, Tensor]:
    """Return `tensors` if they are exactly those expected, by name and shape.

    Raises:
        CheckpointError: naming what was expected, what the file seems to be, and the first difference.
    """
    missing = [key for key in expected if key not in tensors]
    extra = [key for key in tensors if key not in expected]
    shaped = [key for key in expected if key in tensors and tensors[key].shape != expected[key].shape]
    if missing:
        problem = f"{len(missing)} of {len(expected)} tensors are missing, the first being {missing[0]}"
    elif extra:
        problem = f"{len(extra)} tensors do not belong to it, the first being {extra[0]}"
    elif shaped:
        found, wanted = list(tensors[shaped[0]].shape), list(expected[shaped[0]].shape)
        problem = f"{len(shaped)} tensors have another shape, the first being {shaped[0]} with {found}, not {wanted}"
    else:
        return dict(tensors)
    raise CheckpointError(f"{path} is not {what}: {problem}; it looks like {describe(tensors)}")


def load_unet(unet: Live2DiffUNet, base: Path, motion: Path) -> Live2DiffUNet:
    """Fill the network from a Stable Diffusion 1.5 UNet (or a whole model in one file) and live2diff.ckpt.

    Raises:
        CheckpointError: a file is missing, damaged, or not what it should be.
    """
    state = unet.state_dict()
    wanted = {key: value for key, value in state.items() if not is_added(key)}
    found = read_tensors(base)
    if any(key.startswith(LDM_UNET) for key in found):
        names = {ldm_name(key, layers=unet.cfg.layers): key for key in wanted}
        ldm = {key: value for key, value in found.items() if key.startswith(LDM_UNET)}
        fit(ldm, {name: _as_ldm(wanted[key], ldm.get(name)) for name, key in names.items()}, UNET, base)
        found = {key: ldm[name].reshape(wanted[key].shape) for name, key in names.items()}
    found = fit(found, wanted, UNET, base)
    added = {key: value for key, value in state.items() if is_added(key)}
    found |= fit(motion_names(read_tensors(motion)), added, MOTION, motion)
    return _fill(unet, found)


def _as_ldm(wanted: Tensor, found: Tensor | None) -> Tensor:
    """Return the expected tensor; some tools store 1x1 convolutions as matrices, which is the same."""
    matrix = wanted.ndim == 4 and wanted.shape[-2:] == (1, 1)
    return wanted[..., 0, 0] if matrix and found is not None and found.ndim == 2 else wanted


def load_text(encoder: ClipText, path: Path) -> ClipText:
    """Fill the text encoder from a transformers file, or from a whole model in one file.

    Raises:
        CheckpointError: the file is missing, damaged, or not what it should be.
    """
    found = read_tensors(path)
    if any(key.startswith(LDM_TEXT) for key in found):
        found = {key.removeprefix(LDM_TEXT): value for key, value in found.items() if key.startswith(LDM_TEXT)}
    # Old files carry the numbers 0 to 76, from which positions were once looked up.
    found.pop("text_model.embeddings.position_ids", None)
    return _fill(encoder, fit(found, encoder.state_dict(), TEXT, path))


def _fill(module: ModuleT, tensors: dict[str, Tensor]) -> ModuleT:
    module.load_state_dict(tensors)
    return module.eval()
