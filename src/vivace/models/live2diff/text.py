"""Text encoder of Stable Diffusion 1.5: CLIP's (Radford et al., 2021), from token ids to embeddings.

Attribute names are the keys of the public checkpoints. `clip_skip` leaves out the last layers and still applies the
final norm: 1 leaves out one. (The web UI counts from 1, so its "clip skip 2" is 1 here.)
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True, slots=True)
class TextConfig:
    """Widths and depths; the defaults are CLIP ViT-L/14."""

    vocabulary: int = 49408
    width: int = 768
    inner: int = 3072
    layers: int = 12
    heads: int = 12
    tokens: int = 77


class TextEmbeddings(nn.Module):
    """Token and position vectors."""

    def __init__(self, cfg: TextConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(cfg.vocabulary, cfg.width)
        self.position_embedding = nn.Embedding(cfg.tokens, cfg.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """Embed `tokens [b m]`."""
        return self.token_embedding(tokens) + self.position_embedding.weight[: tokens.shape[1]]


class TextAttention(nn.Module):
    """Attention of each token to itself and earlier ones."""

    def __init__(self, cfg: TextConfig) -> None:
        super().__init__()
        self.heads = cfg.heads
        self.k_proj = nn.Linear(cfg.width, cfg.width)
        self.v_proj = nn.Linear(cfg.width, cfg.width)
        self.q_proj = nn.Linear(cfg.width, cfg.width)
        self.out_proj = nn.Linear(cfg.width, cfg.width)

    def forward(self, x: Tensor) -> Tensor:
        """Attend within `x [b m d]`."""
        # Written out and scaled before the product, as in training, for bit-exact rounding.
        scale = (x.shape[-1] // self.heads) ** -0.5
        parts = (self.q_proj(x) * scale, self.k_proj(x), self.v_proj(x))
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in parts)
        later = torch.ones(x.shape[1], x.shape[1], dtype=torch.bool, device=x.device).triu(1)
        weights = (q @ k.transpose(-1, -2)).masked_fill(later, -math.inf).softmax(-1)
        return self.out_proj((weights @ v).transpose(1, 2).flatten(2))


class TextFeedForward(nn.Module):
    """Two linear layers around CLIP's quick approximation of GELU."""

    def __init__(self, cfg: TextConfig) -> None:
        super().__init__()
        self.fc1 = nn.Linear(cfg.width, cfg.inner)
        self.fc2 = nn.Linear(cfg.inner, cfg.width)

    def forward(self, x: Tensor) -> Tensor:
        """Transform each token of `x [b m d]` independently."""
        x = self.fc1(x)
        return self.fc2(x * torch.sigmoid(1.702 * x))


class TextLayer(nn.Module):
    """Attention and feed-forward, each residual on normed features."""

    def __init__(self, cfg: TextConfig) -> None:
        super().__init__()
        self.self_attn = TextAttention(cfg)
        self.layer_norm1 = nn.LayerNorm(cfg.width)
        self.mlp = TextFeedForward(cfg)
        self.layer_norm2 = nn.LayerNorm(cfg.width)

    def forward(self, x: Tensor) -> Tensor:
        """Transform `x [b m d]`."""
        x = x + self.self_attn(self.layer_norm1(x))
        return x + self.mlp(self.layer_norm2(x))


class TextLayers(nn.Module):
    """Layers under their name in the checkpoint."""

    def __init__(self, cfg: TextConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList([TextLayer(cfg) for _ in range(cfg.layers)])


class TextTransformer(nn.Module):
    """Embeddings, layers, final norm."""

    def __init__(self, cfg: TextConfig) -> None:
        super().__init__()
        self.embeddings = TextEmbeddings(cfg)
        self.encoder = TextLayers(cfg)
        self.final_layer_norm = nn.LayerNorm(cfg.width)


class ClipText(nn.Module):
    """Complete text encoder."""

    def __init__(self, cfg: TextConfig | None = None) -> None:
        super().__init__()
        self.cfg = cfg or TextConfig()
        self.text_model = TextTransformer(self.cfg)

    def forward(self, tokens: Tensor, clip_skip: int = 0) -> Tensor:
        """Return embeddings `[b m d]` of `tokens [b m]`, leaving out the last `clip_skip` layers.

        Raises:
            ValueError: more layers to leave out than there are.
        """
        if not 0 <= clip_skip <= self.cfg.layers:
            raise ValueError(f"clip_skip must be within 0 to {self.cfg.layers}, not {clip_skip}")
        x = self.text_model.embeddings(tokens)
        for layer in self.text_model.encoder.layers[: self.cfg.layers - clip_skip]:
            x = layer(x)
        return self.text_model.final_layer_norm(x)
