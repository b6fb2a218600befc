"""Samples for the style classifier: baked targets blended with their source, disturbed, and judged in an area.

The label is a share of every class: a source blended with a style at strength s is that style by s and `none` by 1 - s,
so that a network trained with cross-entropy learns the strength itself.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from vivace.errors import SourceNotFoundError
from vivace.models.mini.styles import STYLE_COUNT
from vivace.models.style.classifier import CLASSES, NONE
from vivace.train.targets import Shard, list_shards

SIDES_PX = (112, 128, 160, 192)
"""Working sides of batches, px."""
LATE_FROM = 5500
LATE_SIDES_PX = (160, 192, 256)
"""Working sides of batches from `LATE_FROM` on, px: as large as the pictures judged later; more content leaves less
doubt."""
ITEMS_PER_SHARD = 4
RELIT_SHARE = 0.6
"""Share of the unpainted pictures that are shown in another light than the camera's."""
FULL_SHARE = 0.55
"""Share of the painted pictures that are painted at full strength."""
AREA_SHARE = 0.25
"""Share of the pictures that are judged in an area alone, with something else around it."""
BLANK_SHARE = 0.03
"""Share of the unpainted pictures that show nothing: one colour, a ramp, noise."""
ZOOM = (0.6, 1.7)
"""Range of the magnification of a painted picture: texture sizes differ between systems and output sizes."""


@dataclass(slots=True)
class Samples:
    """Batch of samples."""

    pictures: Tensor
    """`[b 3 s s]` in [0, 1]."""
    areas: Tensor
    """`[b 1 s s]` in [0, 1]."""
    shares: Tensor
    """`[b classes]`, each row sums to 1."""

    def to(self, device: torch.device) -> Samples:
        """Move every tensor to a device."""
        return Samples(self.pictures.to(device), self.areas.to(device), self.shares.to(device))


class SampleSource:
    """Random batches from a folder of baked shards, styles balanced. A batch depends only on its number.

    Raises:
        SourceNotFoundError: there are no shards.
    """

    def __init__(self, folder: Path, *, seed: int) -> None:
        self._seed = seed
        self._rng = np.random.default_rng(seed)
        self._shards = list_shards(folder)
        if not self._shards:
            raise SourceNotFoundError(f"no baked targets in {folder}; make some: vivace train targets DATA")
        count = np.zeros(STYLE_COUNT)
        for shard in self._shards:
            with safe_open(shard.path, "np") as file:
                count += np.bincount(file.get_tensor("styles").ravel(), minlength=STYLE_COUNT)
        self._need = 1 / np.maximum(count, 1)

    def draw(self, number: int, batch: int) -> Samples:
        """Return batch `number` of `batch` pictures; the same number gives the same batch, whatever was drawn before.

        Pictures come in pairs of one crop, the second unpainted, so that the two differ in style.
        """
        rng = self._rng = np.random.default_rng([self._seed, number, 2027])
        side = int(rng.choice(SIDES_PX if number < LATE_FROM else LATE_SIDES_PX))
        samples: list[tuple[Tensor, Tensor, NDArray[np.float64]]] = []
        while len(samples) < batch:
            shard = self._shards[int(rng.integers(len(self._shards)))]
            for item in self._items(shard, min(ITEMS_PER_SHARD, (batch - len(samples) + 1) // 2)):
                samples += self._pair(*item, side)
        pictures, areas, shares = zip(*samples[:batch], strict=True)
        return Samples(torch.cat(pictures), torch.cat(areas), torch.from_numpy(np.stack(shares)).float())

    def _items(self, shard: Shard, count: int) -> list[tuple[Tensor, NDArray[np.int64]]]:
        """Return (pictures, styles) of random frames of clips: source, first and second as `[3 3 h w]` in [0, 1]."""
        rng = self._rng
        with safe_open(shard.path, "pt") as file:
            styles = file.get_tensor("styles").numpy()
            need = self._need[styles].mean(1)
            items = rng.choice(shard.count, count, replace=False, p=need / need.sum())
            frame = int(rng.integers(4))
            found = []
            for i in items.tolist():
                views = [
                    file.get_slice(n)[i : i + 1, frame : frame + 1][0].float() / 255
                    for n in ("source", "first", "second")
                ]
                found.append((torch.cat(views), styles[i]))
        return found

    def _pair(
        self, views: Tensor, styles: NDArray[np.int64], side: int
    ) -> list[tuple[Tensor, Tensor, NDArray[np.float64]]]:
        """Return (picture, area, shares) of a painted and an unpainted picture."""
        rng = self._rng
        source, first, second = crop_zoomed(views, rng, side).clamp(0, 1).split(1)
        strength = 1.0 if rng.random() < FULL_SHARE else float(rng.random())
        mix = float(rng.random()) if styles[0] != styles[1] and rng.random() < 0.4 else float(rng.integers(2))
        painted = source * (1 - strength) + (first * (1 - mix) + second * mix) * strength
        share = np.zeros(len(CLASSES))
        share[styles[0]] += strength * (1 - mix)
        share[styles[1]] += strength * mix
        share[NONE] = 1 - strength
        unpainted = np.zeros(len(CLASSES))
        unpainted[NONE] = 1
        plain = relight(source, rng) if rng.random() < RELIT_SHARE else source
        if rng.random() < BLANK_SHARE:
            plain = blank(rng, side)
        pair = []
        for picture, around, label in ((painted, plain, share), (plain, painted, unpainted)):
            area = torch.ones(1, 1, side, side)
            if rng.random() < AREA_SHARE:
                area = blob(rng, side)
                picture = picture * area + around * (1 - area)
            pair.append((self._disturb(picture), area, label))
        return pair

    def _disturb(self, picture: Tensor) -> Tensor:
        """Add the defects of cameras, codecs and other systems: tint, exposure, blur, noise, compression."""
        rng = self._rng
        if rng.random() < 0.5:
            grey = picture.mean(1, keepdim=True)
            picture = grey + (picture - grey) * float(rng.uniform(0.75, 1.3))
            picture = picture * torch.tensor(rng.uniform(0.93, 1.07, 3)).float().view(1, 3, 1, 1)
            picture = (picture - 0.5) * float(rng.uniform(0.85, 1.15)) + 0.5 + float(rng.normal(0, 0.03))
            picture = picture.clamp(0, 1) ** float(np.exp(rng.normal(0, 0.12)))
        if rng.random() < 0.25:
            picture = soften(picture, float(rng.uniform(0.1, 1.0)))
        if rng.random() < 0.3:
            picture = picture + torch.from_numpy(
                rng.normal(0, rng.uniform(0, 0.04), tuple(picture.shape)).astype(np.float32)
            )
        picture = picture.clamp(0, 1)
        return compress(picture, int(rng.integers(20, 96))) if rng.random() < 0.35 else picture


def relight(picture: Tensor, rng: np.random.Generator) -> Tensor:
    """Return an unpainted picture in light that could be mistaken for a style: dark, grey, warm, pale or harsh."""
    kind = int(rng.integers(6))
    grey = picture.mean(1, keepdim=True)
    if kind == 0:  # night as a camera sees it, or underexposed
        tint = torch.tensor([rng.uniform(0.75, 1.1), rng.uniform(0.8, 1.0), rng.uniform(0.8, 1.15)]).float()
        picture = picture ** float(rng.uniform(1.0, 2.2)) * float(rng.uniform(0.15, 0.75)) * tint.view(1, 3, 1, 1)
    elif kind == 1:  # no colour, or nearly
        left = float(rng.uniform(0, 0.35)) if rng.random() < 0.6 else 0.0
        picture = grey + (picture - grey) * left
        picture = (picture - 0.5) * float(rng.uniform(0.7, 1.35)) + 0.5
    elif kind == 2:  # warm lamps, low sun
        picture = picture * torch.tensor([rng.uniform(1.0, 1.08), 1.0, rng.uniform(0.8, 0.97)]).float().view(1, 3, 1, 1)
    elif kind == 3:  # overcast, snow, fog
        picture = grey + (picture - grey) * float(rng.uniform(0.3, 0.9))
        picture = 1 - (1 - picture) * float(rng.uniform(0.55, 0.95))
    elif kind == 4:  # harsh: clipped at both ends, vivid
        picture = grey + (picture - grey) * float(rng.uniform(1.0, 1.7))
        picture = (picture - 0.5) * float(rng.uniform(1.2, 1.8)) + 0.5
    else:  # a soft, small picture enlarged
        side = picture.shape[-1]
        small = F.interpolate(picture, size=side // int(rng.integers(2, 5)), mode="area")
        picture = F.interpolate(small, size=side, mode="bilinear", align_corners=False)
    return picture.clamp(0, 1)


def blank(rng: np.random.Generator, side: int) -> Tensor:
    """Return the output of a broken system, `[1 3 s s]`: one colour, a ramp between two, or noise."""
    kind = int(rng.integers(3))
    ends = torch.from_numpy(rng.random((2, 3))).float().view(2, 3, 1, 1)
    if kind == 2:
        noise = torch.from_numpy(rng.random((1, 3, side, side))).float()
        return (ends[:1] + (noise - 0.5) * float(rng.uniform(0.1, 1))).clamp(0, 1)
    ramp = torch.linspace(0, 1, side) if kind == 1 else torch.zeros(side)
    ramp = ramp.view(1, 1, 1, side).expand(1, 1, side, side)
    ramp = ramp.transpose(2, 3) if rng.random() < 0.5 else ramp
    return ends[:1] * (1 - ramp) + ends[1:] * ramp


def blob(rng: np.random.Generator, side: int) -> Tensor:
    """Return an area `[1 1 s s]` of zeros and ones: a box, an ellipse or a cloud."""
    kind = int(rng.integers(3))
    if kind == 2:
        cells = torch.from_numpy(rng.normal(size=(1, 1, 5, 5))).float()
        cloud = F.interpolate(cells, size=side, mode="bicubic", align_corners=False)
        return (cloud > float(rng.normal(0, 0.25))).float()
    middle, half = rng.uniform(0.25, 0.75, 2) * side, rng.uniform(0.12, 0.5, 2) * side
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    u, v = ((y - middle[0]) / half[0]).abs(), ((x - middle[1]) / half[1]).abs()
    inside = torch.maximum(u, v) < 1 if kind == 0 else u * u + v * v < 1
    return inside.float()[None, None]


def crop_zoomed(x: Tensor, rng: np.random.Generator, side: int) -> Tensor:
    """Cut a random square out of `[1 c h w]` and scale it to `side` px, by a random factor within `ZOOM`."""
    whole = x.shape[-1]
    zoom = float(np.exp(rng.uniform(*np.log(ZOOM)))) if rng.random() < 0.6 else 1.0
    taken = int(min(whole, max(48, round(side / zoom))))
    if zoom == 1.0:
        taken = min(whole, side)
    top, left = (int(rng.integers(0, whole - taken + 1)) for _ in range(2))
    cut = x[..., top : top + taken, left : left + taken]
    if taken == side:
        return cut
    if taken > side:
        return F.interpolate(cut, size=side, mode="area")
    return F.interpolate(cut, size=side, mode="bicubic" if rng.random() < 0.7 else "nearest")


def soften(picture: Tensor, weight: float) -> Tensor:
    """Blend a picture with its 3x3 binomial blur."""
    taps = torch.tensor([0.25, 0.5, 0.25])
    kernel = torch.outer(taps, taps).expand(3, 1, 3, 3)
    blurred = F.conv2d(F.pad(picture, (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
    return picture + (blurred - picture) * weight


def compress(picture: Tensor, quality: int) -> Tensor:
    """Encode and decode `[1 3 h w]` as JPEG."""
    pixels = (picture[0].permute(1, 2, 0) * 255 + 0.5).to(torch.uint8).numpy()
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality)
    decoded = np.array(Image.open(file))
    return torch.from_numpy(decoded).permute(2, 0, 1)[None].float() / 255
