"""Inspection of the family's files against the network, without loading it."""

from __future__ import annotations

from pathlib import Path

import torch

from vivace.checkpoints.lora import TEXT_PREFIX, UNET_PREFIX, lora_targets, own_layers, read_lora
from vivace.checkpoints.tensors import open_tensors
from vivace.errors import CheckpointError
from vivace.models.live2diff.autoencoder import LDM_AUTOENCODER, load_full, load_tiny
from vivace.models.live2diff.checkpoint import find_motion, find_text, find_unet, has_text
from vivace.models.live2diff.detector import load_detector
from vivace.models.live2diff.folder import check_config
from vivace.models.live2diff.load import Widths
from vivace.models.live2diff.profile import Live2DiffProfile
from vivace.models.live2diff.prompts import ClipTokenizer, read_inversion
from vivace.models.live2diff.text import ClipText
from vivace.models.live2diff.unet import Live2DiffUNet


class Inspector:
    """Inspector of the family's files."""

    def __init__(self, profile: Live2DiffProfile) -> None:
        self._widths = Widths.of(profile)
        with torch.device("meta"):
            self._unet = Live2DiffUNet(self._widths.unet)
            self._text = ClipText(self._widths.text)

    def inspect(self, role: str, path: Path) -> str:
        """Open a file and return a description of its contents.

        Raises:
            CheckpointError: it is not what the role requires.
        """
        match role.partition(":")[0]:
            case "unet_config":
                check_config(path, self._widths.unet)
                return "describes Stable Diffusion 1.5"
            case "unet":
                return f"{self._count_unet(path)} tensors of the UNet"
            case "motion":
                return f"{len(find_motion(open_tensors(path), self._unet))} tensors of motion modules and depth encoder"
            case "text_encoder":
                return f"{len(find_text(open_tensors(path), self._text))} tensors of the text encoder"
            case "base":
                return self._base(path)
            case "vocabulary" | "merges":
                return f"a tokenizer of {ClipTokenizer(path.parent).size} tokens"
            case "lcm_lora" | "lora":
                return self._lora(path)
            case "tiny_autoencoder":
                load_tiny(path, self._widths.tiny)
                return "the tiny autoencoder"
            case "autoencoder":
                load_full(path, self._widths.full)
                return "the full autoencoder"
            case "detector":
                load_detector(path, self._widths.detector)
                return "the depth detector"
            case "word":
                word, vectors = read_inversion(path)
                return f"{len(vectors)} vectors, written for {word!r}"
        raise CheckpointError(f"{path}: this family has no files of role {role!r}")

    def _count_unet(self, path: Path) -> int:
        return len(find_unet(open_tensors(path), self._unet, layers=self._widths.unet.layers))

    def _base(self, path: Path) -> str:
        found = [f"{self._count_unet(path)} tensors of the UNet"]
        file = open_tensors(path)
        if has_text(file):
            found.append(f"{len(find_text(file, self._text))} of the text encoder")
        if any(name.startswith(LDM_AUTOENCODER) for name in file.shapes):
            load_full(path, self._widths.full)
            found.append("the autoencoder")
        return ", ".join(found)

    def _lora(self, path: Path) -> str:
        layers = read_lora(open_tensors(path))
        own = [
            len(own_layers(layers, lora_targets(module, prefix), prefix, path.name))
            for module, prefix in ((self._unet, UNET_PREFIX), (self._text, TEXT_PREFIX))
        ]
        return f"a LoRA on {own[0]} layers of the UNet and {own[1]} of the text encoder"
