"""Maps of what is drawn over a picture: contours, edges of light and brush strokes, at every px.

A network on blocks of 4 x 4 px has a few features for each px, too few to find a line of one px and to lay it exactly.
These maps are computed as the teachers compute theirs, and the network chooses threshold, amount and colour, see
`network.Pen`. All of it is at the working size (px of the textures), so that lines are as wide as the picture is large.

    source ─▶ working px ─▶ differences of Gaussians ─▶ mean along the edge ─▶ contours, fine and broad
                   ├─▶ structure tensor ─▶ direction ──────┴──▶ strokes along it ─▶ brushes
                   └─▶ size of the gradient ─▶ relative to its surroundings ─▶ edge of light

Pictures are in blocks of 4 x 4 working px, map by map, px by px, `[b m*16 h w]`: the convolutions of a single channel
that a filter of pictures is made of leave most of a processor's vectors empty.
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivace.models.mini.textures import STROKE_COUNT, STROKE_SHARPNESS
from vivace.models.mini2.config import BLOCK_AREA, BLOCK_PX, DRAWN_MAPS, MAP_CHANNELS, PICTURE_CHANNELS

CONTOUR_SIGMAS_PX = (1.05, 1.68, 2.69)
"""Gaussians whose neighbours' differences are the fine and the broad contours, working px."""
LINE_RANGE = 0.0625
"""Difference, in square roots of light, that a contour of 1 stands for."""
ALONG_PX = (-3.0, -1.5, 1.5, 3.0)
"""Distances along an edge over which contours are averaged, working px."""
MAPS_OUTPUTS = ("maps",)
"""Names of the graph's outputs."""
_LUMA = (0.299, 0.587, 0.114)


# -- kernels -----------------------------------------------------------------------------------------------------------


def gaussian(sigma: float, radius: int) -> Tensor:
    """Return a Gaussian of `sigma` px as a kernel `[2r+1 2r+1]` whose sum is 1."""
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, dtype=torch.float32) / sigma) ** 2)
    taps = taps / taps.sum()
    return taps[:, None] * taps[None, :]


def scharr_kernels(sigma: float) -> tuple[Tensor, Tensor]:
    """Return the kernels `[7 7]` of the derivatives to the right and down, per px, of a picture blurred by `sigma`."""
    right = torch.tensor([[-3.0, 0.0, 3.0], [-10.0, 0.0, 10.0], [-3.0, 0.0, 3.0]]) / 32
    blur = F.pad(gaussian(sigma, 2), (1, 1, 1, 1))[None, None]
    across, down = (F.conv2d(blur, d.flip(0, 1)[None, None], padding=1)[0, 0] for d in (right, right.T))
    return across, down


def block_kernel(kernel: Tensor) -> Tensor:
    """Return the weights `[16 16 n n]` that apply a px kernel `[2r+1 2r+1]` to pictures in blocks, n blocks wide."""
    radius = kernel.shape[0] // 2
    reach = -(-radius // BLOCK_PX)
    px, blocks = torch.arange(BLOCK_PX), torch.arange(-reach, reach + 1)
    at = blocks[:, None, None] * BLOCK_PX + px[None, None, :] - px[None, :, None] + radius  # [n out in]
    inside = ((at >= 0) & (at <= 2 * radius)).float()
    at = at.clamp(0, 2 * radius)
    weights = kernel[at[:, None, :, None, :, None], at[None, :, None, :, None, :]]
    weights = weights * inside[:, None, :, None, :, None] * inside[None, :, None, :, None, :]
    return weights.permute(2, 3, 4, 5, 0, 1).reshape(BLOCK_AREA, BLOCK_AREA, len(blocks), len(blocks))


def to_px() -> Tensor:
    """Return the weights `[16 1 3 3]` that interpolate a value a block to its px, linearly."""
    at = (torch.arange(BLOCK_PX) + 0.5) / BLOCK_PX - 0.5
    share = torch.stack([(-at).clamp_min(0), 1 - at.abs(), at.clamp_min(0)], 1)  # of the blocks before, here, after
    return torch.einsum("yi,xj->yxij", share, share).reshape(BLOCK_AREA, 1, 3, 3)


def doubling() -> Tensor:
    """Return the weights `[64 16 3 3]` that enlarge pictures in blocks twofold: which of 2 x 2 blocks, then px."""
    line = torch.zeros(2 * BLOCK_PX, 3 * BLOCK_PX)  # px of two blocks from those of three
    for out in range(2 * BLOCK_PX):
        at = BLOCK_PX + (out + 0.5) / 2 - 0.5
        low = math.floor(at)
        line[out, low], line[out, low + 1] = 1 - (at - low), at - low
    weights = torch.einsum("yi,xj->yxij", line, line)
    split = weights.reshape(2, BLOCK_PX, 2, BLOCK_PX, 3, BLOCK_PX, 3, BLOCK_PX)
    return split.permute(0, 2, 1, 3, 5, 7, 4, 6).reshape(4 * BLOCK_AREA, BLOCK_AREA, 3, 3)


def entering(scale: int) -> Tensor:
    """Return the weights `[48 48 s s]` from the source's blocks to working blocks: means of `s` x `s` px, by colour."""
    weights = torch.zeros(3, BLOCK_PX, BLOCK_PX, scale, BLOCK_PX, scale, BLOCK_PX, 3)  # c y x, block px block px c
    for y in range(scale * BLOCK_PX):
        for x in range(scale * BLOCK_PX):
            for c in range(3):
                place = (y // BLOCK_PX, y % BLOCK_PX, x // BLOCK_PX, x % BLOCK_PX)
                weights[(c, y // scale, x // scale, *place, c)] = scale**-2
    return weights.permute(0, 1, 2, 4, 6, 7, 3, 5).reshape(3 * BLOCK_AREA, PICTURE_CHANNELS, scale, scale)


# -- maps --------------------------------------------------------------------------------------------------------------


class Drawing(nn.Module):
    """Computation of the maps for one scale, picture px per working px. It has nothing to learn."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        blurred = [gaussian(sigma, 2 * BLOCK_PX) for sigma in CONTOUR_SIGMAS_PX]
        # Sums over blocks and their neighbours: with the interpolation to px after it, Gaussians of 2.5 and 3.25 px.
        block = torch.full((1, BLOCK_AREA, 1, 1), 1 / BLOCK_AREA)
        angles = 2 * torch.arange(STROKE_COUNT) * (math.pi / STROKE_COUNT)
        same = torch.eye(BLOCK_AREA)
        constants = {
            "enter": entering(scale),
            "luma": torch.kron(torch.tensor([_LUMA]), same)[..., None, None],
            # Dark lines are positive.
            "contours": torch.cat([block_kernel(wide - fine) for fine, wide in pairwise(blurred)]),
            "right": block_kernel(scharr_kernels(0.8)[0]),
            "down": block_kernel(scharr_kernels(0.8)[1]),
            "soft_right": block_kernel(scharr_kernels(1.0)[0]),
            "soft_down": block_kernel(scharr_kernels(1.0)[1]),
            "near": block * gaussian(0.38, 1),
            "far": block * gaussian(0.65, 1),
            "mean": block,
            "wide": gaussian(2.5, 6)[None, None],
            "to_px": to_px(),
            "cosines": torch.kron(torch.cos(angles)[:, None], same)[..., None, None],
            "sines": torch.kron(torch.sin(angles)[:, None], same)[..., None, None],
            "over_strokes": torch.kron(torch.ones(1, STROKE_COUNT), same)[..., None, None],
            "doubled": doubling().repeat(DRAWN_MAPS, 1, 1, 1),
        }
        for name, constant in constants.items():
            self.register_buffer(name, constant.contiguous(), persistent=False)

    def _by(self, x: Tensor, name: str) -> Tensor:
        return F.conv2d(x, self.get_buffer(name))

    def forward(self, source: Tensor, strokes: Tensor, flows: Tensor) -> Tensor:
        """Return the maps `[b 80*s*s h/4 w/4]`, see `at_picture_size`.

        They are contours, fine and broad, and the edge of light, in [0, 1], and two brushes in [-1, 1].

        Args:
            source: blocks of the picture `[b 48 H/4 W/4]`, a byte `v` as `v / 128 - 1`.
            strokes: strokes of `textures.stroke_fields`, `[b 128 h/4 w/4]`, a byte `v` as `v / 128 - 1`.
            flows: turns of its flows, `[b 64 h/4 w/4]`, likewise.
        """
        colours = F.conv2d((source + 1) * (128 / 255), self.get_buffer("enter"), stride=self.scale)
        around = widened(colours, 2)
        light = self._by(around, "luma")
        right, down = self._by(light, "right"), self._by(light, "down")
        cosine, sine = right * right - down * down, 2 * right * down
        moments = (cosine, sine, right * right + down * down)
        far_cosine, far_sine, square = (self._px(part, "far") for part in moments)
        parts = [
            self._lines(light, self._px(cosine, "near"), self._px(sine, "near")),
            self._light(around[..., 1:-1, 1:-1]),
            *(
                self._brush(far_cosine, far_sine, square, strokes, turns)
                for turns in torch.split(flows, 2 * BLOCK_AREA, 1)
            ),
        ]
        maps = torch.cat(parts, 1)
        # Nothing is drawn beyond the border.
        return maps if self.scale == 1 else F.conv2d(maps, self.get_buffer("doubled"), padding=1, groups=DRAWN_MAPS)

    def _px(self, moments: Tensor, kernel: str) -> Tensor:
        """Return moments `[b 16 h+2 w+2]`, summed over the blocks around, at every px, `[b 16 h w]`."""
        return self._by(F.pad(self._by(moments, kernel), (1, 1, 1, 1), mode="replicate"), "to_px")

    def _lines(self, light: Tensor, cosine: Tensor, sine: Tensor) -> Tensor:
        """Return contours `[b 32 h w]`: Kang et al., "Coherent Line Drawing" (2007), in units of `LINE_RANGE`."""
        response = F.pixel_shuffle(self._by(torch.sqrt(light + 0.02), "contours"), BLOCK_PX)
        size = torch.sqrt(cosine * cosine + sine * sine + 1e-12)
        # The edge runs across the gradient: its doubled angle has the opposite cosine and sine.
        share = 0.5 * cosine / size
        right = F.pixel_shuffle(torch.sqrt((0.5 - share).clamp_min(0)), BLOCK_PX)
        below = F.pixel_shuffle(torch.sqrt((0.5 + share).clamp_min(0)) * torch.where(sine > 0, -1.0, 1.0), BLOCK_PX)
        h, w = response.shape[-2:]
        y, x = ((2 * torch.arange(side, device=response.device) + 1) / side - 1 for side in (h, w))
        here = torch.stack([x[None, :] + 0 * y[:, None], y[:, None] + 0 * x[None, :]], -1)[None]
        step = torch.cat([right * (2 / w), below * (2 / h)], 1).permute(0, 2, 3, 1)
        total, weight = response, 1.0
        for distance in ALONG_PX:
            part = math.exp(-(distance**2) / 8)
            there = here + distance * step
            total = total + part * F.grid_sample(response, there, padding_mode="border", align_corners=False)
            weight += part
        return F.pixel_unshuffle((total * (1 / (weight * LINE_RANGE))).clamp(0, 1), BLOCK_PX)

    def _light(self, colours: Tensor) -> Tensor:
        """Return edges of light `[b 16 h w]`: the gradient of the steepest colour, relative to its surroundings."""
        b, _, h, w = colours.shape
        each = colours.reshape(3 * b, BLOCK_AREA, h, w)
        right, down = self._by(each, "soft_right"), self._by(each, "soft_down")
        edge = 2 * torch.sqrt((right * right + down * down).reshape(b, 3, BLOCK_AREA, h - 2, w - 2).amax(1))
        mean = self._by(F.pad(self._by(edge, "mean"), (7,) * 4, mode="replicate"), "wide")
        return (0.9 * edge / (0.03 + self._by(mean, "to_px")) - 0.675).clamp(0, 1) * (16 * edge - 0.32).clamp(0, 1)

    def _brush(self, cosine: Tensor, sine: Tensor, square: Tensor, strokes: Tensor, turns: Tensor) -> Tensor:
        """Return strokes along edges, and along a random field where there are none, `[b 16 h w]`."""
        free_cosine, free_sine = turns.chunk(2, 1)
        size = torch.sqrt(cosine * cosine + sine * sine + 1e-12)
        certain = (1.5 * size / (square + 1e-5) - 0.35).clamp(0, 1)
        along = certain / size
        cosine = free_cosine * (1 - certain) - cosine * along
        sine = free_sine * (1 - certain) - sine * along
        size = torch.sqrt(cosine * cosine + sine * sine + 1e-6)
        nearness = 0.5 + 0.5 * (self._by(cosine / size, "cosines") + self._by(sine / size, "sines"))
        nearness = nearness.clamp(0, 1) ** (STROKE_SHARPNESS // 2)
        laid = self._by(nearness * strokes, "over_strokes")
        return (laid / torch.sqrt(self._by(nearness * nearness, "over_strokes") + 1e-6)).clamp(-1, 1)


def widened(maps: Tensor, blocks: int) -> Tensor:
    """Return pictures in blocks `[b m*16 h w]` with `blocks` more at every side, which repeat the px at the border."""
    b, _, h, w = maps.shape
    split = maps.reshape(b, -1, BLOCK_PX, BLOCK_PX, h, w)  # b m y x h w
    left, right = (split[:, :, :, at, :, end] for at, end in ((slice(None, 1), slice(None, 1)), (slice(-1, None),) * 2))
    side = (-1, -1, -1, BLOCK_PX, -1, blocks)
    split = torch.cat([left.expand(*side), split, right.expand(*side)], -1)
    above, below = (split[:, :, at, :, end] for at, end in ((slice(None, 1), slice(None, 1)), (slice(-1, None),) * 2))
    edge = (-1, -1, BLOCK_PX, -1, blocks, -1)
    return torch.cat([above.expand(*edge), split, below.expand(*edge)], -2).flatten(1, 3)


def at_picture_size(maps: Tensor, scale: int) -> Tensor:
    """Return maps `[b 80 s*h s*w]` of those that `Drawing` returns: map, block of s x s, px are its channels."""
    b, _, h, w = maps.shape
    split = maps.reshape(b, DRAWN_MAPS, scale, scale, BLOCK_AREA, h, w)
    return split.permute(0, 1, 4, 5, 2, 6, 3).reshape(b, MAP_CHANNELS, scale * h, scale * w)


class DrawingGraph(nn.Module):
    """Maps from bytes to bytes."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.drawing = Drawing(scale)

    def forward(self, blocks: Tensor, strokes: Tensor, flows: Tensor) -> tuple[Tensor]:
        """Return maps `uint8 [1 h/4 w/4 80*s*s]`, a byte `v` being `v / 128 - 1`.

        Args:
            blocks: input of the network, `uint8 [1 H/4 W/4 128]`.
            strokes: `uint8 [1 h/4 w/4 128]`.
            flows: `uint8 [1 h/4 w/4 64]`.
        """
        source, strokes, flows = (
            (part.float() * (1 / 128) - 1).permute(0, 3, 1, 2)
            for part in (blocks[..., :PICTURE_CHANNELS], strokes, flows)
        )
        maps: Tensor = self.drawing(source, strokes, flows)
        return ((maps * 128 + 128.5).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1),)
