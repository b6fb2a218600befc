"""Network of `mini2`.

    blocks 1/4 ─┬─▶ 1/8 ─▶ 1/16 ─▶ trunk 1/32 (attention; memory, where there is one)
                │    │       │          │
                │    └─ skips ┴────▶ 1/16 ─▶ 1/8 ─▶ local map ─┐
                └──▶ basis of the source 1/4 ──────────────────▶ x gate + offset ─▶ blocks 1/4

A byte `v` of a picture is `v / 128 - 1` from the first convolution to the last; a block of 4 x 4 px is 48 channels, in
the order row, column, colour. The look enters as a code that scales and shifts features everywhere. Optional inputs and
outputs that are not requested cost nothing: they have weights of their own, whose terms are left out of the graph.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivace.models.mini.network import merge_heads, norm, rotate, split_heads
from vivace.models.mini2.config import (
    BLOCK_AREA,
    CODE_DIM,
    INPUT_CHANNELS,
    PICTURE_CHANNELS,
    STEP_NUMBERS,
    Mini2Config,
)


class Conditions(NamedTuple):
    """Conditions of a step, besides its pictures."""

    code: Tensor
    """Code of the look, `[b 64]`."""
    step: Tensor
    """Step parameters `[b 4]`: share of the steps that are done (0 at the first), log2 of their count, log2 of picture
    px per working px, 1 if there is an estimate and 0 if not."""


class Memory(NamedTuple):
    """Keys and values of other frames (key frames and the window), as returned by `Attention.write`."""

    keys: Tensor
    """Keys `[b n l d]`: memory block, token, width; without positions."""
    values: Tensor
    """Values `[b n l d]`."""
    rows: Tensor
    """Present row of each token, `[b l]`, in tokens; displaced by the motion field, if there is one."""
    columns: Tensor
    """Present column of each token, `[b l]`, in tokens."""
    bias: Tensor
    """Bias of the attention's logits, `[b l]`: 0, or very negative where a slot is empty."""


class Extras(NamedTuple):
    """Optional inputs; None is not computed."""

    regions: Tensor | None = None
    """Region maps `[b r h/2 w/2]` in [0, 1], at 1/8."""
    memory: Memory | None = None


class Outputs(NamedTuple):
    """Outputs of a step."""

    picture: Tensor
    """Picture in blocks, `[b 48 h w]`, not clamped."""
    edit: Tensor | None = None
    """Edit mask `[b 1 h w]` in [0, 1]: the area in which the picture may differ from the source."""
    displacement: Tensor | None = None
    """Displacement of the source before painting, `[b 2 h/2 w/2]`, px (down, right)."""
    keys: Tensor | None = None
    """Keys of this frame for a memory, `[b n l d]`."""
    values: Tensor | None = None


# -- trunk -------------------------------------------------------------------------------------------------------------


def rotary_angles(rows: Tensor, columns: Tensor, head_dim: int) -> Tensor:
    """Return rotary angles `[... head_dim/2]` of positions: half of them rotate with the row, half with the column."""
    quarter = head_dim // 4
    frequencies = 1.0 / (32.0 ** (torch.arange(quarter, dtype=torch.float32, device=rows.device) / quarter))
    return torch.cat([rows[..., None] * frequencies, columns[..., None] * frequencies], -1)


def pooled(grid: Tensor, pool: int) -> Tensor:
    """Return means of pool x pool of `[b c h w]` as `[b l c]`; edge cells may be smaller."""
    return F.avg_pool2d(grid, pool, ceil_mode=True).flatten(2).transpose(1, 2)


class Attention(nn.Module):
    """Attention of every token to means of pool x pool tokens, of the same frame or of a memory.

    The means are a quarter of the tokens, and attention is the part that grows with the square of the picture's area.
    """

    def __init__(self, cfg: Mini2Config) -> None:
        super().__init__()
        self.heads, self.pool = cfg.heads, cfg.pool
        self.q = nn.Linear(cfg.dim, cfg.dim, bias=False)
        self.kv = nn.Linear(cfg.dim, 2 * cfg.dim, bias=False)
        self.out = nn.Linear(cfg.dim, cfg.dim)

    def write(self, x: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Return a frame's keys and values, `[b l/pool² d]` each, without positions."""
        b, _, d = x.shape
        k, v = self.kv(pooled(x.transpose(1, 2).reshape(b, d, height, width), self.pool)).chunk(2, -1)
        return k, v

    def forward(
        self, x: Tensor, angles: Tensor, keys: Tensor, values: Tensor, there: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        """Attend from `x [b l d]` at rotary `angles [l d/2]` to keys `[b m d]` at `there`; `bias` is on the logits."""
        q = rotate(split_heads(self.q(x), self.heads), angles)
        k = rotate(split_heads(keys.to(x.dtype), self.heads), there)
        v = split_heads(values.to(x.dtype), self.heads)
        return self.out(merge_heads(F.scaled_dot_product_attention(q, k, v, attn_mask=bias)))


class Grid(NamedTuple):
    """Positions of the tokens of a frame."""

    height: int
    width: int
    angles: Tensor
    """Rotary angles of the tokens, `[l d/2]`."""
    pooled: Tensor
    """Rotary angles of their means, `[l/pool² d/2]`."""


class Block(nn.Module):
    """Transformer block: attention within the frame, in some blocks to the memory, then an MLP."""

    def __init__(self, cfg: Mini2Config, memory: bool) -> None:
        super().__init__()
        self.frame = Attention(cfg)
        self.memory = Attention(cfg) if memory else None
        self.up = nn.Linear(cfg.dim, 4 * cfg.dim)
        self.down = nn.Linear(4 * cfg.dim, cfg.dim)
        # One modulation is computed for all blocks (PixArt's adaLN-single); each adds its own offsets.
        self.modulation = nn.Parameter(torch.zeros(1, 7, cfg.dim))

    def forward(self, x: Tensor, shared: Tensor, grid: Grid, memory: Memory | None, index: int) -> Tensor:
        """Transform tokens `[b l d]`; `index` is this block's place in the memory."""
        shift1, scale1, gate1, shift2, scale2, gate2, gate3 = (shared + self.modulation).chunk(7, 1)
        y = norm(x) * (1 + scale1) + shift1
        x = x + gate1 * self.frame(y, grid.angles, *self.frame.write(y, grid.height, grid.width), grid.pooled)
        if self.memory is not None and memory is not None:
            there = rotary_angles(memory.rows, memory.columns, x.shape[-1] // self.memory.heads)[:, None]
            bias = memory.bias[:, None, None].to(x.dtype)
            keys, values = memory.keys[:, index], memory.values[:, index]
            x = x + gate3 * self.memory(norm(x), grid.angles, keys, values, there, bias)
        return x + gate2 * self.down(F.gelu(self.up(norm(x) * (1 + scale2) + shift2), approximate="tanh"))


class Trunk(nn.Module):
    """Transformer on tokens at 1/32."""

    def __init__(self, cfg: Mini2Config) -> None:
        super().__init__()
        self.cfg = cfg
        self.shared = nn.Linear(cfg.dim, 7 * cfg.dim)
        self.blocks = nn.ModuleList([Block(cfg, i in cfg.memory_blocks) for i in range(cfg.depth)])

    def forward(
        self, tokens: Tensor, cond: Tensor, memory: Memory | None, remember: bool
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Return tokens `[b d h w]` and, with `remember`, this frame's keys and values `[b n l d]`."""
        _, _, h, w = tokens.shape
        rows = torch.arange(h, dtype=torch.float32, device=tokens.device)
        columns = torch.arange(w, dtype=torch.float32, device=tokens.device)
        ones = torch.ones(h, w, device=tokens.device)
        places = torch.stack([rows[:, None] * ones, columns * ones])
        angles, means = (
            rotary_angles(p[:, 0], p[:, 1], self.cfg.head_dim)
            for p in (places.flatten(1).T, pooled(places[None], self.cfg.pool)[0])
        )
        grid = Grid(h, w, angles, means)
        shared = self.shared(cond).unflatten(-1, (7, -1))
        x = tokens.flatten(2).transpose(1, 2)
        kept: list[tuple[Tensor, Tensor]] = []
        index = 0
        for block in self.blocks:
            assert isinstance(block, Block)
            if block.memory is not None and remember:
                kept.append(block.memory.write(norm(x), h, w))
            x = block(x, shared, grid, memory, index)
            index += block.memory is not None
        keys, values = (torch.stack(part, 1) for part in zip(*kept, strict=True)) if kept else (None, None)
        return x.transpose(1, 2).reshape(tokens.shape), keys, values


# -- convolutions ------------------------------------------------------------------------------------------------------


def scale_and_shift(film: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factor and the summand of features, `[b c 1 1]` each, from `film [b 2c]`, where 0 changes nothing.

    The 1 is added before the last axes are: OpenVINO would otherwise fuse it with the product, without vectorisation.
    """
    scale, shift = film.chunk(2, 1)
    return (scale + 1)[..., None, None], shift[..., None, None]


class Residual(nn.Module):
    """Residual block of two 3x3 convolutions, with a scale and shift per channel from the conditioning in between."""

    def __init__(self, channels: int, dim: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.film = nn.Linear(dim, 2 * channels)

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        """Transform `[b c h w]` under the conditioning `[b d]`."""
        scale, shift = scale_and_shift(self.film(cond))
        return x + self.second(F.silu(self.first(F.silu(x)) * scale + shift))


class LocalMap(nn.Module):
    """Renderer of blocks and features at 1/8: a local map of the source, and what such a map cannot express.

    A convolution computes a basis of the source's px; features scale some of it and are added to the rest, so that one
    product does the work of a local colour matrix (exposure, a red shirt made blue). The linear half goes straight to
    the picture; the other half passes two convolutions and draws.
    """

    def __init__(self, cfg: Mini2Config) -> None:
        super().__init__()
        f = cfg.fine
        self.basis = nn.Conv2d(INPUT_CHANNELS, f, 3, padding=1)
        self.local = nn.Conv2d(cfg.eighth, 4 * f, 1)
        self.gate = nn.Parameter((torch.arange(f) % 2 == 0).float().view(1, f, 1, 1))
        self.offset = nn.Parameter((torch.arange(f) % 2 == 1).float().view(1, f, 1, 1))
        self.film = nn.Linear(cfg.dim, 2 * f)
        self.hidden = nn.Conv2d(f, f, 3, padding=1)
        self.linear = nn.Conv2d(f, PICTURE_CHANNELS, 1)
        self.draw = nn.Conv2d(f, PICTURE_CHANNELS, 3, padding=1)

    def forward(self, blocks: Tensor, features: Tensor, cond: Tensor) -> Tensor:
        """Return the picture in blocks `[b 48 h w]` from blocks `[b 128 h w]` and features `[b c h/2 w/2]`."""
        basis = self.basis(blocks)
        local = F.pixel_shuffle(self.local(features), 2)
        scale, shift = scale_and_shift(self.film(cond))
        x = (basis + local * (self.gate * basis + self.offset)) * scale + shift
        return self.draw(F.silu(self.hidden(F.silu(x)))) + self.linear(x)


class Pen(nn.Module):
    """Drawing over a picture with the maps of `drawing`: the look chooses which and from where on, features the colour.

    A px is `sum over maps of amount * colour`: amounts are exact to the px, colours are those of the place, one a block.
    """

    gains: Tensor
    mixing: Tensor
    lined: Tensor
    amounts: Tensor
    colours: Tensor
    together: Tensor

    MIXED = 3
    """Maps after mixing: a contour, an edge of light, a brush."""
    CHOICES = 6
    """Numbers that a look chooses: shares of both contours, threshold, hardness, shares of both brushes."""
    START = (1.0, 0.0, 0.15, 8.0, 0.5, 0.5)
    """Choices before training, about those of the teachers' lines."""

    def __init__(self, cfg: Mini2Config) -> None:
        super().__init__()
        self.choices = nn.Linear(cfg.dim, self.CHOICES)
        self.local = nn.Conv2d(cfg.eighth, 4 * 3 * self.MIXED, 1)
        with torch.no_grad():
            self.choices.bias.copy_(torch.tensor(self.START))
            for value in (self.choices.weight, self.local.weight, self.local.bias):
                nn.init.zeros_(value)  # type: ignore[arg-type]
        # Sums and products over px and colours, as products with ones: nothing else is as fast in channels last.
        px = torch.ones(BLOCK_AREA)
        # By map: the choice that it is multiplied with, the first being 1, and the one of `MIXED` that it is part of.
        share_of = F.one_hot(torch.tensor([1, 2, 0, 5, 6]), 1 + self.CHOICES).float().T.contiguous()
        part_of = F.one_hot(torch.tensor([0, 0, 1, 2, 2]), self.MIXED).float().T.contiguous()
        constants = {
            "gains": torch.kron(share_of, px[None]),
            "mixing": torch.kron(part_of, torch.diag(px)),
            "lined": torch.kron(torch.tensor([1.0, 0.0, 0.0]), px),
            "amounts": torch.kron(torch.eye(self.MIXED), torch.kron(torch.diag(px), torch.ones(3, 1))),
            "colours": torch.kron(torch.eye(self.MIXED), torch.kron(px[:, None], torch.eye(3))),
            "together": torch.eye(PICTURE_CHANNELS).repeat(1, self.MIXED),
        }
        for name, constant in constants.items():
            self.register_buffer(name, constant, persistent=False)

    def laid(self, maps: Tensor, colours: Tensor, cond: Tensor) -> Tensor:
        """Return what is added to the picture in blocks, `[b 48 ...]`, from maps `[b 80 ...]` and colours `[b 9 ...]`.

        Without further axes, `b` are rows of one picture: its conditioning is `[1 d]`.
        """

        def times(x: Tensor, ones: Tensor) -> Tensor:
            return F.conv2d(x, ones[..., None, None]) if x.dim() == 4 else F.linear(x, ones)

        beyond = (1,) * (maps.dim() - 2)
        choices = self.choices(cond)
        gains = F.pad(choices, (1, 0), value=1.0) @ self.gains
        threshold, hardness = (choices[:, k : k + 1].reshape(-1, 1, *beyond) for k in (2, 3))
        mixed = times(maps * gains.reshape(*gains.shape, *beyond), self.mixing)
        lined = self.lined.reshape(1, -1, *beyond)
        mixed = torch.tanh(F.relu(mixed - threshold) * hardness) * lined + mixed * (1 - lined)
        return times(times(mixed, self.amounts) * times(colours, self.colours), self.together)

    def forward(self, maps: Tensor, features: Tensor, cond: Tensor) -> Tensor:
        """Return what is added to the picture in blocks, `[b 48 h w]`, from maps `[b 80 h w]`, features at 1/8."""
        return self.laid(maps, F.pixel_shuffle(self.local(features), 2), cond)


class Mini2Net(nn.Module):
    """Complete network. `edit`, `displacement` and `remember` select the outputs computed besides the picture."""

    def __init__(self, cfg: Mini2Config | None = None) -> None:
        super().__init__()
        cfg = cfg or Mini2Config()
        self.cfg = cfg
        self.cond = nn.Sequential(
            nn.Linear(CODE_DIM + STEP_NUMBERS, cfg.dim), nn.SiLU(), nn.Linear(cfg.dim, cfg.dim), nn.SiLU()
        )
        self.to_eighth = nn.Conv2d(INPUT_CHANNELS, cfg.eighth, 3, stride=2, padding=1)
        self.regions = nn.Conv2d(cfg.regions, cfg.eighth, 1, bias=False)
        self.down8 = Residual(cfg.eighth, cfg.dim)
        self.to_sixteenth = nn.Conv2d(cfg.eighth, cfg.sixteenth, 2, stride=2)
        self.down16 = Residual(cfg.sixteenth, cfg.dim)
        self.to_tokens = nn.Conv2d(cfg.sixteenth, cfg.dim, 2, stride=2)
        self.trunk = Trunk(cfg)
        self.whole = nn.Linear(cfg.dim, cfg.dim)
        self.from_tokens = nn.Conv2d(cfg.dim, 4 * cfg.sixteenth, 1)
        self.up16 = Residual(cfg.sixteenth, cfg.dim)
        self.from_sixteenth = nn.Conv2d(cfg.sixteenth, 4 * cfg.eighth, 1)
        self.up8 = Residual(cfg.eighth, cfg.dim)
        self.map = LocalMap(cfg)
        self.pen = Pen(cfg)
        self.edit = nn.Conv2d(cfg.eighth, 4, 1)
        self.displacement = nn.Conv2d(cfg.eighth, 2, 1)
        self._initialise()

    def _initialise(self) -> None:
        """Initialise as the identity.

        The source's basis is orthonormal, the linear half is its transpose, the rest is 0.
        """
        with torch.no_grad():
            for module in self.modules():
                if isinstance(module, Residual):
                    nn.init.zeros_(module.second.weight)
                    nn.init.zeros_(module.film.weight)
                    nn.init.zeros_(module.film.bias)
                if isinstance(module, Block):
                    module.modulation[:, [2, 5]] = 0.3
                    module.modulation[:, 6] = 0.1
            m = self.map
            f = self.cfg.fine
            frame = torch.linalg.qr(torch.randn(f, f))[0][:, :PICTURE_CHANNELS]
            m.basis.weight.mul_(0.3)
            m.basis.weight[:, :PICTURE_CHANNELS] *= 0
            m.basis.weight[:, :PICTURE_CHANNELS, 1, 1] = frame
            m.linear.weight.copy_(frame.T[..., None, None])
            m.basis.weight[:, PICTURE_CHANNELS:] *= 0.1
            for layer in (m.basis, m.linear, m.draw, m.local):
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            for weight in (m.local.weight, m.draw.weight, m.film.weight, self.regions.weight, self.displacement.weight):
                weight.mul_(0.1)
            nn.init.zeros_(m.film.bias)
            nn.init.zeros_(self.displacement.bias)  # type: ignore[arg-type]
            nn.init.zeros_(self.whole.weight)
            nn.init.zeros_(self.whole.bias)

    def forward(
        self,
        blocks: Tensor,
        maps: Tensor,
        conditions: Conditions,
        extras: Extras = Extras(),
        *,
        edit: bool = False,
        displacement: bool = False,
        remember: bool = False,
    ) -> Outputs:
        """Return one step's outputs for blocks `[b 128 h w]` and maps `[b 80 h w]`; `h`, `w` are multiples of 8."""
        cond = self.cond(torch.cat([conditions.code, conditions.step], -1))
        x = self.to_eighth(blocks)
        if extras.regions is not None:
            x = x + self.regions(extras.regions)
        eighth = self.down8(x, cond)
        sixteenth = self.down16(self.to_sixteenth(F.silu(eighth)), cond)
        tokens, keys, values = self.trunk(self.to_tokens(F.silu(sixteenth)), cond, extras.memory, remember)
        sixteenth = self.up16(sixteenth + F.pixel_shuffle(self.from_tokens(tokens), 2), cond)
        eighth = self.up8(eighth + F.pixel_shuffle(self.from_sixteenth(sixteenth), 2), cond)
        # The mean of the whole picture affects its colours: flickering exposure is visible here and nowhere else.
        whole = cond + self.whole(tokens.mean((2, 3)))
        picture = self.map(blocks, eighth, whole) + self.pen(maps, eighth, whole)
        return Outputs(
            picture,
            torch.sigmoid(F.pixel_shuffle(self.edit(eighth), 2)) if edit else None,
            self.displacement(eighth) if displacement else None,
            keys,
            values,
        )
