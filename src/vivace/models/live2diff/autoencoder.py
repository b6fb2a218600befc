"""Autoencoders between pictures and latents: that of Stable Diffusion 1.5, or its tiny distillation (TAESD).

The networks are diffusers'. This module reads the published files, and handles two things that fail silently if
guessed: the scale of the latents (0.18215 for the full one, none for the tiny one) and the number format. The full one
outputs a distribution; its mode is used, so that the same frame always has the same latents.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, TypeVar

import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import Tensor, nn

from vivace.checkpoints.filling import fit
from vivace.checkpoints.tensors import Stored, file_in, open_tensors, read_tensors
from vivace.errors import CheckpointError

FULL = "the autoencoder of Stable Diffusion 1.5"
TINY = "the tiny autoencoder for Stable Diffusion 1.5 (TAESD)"
LDM_AUTOENCODER = "first_stage_model."
LATENT_CHANNELS = 4
SCALING = 0.18215
"""Factor on the full autoencoder's latents that gives them unit deviation (Rombach et al., 2022)."""
ModuleT = TypeVar("ModuleT", bound=nn.Module)
FOLDER_FILES = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")


@dataclass(frozen=True, slots=True)
class FullConfig:
    """Widths and depths; the defaults are Stable Diffusion's."""

    channels: tuple[int, ...] = (128, 256, 512, 512)
    layers: int = 2
    groups: int = 32


@dataclass(frozen=True, slots=True)
class TinyConfig:
    """Width and depths; the defaults are TAESD's."""

    width: int = 64
    blocks: tuple[int, ...] = (1, 3, 3, 3)
    """Blocks of the encoder's levels from fine to coarse; the decoder has them in reverse."""


class TinyAutoencoder(nn.Module):
    """TAESD (Bohan, 2023); random until loaded."""

    def __init__(self, cfg: TinyConfig | None = None) -> None:
        super().__init__()
        cfg = cfg or TinyConfig()
        widths = (cfg.width,) * len(cfg.blocks)
        self.net: Any = AutoencoderTiny(
            encoder_block_out_channels=widths,
            decoder_block_out_channels=widths,
            num_encoder_blocks=cfg.blocks,
            num_decoder_blocks=cfg.blocks[::-1],
            latent_channels=LATENT_CHANNELS,
        )

    def place(self, device: torch.device | str, dtype: torch.dtype) -> Self:
        """Move to a device and number format, ready to run."""
        return _place(self, device, dtype)

    def encode(self, pictures: Tensor) -> Tensor:
        """Return latents `[f 4 h/8 w/8]` of `pictures [f 3 h w]` in [-1, 1], in the pictures' number format."""
        return self.net.encoder(_enter(pictures, self)).to(pictures.dtype)

    def decode(self, latents: Tensor) -> Tensor:
        """Return pictures `[f 3 h w]`, about [-1, 1], of `latents [f 4 h/8 w/8]`, in the latents' number format."""
        return self.net.decoder(_enter(latents, self)).to(latents.dtype)


class FullAutoencoder(nn.Module):
    """Autoencoder that Stable Diffusion was trained with; random until loaded."""

    def __init__(self, cfg: FullConfig | None = None) -> None:
        super().__init__()
        cfg = cfg or FullConfig()
        self.net: Any = AutoencoderKL(
            block_out_channels=cfg.channels,
            down_block_types=("DownEncoderBlock2D",) * len(cfg.channels),
            up_block_types=("UpDecoderBlock2D",) * len(cfg.channels),
            layers_per_block=cfg.layers,
            norm_num_groups=cfg.groups,
            latent_channels=LATENT_CHANNELS,
            scaling_factor=SCALING,
        )

    def place(self, device: torch.device | str, dtype: torch.dtype) -> Self:
        """Move to a device and number format, ready to run.

        float16 becomes bfloat16, or float32 where the device lacks it: the decoder's activations overflow float16, and
        the output is black.
        """
        if dtype == torch.float16:
            lacking = torch.device(device).type == "cuda" and not torch.cuda.is_bf16_supported(
                including_emulation=False
            )
            dtype = torch.float32 if lacking else torch.bfloat16
        return _place(self, device, dtype)

    def encode(self, pictures: Tensor) -> Tensor:
        """Return latents `[f 4 h/8 w/8]` of `pictures [f 3 h w]` in [-1, 1], in the pictures' number format."""
        moments = self.net.quant_conv(self.net.encoder(_enter(pictures, self)))
        return (moments[:, :LATENT_CHANNELS] * SCALING).to(pictures.dtype)

    def decode(self, latents: Tensor) -> Tensor:
        """Return pictures `[f 3 h w]`, about [-1, 1], of `latents [f 4 h/8 w/8]`, in the latents' number format."""
        unscaled = _enter(latents, self) / SCALING
        return self.net.decoder(self.net.post_quant_conv(unscaled)).to(latents.dtype)


def _place(module: ModuleT, device: torch.device | str, dtype: torch.dtype) -> ModuleT:
    placed = module.to(device=device, dtype=dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return placed.requires_grad_(False).eval()


def _enter(x: Tensor, module: nn.Module) -> Tensor:
    dtype = next(module.parameters()).dtype
    return x.to(dtype=dtype, memory_format=torch.channels_last)


# -- files -------------------------------------------------------------------------------------------------------------


def load_tiny(path: Path, cfg: TinyConfig | None = None) -> TinyAutoencoder:
    """Return TAESD, read from a diffusers folder or file.

    Raises:
        CheckpointError: missing, damaged, or another network.
    """
    with torch.device("meta"):
        autoencoder = TinyAutoencoder(cfg)
    path = file_in(path, FOLDER_FILES, TINY)
    found = fit(read_tensors(path), autoencoder.net.state_dict(), TINY, path)
    _check_scaling(path, 1.0, TINY)
    autoencoder.net.load_state_dict(found, assign=True)
    return autoencoder.place("cpu", torch.float32)


def load_full(path: Path, cfg: FullConfig | None = None) -> FullAutoencoder:
    """Return the full autoencoder, read from a diffusers folder or file, or from an LDM file.

    An LDM file may hold a whole model, or only the autoencoder.

    Raises:
        CheckpointError: missing, damaged, or another network.
    """
    with torch.device("meta"):
        autoencoder = FullAutoencoder(cfg)
    path = file_in(path, FOLDER_FILES, FULL)
    expected = autoencoder.net.state_dict()
    file = open_tensors(path)
    whole = any(name.startswith(LDM_AUTOENCODER) for name in file.shapes)
    prefix = LDM_AUTOENCODER if whole else ""
    # Files of the autoencoder alone may include its training losses and averaged weights.
    left = ("loss.", "model_ema.")
    found = {name.removeprefix(prefix): Stored(file, name) for name in file.shapes if name.startswith(prefix)}
    found = {name: stored for name, stored in found.items() if not name.startswith(left)}
    if any(re.match(r"(encoder|decoder)\.mid\.", name) for name in found):
        levels = len(autoencoder.net.config["block_out_channels"])
        names = {key: ldm_autoencoder_name(key, levels=levels) for key in expected}
    elif any(".attentions.0.query." in name for name in found):
        names = {key: old_autoencoder_name(key) for key in expected}
    else:
        names = {key: key for key in expected}
    fitted = fit(found, {name: _as_stored(expected[key], found.get(name)) for key, name in names.items()}, FULL, path)
    _check_scaling(path, SCALING, FULL)
    tensors = {key: fitted[name].read().reshape(expected[key].shape) for key, name in names.items()}
    autoencoder.net.load_state_dict(tensors, assign=True)
    return autoencoder.place("cpu", torch.float32)


def _check_scaling(path: Path, scaling: float, what: str) -> None:
    """Reject another family's autoencoder with the same tensors, by the scaling factor in its config."""
    config = path.with_name("config.json")
    if path.name not in FOLDER_FILES or not config.is_file():
        return
    try:
        told = json.loads(config.read_text(encoding="utf-8")).get("scaling_factor", scaling)
    except (OSError, ValueError, AttributeError) as error:
        raise CheckpointError(f"{config} cannot be read ({error}); download it again") from error
    if told != scaling:
        raise CheckpointError(f"{path} is not {what}: its latents are scaled by {told}, not {scaling}")


def _as_stored(wanted: Tensor, found: Stored | None) -> Tensor:
    """Return the expected tensor in the stored shape: attention may be stored as matrices or as 1x1 convolutions."""
    convolution = wanted.ndim == 2 and found is not None and len(found.shape) == 4
    return wanted[..., None, None] if convolution else wanted


# -- names -------------------------------------------------------------------------------------------------------------

_OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
_LDM_OTHER = {"conv_norm_out": "norm_out", "conv_shortcut": "nin_shortcut"}
_LDM_ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}


def old_autoencoder_name(key: str) -> str:
    """Return a tensor's name in diffusers before 0.18, which the published folders still use."""
    return _renamed(key, r"(.*\.attentions\.\d+\.)(to_q|to_k|to_v|to_out\.0)(\..+)", _OLD_ATTENTION)


def _renamed(key: str, pattern: str, names: Mapping[str, str]) -> str:
    match = re.fullmatch(pattern, key)
    return f"{match[1]}{names[match[2]]}{match[3]}" if match else key


def ldm_autoencoder_name(key: str, *, levels: int = 4) -> str:
    """Return the LDM name of a tensor in diffusers' naming, without the prefix of a whole model.

    LDM numbers the decoder's levels from fine to coarse, like the encoder's; diffusers in the order of computation.
    """
    key = _renamed(key, r"(.*)\b(conv_norm_out|conv_shortcut)\b(.*)", _LDM_OTHER)
    if match := re.fullmatch(r"(encoder|decoder)\.mid_block\.(resnets|attentions)\.(\d)\.(.+)\.(weight|bias)", key):
        part = f"block_{int(match[3]) + 1}" if match[2] == "resnets" else f"attn_{int(match[3]) + 1}"
        return f"{match[1]}.mid.{part}.{_LDM_ATTENTION.get(match[4], match[4])}.{match[5]}"
    if match := re.fullmatch(r"(encoder|decoder)\.(down|up)_blocks\.(\d)\.(\w+)\.(\d)\.(.+)", key):
        level = int(match[3]) if match[2] == "down" else levels - 1 - int(match[3])
        part = f"block.{match[5]}" if match[4] == "resnets" else f"{match[2]}sample"
        return f"{match[1]}.{match[2]}.{level}.{part}.{match[6]}"
    return key
