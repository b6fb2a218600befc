"""Computed teachers of looks that are a matter of light: displays and instruments, weather, seasons, time of day."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from vivace.train.looks.operators import LookTextures, curve, glow, local_contrast, of_cell, places, skin_like, squares
from vivace.train.teachers import (
    TEACHERS,
    blur,
    flatten_regions,
    gradient_map,
    hue_weight,
    luma,
    mix,
    rgb,
    saturate,
    scharr,
)


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
    """Blue light in the air: rims glow, scan lines, flat areas are nearly clear."""
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
