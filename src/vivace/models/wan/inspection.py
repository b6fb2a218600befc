"""Opening each file of the family and holding it against the network, without loading the network."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import UMT5EncoderModel

from vivace.checkpoints.tensors import open_tensors
from vivace.errors import CheckpointError
from vivace.models.wan.checkpoint import TAEHV, check_name, find_named, find_transformer, find_vae
from vivace.models.wan.load import Widths
from vivace.models.wan.lora import layer_names, open_lora, read_wan_lora
from vivace.models.wan.network import WanNetwork
from vivace.models.wan.profile import WanProfile
from vivace.models.wan.taehv import Taehv
from vivace.models.wan.umt5 import find_text, read_tokenizer
from vivace.models.wan.vae import WanVae


class Inspector:
    """The family's knowledge of its files."""

    def __init__(self, profile: WanProfile) -> None:
        self._profile = profile
        self._widths = widths = Widths(profile)
        with torch.device("meta"):
            self._transformer, self._text = WanNetwork(widths.transformer), UMT5EncoderModel(widths.text)
            self._vae, self._taehv = WanVae(widths.vae), Taehv(widths.taehv)

    def inspect(self, role: str, path: Path) -> str:
        """Open a file and return what it holds, in words.

        Raises:
            CheckpointError: it is not what the role asks for.
        """
        match role:
            case "generator" | "base":
                check_name(path, self._profile.weights)
                file = open_tensors(path, self._profile.weights.containers)
                found = find_transformer(file, self._transformer, f"the transformer of {self._profile.name}")
                return f"{len(found)} tensors of the transformer"
            case "lora":
                return layer_names(read_wan_lora(open_lora(path), self._transformer))
            case "text_encoder":
                return f"{len(find_text(open_tensors(path), self._text))} tensors of the text encoder"
            case "tokenizer":
                size = read_tokenizer(path, self._widths.text.vocab_size).get_vocab_size()
                return f"a tokenizer of {size:,} tokens"
            case "autoencoder":
                return f"{len(find_vae(open_tensors(path), self._vae))} tensors of the full autoencoder"
            case "tiny_autoencoder":
                return f"{len(find_named(open_tensors(path), self._taehv, TAEHV))} tensors of the tiny autoencoder"
        raise CheckpointError(f"{path}: this family has no files of role {role!r}")
