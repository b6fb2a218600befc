"""Network that follows an edited key frame.

    key frame, its edit ──▶ 1/8 ─▶ 1/16: keys (what it looked like, where) and values (what became of it)
                                              │
    picture, key frame and edit along the ──▶ 1/8 ─▶ 1/16, attention to the key frame ─▶ 1/8 ─▶ weights, local map
    motion, previous output along the motion                                                         │
                                └───────────────▶ blend of candidates 1/4 ──────────────────▶ picture in blocks

Two ways lead from the key frame to a px of now. Along the motion, its very px arrive: sharp, as long as motion is
known. By attention, what looks like this place in the key frame says what became of it: after an occlusion, a cut and
back, a turn. Pictures are in blocks and in [-1, 1], as in `mini2`.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivace.models.keyframes.config import (
    EDIT,
    INPUT_CHANNELS,
    KEY,
    NOW,
    PAST,
    POSITION_NUMBERS,
    POSITION_WAVES,
    TRUST,
    KeyframeConfig,
)
from vivace.models.mini.network import merge_heads, norm, split_heads
from vivace.models.mini2.config import PICTURE_CHANNELS

CANDIDATES = 4
"""Candidates of each px: the picture, the picture plus the carried change, the carried edit, the previous output."""
SHARPNESS = 1.8
"""Factor of the initial weights of queries and keys."""
UNTRUSTED = -2.0
"""Logit of a candidate whose motion does not explain the picture; features may know better."""


class Positions(NamedTuple):
    """Positions of the tokens of a picture in the key frame."""

    rows: Tensor
    """`[b h w]`, tokens of the key frame, from its middle."""
    columns: Tensor
    trust: Tensor
    """`[b h w]`, 0 (unknown) to 1."""


class KeyMemory(NamedTuple):
    """Memory of key frames, as returned by `KeyframeNet.remember`; several are concatenated along the tokens."""

    keys: Tensor
    """`[b n l d]`: block, token, width."""
    values: Tensor
    """`[b n l d]`"""


def encode_positions(rows: Tensor, columns: Tensor) -> Tensor:
    """Return the position features `[... 20]` of rows and columns, tokens."""
    waves = 2 * math.pi / rows.new_tensor(POSITION_WAVES)
    angles = torch.cat([rows[..., None] * waves, columns[..., None] * waves], -1)
    return torch.cat([angles.sin(), angles.cos()], -1)


def grid_positions(height: int, width: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the rows and columns `[h w]` of a token grid, from its middle."""
    rows = torch.arange(height, device=like.device, dtype=torch.float32) - (height - 1) / 2
    columns = torch.arange(width, device=like.device, dtype=torch.float32) - (width - 1) / 2
    ones = torch.ones(height, width, device=like.device)
    return rows[:, None] * ones, columns * ones


class Residual(nn.Module):
    """Residual block of two 3x3 convolutions, the identity at first."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.second.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Transform `[b c h w]`."""
        return x + self.second(F.silu(self.first(F.silu(x))))


class Appearance(nn.Module):
    """Encoder of a picture by which places are recognised, the same for the key frame and for now."""

    def __init__(self, cfg: KeyframeConfig) -> None:
        super().__init__()
        self.to_eighth = nn.Conv2d(PICTURE_CHANNELS, cfg.eighth, 3, stride=2, padding=1)
        self.eighth = Residual(cfg.eighth)
        self.to_tokens = nn.Conv2d(cfg.eighth, cfg.dim, 2, stride=2)
        self.tokens = Residual(cfg.dim)

    def forward(self, picture: Tensor) -> Tensor:
        """Return tokens `[b d h/4 w/4]` of blocks `[b 48 h w]`."""
        return self.tokens(self.to_tokens(F.silu(self.eighth(self.to_eighth(picture)))))


class Block(nn.Module):
    """Attention of the picture's tokens to the key frame's, by appearance and position, then convolutions."""

    def __init__(self, cfg: KeyframeConfig) -> None:
        super().__init__()
        self.heads = cfg.heads
        self.q = nn.Linear(cfg.dim, cfg.dim, bias=False)
        self.q_appearance = nn.Linear(cfg.dim, cfg.dim, bias=False)
        self.q_position = nn.Linear(POSITION_NUMBERS, cfg.dim, bias=False)
        self.k = nn.Linear(cfg.dim, cfg.dim, bias=False)
        self.k_position = nn.Linear(POSITION_NUMBERS, cfg.dim, bias=False)
        self.v = nn.Linear(2 * cfg.dim + PICTURE_CHANNELS, cfg.dim, bias=False)
        self.out = nn.Linear(cfg.dim, cfg.dim)
        self.local = Residual(cfg.dim)
        with torch.no_grad():
            # Queries and keys begin alike and large: from the start a place finds its own likeness and position.
            for layer in (self.q_appearance, self.q_position):
                layer.weight.mul_(SHARPNESS)
            self.k.weight.copy_(self.q_appearance.weight)
            self.k_position.weight.copy_(self.q_position.weight)
            nn.init.zeros_(self.q.weight)

    def remember(self, appearance: Tensor, change: Tensor, coarse: Tensor, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return keys and values `[b l d]` of the key frame's tokens; `coarse [b l 48]` is the change as it is."""
        keys = self.k(norm(appearance)) + self.k_position(positions)
        return keys, self.v(torch.cat([norm(appearance), norm(change), coarse], -1))

    def forward(
        self, x: Tensor, appearance: Tensor, positions: Tensor, keys: Tensor | None, values: Tensor | None
    ) -> Tensor:
        """Transform tokens `[b d h w]`; without keys there is no key frame to attend to."""
        b, d, h, w = x.shape
        if keys is not None and values is not None:
            y = norm(x.flatten(2).transpose(1, 2))
            q = self.q(y) + self.q_appearance(appearance) + self.q_position(positions)
            q, k, v = (split_heads(part, self.heads) for part in (q, keys.to(q.dtype), values.to(q.dtype)))
            found = self.out(merge_heads(F.scaled_dot_product_attention(q, k, v)))
            x = x + found.transpose(1, 2).reshape(b, d, h, w)
        return self.local(x)


class LocalMap(nn.Module):
    """Finish of the blend: features at 1/8 scale and shift a basis of its px, as in `mini2`; silent at first."""

    def __init__(self, cfg: KeyframeConfig) -> None:
        super().__init__()
        f = cfg.fine
        self.basis = nn.Conv2d(2 * PICTURE_CHANNELS, f, 3, padding=1)
        self.local = nn.Conv2d(cfg.eighth, 8 * f, 1)
        self.hidden = nn.Conv2d(f, f, 3, padding=1)
        self.linear = nn.Conv2d(f, PICTURE_CHANNELS, 1)
        self.draw = nn.Conv2d(f, PICTURE_CHANNELS, 3, padding=1)
        with torch.no_grad():
            for layer in (self.linear, self.draw):
                layer.weight.mul_(0.1)
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(self, now: Tensor, blend: Tensor, features: Tensor) -> Tensor:
        """Return what is added to a blend `[b 48 h w]`."""
        scale, shift = F.pixel_shuffle(self.local(features), 2).chunk(2, 1)
        x = self.basis(torch.cat([now, blend], 1)) * scale + shift
        return self.draw(F.silu(self.hidden(F.silu(x)))) + self.linear(x)


class KeyframeNet(nn.Module):
    """Complete network: `remember` reads a key frame, `forward` follows it."""

    def __init__(self, cfg: KeyframeConfig | None = None) -> None:
        super().__init__()
        cfg = cfg or KeyframeConfig()
        self.cfg = cfg
        self.appearance = Appearance(cfg)
        self.pair = nn.Conv2d(2 * PICTURE_CHANNELS, cfg.eighth, 3, stride=2, padding=1)
        self.pair_eighth = Residual(cfg.eighth)
        self.pair_tokens = nn.Conv2d(cfg.eighth, cfg.dim, 2, stride=2)
        self.to_eighth = nn.Conv2d(INPUT_CHANNELS, cfg.eighth, 3, stride=2, padding=1)
        self.eighth = Residual(cfg.eighth)
        self.to_tokens = nn.Conv2d(cfg.eighth, cfg.dim, 2, stride=2)
        self.blocks = nn.ModuleList([Block(cfg) for _ in range(cfg.depth)])
        self.from_tokens = nn.Conv2d(cfg.dim, 4 * cfg.eighth, 1)
        self.up = Residual(cfg.eighth)
        self.weights = nn.Conv2d(cfg.eighth, 4 * CANDIDATES, 1)
        self.map = LocalMap(cfg)
        with torch.no_grad():
            self.weights.weight.mul_(0.1)
            nn.init.zeros_(self.weights.bias)  # type: ignore[arg-type]
            # Candidates of `pixel_shuffle` lie four side by side: the carried change leads at first.
            assert self.weights.bias is not None
            self.weights.bias[4:8] = 2.0

    def remember(self, key: Tensor, edit: Tensor) -> KeyMemory:
        """Return the memory of a key frame `[b 48 h w]` and its edit, `h` and `w` multiples of 4."""
        appearance = self.appearance(key)
        height, width = appearance.shape[2:]
        change = self.pair_tokens(F.silu(self.pair_eighth(self.pair(torch.cat([key, edit - key], 1)))))
        positions = encode_positions(*grid_positions(height, width, key)).flatten(0, 1)
        # Mean colours of the change, 4 x 4 of them a token.
        coarse = F.pixel_unshuffle((edit - key).unflatten(1, (-1, 3)).mean(1), 4)
        a, c, m = (x.flatten(2).transpose(1, 2) for x in (appearance, change, coarse))
        parts = [block.remember(a, c, m, positions) for block in self.blocks]  # type: ignore[operator]
        keys, values = (torch.stack(part, 1) for part in zip(*parts, strict=True))
        return KeyMemory(keys, values)

    def forward(self, blocks: Tensor, positions: Positions, memory: KeyMemory | None) -> Tensor:
        """Return pictures in blocks `[b 48 h w]`, not clamped, of inputs `[b 194 h w]`; trust in them is 0 to 1."""
        now, key, edit, past, trust = (blocks[:, part] for part in (NOW, KEY, EDIT, PAST, TRUST))
        eighth = self.eighth(self.to_eighth(torch.cat([now, key - now, edit - key, past - now, trust], 1)))
        appearance = self.appearance(now)
        x = self.to_tokens(F.silu(eighth)) + appearance
        a = norm(appearance.flatten(2).transpose(1, 2))
        where = encode_positions(positions.rows, positions.columns) * positions.trust[..., None]
        for i, block in enumerate(self.blocks):
            keys, values = (None, None) if memory is None else (memory.keys[:, i], memory.values[:, i])
            x = block(x, a, where.flatten(1, 2), keys, values)
        features = F.silu(self.up(eighth + F.pixel_shuffle(self.from_tokens(F.silu(x)), 2)))
        carried, kept = ((1 - trust[:, n : n + 1]) * UNTRUSTED for n in (0, 1))
        logits = F.pixel_shuffle(self.weights(features), 2)
        logits = logits + torch.cat([torch.zeros_like(carried), carried, carried, kept], 1)
        w = logits.softmax(1)
        # Weighted changes from the picture now: what has no weight adds nothing.
        blend = now + w[:, 1:2] * (edit - key) + w[:, 2:3] * (edit - now) + w[:, 3:4] * (past - now)
        return blend + self.map(now, blend, features)
