"""Prompts to text features as Wan 2.1 reads them, whatever the encoder is.

A text is cleaned of HTML and of blanks, cut into at most 512 tokens, the last of which ends it. What is beyond the
text is zeros, which the transformer fills up by itself.
"""

from __future__ import annotations

import hashlib
import html
import re
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vivace.errors import ControlError
from vivace.models.base import Prompt
from vivace.models.prompt_cache import PromptCache

MOST_CHARS = 100_000
"""The longest text that is read at all: some twenty times what 512 tokens hold."""
SHOWN = 60
"""Characters of what was cut off that a message quotes."""


class TextEncoder(Protocol):
    """Text to features."""

    def __call__(self, text: str) -> tuple[NDArray[np.float32], int]:
        """Return features `[t d]` and where in the text that ends which was read."""


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
