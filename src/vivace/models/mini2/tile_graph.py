"""One step of `mini2` on some tiles of the picture, the rest being remembered: the graph of the region cache.

A tile is the picture under one token: 32 x 32 px, which are 8 x 8 blocks, 4 x 4 features at 1/8 and 2 x 2 at 1/16. Features
are rows `[rows c]`, tile by tile, row by row within a tile. A 3x3 convolution needs rows around a tile, its *ring*: those
of another tile of this step are the ones just computed, others are what that tile's last step left. Computed tiles thus
have no seams among themselves, and no more is computed than was asked for. On all tiles the result is that of the network.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivace.models.mini.network import norm
from vivace.models.mini2.network import Block, Mini2Net, Residual, pooled, rotary_angles, scale_and_shift
from vivace.models.mini2.tiles import EIGHTH, GRIDS, SIXTEENTH, widths_of

TILE_OUTPUTS = ("picture", "new_tokens", *(f"new{grid.fraction}" for grid in GRIDS))
"""Names of the graph's outputs, in order; its inputs are a look's `code`, `step`, and those of `TileMemory.inputs`."""


class _Rows:
    """Features of one grid during a step: what was remembered of them around the tiles, and what has been computed."""

    def __init__(self, near: Tensor, ring: Tensor, channels: int) -> None:
        """Take `near [rows 9]`, where the 3 x 3 neighbours of each row are in (computed, ring, zero) rows."""
        self._near = near
        self._ring = list(torch.split(ring, channels, 1))
        self.computed: list[Tensor] = []

    def around(self, rows: Tensor) -> Tensor:
        """Return computed rows with their neighbours, `[rows 9*c]`; the rows are remembered, too."""
        ring = self._ring[len(self.computed)]
        self.computed.append(rows)
        known = torch.cat([rows, ring.to(rows.dtype), torch.zeros_like(rows[:1])], 0)
        return known[self._near].reshape(-1, 9 * rows.shape[1])

    def convolved(self, rows: Tensor, layer: nn.Conv2d) -> Tensor:
        """Return the 3x3 convolution at each row, of SiLU."""
        return linear(self.around(F.silu(rows)), layer)


def linear(rows: Tensor, layer: nn.Conv2d) -> Tensor:
    """Return a convolution where all that it sees lies in a row: places row by row, channels within."""
    weight = layer.weight.permute(0, 2, 3, 1).flatten(1)
    return F.linear(rows, weight, layer.bias)


def joined(rows: Tensor, layer: nn.Conv2d, side: int) -> Tensor:
    """Return a 2x2 convolution with stride 2 of tiles of `side` x `side` rows."""
    half = side // 2
    squares = rows.reshape(-1, half, 2, half, 2, rows.shape[1]).permute(0, 1, 3, 2, 4, 5)
    return linear(squares.reshape(-1, 4 * rows.shape[1]), layer)


def spread(rows: Tensor, side: int) -> Tensor:
    """Return rows `[n*side² 4c]` of tiles as `[n*(2 side)² c]`: pixel shuffle by 2, within tiles."""
    channels = rows.shape[1] // 4
    tiles = rows.reshape(-1, side, side, channels, 2, 2)
    return tiles.permute(0, 1, 4, 2, 5, 3).reshape(-1, channels)


class TileGraph(nn.Module):
    """`Mini2Net` on tiles, between bytes."""

    def __init__(self, net: Mini2Net) -> None:
        super().__init__()
        self.net = net

    def forward(
        self,
        code: Tensor,
        step: Tensor,
        patches: Tensor,
        maps: Tensor,
        tiles: Tensor,
        tokens: Tensor,
        near4: Tensor,
        near8: Tensor,
        near16: Tensor,
        ring4: Tensor,
        ring8: Tensor,
        ring16: Tensor,
    ) -> tuple[Tensor, ...]:
        """Return the tiles' picture in blocks `uint8 [n*64 48]`, and what is to be remembered of them."""
        net = self.net
        cond = net.cond(torch.cat([code, step], -1))
        blocks = (patches.float() * (1 / 128) - 1).permute(0, 3, 1, 2)
        fine, eighths, sixteenths = (
            _Rows(near, ring, width)
            for near, ring, width in zip(
                (near4, near8, near16), (ring4, ring8, ring16), widths_of(net.cfg), strict=True
            )
        )
        # Down.
        x = self._outward(F.conv2d(blocks[:, :, :-1, :-1], net.to_eighth.weight, net.to_eighth.bias, stride=2))
        eighth = self._residual(x, net.down8, cond, eighths)
        sixteenth = joined(F.silu(eighth), net.to_sixteenth, EIGHTH.side)
        sixteenth = self._residual(sixteenth, net.down16, cond, sixteenths)
        token, mean, remembered = self._trunk(
            joined(F.silu(sixteenth), net.to_tokens, SIXTEENTH.side), tiles, tokens, cond
        )
        # Up.
        sixteenth = self._residual(sixteenth + spread(linear(token, net.from_tokens), 1), net.up16, cond, sixteenths)
        eighth = eighth + spread(linear(sixteenth, net.from_sixteenth), SIXTEENTH.side)
        eighth = self._residual(eighth, net.up8, cond, eighths)
        picture = self._picture(blocks, maps.flatten(0, 1), eighth, cond + net.whole(mean), fine)
        return picture, remembered, *(torch.cat(rows.computed, 1) for rows in (fine, eighths, sixteenths))

    @staticmethod
    def _outward(x: Tensor) -> Tensor:
        """Return `[n c s s]`, a picture a tile, as rows `[n*s*s c]`."""
        return x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])

    @staticmethod
    def _residual(x: Tensor, block: Residual, cond: Tensor, rows: _Rows) -> Tensor:
        scale, shift = (part[..., 0, 0] for part in scale_and_shift(block.film(cond)))
        return x + rows.convolved(rows.convolved(x, block.first) * scale + shift, block.second)

    def _trunk(self, x: Tensor, tiles: Tensor, tokens: Tensor, cond: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the tiles' tokens `[n d]`, the mean of all tokens `[1 d]`, and the rows `[n d*(depth+1)]` to keep.

        What tokens see of each other is computed for all of them, from what each last was.
        """
        trunk = self.net.trunk
        cfg = trunk.cfg
        h, w = tokens.shape[:2]
        known = list(torch.split(tokens.flatten(0, 1), cfg.dim, 1))
        rows = torch.arange(h, dtype=torch.float32, device=x.device)
        columns = torch.arange(w, dtype=torch.float32, device=x.device)
        ones = torch.ones(h, w, device=x.device)
        places = torch.stack([rows[:, None] * ones, columns * ones])
        angles, means = (
            rotary_angles(at[:, 0], at[:, 1], cfg.head_dim)
            for at in (places.flatten(1).t()[tiles], pooled(places[None], cfg.pool)[0])
        )
        shared = trunk.shared(cond).unflatten(-1, (7, -1))
        kept: list[Tensor] = []
        for block, before in zip(trunk.blocks, known, strict=False):
            assert isinstance(block, Block)
            shift1, scale1, gate1, shift2, scale2, gate2, _ = (shared + block.modulation)[0].chunk(7, 0)
            y = norm(x) * (1 + scale1) + shift1
            kept.append(y)
            keys, values = block.frame.write(before.index_copy(0, tiles, y)[None], h, w)
            x = x + gate1 * block.frame(y[None], angles, keys, values, means)[0]
            x = x + gate2 * block.down(F.gelu(block.up(norm(x) * (1 + scale2) + shift2), approximate="tanh"))
        kept.append(x)
        return x, known[-1].index_copy(0, tiles, x).mean(0, keepdim=True), torch.cat(kept, 1)

    def _picture(self, blocks: Tensor, maps: Tensor, eighth: Tensor, cond: Tensor, rows: _Rows) -> Tensor:
        m, pen = self.net.map, self.net.pen
        basis = self._outward(F.conv2d(blocks, m.basis.weight, m.basis.bias))
        local = spread(linear(eighth, m.local), EIGHTH.side)
        scale, shift = (part[..., 0, 0] for part in scale_and_shift(m.film(cond)))
        x = (basis + local * (m.gate.flatten() * basis + m.offset.flatten())) * scale + shift
        drawn = pen.laid(maps.float() * (1 / 128) - 1, spread(linear(eighth, pen.local), EIGHTH.side), cond)
        return self.to_bytes(rows.convolved(rows.convolved(x, m.hidden), m.draw) + linear(x, m.linear) + drawn)

    @staticmethod
    def to_bytes(picture: Tensor) -> Tensor:
        """Return numbers of a picture as its bytes."""
        return (picture * 128 + 128.5).clamp(0, 255).to(torch.uint8)
