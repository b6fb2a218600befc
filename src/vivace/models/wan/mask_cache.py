"""LiveEdit's mask cache (Wang et al., 2026): middle steps compute attention only where the last chunk was edited.

Where that chunk's output is far from its source, tokens are kept; the others take what attention gave in the last step
that computed all of them, and are not there to be looked at meanwhile. This is the published form, with its budget: a
fixed share of the latents, a token only if most of it is among them, and of every frame as many as of the one with the
fewest, from the top.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from vivace.models.wan.network import Attention, SelfAttention

Part = Literal["self_attn", "ffn"]
MOST = 3
"""Latents of a token's four that have to be kept for it to be."""


def importance(output: Tensor, source: Tensor) -> Tensor:
    """Return how far latents `[f c h w]` are from their source, 0 to 1 over all of them, `[f h w]`."""
    apart = (output - source).square().mean(1)
    low, high = apart.min(), apart.max()
    return (apart - low) / (high - low).clamp(min=torch.finfo(apart.dtype).tiny)


def kept_latents(importance: Tensor, share: float) -> Tensor:
    """Return which latents of each frame are kept, `[f h w]` bool: this share of them, the most important."""
    flat = importance.flatten(1)
    chosen = flat.topk(int(share * flat.shape[1]), 1).indices
    return torch.zeros_like(flat, dtype=torch.bool).scatter_(1, chosen, True).view_as(importance)


def kept_tokens(latents: Tensor, patch: int = 2) -> Tensor:
    """Return the numbers of the tokens that are kept, rising, given which latents `[f h w]` are."""
    tokens = latents.unfold(1, patch, patch).unfold(2, patch, patch).sum((-1, -2)).flatten(1) >= MOST
    within = tokens.cumsum(1) <= tokens.sum(1).min()
    return (tokens & within).flatten().nonzero()[:, 0]


@dataclass(slots=True)
class Refresh:
    """A full step: what is added is remembered. Also the memory of the steps that follow."""

    parts: frozenset[Part]
    added: dict[tuple[Part, int], Tensor]
    """By part and layer, `[1 n dim]`."""

    def self_attention(self, layer: int, part: SelfAttention, x: Tensor, attention: Attention) -> Tensor:
        """Return what self-attention adds, see `network.Thinning`."""
        return self._remembered("self_attn", layer, part(layer, x, attention))

    def feed_forward(self, layer: int, part: nn.Module, x: Tensor) -> Tensor:
        """Return what the feed-forward part adds."""
        return self._remembered("ffn", layer, part(x))

    def _remembered(self, part: Part, layer: int, added: Tensor) -> Tensor:
        if part in self.parts:
            self.added[part, layer] = added
        return added


@dataclass(slots=True)
class Thin:
    """A step for the tokens that are kept: for the others what is added is what it was."""

    parts: frozenset[Part]
    added: dict[tuple[Part, int], Tensor]
    """Of the last full step; changed in place where tokens are kept."""
    kept: Tensor

    def self_attention(self, layer: int, part: SelfAttention, x: Tensor, attention: Attention) -> Tensor:
        """Return what self-attention adds, see `network.Thinning`."""
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
    """What one stream keeps from step to step, and the mask it has for the coming chunk."""

    def __init__(self, share: float = 0.3, parts: frozenset[Part] = frozenset({"self_attn"})) -> None:
        """Keep this share of the latents, above 0 to 1, and leave out these parts of a block for the rest."""
        self.share, self.parts = share, parts
        self.kept: Tensor | None = None
        """Numbers of the tokens of the coming chunk that are computed in its middle steps; None is all."""
        self._added: dict[tuple[Part, int], Tensor] = {}

    def forget(self) -> None:
        """Compute all tokens of the coming chunk."""
        self.kept = None
        self._added.clear()

    def see(self, output: Tensor, source: Tensor) -> None:
        """Choose the tokens of the coming chunk by the finished one, latents `[f c h w]` each."""
        self.kept = kept_tokens(kept_latents(importance(output, source), self.share))

    def refresh(self) -> Refresh:
        """Return a full step."""
        return Refresh(self.parts, self._added)

    def thin(self) -> Thin:
        """Return a step for the tokens that are kept."""
        assert self.kept is not None
        return Thin(self.parts, self._added, self.kept)
