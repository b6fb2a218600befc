"""Style targets: classical image processing in torch, batched, on any device.

Each teacher is a function `(x, tex) -> y` of pictures `[b 3 h w]` in [0, 1]. Textures come from `tex`, the same fields
that the student starts from. Lengths are in px of the working size and are multiplied by `tex.scale` for larger
pictures, so that a style keeps its look at any output size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from vivace.models.mini.styles import STYLE_KEYS
from vivace.models.mini.textures import PIXEL_PX, STROKE_COUNT, STROKE_SHARPNESS


@dataclass(frozen=True, slots=True)
class TeacherTextures:
    """Texture fields at the resolution of the picture; `scale` is picture px per working px."""

    noise: Tensor
    """`[b 3 h w]`"""
    bands: Tensor
    """`[b 5 h w]`"""
    strokes: Tensor
    """`[b 10 h w]`"""
    screens: Tensor
    """`[b 6 h w]`"""
    scale: float


Teacher = Callable[[Tensor, TeacherTextures], Tensor]

# -- image operators ---------------------------------------------------------------------------------------------------


def luma(x: Tensor) -> Tensor:
    """Return Rec. 601 luma `[b 1 h w]`."""
    return (x * x.new_tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)).sum(1, keepdim=True)


def rgb(x: Tensor, r: float, g: float, b: float) -> Tensor:
    """Return one colour as `[1 3 1 1]` on the device of `x`."""
    return x.new_tensor([r, g, b]).view(1, 3, 1, 1)


def mix(a: Tensor, b: Tensor, weight: Tensor) -> Tensor:
    """Return `a` where weight is 0 and `b` where it is 1."""
    return a + (b - a) * weight


def saturate(x: Tensor, gain: float) -> Tensor:
    """Multiply the distance from grey by `gain`."""
    grey = luma(x)
    return (grey + (x - grey) * gain).clamp(0, 1)


def blur(x: Tensor, sigma: float) -> Tensor:
    """Blur with a separable Gaussian; wide ones run on a smaller picture, where they cost little."""
    if sigma > 6:
        factor = 2 if sigma <= 12 else 4
        small = blur(F.avg_pool2d(x, factor, ceil_mode=True), sigma / factor)
        return F.interpolate(small, size=x.shape[-2:], mode="bilinear", align_corners=False)
    radius = max(1, math.ceil(2.6 * sigma))
    taps = torch.exp(-0.5 * (torch.arange(-radius, radius + 1, device=x.device, dtype=x.dtype) / sigma) ** 2)
    taps = taps / taps.sum()
    c = x.shape[1]
    x = F.pad(x, (radius, radius, radius, radius), mode="replicate")
    x = F.conv2d(x, taps.view(1, 1, 1, -1).expand(c, 1, 1, -1), groups=c)
    return F.conv2d(x, taps.view(1, 1, -1, 1).expand(c, 1, -1, 1), groups=c)


def scharr(x: Tensor) -> tuple[Tensor, Tensor]:
    """Return the x and y derivatives of `[b 1 h w]`, per px."""
    kernel = x.new_tensor([[-3.0, 0.0, 3.0], [-10.0, 0.0, 10.0], [-3.0, 0.0, 3.0]]).view(1, 1, 3, 3) / 32
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    return F.conv2d(padded, kernel), F.conv2d(padded, kernel.transpose(2, 3))


def flatten_regions(x: Tensor, scale: float, rounds: int = 2, tolerance: float = 0.1, radius: int = 4) -> Tensor:
    """Smooth inside regions and keep their edges: a bilateral filter, one axis after the other."""
    step = max(1, round(scale))
    for _ in range(rounds):
        for axis in (3, 2):
            total, weight = x, torch.ones_like(x[:, :1])
            for k in range(1, radius + 1):
                for offset in (-k * step, k * step):
                    shifted = _shift(x, offset, axis)
                    w = torch.exp(
                        -((shifted - x) ** 2).sum(1, keepdim=True) / (2 * 3 * tolerance**2) - k * k / (2 * 2.6**2)
                    )
                    total, weight = total + w * shifted, weight + w
            x = total / weight
    return x


def _shift(x: Tensor, offset: int, axis: int) -> Tensor:
    index = (torch.arange(x.shape[axis], device=x.device) + offset).clamp(0, x.shape[axis] - 1)
    return x.index_select(axis, index)


def posterise(level: Tensor, steps: int, sharpness: float) -> Tensor:
    """Quantise to `steps` levels with soft edges, which do not flicker as hard ones do."""
    t = level * steps
    nearest = t.round()
    return ((nearest - 0.5 + 0.5 * (1 + torch.tanh(sharpness * (t - nearest)))) / steps).clamp(0, 1)


def tangent(x: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Return the direction along edges as an angle, and its certainty in [0, 1] (structure tensor)."""
    gx, gy = scharr(blur(luma(x), 0.8))
    tensor = blur(torch.cat([gx * gx, gx * gy, gy * gy], 1), sigma)
    e, f, g = tensor.split(1, 1)
    angle = 0.5 * torch.atan2(2 * f, e - g) + math.pi / 2
    return angle, torch.sqrt((e - g) ** 2 + 4 * f * f) / (e + g + 2e-5)


def lines(x: Tensor, scale: float, sigma: float = 1.0, threshold: float = 0.010, gain: float = 110.0) -> Tensor:
    """Return drawn contours, 1 on paper and 0 on the line: a flow-guided difference of Gaussians.

    Kang et al., "Coherent Line Drawing" (2007): the difference is averaged along the edge, which joins broken lines.
    The square root makes the threshold relative to the local brightness.
    """
    level = torch.sqrt(luma(x) + 0.02)
    difference = blur(level, sigma * scale) - blur(level, sigma * scale * 1.6)
    angle, _ = tangent(x, 2.5 * scale)
    direction = torch.cat([torch.cos(angle), torch.sin(angle)], 1) * scale
    b, _, h, w = x.shape
    ys, xs = torch.meshgrid(
        torch.linspace(-1, 1, h, device=x.device), torch.linspace(-1, 1, w, device=x.device), indexing="ij"
    )
    grid = torch.stack([xs, ys], -1).expand(b, -1, -1, -1)
    step = (direction * x.new_tensor([2 / (w - 1), 2 / (h - 1)]).view(1, 2, 1, 1)).permute(0, 2, 3, 1)
    total, weight = difference, 1.0
    for k in (-3, -1.5, 1.5, 3):
        tap = math.exp(-k * k / 8)
        total = total + tap * F.grid_sample(difference, grid + k * step, padding_mode="border", align_corners=True)
        weight += tap
    return (1 - torch.tanh((-total / weight - threshold).clamp_min(0) * gain)).clamp(0, 1)


def brush(strokes: Tensor, angle: Tensor) -> Tensor:
    """Return stroke texture `[b 1 h w]` along `angle`: neighbours of the stroke basis, blended at unit variance."""
    directions = torch.arange(STROKE_COUNT, device=angle.device).view(1, -1, 1, 1) * (math.pi / STROKE_COUNT)
    weights = torch.cos(angle - directions).abs() ** STROKE_SHARPNESS
    return (weights * strokes[:, :STROKE_COUNT]).sum(1, keepdim=True) / torch.sqrt(
        (weights**2).sum(1, keepdim=True) + 1e-6
    )


def stroke_angle(x: Tensor, tex: TeacherTextures, sigma: float, turn: float, band: int) -> Tensor:
    """Return the direction of brush strokes: along edges where there are some, elsewhere along a random field."""
    angle, certain = tangent(x, sigma * tex.scale)
    free = tex.bands[:, band : band + 1] * turn
    weight = (certain * 1.5 - 0.35).clamp(0, 1)
    sine = mix(torch.sin(2 * free), torch.sin(2 * angle), weight)
    cosine = mix(torch.cos(2 * free), torch.cos(2 * angle), weight)
    return 0.5 * torch.atan2(sine, cosine)


def smear(x: Tensor, angle: Tensor, length: float, taps: int = 3) -> Tensor:
    """Average `x` along straight strokes of direction `angle` and half-length `length` px."""
    b, _, h, w = x.shape
    ys, xs = torch.meshgrid(
        torch.linspace(-1, 1, h, device=x.device), torch.linspace(-1, 1, w, device=x.device), indexing="ij"
    )
    grid = torch.stack([xs, ys], -1).expand(b, -1, -1, -1)
    step = torch.cat([torch.cos(angle) * 2 / (w - 1), torch.sin(angle) * 2 / (h - 1)], 1).permute(0, 2, 3, 1)
    total = x
    for k in range(1, taps + 1):
        for sign in (-1, 1):
            total = total + F.grid_sample(
                x, grid + step * (sign * k * length / taps), padding_mode="border", align_corners=True
            )
    return total / (2 * taps + 1)


def gradient_map(level: Tensor, stops: list[tuple[float, float, float]]) -> Tensor:
    """Colour `[b 1 h w]` levels by evenly spaced stops, interpolated."""
    table = level.new_tensor(stops)
    t = level.clamp(0, 1) * (len(stops) - 1)
    low = t.floor().clamp(max=len(stops) - 2)
    below = table[low.long().squeeze(1)].permute(0, 3, 1, 2)
    above = table[low.long().squeeze(1) + 1].permute(0, 3, 1, 2)
    return mix(below, above, t - low)


def hue_weight(x: Tensor, centre: tuple[float, float, float], width: float, least: float = 0.3) -> Tensor:
    """Return how much each px has the hue of `centre` (cosine in the chroma plane), weighted by saturation."""
    chroma = x - luma(x)
    target = rgb(x, *centre) - luma(rgb(x, *centre).expand(1, 3, 1, 1))
    size = chroma.norm(dim=1, keepdim=True)
    cosine = (chroma * target).sum(1, keepdim=True) / (size * target.norm() + 1e-3)
    return ((cosine - 1 + width) / width).clamp(0, 1) * (size * 5 - least).clamp(0, 1)


# -- the styles --------------------------------------------------------------------------------------------------------


def cel(x: Tensor, tex: TeacherTextures) -> Tensor:
    """Flat saturated regions in a few tones, thin dark outlines."""
    s = flatten_regions(x, tex.scale, 3, 0.11)
    level = luma(s)
    tones = posterise((level * 1.05).clamp(0, 1), 5, 5.0)
    s = (s * ((tones + 0.04) / (level + 0.04))).clamp(0, 1)
    s = ((saturate(s, 1.7) - 0.5) * 1.08 + 0.535).clamp(0, 1)
    return s * (0.10 + 0.90 * lines(x, tex.scale, 1.0))


def ink(x: Tensor, tex: TeacherTextures) -> Tensor:
    """Brush and black ink on warm paper; strong reds stay, as a seal would."""
    s = flatten_regions(x, tex.scale, 2)
    dry = 0.02 * tex.bands[:, 0:1]
    shadow = ((blur(luma(s), tex.scale) - 0.17 + dry) * 11).clamp(0, 1)
    paper_left = lines(x, tex.scale, 1.2, 0.009, 150.0) * shadow
    page = mix(rgb(x, 0.07, 0.06, 0.10), rgb(x, 0.97, 0.94, 0.87), paper_left)
    red = hue_weight(s, (0.9, 0.1, 0.1), 0.12, 1.5) * ((luma(s) - 0.12) * 8).clamp(0, 1)
    return mix(page, rgb(x, 0.82, 0.10, 0.10) * (0.25 + 0.75 * paper_left), red)


def pencil(x: Tensor, tex: TeacherTextures) -> Tensor:
    """Graphite: contours by dodging, shade by two crossed hatchings, paper grain."""
    level = luma(x)
    dodge = (level / (blur(level, 5 * tex.scale) + 0.03)).clamp(0, 1.15) / 1.0
    contour = ((dodge - 0.55) / 0.45).clamp(0, 1)
    tone = blur(level, 1.5 * tex.scale)
    hatch_a = 0.5 + 0.5 * tex.screens[:, 2:3]
    hatch_b = 0.5 + 0.5 * tex.screens[:, 4:5]
    pressure = 1 + 0.35 * tex.bands[:, 1:2]
    shade = ((0.60 - tone) * 1.9).clamp(0, 1) * hatch_a * 0.62 + ((0.32 - tone) * 3.0).clamp(0, 1) * hatch_b * 0.55
    left = (contour - shade * pressure).clamp(0, 1)
    left = (left * lines(x, tex.scale, 0.9, 0.014, 70.0) ** 0.7 + 0.045 * tex.bands[:, 0:1] * (1.1 - left)).clamp(0, 1)
    return mix(rgb(x, 0.13, 0.13, 0.16), rgb(x, 0.965, 0.955, 0.925), left)


def watercolour(x: Tensor, tex: TeacherTextures) -> Tensor:
    """Transparent washes on white paper: lifted lights, dark rims where a wash dried, pigment in the grain."""
    s = flatten_regions(x, tex.scale, 3, 0.12)
    level = luma(s)
    wash = posterise(level, 6, 3.2)
    s = (s * ((wash + 0.06) / (level + 0.06))).clamp(0, 1)
    s = saturate(s.clamp_min(1e-3) ** 0.72, 1.8)
    s = mix(s, rgb(x, 1, 1, 1), ((luma(s) - 0.70) * 2.6).clamp(0, 1) * 0.7)
    gx, gy = scharr(blur(luma(s), 0.8 * tex.scale))
    rim = (torch.sqrt(gx * gx + gy * gy) * tex.scale * 6.5 - 0.12).clamp(0, 1.1)
    bloom = 0.10 * tex.bands[:, 1:2] + 0.05 * tex.bands[:, 0:1]
    density = (1 + rim + bloom).clamp_min(0.3)
    paint = s.clamp(1e-3, 1) ** density * (0.62 + 0.38 * lines(x, tex.scale, 1.0, 0.014, 60.0))
    dark = rgb(x, 0.13, 0.14, 0.25)
    return (dark + (1 - dark) * paint) * rgb(x, 1.0, 0.995, 0.975)


def oil(x: Tensor, tex: TeacherTextures) -> Tensor:
    """Opaque paint: colours smeared along visible strokes, lit relief."""
    s = flatten_regions(x, tex.scale, 3, 0.14, 5)
    angle = stroke_angle(x, tex, 3.0, 1.1, 3)
    s = smear(s, angle, 3.5 * tex.scale)
    paint = brush(tex.strokes, angle)
    s = saturate((s - 0.5) * 1.12 + 0.5, 1.55)
    relief = 0.5 * (paint - _shift(paint, -max(1, round(tex.scale)), 2))
    return (s * (1 + 0.10 * paint) + 0.05 * relief + 0.006 * paint).clamp(0, 1)


def neon(x: Tensor, tex: TeacherTextures) -> Tensor:
    """Glowing tubes for edges over a dark room."""
    s = flatten_regions(x, tex.scale, 2, 0.08, 3)
    edge = torch.zeros_like(x[:, :1])
    for channel in range(3):
        gx, gy = scharr(blur(s[:, channel : channel + 1], tex.scale))
        edge = torch.maximum(edge, torch.sqrt(gx * gx + gy * gy) * tex.scale * 2)
    tube = ((edge / (0.03 + blur(edge, 10 * tex.scale)) - 0.75) * 0.9).clamp(0, 1) * ((edge - 0.02) * 16).clamp(0, 1)
    tube = tube.clamp_min(1e-4) ** 0.8
    height = (blur(luma(x), 5 * tex.scale) * 1.3 - 0.1).clamp(0, 1)
    colour = mix(rgb(x, 1.0, 0.08, 0.75), rgb(x, 0.05, 0.9, 1.0), height)
    soft = blur(x, 3 * tex.scale)
    chroma = soft - luma(soft)
    vivid = (0.5 + chroma / (chroma.abs().amax(1, keepdim=True) + 0.02) * 0.5).clamp(0, 1)
    colour = mix(colour, vivid, (chroma.abs().amax(1, keepdim=True) * 4 - 0.6).clamp(0, 1))
    light = tube * colour
    glow = blur(light, 3 * tex.scale) * 0.8 + blur(light, 9 * tex.scale) * 0.6
    return (x * x * 0.10 + rgb(x, 0.015, 0.01, 0.05) + light * 0.95 + glow + tube**3 * 0.35).clamp(0, 1)


def pixel(x: Tensor, tex: TeacherTextures) -> Tensor:
    """Square cells of 4 px in a small palette, ordered dither."""
    cell = max(1, round(PIXEL_PX * tex.scale))
    s = F.avg_pool2d(x, cell)
    s = saturate(((s - 0.5) * 1.2 + 0.5).clamp(0, 1), 1.5)
    threshold = F.avg_pool2d(tex.screens[:, 0:1], cell) * 0.5
    levels = 4
    s = ((s * levels + threshold * 0.55).round() / levels).clamp(0, 1)
    s = s * rgb(x, 0.98, 0.95, 0.9) + rgb(x, 0.04, 0.02, 0.08)
    return F.interpolate(s, size=x.shape[-2:], mode="nearest").clamp(0, 1)


def comic(x: Tensor, tex: TeacherTextures) -> Tensor:
    """Printed comic: flat primaries, black line, halftone dots that grow in the shade."""
    s = saturate(flatten_regions(x, tex.scale, 3, 0.13), 1.9)
    flat = posterise((s * 1.15 + 0.06).clamp(0, 1), 3, 5.0)
    tone = blur(luma(x), 1.5 * tex.scale)
    dot = (0.5 + 3.2 * (0.5 * tex.screens[:, 1:2] + 0.5 - (1 - tone))).clamp(0, 1)
    printed = flat * (0.66 + 0.34 * dot) + 0.12 * dot * rgb(x, 1.0, 0.92, 0.62)
    return (printed * (0.04 + 0.96 * lines(x, tex.scale, 1.25, 0.009, 140.0))).clamp(0, 1)


def night(x: Tensor, tex: TeacherTextures) -> Tensor:
    """Moonlight: dark and blue, with what is bright turned into warm lamps."""
    level = luma(x)
    base = (x * 0.55 + level * 0.45) ** 1.5 * rgb(x, 0.30, 0.42, 0.80) + rgb(x, 0.0, 0.012, 0.05)
    lamp = ((level - 0.72) * 3.2).clamp(0, 1) * saturate(x, 1.4)
    glow = blur(lamp, 7 * tex.scale) * 0.7 + blur(lamp, 2.5 * tex.scale) * 0.4
    return (base + glow * rgb(x, 1.0, 0.78, 0.42) + lamp * rgb(x, 0.55, 0.42, 0.2)).clamp(0, 1)


def golden(x: Tensor, tex: TeacherTextures) -> Tensor:
    """Low sun: warm light, violet shade, haze around what is bright."""
    y = ((x - 0.5) * 1.15 + 0.47).clamp(0, 1)
    level = luma(y)
    lit = y * rgb(x, 1.22, 0.93, 0.60) + (1 - level) * rgb(x, 0.02, 0.0, 0.07)
    bright = ((level - 0.62) * 2.4).clamp(0, 1) * lit
    haze = blur(level, 20 * tex.scale)
    out = lit + blur(bright, 8 * tex.scale) * rgb(x, 0.5, 0.32, 0.10) + haze * rgb(x, 0.16, 0.08, 0.0)
    return out.clamp(0, 1)


def snow(x: Tensor, tex: TeacherTextures) -> Tensor:
    """Winter: cold light, and white on greens, on bright ground and on what faces up."""
    level = luma(x)
    _, gy = scharr(blur(level, 1.2 * tex.scale))
    ledge = (gy * tex.scale * 22).clamp(0, 1)
    green = blur(hue_weight(x, (0.35, 0.7, 0.25), 0.75, 0.15), 1.5 * tex.scale)
    bright = ((level - 0.30) * 2.4).clamp(0, 1) * 0.8
    drift = (0.16 * tex.bands[:, 1:2] + 0.05 * tex.bands[:, 0:1]).clamp(-0.4, 0.4)
    cover = (green * 1.3 + blur(ledge, 0.8 * tex.scale) * 1.2 + bright + drift * (green + bright)).clamp(0, 1)
    white = (0.50 + 0.62 * level.clamp_min(1e-4) ** 0.7) * rgb(x, 0.93, 0.97, 1.04)
    cold = saturate(x, 0.45) * rgb(x, 0.84, 0.96, 1.12) + 0.09
    return mix(cold, white, cover).clamp(0, 1)


def swirl(x: Tensor, tex: TeacherTextures) -> Tensor:
    """Swirling impasto in blues and yellows, after Van Gogh's night skies."""
    angle = stroke_angle(x, tex, 3.5, 1.6, 4)
    s = smear(flatten_regions(x, tex.scale, 2, 0.12), angle, 5.0 * tex.scale)
    stops = [
        (0.04, 0.06, 0.22),
        (0.08, 0.22, 0.52),
        (0.22, 0.48, 0.72),
        (0.62, 0.74, 0.62),
        (0.97, 0.84, 0.34),
        (1.0, 0.97, 0.78),
    ]
    paint = brush(tex.strokes, angle)
    painted = gradient_map(luma(s) * 1.05 + 0.045 * paint, stops) * 0.74 + saturate(s, 1.6) * 0.26
    return (painted * (1 + 0.16 * paint) + 0.015 * paint).clamp(0, 1)


def noir(x: Tensor, tex: TeacherTextures) -> Tensor:
    """High-contrast black and white with deep shadows and film grain."""
    level = luma(x)
    curve = torch.sigmoid((level - 0.46) * 9.5)
    halo = blur(((level - 0.7) * 3).clamp(0, 1), 6 * tex.scale) * 0.22
    grain = 0.03 * tex.bands[:, 0:1] * (1 - (2 * curve - 1) ** 2) + 0.01 * tex.bands[:, 0:1]
    return (curve * 0.95 + halo + grain).clamp(0, 1).expand_as(x) * rgb(x, 0.99, 0.99, 1.0)


def blueprint(x: Tensor, tex: TeacherTextures) -> Tensor:
    """White construction lines on Prussian blue."""
    drawn = 1 - lines(x, tex.scale, 1.0, 0.008, 130.0)
    s = flatten_regions(x, tex.scale, 2)
    tone = posterise(luma(s), 4, 4.0)
    hatch = (tex.screens[:, 2:3] * 0.5 + 0.5) * ((0.45 - luma(blur(s, tex.scale))) * 2.5).clamp(0, 1)
    sheet = rgb(x, 0.05, 0.17, 0.46) * (0.80 + 0.45 * tone) + 0.018 * tex.bands[:, 1:2]
    chalk = (drawn * 0.92 + hatch * 0.14).clamp(0, 1)
    return mix(sheet, rgb(x, 0.93, 0.97, 1.0), chalk).clamp(0, 1)


def thermal(x: Tensor, tex: TeacherTextures) -> Tensor:
    """A heat camera's false colours over soft shapes."""
    stops = [
        (0.02, 0.0, 0.10),
        (0.22, 0.02, 0.45),
        (0.60, 0.05, 0.50),
        (0.92, 0.28, 0.22),
        (1.0, 0.68, 0.10),
        (1.0, 0.98, 0.72),
    ]
    warm = hue_weight(x, (0.85, 0.55, 0.42), 0.6) * 0.22
    return gradient_map((blur(luma(x), 1.6 * tex.scale) * 1.02 + blur(warm, 1.6 * tex.scale)).clamp(0, 1), stops)


def sepia(x: Tensor, tex: TeacherTextures) -> Tensor:
    """A faded print of 1900: brown tones, soft lens, stains and grain."""
    level = luma(mix(x, blur(x, 2.0 * tex.scale), torch.full_like(x[:, :1], 0.45)))
    level = (0.02 + 0.94 * torch.sigmoid((level - 0.45) * 6.5)).clamp(0, 1)
    level = level + 0.016 * tex.bands[:, 0:1] + 0.02 * tex.bands[:, 3:4]
    return gradient_map(level, [(0.13, 0.07, 0.03), (0.52, 0.36, 0.20), (0.86, 0.72, 0.50), (0.98, 0.92, 0.78)])


TEACHERS: dict[str, Teacher] = {
    f.__name__: f
    for f in (
        cel, ink, pencil, watercolour, oil, neon, pixel, comic,
        night, golden, snow, swirl, noir, blueprint, thermal, sepia,
    )
}  # fmt: skip
assert tuple(TEACHERS) == STYLE_KEYS
