"""Building blocks of computed teachers: the texture fields that they see, and operators on pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vivace.train.teachers import TeacherTextures, blur, hue_weight, luma, scharr


@dataclass(frozen=True, slots=True)
class LookTextures:
    """Texture fields at the resolution of the picture: those of the first teachers, and cells."""

    base: TeacherTextures
    number: Tensor
    """Number of the cell, `[b h w]` int."""
    offset: Tensor
    """Offset to the cell's centre, `[b 2 h w]`, working px (down, right)."""
    edge: Tensor
    """Distance to the cell's border, `[b 1 h w]`, working px."""

    @property
    def scale(self) -> float:
        """Picture px per working px."""
        return self.base.scale

    @property
    def grain(self) -> Tensor:
        """Finest band, `[b 1 h w]`."""
        return self.base.bands[:, 0:1]

    @property
    def clouds(self) -> Tensor:
        """Band of washes, `[b 1 h w]`."""
        return self.base.bands[:, 1:2]

    @property
    def slow(self) -> Tensor:
        """Widest band, `[b 1 h w]`."""
        return self.base.bands[:, 3:4]


LookTeacher = Callable[[Tensor, LookTextures], Tensor]

_CELL_DEVIATION = 0.78
"""Standard deviation of the clouds' mean over a cell."""


def cell_means(x: Tensor, number: Tensor) -> Tensor:
    """Return `[b c h w]` with every px the mean of its cell."""
    b, c, h, w = x.shape
    cells = int(number.max()) + 1
    index = (number.long() + cells * torch.arange(b, device=x.device).view(-1, 1, 1)).flatten()
    flat = x.permute(0, 2, 3, 1).reshape(-1, c)
    total = flat.new_zeros(b * cells, c).index_add_(0, index, flat)
    count = flat.new_zeros(b * cells).index_add_(0, index, torch.ones_like(flat[:, 0]))
    return (total / count.clamp_min(1)[:, None])[index].view(b, h, w, c).permute(0, 3, 1, 2)


def of_cell(tex: LookTextures) -> Tensor:
    """Return a number per cell, about uniform in [0, 1], `[b 1 h w]`.

    It is made from a band, which the network sees too. A look must not depend on any other randomness: a network
    averages what it cannot know, and no petals are left.
    """
    return 0.5 * (1 + torch.erf(cell_means(tex.clouds, tex.number) / (_CELL_DEVIATION * 2**0.5)))


def squares(x: Tensor, side: int) -> Tensor:
    """Return the picture in squares of `side` px, each the mean of its px."""
    return F.interpolate(F.avg_pool2d(x, side, ceil_mode=True), scale_factor=side)[..., : x.shape[2], : x.shape[3]]


def detail_in(x: Tensor, side: int) -> Tensor:
    """Return 1 in squares of `side` px with an edge in them and 0 in plain ones, with a short ramp, `[b 1 h w]`."""
    level = luma(x)
    spread = squares((level - squares(level, side)).square(), side).sqrt()
    return ((spread - 0.05) * 50).clamp(0, 1)


def cut_cells(x: Tensor, number: Tensor, rounds: int, least: float, scale: float) -> Tensor:
    """Return the numbers of cells that are cut in two along the edge inside them, `rounds` times.

    A cell whose luma deviates by more than `least` is cut by the line half way between the centroids of its bright and
    its dark part: straight pieces that follow eyes and outlines, large ones where there is nothing to see.
    """
    level = luma(x)
    _, _, h, w = x.shape
    place = torch.stack(torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij"))[None].to(x) / scale
    for _ in range(rounds):
        rest = level - cell_means(level, number)
        bright = (rest > 0).to(x.dtype)
        means = cell_means(torch.cat([bright, place * bright, place * (1 - bright), rest.square()], 1), number)
        share = means[:, :1].clamp(0.01, 0.99)
        lighter, darker = means[:, 1:3] / share, means[:, 3:5] / (1 - share)
        beyond = ((place - (lighter + darker) / 2) * (lighter - darker)).sum(1) > 0
        number = number * 2 + (beyond & (means[:, 5].sqrt() > least)).to(number.dtype)
    return number


def borders(number: Tensor, width: float) -> Tensor:
    """Return 1 at the borders of cells, `width` px wide, and 0 inside, with soft edges, `[b 1 h w]`."""
    down, right = number[:, 1:] != number[:, :-1], number[:, :, 1:] != number[:, :, :-1]
    drawn = (F.pad(down, (0, 0, 0, 1)) | F.pad(right, (0, 1))).float()[:, None]
    return (blur(drawn, 0.5 * width) * 1.25 * width).clamp(0, 1)


def few_tones(x: Tensor, steps: int, dither: Tensor | float = 0.0) -> Tensor:
    """Return the picture in `steps` tones above black; each px keeps its hue, so that skin stays skin."""
    level = luma(x)
    tone = ((level * steps + dither).round() / steps).clamp(0, 1)
    return (x * ((tone + 0.02) / (level + 0.02))).clamp(0, 1)


def keep_features(painted: Tensor, x: Tensor, flat: Tensor) -> Tensor:
    """Restore what a `flat` picture has lost of a face: the light and dark of glasses, eyes and lips."""
    lost = luma(x) - luma(flat)
    return (painted + lost * ((lost.abs() - 0.03) * 16).clamp(0, 1)).clamp(0, 1)


def skin_like(x: Tensor, scale: float) -> Tensor:
    """Return the similarity of each px to skin, `[b 1 h w]`: of its hue, but not a plain pale wall."""
    soft = blur(x, 1.5 * scale)
    level = luma(soft)
    busy = blur((luma(x) - blur(luma(x), 3 * scale)).abs(), 9 * scale)
    hue = hue_weight(soft, (0.85, 0.55, 0.42), 0.35, 0.2)
    return (blur(hue * torch.maximum((0.72 - level) * 8, (busy - 0.02) * 50).clamp(0, 1), scale) * 1.5).clamp(0, 1)


def places(x: Tensor, period: float) -> tuple[Tensor, Tensor]:
    """Return the position of each px in a square of `period` px, down `[1 1 h 1]` and right `[1 1 1 w]`, in [0, 1)."""
    y = (torch.arange(x.shape[2], device=x.device, dtype=x.dtype) + 0.5) / period
    z = (torch.arange(x.shape[3], device=x.device, dtype=x.dtype) + 0.5) / period
    return y.frac().view(1, 1, -1, 1), z.frac().view(1, 1, 1, -1)


def relief(height: Tensor, scale: float) -> Tensor:
    """Return the shading of a surface lit from the upper left, `[b 1 h w]`, around 0."""
    gx, gy = scharr(height)
    return -(gx + gy) * scale


def curve(level: Tensor, gain: float, middle: float = 0.5) -> Tensor:
    """Return a level with more contrast: a sigmoid through (`middle`, 0.5)."""
    return torch.sigmoid((level - middle) * gain)


def glow(light: Tensor, scale: float) -> Tensor:
    """Return the halo of bright things."""
    return 0.6 * blur(light, 3 * scale) + 0.5 * blur(light, 9 * scale)


def local_contrast(x: Tensor, scale: float, gain: float) -> Tensor:
    """Raise contrast against the surroundings."""
    level = luma(x)
    return (x + (level - blur(level, 12 * scale)) * gain).clamp(0, 1)
