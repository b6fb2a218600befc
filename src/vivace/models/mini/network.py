"""Network of the embedded model.

    x_t, source, previous output ─▶ Encoder 1/2 1/4 1/8 ─▶ Trunk 1/16 (spatial + temporal attention)
                                        └──── skips ────▶ Decoder 1/8 1/4 1/2 ─▶ FinePath at output size
                                                             source, screens, strokes ───────┘

A coarse path works at the *working size*; the fine path renders at the *output size*, guided by the source at full
resolution. Pictures are float `[b 3 h w]` in [-1, 1]. The network holds no state: memory is an input and an output.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivace.models.mini.config import MiniConfig
from vivace.models.mini.textures import PIXEL_PX


class Memory(NamedTuple):
    """Keys and values of past frames, as read by the trunk."""

    keys: Tensor
    """Keys `[b n s p d]`: temporal block, slot, pooled token, width. Without positional encoding."""
    values: Tensor
    """Values `[b n s p d]`."""
    ages: Tensor
    """Frames since each slot was written, `[b s]` float, capped; negative for an empty slot."""


class ClipMemory(NamedTuple):
    """Memory of a whole clip at once, in training: its frames are adjacent in the batch, and each other's past."""

    ages: Tensor
    """Age of frame j seen from frame i, `[b t t]` float; negative where i may not attend to j."""


class Conditions(NamedTuple):
    """Conditions of one denoising step."""

    embeds: Tensor
    """Mixture weights over the styles, `[b styles]`."""
    t: Tensor
    """Flow time `[b]`: 1 is pure noise, 0 the picture."""
    log_scale: Tensor
    """log2 of output px per working px, `[b]`."""


PARTS = ("spatial", "temporal", "coarse", "fine", "colours", "strokes", "previous")
"""Parts that an ablation may switch off: attention within a frame, attention to the past, the coarse path's features,
the fine path (the coarse picture is enlarged instead), the colour map, the strokes, the previous output."""


# -- positions ---------------------------------------------------------------------------------------------------------


def rotary_angles(rows: Tensor, columns: Tensor, head_dim: int) -> Tensor:
    """Return 2-D rotary angles `[h*w head_dim/2]`: the first half rotates with the row, the second with the column."""
    quarter = head_dim // 4
    frequencies = 1.0 / (64.0 ** (torch.arange(quarter, dtype=torch.float32, device=rows.device) / quarter))
    by_row = (rows[:, None] * frequencies)[:, None, :] + torch.zeros_like(columns)[None, :, None]
    by_column = (columns[:, None] * frequencies)[None, :, :] + torch.zeros_like(rows)[:, None, None]
    return torch.cat([by_row, by_column], -1).flatten(0, 1)


def rotate(x: Tensor, angles: Tensor) -> Tensor:
    """Apply rotary positions to `[... l d]` with angles `[... l d/2]` (Su et al., RoFormer, 2021)."""
    first, second = x.chunk(2, -1)
    cosine, sine = angles.cos().to(x.dtype), angles.sin().to(x.dtype)
    return torch.cat([first * cosine - second * sine, first * sine + second * cosine], -1)


# -- trunk -------------------------------------------------------------------------------------------------------------


def attend(q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return the attention over `[b h l d]`; the one place to swap implementations."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=bias)


class SpatialAttention(nn.Module):
    """Attention of every token to all tokens of the same frame."""

    def __init__(self, cfg: MiniConfig) -> None:
        super().__init__()
        self.heads = cfg.heads
        self.qkv = nn.Linear(cfg.dim, 3 * cfg.dim, bias=False)
        self.out = nn.Linear(cfg.dim, cfg.dim)

    def forward(self, x: Tensor, angles: Tensor) -> Tensor:
        """Attend within each frame: `x [b l d]`, rotary `angles [l d/2]`."""
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(x).chunk(3, -1))
        return self.out(merge_heads(attend(rotate(q, angles), rotate(k, angles), v)))


class TemporalAttention(nn.Module):
    """Attention of every token to the pooled past: anchor and window frames, a quarter of the keys and values."""

    def __init__(self, cfg: MiniConfig) -> None:
        super().__init__()
        self.heads = cfg.heads
        self.max_age = cfg.max_age
        self.q = nn.Linear(cfg.dim, cfg.dim, bias=False)
        self.kv = nn.Linear(cfg.dim, 2 * cfg.dim, bias=False)
        self.out = nn.Linear(cfg.dim, cfg.dim)
        # With an empty memory the softmax needs a target: a learned key for "nothing yet".
        self.nothing = nn.Parameter(torch.zeros(2, 1, 1, cfg.dim))
        self.age_bias = nn.Parameter(torch.zeros(cfg.heads, self.max_age + 1))

    def write(self, x: Tensor, height: int, width: int, pool: int) -> tuple[Tensor, Tensor]:
        """Return this frame's pooled keys and values, `[b p d]` each, for the memory."""
        b, _, d = x.shape
        pooled = F.avg_pool2d(x.transpose(1, 2).reshape(b, d, height, width), pool).flatten(2).transpose(1, 2)
        k, v = self.kv(pooled).chunk(2, -1)
        return k, v

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, ages: Tensor, angles: Tensor, pooled: Tensor) -> Tensor:
        """Attend from `x [b l d]` to `keys, values [b s p d]`; positions are applied here, on reading."""
        b, s, p, d = keys.shape
        q = rotate(split_heads(self.q(x), self.heads), angles)
        k = rotate(split_heads(keys.reshape(b, s * p, d), self.heads), pooled.repeat(s, 1))
        v = split_heads(values.reshape(b, s * p, d), self.heads)
        bias = self._bias(ages, p).to(q.dtype)
        nothing_k = split_heads(self.nothing[0].expand(b, 1, d), self.heads).to(q.dtype)
        nothing_v = split_heads(self.nothing[1].expand(b, 1, d), self.heads).to(q.dtype)
        k, v = torch.cat([k, nothing_k], 2), torch.cat([v, nothing_v], 2)
        return self.out(merge_heads(attend(q, k, v, bias)))

    def _bias(self, ages: Tensor, pooled_tokens: int) -> Tensor:
        """Return the additive bias `[b h 1 s*p+1]`: a learned weight by age, -1e4 for empty slots."""
        # Linear interpolation between whole ages by a hat function: no gather, which exports cleanly.
        steps = torch.arange(self.max_age + 1, dtype=ages.dtype, device=ages.device)
        hat = (1 - (ages.clamp(0, self.max_age)[..., None] - steps).abs()).clamp_min(0)
        bias = torch.einsum("bsa,ha->bhs", hat, self.age_bias.to(hat.dtype))
        bias = bias + torch.where(ages < 0, -1e4, 0.0)[:, None]
        bias = bias[..., None].expand(-1, -1, -1, pooled_tokens).flatten(2)
        return torch.cat([bias, torch.zeros_like(bias[..., :1])], -1)[:, :, None]


class Block(nn.Module):
    """Transformer block: spatial attention, in some blocks temporal attention, then a gated MLP."""

    def __init__(self, cfg: MiniConfig, temporal: bool) -> None:
        super().__init__()
        self.spatial = SpatialAttention(cfg)
        self.temporal = TemporalAttention(cfg) if temporal else None
        self.up = nn.Linear(cfg.dim, 4 * cfg.dim)
        self.down = nn.Linear(4 * cfg.dim, cfg.dim)
        # One modulation is computed for all blocks (PixArt's adaLN-single); each adds its own offsets.
        self.modulation = nn.Parameter(torch.zeros(1, 7, cfg.dim))

    def forward(
        self,
        x: Tensor,
        shared: Tensor,
        angles: Tensor,
        pooled: Tensor,
        memory: tuple[Tensor, Tensor, Tensor] | None,
        without: frozenset[str] = frozenset(),
    ) -> Tensor:
        """Transform tokens `[b l d]`; `memory` holds past keys, values and ages."""
        shift1, scale1, gate1, shift2, scale2, gate2, gate_t = (shared + self.modulation).chunk(7, 1)
        if "spatial" not in without:
            x = x + gate1 * self.spatial(norm(x) * (1 + scale1) + shift1, angles)
        if self.temporal is not None and memory is not None and "temporal" not in without:
            keys, values, ages = memory
            x = x + gate_t * self.temporal(norm(x), keys, values, ages, angles, pooled)
        return x + gate2 * self.down(F.gelu(self.up(norm(x) * (1 + scale2) + shift2), approximate="tanh"))


def seen_by_each_frame(x: Tensor, ages: Tensor) -> Tensor:
    """Return all frames of a clip as slots for each of them, `[b*t p d]` to `[b*t t p d]`; `ages` masks the future."""
    t = ages.shape[1]
    return x.unflatten(0, (-1, t))[:, None].expand(-1, t, -1, -1, -1).flatten(0, 1)


def norm(x: Tensor) -> Tensor:
    """Return layer norm without parameters; the modulation gives scale and shift."""
    return F.layer_norm(x, x.shape[-1:])


def split_heads(x: Tensor, heads: int) -> Tensor:
    """Return `[b l h*d]` as `[b h l d]`."""
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def merge_heads(x: Tensor) -> Tensor:
    """Return `[b h l d]` as `[b l h*d]`."""
    return x.transpose(1, 2).flatten(2)


class Trunk(nn.Module):
    """Transformer on tokens at 1/16, with separate spatial and temporal attention."""

    def __init__(self, cfg: MiniConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.blocks = nn.ModuleList([Block(cfg, i in cfg.temporal_blocks) for i in range(cfg.depth)])

    def forward(
        self, tokens: Tensor, shared: Tensor, memory: Memory | ClipMemory | None, without: frozenset[str] = frozenset()
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return tokens `[b d h w]`, and keys and values `[b n p d]` for the memory."""
        _, _, h, w = tokens.shape
        rows = torch.arange(h, dtype=torch.float32, device=tokens.device)
        columns = torch.arange(w, dtype=torch.float32, device=tokens.device)
        angles = rotary_angles(rows, columns, self.cfg.head_dim)
        pool = self.cfg.pool
        centre = (pool - 1) / 2
        pooled = rotary_angles(rows[::pool] + centre, columns[::pool] + centre, self.cfg.head_dim)
        x = tokens.flatten(2).transpose(1, 2)
        keys: list[Tensor] = []
        values: list[Tensor] = []
        for block in self.blocks:
            assert isinstance(block, Block)
            past = None
            if block.temporal is not None:
                k, v = block.temporal.write(norm(x), h, w, pool)
                if isinstance(memory, Memory):
                    n = len(keys)
                    past = (memory.keys[:, n].to(x.dtype), memory.values[:, n].to(x.dtype), memory.ages)
                elif memory is not None:
                    past = (
                        seen_by_each_frame(k, memory.ages),
                        seen_by_each_frame(v, memory.ages),
                        memory.ages.flatten(0, 1),
                    )
                keys.append(k)
                values.append(v)
            x = block(x, shared, angles, pooled, past, without)
        return x.transpose(1, 2).reshape(tokens.shape), torch.stack(keys, 1), torch.stack(values, 1)


# -- convolutions ------------------------------------------------------------------------------------------------------


class Residual(nn.Module):
    """Residual block of two 3x3 convolutions, with feature-wise scale and shift from the conditioning in between."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.film = nn.Linear(dim, 2 * channels)

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        """Transform `[b c h w]` under the conditioning `[b d]`."""
        scale, shift = self.film(cond)[..., None, None].chunk(2, 1)
        return x + self.second(F.silu(self.first(F.silu(x)) * (1 + scale) + shift))


class Encoder(nn.Module):
    """Encoder of pictures and textures to features at 1/2, 1/4, 1/8 and tokens at 1/16."""

    def __init__(self, cfg: MiniConfig) -> None:
        super().__init__()
        channels = 4 * (9 + cfg.screen_channels) + cfg.texture_channels
        self.to_half = nn.Conv2d(channels, cfg.half, 3, padding=1)
        self.to_quarter = nn.Conv2d(cfg.half, cfg.quarter, 3, stride=2, padding=1)
        self.quarter_res = Residual(cfg.quarter, cfg.dim)
        self.to_eighth = nn.Conv2d(cfg.quarter, cfg.eighth, 3, stride=2, padding=1)
        self.eighth_res = Residual(cfg.eighth, cfg.dim)
        self.to_tokens = nn.Conv2d(cfg.eighth, cfg.dim, 2, stride=2)

    def forward(
        self, pictures: Tensor, screens: Tensor, textures: Tensor, cond: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return features at 1/2, 1/4, 1/8 and tokens `[b d h/16 w/16]`."""
        x = torch.cat([F.pixel_unshuffle(torch.cat([pictures, screens], 1), 2), textures], 1)
        half = self.to_half(x)
        quarter = self.quarter_res(self.to_quarter(F.silu(half)), cond)
        eighth = self.eighth_res(self.to_eighth(F.silu(quarter)), cond)
        return half, quarter, eighth, self.to_tokens(F.silu(eighth))


class Decoder(nn.Module):
    """Decoder of tokens to features at 1/2 of the working size, with additive skips."""

    def __init__(self, cfg: MiniConfig) -> None:
        super().__init__()
        self.to_eighth = nn.Conv2d(cfg.dim, 4 * cfg.eighth, 1)
        self.eighth_res = Residual(cfg.eighth, cfg.dim)
        self.to_quarter = nn.Conv2d(cfg.eighth, 4 * cfg.quarter, 1)
        self.quarter_res = Residual(cfg.quarter, cfg.dim)
        self.to_half = nn.Conv2d(cfg.quarter, 4 * cfg.half, 1)
        self.half_res = Residual(cfg.half, cfg.dim)

    def forward(self, tokens: Tensor, half: Tensor, quarter: Tensor, eighth: Tensor, cond: Tensor) -> Tensor:
        """Return features `[b c h/2 w/2]`."""
        x = self.eighth_res(eighth + F.pixel_shuffle(self.to_eighth(tokens), 2), cond)
        x = self.quarter_res(quarter + F.pixel_shuffle(self.to_quarter(x), 2), cond)
        return self.half_res(half + F.pixel_shuffle(self.to_half(x), 2), cond)


class FinePath(nn.Module):
    """Renderer of coarse features at output size, guided by the source, the screens and the strokes there.

    The base is a colour map of the source generated from the prompt (every quadratic in r, g, b); the network adds what
    a colour map cannot express. The source's cells, quantised to a few levels with ordered dither, are mixed in as the
    prompt demands. Strokes enter as a product: the features choose a direction at every place, and the stroke field of
    that direction is added at full resolution.
    """

    def __init__(self, cfg: MiniConfig) -> None:
        super().__init__()
        self.strokes = nn.Conv2d(cfg.half, 2 * cfg.stroke_channels, 1)
        self.enter = nn.Conv2d(cfg.half + 4 * (3 + cfg.screen_channels) + 8 + 3, cfg.fine, 3, padding=1)
        self.film = nn.Linear(cfg.dim, 2 * cfg.fine)
        self.hidden = nn.Conv2d(cfg.fine, 32, 3, padding=1)
        self.leave = nn.Conv2d(32, 12, 3, padding=1)
        self.colours = nn.Linear(cfg.dim, 3 * COLOUR_TERMS)
        self.print_share = nn.Linear(cfg.dim, 9)
        self.tint = nn.Conv2d(cfg.half, 3, 1)

    def forward(
        self,
        features: Tensor,
        source: Tensor,
        screens: Tensor,
        strokes: Tensor,
        cells: Tensor,
        cond: Tensor,
        without: frozenset[str] = frozenset(),
    ) -> Tensor:
        """Return the picture `[b 3 H W]`.

        Args:
            features: `[b c h/2 w/2]` of the coarse path.
            source: `[b 3 H W]`.
            screens: `[b 6 H W]`.
            strokes: `[b 4k H/2 W/2]`, pixel-unshuffled.
            cells: `[b 4 h/4 w/4]`, the source's means over cells of 4 px, and the cells' dither threshold.
            cond: `[b d]`.
            without: parts to switch off.
        """
        guide = F.pixel_unshuffle(torch.cat([source, screens], 1), 2)
        # Two mixtures of the directions, gated at 1/2 of the working size and applied at full resolution.
        gates = self.strokes(features)
        size = guide.shape[-2:]
        gates = F.interpolate(gates, size=size, mode="nearest").unflatten(1, (2, -1))
        field = strokes.unflatten(1, (-1, 4))
        if "strokes" in without:
            field = torch.zeros_like(field)
        laid = (gates[:, :, :, None] * field[:, None]).sum(2).flatten(1, 2)
        printed = F.interpolate(printed_cells(cells), size=size, mode="nearest")
        tint = F.interpolate(self.tint(features), size=source.shape[-2:], mode="nearest")
        x = self._enter(F.interpolate(features, size=size, mode="nearest"), torch.cat([guide, laid, printed], 1))
        scale, shift = self.film(cond)[..., None, None].chunk(2, 1)
        x = self.hidden(F.silu(x * (1 + scale) + shift))
        # Light is a product as well: its shape, drawn at full resolution, times its local colour.
        added = F.pixel_shuffle(self.leave(F.silu(x)), 2) * (1 + tint)
        if "colours" in without:
            return added
        share = self.print_share(cond).unflatten(-1, (3, 3)) @ printed.flatten(2)
        share = F.interpolate(share.reshape(printed.shape), scale_factor=2, mode="nearest")
        return colour_map(source, self.colours(cond)) + share + added

    def _enter(self, features: Tensor, rest: Tensor) -> Tensor:
        # One convolution of both, computed as two: features keep their memory layout, which saves a copy of the
        # network's largest tensor, a tenth of the total time at 512 x 512.
        c = features.shape[1]
        weight = self.enter.weight
        return F.conv2d(features, weight[:, :c], self.enter.bias, padding=1) + F.conv2d(rest, weight[:, c:], padding=1)


COLOUR_TERMS = 10


def colour_map(source: Tensor, coefficients: Tensor) -> Tensor:
    """Return `M [1 r g b r² g² b² rg gb br]` of every px; `M` is `[b 30]` coefficients generated from the prompt."""
    one = torch.ones_like(source[:, :1])
    terms = torch.cat([one, source, source * source, source * source.roll(-1, 1)], 1)
    return (coefficients.unflatten(-1, (3, COLOUR_TERMS)) @ terms.flatten(2)).reshape(source.shape)


PRINT_LEVELS = 4
PRINT_CONTRAST = 1.2
PRINT_SATURATION = 1.5
PRINT_DITHER = 0.275
"""Fixed constants of the quantiser: learned ones did not converge, as rounding misleads gradients. Only its share in
the picture is learned."""


def printed_cells(cells: Tensor) -> Tensor:
    """Return cells in five saturated levels per channel with ordered dither, like an old game console.

    Args:
        cells: `[b 4 h w]`, means of the source in [-1, 1], and the dither threshold.

    Returns:
        `[b 3 h w]` in [-1, 1].
    """
    colour = cells[:, :3] * PRINT_CONTRAST
    grey = (colour * colour.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)
    vivid = (grey + (colour - grey) * PRINT_SATURATION).clamp(-1, 1)
    level = (vivid + 1) * (PRINT_LEVELS / 2) + PRINT_DITHER * cells[:, 3:]
    return level.round().clamp(0, PRINT_LEVELS) * (2 / PRINT_LEVELS) - 1


# -- complete network --------------------------------------------------------------------------------------------------


class MiniNet(nn.Module):
    """Network of one denoising step: predicts the clean picture `x` from `x_t` (flow matching, x-prediction)."""

    def __init__(self, cfg: MiniConfig | None = None, *, without: frozenset[str] = frozenset()) -> None:
        """Build the network with random weights; `without` names `PARTS` to switch off, for an ablation."""
        super().__init__()
        if not without <= set(PARTS):
            raise ValueError(f"no parts {sorted(without - set(PARTS))}; known: {', '.join(PARTS)}")
        self.cfg = cfg = cfg or MiniConfig()
        self.without = without
        self.style = nn.Linear(cfg.styles, cfg.dim, bias=False)
        self.time = nn.Sequential(nn.Linear(32, cfg.dim), nn.SiLU(), nn.Linear(cfg.dim, cfg.dim))
        self.cond = nn.Sequential(nn.SiLU(), nn.Linear(cfg.dim, cfg.dim), nn.SiLU())
        self.modulation = nn.Linear(cfg.dim, 7 * cfg.dim)
        self.encoder = Encoder(cfg)
        self.trunk = Trunk(cfg)
        self.decoder = Decoder(cfg)
        self.fine = FinePath(cfg)
        self._initialise()

    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, Residual):
                nn.init.zeros_(module.second.weight)
                nn.init.zeros_(module.film.weight)
        nn.init.normal_(self.style.weight, std=0.5)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)
        with torch.no_grad():
            # Gates start slightly open, so that every branch gets gradients from the first step.
            self.modulation.bias.view(7, -1)[[2, 5, 6]] = 0.3
            self.fine.leave.weight.mul_(0.1)
            # The colour map starts as the identity.
            self.fine.colours.weight.mul_(0.1)
            self.fine.colours.bias.zero_()
            self.fine.colours.bias.view(3, COLOUR_TERMS)[:, 1:4] = torch.eye(3)
            for last in (self.fine.print_share, self.fine.tint):
                for parameter, scale in zip(last.parameters(), (0.1, 0.0), strict=True):
                    parameter.mul_(scale)

    def condition(self, conditions: Conditions) -> Tensor:
        """Return the conditioning vector `[b d]`."""
        frequencies = torch.exp(torch.arange(8, device=conditions.t.device) * (math.log(64.0) / 7))
        waves = torch.stack([conditions.t, conditions.log_scale], 1)[..., None] * frequencies
        waves = torch.cat([waves.sin(), waves.cos()], -1).flatten(1)
        return self.cond(self.style(conditions.embeds) + self.time(waves))

    def forward(
        self,
        pictures: Tensor,
        screens: Tensor,
        textures: Tensor,
        fine_source: Tensor,
        fine_screens: Tensor,
        fine_strokes: Tensor,
        conditions: Conditions,
        memory: Memory | ClipMemory | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the picture `[b 3 H W]` and this frame's keys and values `[b n p d]`.

        Args:
            pictures: `[b 9 h w]`: x_t, the source and the previous output at the working size (zeros when dropped).
            screens: `[b 6 h w]` at the working size.
            textures: `[b 15 h/2 w/2]`: bands and strokes.
            fine_source: `[b 3 H W]`, the source at output size.
            fine_screens: `[b 6 H W]`.
            fine_strokes: `[b 40 H/2 W/2]`, the stroke fields at output size, pixel-unshuffled.
            conditions: prompt, time and scale.
            memory: past keys and values, or None for no temporal memory.
        """
        if "previous" in self.without:
            pictures = torch.cat([pictures[:, :6], torch.zeros_like(pictures[:, 6:])], 1)
        cond = self.condition(conditions)
        shared = self.modulation(cond).unflatten(-1, (7, -1))
        half, quarter, eighth, tokens = self.encoder(pictures, screens, textures, cond)
        tokens, keys, values = self.trunk(tokens, shared, memory, self.without)
        features = self.decoder(tokens, half, quarter, eighth, cond)
        if "coarse" in self.without:
            features = torch.zeros_like(features)
        cells = F.avg_pool2d(torch.cat([pictures[:, 3:6], screens[:, :1]], 1), PIXEL_PX)
        guides = (fine_source, fine_screens, fine_strokes)
        if "fine" in self.without:
            guides = (pictures[:, 3:6], screens, F.interpolate(fine_strokes, size=features.shape[-2:], mode="bilinear"))
            small = self.fine(features, *guides, cells, cond, self.without)
            return F.interpolate(small, size=fine_source.shape[-2:], mode="bilinear"), keys, values
        return self.fine(features, *guides, cells, cond, self.without), keys, values
