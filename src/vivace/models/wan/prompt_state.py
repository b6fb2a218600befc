"""The prompt of a stream: the text that chunks attend to, and the fade from the prompt before it."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vivace.models.wan.network import TextCache, WanNetwork


class PromptState:
    """The prompt in force; nothing of it is computed twice while it stays the same."""

    def __init__(self) -> None:
        self.embeds: NDArray[np.float32] | None = None
        """Features of the prompt `[t d]`; None before the first chunk."""
        self.text: TextCache | None = None
        """Keys and values for cross-attention; None where they have to be computed."""
        self.computed = 0
        """Times that they were computed."""
        self._features = torch.empty(0)
        self._fade_from: Tensor | None = None
        self._faded = self._fade_chunks = 0
        self._version = 0

    def is_another(self, embeds: NDArray[np.float32]) -> bool:
        """Tell whether features differ from those in force."""
        return self.embeds is None or (embeds is not self.embeds and not np.array_equal(self.embeds, embeds))

    def set(self, embeds: NDArray[np.float32], device: torch.device, *, fade_chunks: int = 0) -> None:
        """Put a prompt in force: at once, or by a linear fade of its features over `fade_chunks` chunks."""
        start = self._now() if fade_chunks else None
        self.embeds, self._features, self.text = embeds, torch.tensor(embeds, device=device), None
        self._fade_from, self._faded, self._fade_chunks = start, 0, fade_chunks

    def end_fade(self) -> None:
        """Have the prompt hold entirely, as for a stream that begins anew."""
        if self._fade_from is not None:
            self._fade_from = self.text = None

    def check_weights(self, version: int) -> None:
        """Drop the keys and values that were computed with another version of the network's weights."""
        if version != self._version:
            self.text, self._version = None, version

    def next_chunk(self, network: WanNetwork) -> TextCache:
        """Return keys and values for the coming chunk; a fade goes on by one chunk."""
        if self._fade_from is not None:
            self._faded, self.text = self._faded + 1, None
        if self.text is None:
            self.text = network.encode_text(self._now()[None])
            self.computed += 1
        if self._faded == self._fade_chunks:
            self._fade_from = None
        return self.text

    def _now(self) -> Tensor:
        """Return the features at the present point of a fade; the shorter text is padded with zeros."""
        if self._fade_from is None:
            return self._features
        both = (self._fade_from, self._features)
        length = max(map(len, both))
        start, end = (F.pad(each, (0, 0, 0, length - len(each))) for each in both)
        return torch.lerp(start, end, self._faded / self._fade_chunks)
