"""Reader of Stable Diffusion 1.5 folders in diffusers' layout: files by role, and a check of the architecture."""

from __future__ import annotations

import json
from pathlib import Path

from vivace.errors import CheckpointError
from vivace.models.live2diff.unet import UNetConfig

_FOLDER = {
    "unet_config": ("unet/config.json",),
    "unet": tuple(f"unet/diffusion_pytorch_model{end}" for end in (".safetensors", ".fp16.safetensors", ".bin")),
    "text_encoder": tuple(
        f"text_encoder/{name}" for name in ("model.safetensors", "model.fp16.safetensors", "pytorch_model.bin")
    ),
    "autoencoder": tuple(f"vae/diffusion_pytorch_model{end}" for end in (".safetensors", ".fp16.safetensors", ".bin")),
    "vocabulary": ("tokenizer/vocab.json",),
    "merges": ("tokenizer/merges.txt",),
}


def folder_files(folder: Path) -> dict[str, str]:
    """Return the files of a diffusers folder by role.

    Raises:
        CheckpointError: the folder has another layout.
    """
    found = {
        role: str(folder / name)
        for role, names in _FOLDER.items()
        for name in reversed(names)
        if (folder / name).is_file()
    }
    if "unet" not in found:
        raise CheckpointError(
            f"{folder} is not a Stable Diffusion 1.5 folder: it has none of {', '.join(_FOLDER['unet'])}"
        )
    return found


def check_config(path: Path, cfg: UNetConfig) -> None:
    """Reject the config of another UNet, naming what it describes.

    Raises:
        CheckpointError: not Stable Diffusion 1.5, or unreadable.
    """
    try:
        told = json.loads(path.read_text("utf-8"))
        width, channels = told["cross_attention_dim"], tuple(told["block_out_channels"])
        inputs = told.get("in_channels", cfg.latent_channels)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f"{path} is not the description of a UNet ({error!r})") from error
    if (width, channels, inputs) == (cfg.text_channels, cfg.channels, cfg.latent_channels):
        return
    if told.get("addition_embed_type") or width in (1280, 2048):
        name = "Stable Diffusion XL"
    elif width == 1024:
        name = "Stable Diffusion 2"
    elif inputs == 9:
        name = "an inpainting model"
    else:
        name = f"a UNet of widths {list(channels)} for text of width {width} and {inputs} channels"
    raise CheckpointError(f"{path} describes {name}, not Stable Diffusion 1.5")
