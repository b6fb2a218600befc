"""Edits that need no network: tint, blur and fill, each on all of a picture; and layers laid over one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from vivace.models.edits.places import Mask
from vivace.models.edits.plan import Rgb

Picture = Image.Image
"""RGB."""

_Field = NDArray[np.floating[Any]]
_GAMMA = 2.2
_WHITE_FROM = 0.75
"""Light of a tinted px, linear, from which on it goes to white, since what shines has the colour of the lamp."""
_PRINTED = 0.4
"""Gain of a tinted px beyond the colour itself, a factor of e in light."""
_BLUR_PX = 0.03
"""Deviation of the strongest blur, of the longer side."""
_EDGE = 100
"""Part of the longer side by which a mask of what is gone is grown."""
_COARSE = 4
"""Blurring is done at 1/4 of the side; what it leaves is coarser."""


def mean_light(picture: Picture, mask: Mask | None) -> float | None:
    """Return the mean linear light of a picture where a mask has it, 0 to 1; None where that is nowhere."""
    small = (max(1, picture.width // _COARSE), max(1, picture.height // _COARSE))
    light = (np.asarray(picture.resize(small, Image.Resampling.BOX).convert("L"), np.float32) / 255) ** _GAMMA
    if mask is None:
        return float(light.mean())
    weights = np.asarray(Image.fromarray(mask).resize(small, Image.Resampling.BOX), np.float32)
    total = float(weights.sum())
    return float((light * weights).sum() / total) if total > 0 else None


def tinted(picture: Picture, rgb: Rgb, middle: float) -> Picture:
    """Return a picture in shades of one colour: a px of the light `middle` (linear, 0 to 1) has the colour itself.

    A matt thing sends back the light that falls on it times its colour, so shades are that colour times the light,
    linear; what is far brighter than the thing goes to white.
    """
    own = (np.arange(256) / 255) ** _GAMMA
    light = own / max(middle, 1e-3)
    # Black cloth shines many times as bright as it is: of that, as much as a print on paper would show.
    light = np.where(light > 1, 1 + _PRINTED * np.log(np.maximum(light, 1)), light)
    shine = np.clip(own - _WHITE_FROM, 0, None) / (1 - _WHITE_FROM)
    channels = []
    for part in rgb:
        shade = part**_GAMMA * light
        shade = np.minimum(shade, 1) * (1 - shine) + shine
        channels.append(np.round(255 * shade ** (1 / _GAMMA)).astype(np.uint8))
    grey = picture.convert("L")
    return Image.merge("RGB", [grey.point(list(map(int, channel))) for channel in channels])


def blurred(picture: Picture, amount: float, mask: Mask | None) -> Picture:
    """Return a picture blurred by `amount`, 0 to 1; with a mask, of what is in it alone: nothing else bleeds in."""
    width, height = picture.size
    small = (max(1, width // _COARSE), max(1, height // _COARSE))
    blur = ImageFilter.GaussianBlur(amount * _BLUR_PX * max(small))
    if mask is None:
        return picture.resize(small, Image.Resampling.BOX).filter(blur).resize(picture.size, Image.Resampling.BILINEAR)
    weights = Image.fromarray(mask)
    inside = Image.composite(picture, Image.new("RGB", picture.size), weights)
    above, below = (
        np.asarray(each.resize(small, Image.Resampling.BOX).filter(blur), np.float32) for each in (inside, weights)
    )
    mean = np.minimum(255 * above / np.maximum(below, 1)[..., None] + 0.5, 255)
    return Image.fromarray(mean.astype(np.uint8)).resize(picture.size, Image.Resampling.BILINEAR)


def grown(mask: Mask) -> Mask:
    """Return a mask that reaches over the edge of a thing: what is left of an edge shows where the thing was."""
    reach = max(2, round(max(mask.shape) / _EDGE))
    # Half of a thing is all of it: what is half removed is a ghost.
    sure = Image.fromarray(mask).point([min(255, 2 * level) for level in range(256)])
    grown_by = sure.filter(ImageFilter.MaxFilter(2 * reach + 1))
    return np.asarray(grown_by.filter(ImageFilter.GaussianBlur(reach / 3)))


def filled_in(picture: Picture, hole: Mask) -> Picture:
    """Return a picture with its hole filled smoothly with what is around it: the farther inside, the wider around.

    Means over what is there, at half the size again and again, and up again where nothing was (pull and push, Gortler
    et al., The lumigraph, 1996). A hole with nothing around it is filled with the picture's mean colour.
    """
    small = (max(1, picture.width // _COARSE), max(1, picture.height // _COARSE))
    around = Image.fromarray(255 - hole)
    light, there = (
        np.asarray(each.resize(small, Image.Resampling.BOX), np.float32) / np.float32(255)
        for each in (Image.composite(picture, Image.new("RGB", picture.size), around), around)
    )
    levels: list[tuple[_Field, _Field]] = [(light, there)]
    while min(levels[-1][1].shape) > 1 and (levels[-1][1] < 1).any():
        levels.append((_halved(levels[-1][0]), _halved(levels[-1][1])))
    light, there = levels[-1]
    mean = np.asarray(picture.resize((1, 1), Image.Resampling.BOX), np.float32) / 255
    colour: _Field = np.where(there[..., None] > 0, light / np.maximum(there, 1e-6)[..., None], mean)
    for light, there in reversed(levels[:-1]):
        rough = _doubled(colour, there.shape)
        weight = np.minimum(there, 1)[..., None]
        colour = light / np.maximum(there, 1e-6)[..., None] * weight + rough * (1 - weight)
    return Image.fromarray(np.clip(255 * colour + 0.5, 0, 255).astype(np.uint8)).resize(
        picture.size, Image.Resampling.BILINEAR
    )


def _halved(field: _Field) -> _Field:
    """Return sums of 2 x 2 px over the weights, at most 1 each: what is there anywhere is there."""
    pad = [(0, side % 2) for side in field.shape[:2]] + [(0, 0)] * (field.ndim - 2)
    field = np.pad(field, pad)
    return field[::2, ::2] + field[1::2, ::2] + field[::2, 1::2] + field[1::2, 1::2]


def _doubled(colour: _Field, shape: tuple[int, ...]) -> _Field:
    """Return a picture of half the size at the size `(height, width)`, bilinearly."""
    channels = [
        Image.fromarray(np.ascontiguousarray(colour[..., c])).resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
        for c in range(3)
    ]
    return np.stack([np.asarray(channel, np.float32) for channel in channels], -1)


def over(below: Picture, above: Picture, mask: Mask | None) -> Picture:
    """Return a picture with another laid over it where a mask says so; None is everywhere."""
    return above if mask is None else Image.composite(above, below, Image.fromarray(mask))


def laid(below: Picture, layers: Sequence[tuple[Picture, Mask | None]]) -> Picture:
    """Return a picture under others, each with the weight that its mask says; masks sum to 255 at most.

    What is left to 255 shows the picture below. One after the other, each is laid over those before with its share of
    what they cover together, so that where two masks meet nothing of what is below both is seen.
    """
    if not layers:
        return below
    if any(mask is None for _, mask in layers):
        return next(picture for picture, mask in layers if mask is None)
    if len(layers) == 1:
        return over(below, *layers[0])
    masks = [mask.astype(np.uint16) for _, mask in layers if mask is not None]
    covered = 255 - np.minimum(sum(masks), 255)
    for (picture, _), mask in zip(layers, masks, strict=True):
        covered = covered + mask
        share = np.divide(mask * np.uint32(255) + covered // 2, covered, out=np.zeros(mask.shape), where=covered > 0)
        below = over(below, picture, share.astype(np.uint8))
    return below
