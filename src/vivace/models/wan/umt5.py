"""umT5 (Chung et al., 2023), the text encoder of Wan 2.1, of which only the encoder is used, with its tokenizer."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import nn
from transformers import UMT5Config, UMT5EncoderModel

from vivace.checkpoints.filling import fill, fit
from vivace.checkpoints.tensors import Stored, TensorFile
from vivace.errors import CheckpointError

TEXT = "umT5's encoder, as published with Wan 2.1 or by transformers"
ENDING = "</s>"


class UmT5:
    """The published encoder with its tokenizer."""

    def __init__(self, encoder: UMT5EncoderModel, tokenizer: Tokenizer, length: int) -> None:
        """Read at most `length` tokens of a text."""
        self._encoder, self._tokenizer, self._length = encoder, tokenizer, length
        self._end = tokenizer.token_to_id(ENDING)

    @torch.inference_mode()
    def __call__(self, text: str) -> tuple[NDArray[np.float32], int]:
        """Return features, see `text.TextEncoder`."""
        found = self._tokenizer.encode(text, add_special_tokens=False)
        numbers, room = list(found.ids), self._length - 1
        read = len(text) if len(numbers) <= room else found.offsets[room][0]
        row = torch.tensor([[*numbers[:room], self._end]], device=self._encoder.device)
        features = self._encoder(input_ids=row, attention_mask=torch.ones_like(row)).last_hidden_state[0]
        return features.float().cpu().numpy(), read


def load_umt5(
    file: TensorFile, tokenizer: Path, cfg: UMT5Config, *, device: torch.device, dtype: torch.dtype, length: int
) -> UmT5:
    """Return the encoder with the weights of a file.

    Raises:
        CheckpointError: the file is something else, or no tokenizer of it.
    """
    with torch.device("meta"):
        encoder = UMT5EncoderModel(cfg)
    module: nn.Module = encoder  # transformers' own `to` asks for something else
    module.to(dtype=dtype).to_empty(device=device)
    encoder.tie_weights()
    fill(encoder, find_text(file, encoder))
    return UmT5(encoder.requires_grad_(False).eval(), read_tokenizer(tokenizer, cfg.vocab_size), length)


def find_text(file: TensorFile, encoder: UMT5EncoderModel) -> dict[str, Stored]:
    """Return where the tensors of the encoder are, under Wan's own names or those of transformers.

    Raises:
        CheckpointError: the file is something else.
    """
    wanted = encoder.state_dict()
    found = {name: Stored(file, name) for name in file.shapes}
    if "token_embedding.weight" in found:
        found = {_renamed(name): stored for name, stored in found.items()}
    table = found.get("shared.weight", found.get("encoder.embed_tokens.weight"))
    if table is not None:
        found |= {"shared.weight": table, "encoder.embed_tokens.weight": table}
    return fit(found, wanted, TEXT, file.path)


_PARTS = {
    "norm1": "layer.0.layer_norm",
    "attn.q": "layer.0.SelfAttention.q",
    "attn.k": "layer.0.SelfAttention.k",
    "attn.v": "layer.0.SelfAttention.v",
    "attn.o": "layer.0.SelfAttention.o",
    "pos_embedding.embedding": "layer.0.SelfAttention.relative_attention_bias",
    "norm2": "layer.1.layer_norm",
    "ffn.gate.0": "layer.1.DenseReluDense.wi_0",
    "ffn.fc1": "layer.1.DenseReluDense.wi_1",
    "ffn.fc2": "layer.1.DenseReluDense.wo",
}


def _renamed(name: str) -> str:
    """Return transformers' name for one of Wan's."""
    if name == "token_embedding.weight":
        return "shared.weight"
    if name == "norm.weight":
        return "encoder.final_layer_norm.weight"
    match = re.fullmatch(r"blocks\.(\d+)\.(.+)\.weight", name)
    return f"encoder.block.{match[1]}.{_PARTS[match[2]]}.weight" if match and match[2] in _PARTS else name


def read_tokenizer(path: Path, size: int) -> Tokenizer:
    """Return the tokenizer of a `tokenizer.json`.

    Raises:
        CheckpointError: missing, damaged, or of another encoder.
    """
    try:
        tokenizer = Tokenizer.from_str(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing; download it again") from error
    except Exception as error:  # what tokenizers raises has no class of its own
        raise CheckpointError(f"{path} is no tokenizer.json, or damaged ({error}); download it again") from error
    if tokenizer.token_to_id(ENDING) is None or tokenizer.get_vocab_size() > size:
        raise CheckpointError(
            f"{path} is not the tokenizer of umT5: it has {tokenizer.get_vocab_size():,} tokens of {size:,}"
            f"{'' if tokenizer.token_to_id(ENDING) is not None else f' and no {ENDING}'}"
        )
    return tokenizer
