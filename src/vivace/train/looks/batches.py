"""Batches of the looks: baked pairs, cropped, mixed, disturbed, with the look's code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from torch import Tensor

from vivace.errors import SourceNotFoundError
from vivace.models.mini2.looks import LOOK_KEYS, LOOKS
from vivace.train.looks.neural import CODE_NUMBERS
from vivace.train.looks.student import draw
from vivace.train.looks.targets import (
    LOOKS_PER_ITEM,
    NO_FAVOUR,
    PICTURE,
    SIDE_PX,
    is_complete,
    read_favour,
    read_jpeg,
    shard_paths,
    torus_fields,
)

STEP_PX = 32
"""Grid of the crops, px: blocks, tokens and screens keep their phase at either scale."""
MIXTURE_SHARE = 0.15
SOURCE_SHARE = 0.03
"""Share of pairs without a look, so that strength has something to fade to."""
SHARDS_A_BATCH = 2
_INDEX = {**{key: index for index, key in enumerate(LOOK_KEYS)}, PICTURE: -1}
"""Index of a shard's look in the table of codes; a retired look has none."""


@dataclass(slots=True)
class Batch:
    """Pairs of frames; pictures are `[b 2 3 h w]`, a byte `v` as `v / 128 - 1`."""

    clean: Tensor
    """Source before the disturbance."""
    source: Tensor
    """Source as the network sees it."""
    target: Tensor
    other: Tensor
    """First frame in another look, `[b 3 h w]`: history from before a prompt change."""
    textures: Tensor
    """`[b 2 32 h/4 w/4]`"""
    maps: Tensor
    """Maps of the source as the network sees it, `[b 2 80 h/4 w/4]`."""
    index: Tensor
    """Named looks that are mixed, `[b 2]`; -1 is the picture's."""
    codes: Tensor
    """Code of the picture, `[b 100]`."""
    weight: Tensor
    """Weight of the first of the two looks, `[b]`."""
    log_scale: Tensor
    """`[b]`"""
    invented: Tensor
    """Share of the look that has a neural teacher, `[b]`: the network cannot know its strokes and may invent them."""

    def to(self, device: torch.device) -> Batch:
        """Move every tensor to a device."""
        return Batch(*(getattr(self, name).to(device, non_blocking=True) for name in self.__slots__))


class BatchSource:
    """Random batches from a folder of shards; shards added later are found."""

    def __init__(self, folder: Path, rng: np.random.Generator, favour: Mapping[str, float] = NO_FAVOUR) -> None:
        """Draw a look as much more often as `favour` says, compared with shards that favour none."""
        self._folder = folder
        self.rng = rng
        self._favour = favour
        self._paths: list[Path] = []
        self._drawn = 0

    def draw(self, pairs: int, crop: int) -> Batch:
        """Return `pairs` pairs of `crop` px square, a multiple of 32 of at most 256.

        Raises:
            SourceNotFoundError: there is no shard.
        """
        if self._drawn % 50 == 0:
            self._paths = [path for path in shard_paths(self._folder) if is_complete(path)]
            if not self._paths:
                raise SourceNotFoundError(f"no baked targets of this version in {self._folder}; bake them")
        self._drawn += 1
        chosen = self.rng.integers(len(self._paths), size=min(SHARDS_A_BATCH, pairs))
        share = np.array_split(np.arange(pairs), len(chosen))
        parts = [self._from_shard(self._paths[int(i)], len(n), crop) for i, n in zip(chosen, share, strict=True)]
        return Batch(*(torch.cat([getattr(p, name) for p in parts]) for name in Batch.__slots__))

    def _from_shard(self, path: Path, count: int, crop: int) -> Batch:
        rng = self.rng
        columns: dict[str, list[Tensor]] = {name: [] for name in Batch.__slots__}
        with safe_open(path, "np") as file:
            looks = json.loads(file.metadata()["looks"])
            # A look that the shard already has more of is not favoured twice; a retired one has no weight.
            baked = read_favour(file.metadata())
            weights = {key: self._favour.get(key, 1.0) / baked.get(key, 1.0) for key in _INDEX}
            need = np.array([[weights.get(key, 0.0) for key in item] for item in looks])
            total = need.sum(1)
            usable = np.count_nonzero(total)
            if not usable:
                raise SourceNotFoundError(f"every look in {path} is retired; bake it anew")
            ends = np.concatenate([[0], file.get_tensor("ends").ravel()])
            codes, scales, places = (file.get_tensor(name) for name in ("codes", "scales", "places"))
            jpeg, textures = file.get_slice("jpeg"), file.get_slice("textures")
            for item in rng.choice(len(looks), count, replace=bool(usable < count), p=total / total.sum()):
                top, left = (int(v) * STEP_PX for v in rng.integers(0, (SIDE_PX - crop) // STEP_PX + 1, 2))

                def picture(number: int) -> Tensor:
                    at = int(item) * (1 + LOOKS_PER_ITEM) + number  # noqa: B023 (used in this iteration only)
                    whole = read_jpeg(jpeg[int(ends[at]) : int(ends[at + 1])].tobytes())
                    return whole[..., top : top + crop, left : left + crop].float() / 128 - 1  # noqa: B023

                share = need[item] / total[item]
                drawn = rng.choice(len(share), np.count_nonzero(share), replace=False, p=share)
                first, second, other = (int(v) for v in np.resize(drawn, 3))
                clean, target = picture(0), picture(1 + first)
                index = [_INDEX[looks[int(item)][k]] for k in (first, second)]
                weight = 1.0
                pick = rng.random()
                if pick < SOURCE_SHARE:
                    target, index[0] = clean, LOOK_KEYS.index("source")
                elif pick < SOURCE_SHARE + MIXTURE_SHARE:
                    weight = float(rng.uniform(0.2, 0.8))
                    target = weight * target + (1 - weight) * picture(1 + second)
                columns["invented"].append(
                    torch.tensor(sum(w * is_invented(i) for w, i in zip((weight, 1 - weight), index, strict=True)))
                )
                y, x, side = top // 4, left // 4, crop // 4
                block = textures[int(item) : int(item) + 1, :, y : y + side, x : x + side][0]
                columns["clean"].append(clean)
                source = self._disturb(clean)
                columns["source"].append(source)
                scale = int(scales[int(item)])
                columns["maps"].append(self._maps(source, places[int(item)], scale, (top, left)))
                columns["target"].append(target)
                columns["other"].append(picture(1 + other)[0] if rng.random() < 0.15 else clean[0])
                columns["textures"].append(torch.from_numpy(block).permute(0, 3, 1, 2).float() / 128 - 1)
                columns["index"].append(torch.tensor(index))
                columns["codes"].append(torch.from_numpy(codes[int(item)]).view(CODE_NUMBERS))
                columns["weight"].append(torch.tensor(weight))
                columns["log_scale"].append(torch.tensor(float(np.log2(scale))))
        return Batch(*(torch.stack(columns[name]) for name in Batch.__slots__))

    def _maps(self, source: Tensor, places: NDArray[np.int64], scale: int, at: tuple[int, int]) -> Tensor:
        """Return the maps of a pair of sources, crops at `at` px (down, right) of pictures with textures at `places`."""
        side = source.shape[-1] // scale
        windows = [
            torus_fields(int(seed), int(top) + at[0] // scale, int(left) + at[1] // scale, side)
            for seed, top, left in places
        ]
        return draw(source, np.stack(windows), scale)

    def _disturb(self, clean: Tensor) -> Tensor:
        """Add camera noise and flickering exposure. Targets stay clean."""
        rng = self.rng
        sigma = float(rng.uniform(0, 0.06)) if rng.random() < 0.5 else 0.0
        gain = 1 + rng.standard_normal(2) * (0.06 if rng.random() < 0.35 else 0.0)
        noisy = (clean + 1) * torch.from_numpy(gain).float().view(2, 1, 1, 1) - 1
        if sigma:
            noisy = noisy + torch.from_numpy(rng.standard_normal(clean.shape, np.float32)) * sigma
        return noisy.clamp(-1, 1)


def is_invented(index: int) -> bool:
    """Return whether a neural teacher paints a look, given its index in the table; -1 is the picture's."""
    return index < 0 or LOOKS[index].kind == "painting"
