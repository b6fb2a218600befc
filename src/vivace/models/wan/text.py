"""Prompts to text features: umT5, of which only the encoder is used, as Wan 2.1 reads prompts.

A text is cleaned of HTML and of blanks, cut into at most 512 tokens, the last of which ends it. What is beyond the
text is zeros, which the transformer fills up by itself.
"""

from __future__ import annotations

import hashlib
import html
import re
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import nn
from transformers import UMT5Config, UMT5EncoderModel

from vivace.checkpoints.filling import fill, fit
from vivace.checkpoints.tensors import Stored, TensorFile
from vivace.errors import CheckpointError, ControlError
from vivace.models.base import Prompt
from vivace.models.prompt_cache import PromptCache

TEXT = "umT5's encoder, as published with Wan 2.1 or by transformers"
ENDING = "</s>"
MOST_CHARS = 100_000
"""The longest text that is read at all: some twenty times what 512 tokens hold."""
SHOWN = 60
"""Characters of what was cut off that a message quotes."""


class TextEncoder(Protocol):
    """Text to features."""

    def __call__(self, text: str) -> tuple[NDArray[np.float32], int]:
        """Return features `[t d]` and where in the text that ends which was read."""


class UmT5:
    """The published encoder with its tokenizer."""

    def __init__(self, encoder: UMT5EncoderModel, tokenizer: Tokenizer, length: int) -> None:
        """Read at most `length` tokens of a text."""
        self._encoder, self._tokenizer, self._length = encoder, tokenizer, length
        self._end = tokenizer.token_to_id(ENDING)

    @torch.inference_mode()
    def __call__(self, text: str) -> tuple[NDArray[np.float32], int]:
        """Return features, see `TextEncoder`."""
        found = self._tokenizer.encode(text, add_special_tokens=False)
        numbers, room = list(found.ids), self._length - 1
        read = len(text) if len(numbers) <= room else found.offsets[room][0]
        row = torch.tensor([[*numbers[:room], self._end]], device=self._encoder.device)
        features = self._encoder(input_ids=row, attention_mask=torch.ones_like(row)).last_hidden_state[0]
        return features.float().cpu().numpy(), read


class HashText:
    """Features from hashes of words, for networks with random weights: it needs no files, and means nothing."""

    def __init__(self, width: int, length: int) -> None:
        self._width, self._length = width, length

    def __call__(self, text: str) -> tuple[NDArray[np.float32], int]:
        """Return features, see `TextEncoder`."""
        words = [*re.finditer(r"\w+|[^\w\s]", text)]
        room = self._length - 1
        read = len(text) if len(words) <= room else words[room].start()
        seeds = [hashlib.blake2b(word[0].lower().encode(), digest_size=8).digest() for word in words[:room]]
        rows = [np.random.default_rng(int.from_bytes(seed)).standard_normal(self._width) for seed in [*seeds, b"end"]]
        return np.stack(rows).astype(np.float32), read


class WanPrompts:
    """The prompts of a loaded model. Any thread may ask; a text is encoded once."""

    def __init__(self, encoder: TextEncoder) -> None:
        self._encoder = encoder
        self._cache = PromptCache(self._encode)

    def encode(self, text: str) -> Prompt:
        """Return a prompt, whose message says what was cut off, if anything was.

        Raises:
            ControlError: a text that is longer than any prompt.
        """
        if len(text) > MOST_CHARS:
            raise ControlError(f"the prompt has {len(text):,} characters, of which 512 tokens are read; say it shorter")
        return self._cache.encode(text)

    def _encode(self, text: str) -> Prompt:
        cleaned = " ".join(html.unescape(html.unescape(text)).split())
        features, read = self._encoder(cleaned)
        said = ""
        if read < len(cleaned):
            rest = cleaned[read:]
            said = f"only the first {len(features) - 1} tokens are read; left out: {rest[:SHOWN]!r}"
        return Prompt(text, features, known=True, confidence=1.0, message=said)


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
