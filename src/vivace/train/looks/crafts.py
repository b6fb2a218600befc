"""Computed teachers of handmade looks: of pieces, cast or carved, drawn and printed."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from vivace.models.mini.textures import PIXEL_PX
from vivace.train.looks.operators import (
    LookTextures,
    borders,
    cell_means,
    curve,
    cut_cells,
    detail_in,
    few_tones,
    keep_features,
    local_contrast,
    of_cell,
    places,
    relief,
    skin_like,
    squares,
)
from vivace.train.teachers import (
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
    tangent,
)


def stained_glass(x: Tensor, tex: LookTextures) -> Tensor:
    """Pieces of coloured glass between leads, cut along outlines, lit from behind; skin is painted on the glass."""
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


def pixel(x: Tensor, tex: LookTextures) -> Tensor:
    """Square cells of 4 px, or 2 px where there is more detail, in few tones, with ordered dither."""
    side = max(2, round(PIXEL_PX * tex.scale))
    bright = saturate(((x - 0.5) * 1.2 + 0.5).clamp(0, 1), 1.5)

    def cells(side: int) -> Tensor:
        return few_tones(squares(bright, side), 8, squares(tex.base.screens[:, 0:1], side) * 0.35)

    return mix(cells(side), cells(side // 2), detail_in(x, side)) * rgb(x, 0.98, 0.95, 0.9) + rgb(x, 0.02, 0.01, 0.05)


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
    """Flat facets, each lit as one plane, smaller where there is more detail."""
    s = saturate(local_contrast(x, tex.scale, 0.4), 1.35)
    # Every tile falls into four facets by the side of its centre on which a px lies.
    down, right = tex.offset.split(1, 1)
    first, second = down + right > 0, down - right > 0
    facet = tex.number * 4 + (first.int() * 2 + second.int())[:, 0]
    flat = cell_means(s, cut_cells(x, facet, 4, 0.05, tex.scale))
    return (flat * (1 + 0.045 * (first.float() * 2 - 1) + 0.03 * (second.float() * 2 - 1))).clamp(0, 1)


def toy_bricks(x: Tensor, tex: LookTextures) -> Tensor:
    """Plates of toy bricks with studs, in few bright colours; small ones where there is more detail."""
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
