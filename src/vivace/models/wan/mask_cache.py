"""LiveEdit's mask cache (Wang et al., 2026): middle steps compute attention only where the last chunk was edited.

Tokens are kept where that chunk's output is far from its source. The others reuse the attention output of the last full
step, and no token attends to them meanwhile. This is the published form with its fixed budget: the same share of the
latents in every frame, a token only if at least three of its four latents are among them, and in every frame as many
tokens as in the one with the fewest, from the top.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from vivace.models.wan.network import Attention, SelfAttention

Part = Literal["self_attn", "ffn"]
MIN_LATENTS = 3
"""Kept latents, of a token's four, from which the token is kept."""


def importance(output: Tensor, source: Tensor) -> Tensor:
    """Return how far latents `[f c h w]` are from their source, 0 to 1 over all of them, `[f h w]`."""
    apart = (output - source).square().mean(1)
    low, high = apart.min(), apart.max()
    return (apart - low) / (high - low).clamp(min=torch.finfo(apart.dtype).tiny)


def kept_latents(importance: Tensor, share: float) -> Tensor:
    """Return a mask `[f h w]` bool of the most important latents, this share of each frame."""
    flat = importance.flatten(1)
    chosen = flat.topk(int(share * flat.shape[1]), 1).indices
    return torch.zeros_like(flat, dtype=torch.bool).scatter_(1, chosen, True).view_as(importance)


def kept_tokens(latents: Tensor, patch: int = 2) -> Tensor:
    """Return the rising indices of the tokens that are kept, from a mask `[f h w]` of the latents."""
    tokens = latents.unfold(1, patch, patch).unfold(2, patch, patch).sum((-1, -2)).flatten(1) >= MIN_LATENTS
    within = tokens.cumsum(1) <= tokens.sum(1).min()
    return (tokens & within).flatten().nonzero()[:, 0]


@dataclass(slots=True)
class FullStep:
    """A step of all tokens, whose outputs are cached for the pruned steps that follow."""

    parts: frozenset[Part]
    added: dict[tuple[Part, int], Tensor]
    """Cached outputs `[1 n dim]`, by part and layer."""

    def self_attention(self, layer: int, part: SelfAttention, x: Tensor, attention: Attention) -> Tensor:
        """Return what self-attention adds, see `network.Pruning`."""
        return self._remembered("self_attn", layer, part(layer, x, attention))

    def feed_forward(self, layer: int, part: nn.Module, x: Tensor) -> Tensor:
        """Return what the feed-forward part adds."""
        return self._remembered("ffn", layer, part(x))

    def _remembered(self, part: Part, layer: int, added: Tensor) -> Tensor:
        if part in self.parts:
            self.added[part, layer] = added
        return added


@dataclass(slots=True)
class PrunedStep:
    """A step of the tokens that are kept; the others reuse the cached output."""

    parts: frozenset[Part]
    added: dict[tuple[Part, int], Tensor]
    """Cached outputs, overwritten in place at the tokens that are kept."""
    kept: Tensor

    def self_attention(self, layer: int, part: SelfAttention, x: Tensor, attention: Attention) -> Tensor:
        """Return what self-attention adds, see `network.Pruning`."""
        return self._merged("self_attn", layer, part(layer, x[:, self.kept], attention))

    def feed_forward(self, layer: int, part: nn.Module, x: Tensor) -> Tensor:
        """Return what the feed-forward part adds."""
        if "ffn" not in self.parts:
            whole: Tensor = part(x)
            return whole
        return self._merged("ffn", layer, part(x[:, self.kept]))

    def _merged(self, part: Part, layer: int, added: Tensor) -> Tensor:
        whole = self.added[part, layer]
        whole[:, self.kept] = added
        return whole


class MaskCache:
    """The cached outputs of one stream, and the tokens that the coming chunk keeps."""

    def __init__(self, parts: frozenset[Part] = frozenset({"self_attn"})) -> None:
        """Prune these parts of a block."""
        self.parts = parts
        self.kept: Tensor | None = None
        """Indices of the tokens that middle steps of the coming chunk compute; None is all."""
        self._added: dict[tuple[Part, int], Tensor] = {}

    def forget(self) -> None:
        """Compute all tokens of the coming chunk."""
        self.kept = None
        self._added.clear()

    def select(self, output: Tensor, source: Tensor, share: float) -> None:
        """Choose the tokens of the coming chunk by the finished one, latents `[f c h w]` each.

        `share`, above 0 to 1, is that of the latents that are kept.
        """
        self.kept = kept_tokens(kept_latents(importance(output, source), share))

    def full_step(self) -> FullStep:
        """Return a step of all tokens."""
        return FullStep(self.parts, self._added)

    def pruned_step(self) -> PrunedStep:
        """Return a step of the tokens that are kept."""
        assert self.kept is not None
        return PrunedStep(self.parts, self._added, self.kept)
