"""Computed teachers of the new looks, beside those of `train.teachers`, which stay as they are.

Each is a function `(x, tex) -> y` of pictures `[b 3 h w]` in [0, 1]. What is random in them comes from `tex`, the fields the
student sees, in px of the working size; `tex.base.scale` is picture px per working px.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vivace.models.mini.textures import PIXEL_PX
from vivace.train.teachers import (
    TEACHERS,
    TeacherTextures,
    blur,
    flatten_regions,
    gradient_map,
    hue_weight,
    lines,
    luma,
    mix,
    posterise,
    rgb,
    saturate,
    scharr,
    tangent,
)


@dataclass(frozen=True, slots=True)
class LookTextures:
    """Texture fields at the resolution of the picture: those of the first teachers, and cells."""

    base: TeacherTextures
    number: Tensor
    """`[b h w]` int: which cell."""
    offset: Tensor
    """`[b 2 h w]` to the cell's centre, working px (down, right)."""
    edge: Tensor
    """`[b 1 h w]` to the cell's border, working px."""

    @property
    def scale(self) -> float:
        """Picture px per working px."""
        return self.base.scale

    @property
    def grain(self) -> Tensor:
        """`[b 1 h w]` the finest band."""
        return self.base.bands[:, 0:1]

    @property
    def clouds(self) -> Tensor:
        """`[b 1 h w]` the band of washes."""
        return self.base.bands[:, 1:2]

    @property
    def slow(self) -> Tensor:
        """`[b 1 h w]` the widest band."""
        return self.base.bands[:, 3:4]


LookTeacher = Callable[[Tensor, LookTextures], Tensor]

_CELL_DEVIATION = 0.78
"""Deviation of the clouds' mean over a cell."""

# -- operators ---------------------------------------------------------------------------------------------------------


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
    """Return a number in [0, 1] per cell, `[b 1 h w]`, about uniform.

    It is made of a band, which the network sees too. A look must depend on nothing else that is random: what a network
    cannot know it averages, and there are no petals left.
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
    """Return the numbers of cells cut in two along the edge inside them, `rounds` times.

    A cell whose luma deviates by more than `least` is cut by the line half way between the middles of its bright and of its
    dark part: straight pieces that follow eyes and outlines, large ones where there is nothing to see.
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
    """Return 1 on the borders of cells, `width` px wide, and 0 inside, softly, `[b 1 h w]`."""
    down, right = number[:, 1:] != number[:, :-1], number[:, :, 1:] != number[:, :, :-1]
    drawn = (F.pad(down, (0, 0, 0, 1)) | F.pad(right, (0, 1))).float()[:, None]
    return (blur(drawn, 0.5 * width) * 1.25 * width).clamp(0, 1)


def few_tones(x: Tensor, steps: int, dither: Tensor | float = 0.0) -> Tensor:
    """Return the picture in `steps` tones above black, each px of its own hue: skin stays skin."""
    level = luma(x)
    tone = ((level * steps + dither).round() / steps).clamp(0, 1)
    return (x * ((tone + 0.02) / (level + 0.02))).clamp(0, 1)


def keep_features(painted: Tensor, x: Tensor, flat: Tensor) -> Tensor:
    """Put back what a `flat` picture has lost of a face: the light and dark of glasses, eyes and lips."""
    lost = luma(x) - luma(flat)
    return (painted + lost * ((lost.abs() - 0.03) * 16).clamp(0, 1)).clamp(0, 1)


def skin_like(x: Tensor, scale: float) -> Tensor:
    """Return how much a px is like skin, `[b 1 h w]`: of its hue, and no plain pale wall of the same hue."""
    soft = blur(x, 1.5 * scale)
    level = luma(soft)
    busy = blur((luma(x) - blur(luma(x), 3 * scale)).abs(), 9 * scale)
    hue = hue_weight(soft, (0.85, 0.55, 0.42), 0.35, 0.2)
    return (blur(hue * torch.maximum((0.72 - level) * 8, (busy - 0.02) * 50).clamp(0, 1), scale) * 1.5).clamp(0, 1)


def places(x: Tensor, period: float) -> tuple[Tensor, Tensor]:
    """Return where in a square of `period` px each px lies, down `[1 1 h 1]` and right `[1 1 1 w]`, in [0, 1)."""
    y = (torch.arange(x.shape[2], device=x.device, dtype=x.dtype) + 0.5) / period
    z = (torch.arange(x.shape[3], device=x.device, dtype=x.dtype) + 0.5) / period
    return y.frac().view(1, 1, -1, 1), z.frac().view(1, 1, 1, -1)


def relief(height: Tensor, scale: float) -> Tensor:
    """Return light from the upper left on a surface, `[b 1 h w]` around 0."""
    gx, gy = scharr(height)
    return -(gx + gy) * scale


def curve(level: Tensor, gain: float, middle: float = 0.5) -> Tensor:
    """Return a level with more contrast: an S through (`middle`, 0.5)."""
    return torch.sigmoid((level - middle) * gain)


def glow(light: Tensor, scale: float) -> Tensor:
    """Return the halo of bright things."""
    return 0.6 * blur(light, 3 * scale) + 0.5 * blur(light, 9 * scale)


def local_contrast(x: Tensor, scale: float, gain: float) -> Tensor:
    """Raise contrast against the surroundings."""
    level = luma(x)
    return (x + (level - blur(level, 12 * scale)) * gain).clamp(0, 1)


# -- material ----------------------------------------------------------------------------------------------------------


def stained_glass(x: Tensor, tex: LookTextures) -> Tensor:
    """Pieces of coloured glass between leads, cut along what is seen, light from behind; skin is painted on the glass."""
    number = cut_cells(x, tex.number, 4, 0.06, tex.scale)
    skin = blur(skin_like(x, tex.scale), 3 * tex.scale)
    bright = saturate(local_contrast(x, tex.scale, 0.5), 2.2)
    glass = mix(cell_means(bright, number), bright, 0.25 + 0.6 * skin)
    glass = glass.clamp(0, 1) ** 0.85 * (0.88 + 0.35 * of_cell(tex)) * (1 + 0.08 * tex.clouds)
    # Leads between whole pieces are thick, those of cuts thin: a face has many.
    whole = 1 - ((tex.edge - 0.45) * 2.2).clamp(0, 1)
    lead = torch.maximum(whole * 0.9, 0.75 * borders(number, 0.9 * tex.scale))
    lead = lead * (1 - 0.85 * skin)
    return mix(glass * 1.08, rgb(x, 0.03, 0.03, 0.05), lead).clamp(0, 1)


def mosaic(x: Tensor, tex: LookTextures) -> Tensor:
    """Small square stones in grey joints, each of its own tone."""
    side = max(2, round(4 * tex.scale))
    stone = squares(saturate(local_contrast(x, tex.scale, 0.45), 1.8), side)
    y, z = places(x, side)
    shade = squares(tex.grain, side) * 1.6
    stone = posterise((stone * (1 + 0.09 * shade)).clamp(0, 1), 9, 4.0)
    inside = (torch.minimum(torch.minimum(y, 1 - y), torch.minimum(z, 1 - z)) * side / tex.scale - 0.12) * 2.6
    lit = 1 + 0.14 * ((0.5 - y) + (0.5 - z))
    return mix(
        rgb(x, 0.52, 0.49, 0.45) * (0.6 + 0.55 * luma(blur(x, 2 * tex.scale))), stone * lit, inside.clamp(0, 1)
    ).clamp(0, 1)


def low_poly(x: Tensor, tex: LookTextures) -> Tensor:
    """Flat facets, each lit as one plane, smaller where there is more to see."""
    s = saturate(local_contrast(x, tex.scale, 0.4), 1.35)
    # Every tile falls into four facets by the side of its centre on which a px lies.
    down, right = tex.offset.split(1, 1)
    first, second = down + right > 0, down - right > 0
    facet = tex.number * 4 + (first.int() * 2 + second.int())[:, 0]
    flat = cell_means(s, cut_cells(x, facet, 4, 0.05, tex.scale))
    return (flat * (1 + 0.045 * (first.float() * 2 - 1) + 0.03 * (second.float() * 2 - 1))).clamp(0, 1)


def toy_bricks(x: Tensor, tex: LookTextures) -> Tensor:
    """Plates of toy bricks with studs, in few bright colours; small ones where there is more to see."""
    side = max(8, round(8 * tex.scale))
    bright = saturate(((x - 0.5) * 1.2 + 0.53).clamp(0, 1), 1.5)

    def plate(side: int) -> Tensor:
        s = few_tones(squares(bright, side), 10) * 0.92 + 0.04
        y, z = places(x, side)
        radius = torch.hypot(y - 0.5, z - 0.5)
        stud = ((0.34 - radius) * side / tex.scale * 1.1).clamp(0, 1)
        rim = torch.exp(-(((radius - 0.33) * 11) ** 2))
        light = rim * ((0.5 - y) + (0.5 - z)) * 1.15 + stud * 0.06
        joint = (torch.minimum(torch.minimum(y, 1 - y), torch.minimum(z, 1 - z)) * side / tex.scale * 1.3).clamp(0, 1)
        return (s * (0.62 + 0.38 * joint) * (1 + 0.55 * light) + 0.05 * light).clamp(0, 1)

    small = mix(plate(side // 2), plate(side // 4), detail_in(x, side // 2))
    return mix(plate(side), small, detail_in(x, side))


def clay(x: Tensor, tex: LookTextures) -> Tensor:
    """Modelling clay: round soft forms, thumb marks, matt colours."""
    s = flatten_regions(x, tex.scale, 3, 0.12)
    s = saturate(blur(s, 0.7 * tex.scale), 1.5) * 0.86 + 0.07
    height = blur(luma(x), 1.1 * tex.scale) + 0.012 * tex.clouds + 0.006 * blur(tex.grain, tex.scale)
    rounded = relief(height, tex.scale) * 2.8
    return (s * (1 + rounded.clamp(-0.35, 0.4)) + 0.05 * rounded.clamp(0, 0.6)).clamp(0, 1)


def paper_craft(x: Tensor, tex: LookTextures) -> Tensor:
    """Layers of cut coloured paper, each with the shadow of the one above."""
    flat = flatten_regions(x, tex.scale, 3, 0.10)
    s = keep_features(flat, x, flat)
    level = luma(blur(s, 0.6 * tex.scale))
    layers = posterise(level, 7, 12.0)
    step = max(1, round(1.6 * tex.scale))
    above = F.pad(blur(layers, 0.8 * tex.scale), (step, 0, step, 0), mode="replicate")[..., : x.shape[2], : x.shape[3]]
    shadow = ((above - layers) * 4.5).clamp(0, 1)
    paper = saturate((s * ((layers + 0.05) / (level + 0.05))).clamp(0, 1), 1.5) * 0.88 + 0.10
    return (paper * (1 - 0.42 * shadow) * (1 + 0.035 * tex.grain)).clamp(0, 1)


def marble(x: Tensor, tex: LookTextures) -> Tensor:
    """Polished white marble with grey veins, carved by light."""
    level = luma(flatten_regions(x, tex.scale, 2, 0.1))
    vein = torch.exp(-((tex.slow * 1.1 + 0.35 * tex.clouds + 0.08 * tex.grain) ** 2) * 45)
    carved = 0.36 + 0.60 * curve(level, 4.0, 0.40) + relief(blur(luma(x), 1.0 * tex.scale), tex.scale) * 2.2
    shine = (curve(blur(level, 2 * tex.scale), 14, 0.80)) * 0.14
    stone = carved * (1 - 0.22 * vein) + 0.012 * tex.grain
    return mix(rgb(x, 0.16, 0.17, 0.20), rgb(x, 0.98, 0.97, 0.95), stone.clamp(0, 1)) + shine


def gold(x: Tensor, tex: LookTextures) -> Tensor:
    """Polished gold: bands of reflection that follow the forms."""
    level = blur(luma(local_contrast(x, tex.scale, 0.6)), 1.0 * tex.scale)
    bands = 0.5 + 0.5 * torch.sin(level * 13.0 + 0.5)
    bright = (0.55 * curve(level, 6.0, 0.45) + 0.32 * bands + relief(luma(x), tex.scale) * 1.3 + 0.06).clamp(0, 1)
    stops = [(0.10, 0.04, 0.01), (0.42, 0.22, 0.04), (0.78, 0.53, 0.13), (0.98, 0.82, 0.36), (1.0, 0.97, 0.80)]
    return (gradient_map(bright, stops) + 0.012 * tex.grain).clamp(0, 1)


# -- drawing -----------------------------------------------------------------------------------------------------------


def pointillist(x: Tensor, tex: LookTextures) -> Tensor:
    """Dabs of pure colour side by side; mixed by the eye."""
    s = saturate(local_contrast(x, tex.scale, 0.3), 1.7)
    # A dab in every square of a 4 px grid, shifted and tinted by strokes.
    side = max(2, round(4 * tex.scale))
    dab = squares(s, side)
    tint = torch.cat([squares(tex.base.strokes[:, k : k + 1], side) for k in (1, 3, 6)], 1) * 0.09
    y, z = places(x, side)
    jitter_y, jitter_z = (0.16 * squares(tex.base.strokes[:, k : k + 1], side) for k in (0, 4))
    radius = torch.hypot(y - 0.5 - jitter_y, z - 0.5 - jitter_z)
    round_ = ((0.56 - radius) * side / tex.scale * 1.4).clamp(0, 1)
    under = squares(blur(s, 2 * tex.scale), side * 2) * 0.62 + rgb(x, 0.32, 0.31, 0.27)
    return mix(under, dab + tint, round_).clamp(0, 1)


def charcoal(x: Tensor, tex: LookTextures) -> Tensor:
    """Soft black charcoal rubbed into rough paper."""
    level = luma(flatten_regions(x, tex.scale, 2, 0.12))
    drawn = lines(x, tex.scale, 2.0, 0.008, 75.0)
    tone = curve(blur(level, 1.2 * tex.scale), 5.5, 0.36)
    tooth = 0.07 * tex.grain + 0.09 * tex.base.strokes[:, 1:2]
    black = (1 - (tone * (0.35 + 0.65 * drawn))).clamp(0, 1)
    left = 1 - (black * (1.0 + tooth * (1.5 - black))).clamp(0, 1)
    return mix(rgb(x, 0.09, 0.085, 0.085), rgb(x, 0.94, 0.92, 0.88), left)


def chalk(x: Tensor, tex: LookTextures) -> Tensor:
    """Coloured chalk on a green blackboard."""
    drawn = 1 - lines(x, tex.scale, 1.7, 0.007, 90.0)
    s = saturate(flatten_regions(x, tex.scale, 3, 0.13), 1.3)
    light = ((luma(s) - 0.42) * 1.5).clamp(0, 0.75)
    dust = (0.62 + 0.42 * tex.grain + 0.25 * tex.base.strokes[:, 6:7]).clamp(0, 1)
    amount = (drawn * 0.95 + light * (0.35 + 0.65 * dust) * 0.8).clamp(0, 1) * (0.72 + 0.28 * dust)
    board = rgb(x, 0.10, 0.19, 0.16) * (1 + 0.10 * tex.slow + 0.06 * tex.clouds)
    return mix(board, (s * 0.5 + 0.5 * luma(s) + 0.28).clamp(0, 1), amount).clamp(0, 1)


def pastel(x: Tensor, tex: LookTextures) -> Tensor:
    """Soft pastel sticks on tinted paper: pale colours laid in strokes."""
    s = flatten_regions(x, tex.scale, 3, 0.13, 5)
    s = saturate(s, 1.25) * 0.72 + 0.26
    angle, _ = tangent(x, 4.0 * tex.scale)
    along = torch.cos(2 * (angle - 0.8)) * 0.5 + 0.5
    stick = mix(tex.base.strokes[:, 5:6], tex.base.strokes[:, 2:3], along)
    cover = (0.80 + 0.17 * stick + 0.10 * tex.grain).clamp(0, 1)
    paper = rgb(x, 0.80, 0.74, 0.66)
    out = mix(paper, s, cover)
    return (out * (0.66 + 0.34 * lines(x, tex.scale, 1.6, 0.012, 55.0))).clamp(0, 1)


def pop_art(x: Tensor, tex: LookTextures) -> Tensor:
    """A screen-printed poster: four flat inks by tone, dots between them."""
    level = luma(flatten_regions(local_contrast(x, tex.scale, 0.5), tex.scale, 3, 0.14))
    dots = 0.16 * tex.base.screens[:, 1:2]
    stops = [(0.10, 0.07, 0.28), (0.86, 0.10, 0.42), (1.0, 0.62, 0.12), (0.99, 0.93, 0.45)]
    flat = posterise((level * 1.05 + dots * (0.5 - (level - 0.5).abs())).clamp(0, 1), 3, 9.0)
    sky = hue_weight(x, (0.25, 0.5, 0.95), 0.5, 0.3) + hue_weight(x, (0.25, 0.75, 0.3), 0.5, 0.3)
    out = mix(gradient_map(flat, stops), rgb(x, 0.10, 0.62, 0.72) * (0.45 + 0.75 * flat), sky.clamp(0, 0.9))
    return (out * (0.12 + 0.88 * lines(x, tex.scale, 1.3, 0.010, 120.0))).clamp(0, 1)


# -- screens -----------------------------------------------------------------------------------------------------------


def vaporwave(x: Tensor, tex: LookTextures) -> Tensor:
    """Pink and turquoise dusk of an eighties' screen."""
    level = luma(local_contrast(x, tex.scale, 0.35))
    stops = [(0.10, 0.03, 0.25), (0.36, 0.10, 0.52), (0.93, 0.28, 0.65), (1.0, 0.66, 0.66), (0.62, 0.98, 0.96)]
    toned = gradient_map(curve(level, 5.0, 0.45), stops)
    out = toned * 0.78 + saturate(x, 1.3) * 0.22
    y, _ = places(x, 4 * tex.scale)
    out = out * (0.95 + 0.05 * torch.cos(2 * math.pi * y))
    bright = ((level - 0.62) * 2.2).clamp(0, 1) * rgb(x, 1.0, 0.35, 0.75)
    return (out + 0.35 * glow(bright, tex.scale)).clamp(0, 1)


def vhs(x: Tensor, tex: LookTextures) -> Tensor:
    """A worn video tape: soft smeared colour, scan lines, noise."""
    level = luma(x)
    chroma = F.avg_pool2d(F.pad(x - level, (8, 8, 0, 0), mode="replicate"), (1, 9), 1)[..., 2 : 2 + x.shape[3]]
    chroma = F.pad(chroma, (round(2 * tex.scale), 0, 0, 0), mode="replicate")[..., : x.shape[3]]
    soft = blur(level, 0.7 * tex.scale)
    sharp = (soft + 0.7 * (soft - blur(soft, 1.6 * tex.scale))).clamp(0, 1)
    y, _ = places(x, 4 * tex.scale)
    out = (sharp * 0.86 + 0.09) + chroma * 1.35
    out = out * (0.93 + 0.07 * torch.cos(2 * math.pi * y)) * rgb(x, 1.04, 0.98, 1.03)
    return (out + 0.035 * tex.base.strokes[:, 0:1] + 0.02 * tex.grain).clamp(0, 1)


def night_vision(x: Tensor, tex: LookTextures) -> Tensor:
    """An image intensifier: green, glowing lights, grain."""
    level = luma(x).clamp_min(1e-4) ** 0.72
    level = (level + 0.4 * (level - blur(level, 6 * tex.scale))).clamp(0, 1)
    bright = ((level - 0.72) * 3).clamp(0, 1)
    level = level * 0.86 + 0.5 * glow(bright, tex.scale) + 0.05 * tex.grain
    return gradient_map(
        level.clamp(0, 1), [(0.0, 0.05, 0.02), (0.04, 0.33, 0.10), (0.25, 0.78, 0.25), (0.86, 1.0, 0.80)]
    )


def hologram(x: Tensor, tex: LookTextures) -> Tensor:
    """Blue light in the air: rims glow, scan lines, what is flat is nearly clear."""
    level = luma(flatten_regions(x, tex.scale, 2, 0.1))
    gx, gy = scharr(blur(luma(x), 0.9 * tex.scale))
    rim = (torch.sqrt(gx * gx + gy * gy + 1e-8) * tex.scale * 9 - 0.12).clamp(0, 1)
    y, _ = places(x, 4 * tex.scale)
    light = 0.55 * curve(level, 5, 0.45) + 0.75 * rim
    light = light * (0.80 + 0.20 * torch.cos(2 * math.pi * y)) + 0.35 * glow(rim, tex.scale) * 0.6
    return (light * rgb(x, 0.25, 0.85, 1.0) + light**3 * 0.4 + rgb(x, 0.01, 0.04, 0.10) + 0.012 * tex.grain).clamp(0, 1)


def x_ray(x: Tensor, tex: LookTextures) -> Tensor:
    """A radiograph on a light box: inverted, pale where things are dense."""
    level = 1 - blur(luma(x), 1.0 * tex.scale)
    gx, gy = scharr(blur(luma(x), 1.2 * tex.scale))
    rim = (torch.sqrt(gx * gx + gy * gy + 1e-8) * tex.scale * 5).clamp(0, 0.6)
    dense = curve(level * 0.85 + rim, 5.0, 0.55) + 0.5 * (level - blur(level, 8 * tex.scale))
    stops = [(0.01, 0.02, 0.05), (0.12, 0.22, 0.34), (0.50, 0.66, 0.78), (0.95, 0.98, 1.0)]
    return (gradient_map(dense.clamp(0, 1), stops) + 0.018 * tex.grain).clamp(0, 1)


def matrix(x: Tensor, tex: LookTextures) -> Tensor:
    """Falling green code: columns of glyphs whose light is the picture."""
    side = max(4, round(4 * tex.scale))
    level = curve(luma(local_contrast(x, tex.scale, 0.6)), 5.0, 0.45)
    cell = squares(level, side)
    glyph = F.interpolate(
        (F.avg_pool2d(tex.grain, max(1, round(tex.scale))) > 0.0).float(), size=x.shape[-2:], mode="nearest"
    )
    y, z = places(x, side)
    inside = ((z > 0.12) & (z < 0.88) & (y > 0.08) & (y < 0.92)).to(x.dtype)
    light = (cell * 1.1 * (0.35 + 0.65 * glyph) * inside + 0.22 * level).clamp(0, 1)
    light = light + 0.25 * blur(light, 2 * tex.scale)
    return gradient_map(
        light.clamp(0, 1), [(0.0, 0.03, 0.01), (0.0, 0.38, 0.12), (0.22, 0.92, 0.35), (0.88, 1.0, 0.88)]
    )


def handheld(x: Tensor, tex: LookTextures) -> Tensor:
    """A handheld console of the eighties: four greens, ordered dither, square dots."""
    side = max(1, round(2 * tex.scale))
    level = luma(squares(local_contrast(x, tex.scale, 0.5), side))
    threshold = F.interpolate(
        F.avg_pool2d(tex.base.screens[:, 0:1], max(1, round(4 * tex.scale))), size=x.shape[-2:], mode="nearest"
    )
    tone = ((curve(level, 4.5, 0.45) * 3 + 0.42 * threshold).round() / 3).clamp(0, 1)
    stops = [(0.06, 0.22, 0.06), (0.19, 0.38, 0.19), (0.55, 0.67, 0.06), (0.61, 0.74, 0.06)]
    return gradient_map(tone, stops)


# -- light, weather, seasons -------------------------------------------------------------------------------------------


def underwater(x: Tensor, tex: LookTextures) -> Tensor:
    """Blue-green depth: red is lost, light dances, things fade with brightness."""
    soft = mix(x, blur(x, 1.6 * tex.scale), torch.full_like(x[:, :1], 0.5))
    level = luma(soft)
    water = rgb(x, 0.03, 0.30, 0.42)
    base = soft * rgb(x, 0.42, 0.86, 0.95) * 0.78 + water * 0.36
    caustic = torch.exp(-((0.8 * tex.clouds + 0.9 * tex.slow) ** 2) * 7) * (0.04 + 0.20 * level)
    haze = blur(level, 20 * tex.scale)
    return (base + caustic * rgb(x, 0.55, 0.95, 0.9) + haze * rgb(x, 0.0, 0.07, 0.10)).clamp(0, 1)


def fog(x: Tensor, tex: LookTextures) -> Tensor:
    """Drifting fog: contrast fades, distance (pale and smooth) fades more."""
    level = luma(x)
    detail = blur((level - blur(level, 4 * tex.scale)).abs(), 8 * tex.scale)
    far = (blur(level, 14 * tex.scale) * 0.9 - detail * 4 + 0.12 + 0.16 * tex.slow + 0.05 * tex.clouds).clamp(0, 1)
    thick = 0.38 + 0.48 * far
    veil = rgb(x, 0.80, 0.82, 0.84) * (0.92 + 0.08 * blur(level, 20 * tex.scale))
    return mix(saturate(mix(x, blur(x, 1.3 * tex.scale), far), 0.65), veil, thick).clamp(0, 1)


def rain(x: Tensor, tex: LookTextures) -> Tensor:
    """A rainy day: grey light, wet shine, falling streaks."""
    level = luma(x)
    base = saturate(x, 0.55) * rgb(x, 0.78, 0.86, 0.95) * 0.82
    wet = ((level - 0.55) * 1.8).clamp(0, 1)
    shine = blur(wet, 5 * tex.scale) * 0.22 * rgb(x, 0.8, 0.9, 1.0)
    streak = ((tex.base.strokes[:, 4:5] * 0.75 + tex.base.strokes[:, 3:4] * 0.35 - 0.95) * 0.9).clamp(0, 0.9)
    return (base + shine + streak * rgb(x, 0.26, 0.29, 0.32)).clamp(0, 1)


def _foliage(x: Tensor) -> Tensor:
    return (hue_weight(x, (0.35, 0.62, 0.2), 0.75, 0.15) + 0.3 * hue_weight(x, (0.55, 0.6, 0.2), 0.4, 0.2)).clamp(0, 1)


def autumn(x: Tensor, tex: LookTextures) -> Tensor:
    """Leaves turn gold and red, light is low and warm."""
    level = luma(x)
    green = blur(_foliage(x), 1.2 * tex.scale)
    leaf = gradient_map((level * 1.15 + 0.16 * tex.clouds + 0.05 * tex.grain).clamp(0, 1), [
        (0.18, 0.05, 0.03), (0.62, 0.17, 0.05), (0.92, 0.48, 0.08), (1.0, 0.84, 0.36)
    ])  # fmt: skip
    warm = saturate(x, 0.92) * rgb(x, 1.12, 0.97, 0.76) + rgb(x, 0.03, 0.01, 0.0)
    return mix(warm, leaf, green * 0.92).clamp(0, 1)


def blossom(x: Tensor, tex: LookTextures) -> Tensor:
    """Cherry trees in bloom: green becomes pink and white, soft spring light, petals in the air."""
    level = luma(x)
    green = blur(_foliage(x), 1.2 * tex.scale)
    bloom = mix(rgb(x, 0.95, 0.56, 0.70), rgb(x, 1.0, 0.93, 0.95), (level * 1.5 + 0.25 * tex.grain - 0.1).clamp(0, 1))
    bloom = bloom * (0.45 + 0.75 * level)
    soft = (x * 0.82 + 0.14) * rgb(x, 1.05, 0.97, 1.0) + 0.10 * blur(((level - 0.6) * 2).clamp(0, 1), 6 * tex.scale)
    out = mix(soft, bloom, green)
    petal = ((2.6 - tex.offset.norm(dim=1, keepdim=True)) * 1.2).clamp(0, 1) * (of_cell(tex) > 0.72).to(x.dtype)
    return mix(out, rgb(x, 1.0, 0.80, 0.87) * (0.7 + 0.3 * level), petal * 0.9).clamp(0, 1)


def fire_light(x: Tensor, tex: LookTextures) -> Tensor:
    """Lit by a fire in the dark: orange light, deep shade, embers."""
    level = luma(local_contrast(x, tex.scale, 0.4))
    lit = curve(level, 5.5, 0.5)
    warm = gradient_map(lit * 0.95, [(0.03, 0.01, 0.02), (0.32, 0.08, 0.02), (0.88, 0.38, 0.07), (1.0, 0.82, 0.42)])
    out = warm * 0.80 + x * x * rgb(x, 0.34, 0.14, 0.05)
    ember = ((0.9 - tex.offset.norm(dim=1, keepdim=True)) * 1.6).clamp(0, 1) * (of_cell(tex) > 0.80).to(x.dtype)
    glowing = ember * rgb(x, 1.0, 0.55, 0.15)
    return (out + 0.18 * blur(((lit - 0.7) * 2).clamp(0, 1), 9 * tex.scale) * rgb(x, 1.0, 0.5, 0.15) + glowing).clamp(
        0, 1
    )


def martian(x: Tensor, tex: LookTextures) -> Tensor:
    """A red desert: rusty dust on everything, butterscotch air."""
    level = luma(x)
    dust = gradient_map((level * 0.95 + 0.04 * tex.clouds + 0.02 * tex.grain).clamp(0, 1), [
        (0.12, 0.04, 0.03), (0.48, 0.19, 0.10), (0.80, 0.46, 0.27), (0.96, 0.78, 0.58)
    ])  # fmt: skip
    haze = blur(level, 18 * tex.scale)
    out = dust * 0.74 + saturate(x, 0.6) * rgb(x, 0.34, 0.22, 0.15)
    return (out + haze * rgb(x, 0.10, 0.05, 0.01)).clamp(0, 1)


def zombie(x: Tensor, tex: LookTextures) -> Tensor:
    """Skin turns grey-green and veined, the world goes cold and dim."""
    skin = skin_like(x, tex.scale)
    level = luma(local_contrast(x, tex.scale, 0.45))
    vein = torch.exp(-((0.9 * tex.clouds + 0.5 * tex.slow + 0.12 * tex.grain) ** 2) * 30)
    rotten = gradient_map((level * 1.02 - 0.03).clamp(0, 1), [
        (0.03, 0.05, 0.03), (0.20, 0.27, 0.16), (0.48, 0.58, 0.36), (0.80, 0.86, 0.66)
    ])  # fmt: skip
    rotten = rotten * (1 - 0.22 * vein * rgb(x, 0.6, 1.0, 0.8)) * (1 + 0.05 * tex.grain)
    cold = saturate(x, 0.45) * rgb(x, 0.76, 0.88, 0.84) * 0.82
    return mix(cold, rotten, skin).clamp(0, 1)


# -- of the first sixteen, those that lost a face or their subject --------------------------------------------------------


def _with_features(key: str, flat: LookTeacher) -> LookTeacher:
    return lambda x, tex: keep_features(TEACHERS[key](x, tex.base), x, flat(x, tex))


def _flattened(x: Tensor, tex: LookTextures) -> Tensor:
    return flatten_regions(x, tex.scale, 3, 0.12)


def _smeared(x: Tensor, tex: LookTextures) -> Tensor:
    return blur(x, 4 * tex.scale)


def pixel(x: Tensor, tex: LookTextures) -> Tensor:
    """Square cells of 4 px, of 2 px where there is more to see, in few tones, ordered dither."""
    side = max(2, round(PIXEL_PX * tex.scale))
    bright = saturate(((x - 0.5) * 1.2 + 0.5).clamp(0, 1), 1.5)

    def cells(side: int) -> Tensor:
        return few_tones(squares(bright, side), 8, squares(tex.base.screens[:, 0:1], side) * 0.35)

    return mix(cells(side), cells(side // 2), detail_in(x, side)) * rgb(x, 0.98, 0.95, 0.9) + rgb(x, 0.02, 0.01, 0.05)


def night(x: Tensor, tex: LookTextures) -> Tensor:
    """Moonlight: dark and blue, lamps where it is bright, and in buildings some windows lit: dark panes in a pale wall."""
    level = luma(x)
    reach = 2 * round(6 * tex.scale) + 1

    def close(kernel: tuple[int, int]) -> Tensor:
        pads = (kernel[0] // 2, kernel[1] // 2)
        wide = F.max_pool2d(level, kernel, 1, pads)
        return -F.max_pool2d(-wide, kernel, 1, pads)

    pane = torch.minimum(close((1, reach)), close((reach, 1))) - level
    lit = ((blur(pane, 0.8 * tex.scale) - 0.16) * 9).clamp(0, 1)
    lit = lit * (1 - 4 * blur(skin_like(x, tex.scale), 5 * tex.scale)).clamp(0, 1)
    lit = lit * ((of_cell(tex) - 0.35) * 6).clamp(0, 1)
    light = lit * rgb(x, 1.0, 0.72, 0.34)
    return (TEACHERS["night"](x, tex.base) * (1 - 0.5 * lit) + 0.8 * light + 0.5 * glow(light, tex.scale)).clamp(0, 1)


def snow(x: Tensor, tex: LookTextures) -> Tensor:
    """Winter: cold light, white on greens and bright ground, and caps of snow on whatever has an upper edge."""
    gx, gy = scharr(blur(luma(x), 2.0 * tex.scale))
    edge = ((gy.abs() - 0.7 * gx.abs()) * tex.scale * 40 - 0.35).clamp(0, 1)
    edge = edge * (1 - 4 * blur(skin_like(x, tex.scale), 5 * tex.scale)).clamp(0, 1)
    # Snow lies on ledges, not on specks.
    width = 2 * round(3 * tex.scale) + 1
    edge = F.max_pool2d(-F.max_pool2d(-edge, (1, width), 1, (0, width // 2)), (1, width), 1, (0, width // 2))
    height = round(5 * tex.scale)
    # A cap reaches up from the edge, unevenly.
    cap = F.max_pool2d(F.pad(edge, (0, 0, 0, height - 1)), (height, 1), 1)
    cap = ((blur(cap, 1.0 * tex.scale) + 0.12 * tex.clouds - 0.35) * 5).clamp(0, 1)
    white = rgb(x, 0.95, 0.98, 1.0) * (0.94 + 0.03 * tex.grain + 0.10 * (cap - blur(cap, 3 * tex.scale)))
    ground = TEACHERS["snow"](x, tex.base)
    return torch.maximum(ground, mix(ground, white, cap)).clamp(0, 1)


def _as_before(teacher: Callable[[Tensor, TeacherTextures], Tensor]) -> LookTeacher:
    return lambda x, tex: teacher(x, tex.base)


COMPUTED: dict[str, LookTeacher] = {
    "source": lambda x, _tex: x,
    **{key: _as_before(teacher) for key, teacher in TEACHERS.items()},
    "cel": _with_features("cel", _flattened),
    "watercolour": _with_features("watercolour", _flattened),
    "oil": _with_features("oil", _smeared),
    "swirl": _with_features("swirl", _smeared),
    **{
        f.__name__: f
        for f in (
            stained_glass, mosaic, low_poly, toy_bricks, pointillist, charcoal, chalk, pastel, paper_craft, clay, pop_art,
            vaporwave, vhs, night_vision, hologram, x_ray, marble, gold, underwater, fog, rain, autumn, blossom,
            fire_light, martian, matrix, handheld, zombie, pixel, night, snow,
        )
    },
}  # fmt: skip
"""Every computed teacher; those of the first sixteen that lose neither faces nor their subject are unchanged."""
