"""Batches for training: baked clips, cropped, mixed, disturbed and turned into the network's inputs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from vivace.errors import SourceNotFoundError
from vivace.models.mini.graph import resize
from vivace.models.mini.network import ClipMemory, Conditions
from vivace.models.mini.styles import STYLE_COUNT, STYLE_KEYS
from vivace.models.mini.textures import SCREEN_PERIOD_PX, screens
from vivace.train.targets import Shard, TorusBank, list_shards

HARD_STYLES = {"ink", "neon", "pixel", "cel", "comic", "blueprint"}
MAX_AGE = 5
"""Cap of ages, in training and in streams, so that no age is larger than those trained on."""
WIDE_EVERY = 8
"""Interval of batches with a larger crop, so that attention meets larger grids."""
STYLE_NEED = np.array([{"oil": 2.2, "swirl": 2.5}.get(k, 1.7 if k in HARD_STYLES else 1.0) for k in STYLE_KEYS])
"""Sampling weight of a clip by its style: strokes and dots take longer to learn than light."""
MAX_CROP_PX = 192
"""Largest crop of the output, px; it bounds the time of a step."""


@dataclass(slots=True)
class Batch:
    """Clips of one scale; the leading axis counts frames, those of a clip being adjacent."""

    clean: Tensor
    """Source before the disturbance, `[n 3 H W]`, in [-1, 1]."""
    source: Tensor
    """Source as the network sees it, `[n 3 H W]`."""
    target: Tensor
    """`[n 3 H W]`"""
    other: Tensor
    """Same clip in another style, or the source: history from before a prompt change, `[n 3 H W]`."""
    noise: Tensor
    """`[n 3 h w]`"""
    textures: Tensor
    """`[n 15 h/2 w/2]`"""
    strokes: Tensor
    """`[n 40 H/2 W/2]`"""
    screens: Tensor
    fine_screens: Tensor
    embeds: Tensor
    """`[n styles]`"""
    ages: Tensor
    """Age of frame `j` as seen from frame `i`, frames; -1 where it is not seen, `[b i j]`."""
    follows: Tensor
    """True where the previous frame is the previous output, not an anchor from long ago, `[n]` bool."""
    log_scale: float
    frames: int

    def to(self, device: torch.device) -> Batch:
        """Move every tensor to a device."""
        moved = {
            n: getattr(self, n).to(device, non_blocking=True)
            for n in self.__slots__
            if n not in ("log_scale", "frames")
        }
        return Batch(**moved, log_scale=self.log_scale, frames=self.frames)

    def conditions(self, t: Tensor) -> Conditions:
        """Return the conditions of a step at times `t [n]`."""
        return Conditions(self.embeds, t, torch.full_like(t, self.log_scale))

    def memory(self) -> ClipMemory:
        """Return the memory of the clips: the frames that each frame sees."""
        return ClipMemory(self.ages)


class BatchStream(IterableDataset[Batch]):
    """Endless batches for a DataLoader: in the trainer's process on a CPU, in workers with a GPU."""

    def __init__(self, folder: Path, *, seed: int, clips: int, crop: int, wide_crop: int) -> None:
        self._folder, self._seed = folder, seed
        self._clips, self._crop, self._wide_crop = clips, crop, wide_crop

    def __iter__(self) -> Iterator[Batch]:
        worker = get_worker_info()
        source = BatchSource(self._folder, seed=self._seed + 1_000_003 * (worker.id + 1 if worker else 0))
        for number in count():
            wide = number % WIDE_EVERY == WIDE_EVERY - 1
            yield source.draw(self._clips, self._crop, self._wide_crop if wide else None)


class BatchSource:
    """Random batches from a folder of shards; shards added later are found."""

    def __init__(self, folder: Path, *, seed: int) -> None:
        self._folder = folder
        self._rng = np.random.default_rng(seed)
        self._bank = TorusBank()
        self._shards: list[Shard] = []
        self._drawn = 0

    def draw(self, clips: int, crop: int, wide_crop: int | None = None) -> Batch:
        """Return `clips` clips of one shard at working size `crop` px (less where the shard holds less).

        With `wide_crop`, a shard at scale 1 gives a third of the clips at that size instead.
        """
        if self._drawn % 50 == 0:
            self._shards = list_shards(self._folder)
            if not self._shards:
                raise SourceNotFoundError(f"no baked targets in {self._folder}; make some: vivace train targets DATA")
        self._drawn += 1
        rng = self._rng
        shard = self._shards[int(rng.integers(len(self._shards)))]
        if wide_crop is not None and shard.scale == 1:
            clips, crop = max(1, clips // 3), wide_crop
        with safe_open(shard.path, "pt") as file:
            need = STYLE_NEED[file.get_tensor("styles")[:, 0].numpy()]
            items = rng.choice(shard.count, clips, replace=False, p=need / need.sum())
            names = ("source", "first", "second")
            source, first, second = (torch.cat([file.get_slice(n)[int(i) : int(i) + 1] for i in items]) for n in names)
            styles, times, place = (file.get_tensor(n)[torch.from_numpy(items)] for n in ("styles", "times", "place"))
        return self._prepare(source, first, second, styles, times, place, shard.scale, crop)

    def _prepare(
        self, source: Tensor, first: Tensor, second: Tensor, styles: Tensor, times: Tensor, place: Tensor,
        scale: float, crop: int,
    ) -> Batch:  # fmt: skip
        rng = self._rng
        b, t = source.shape[:2]
        working = round(source.shape[-1] / scale)
        crop = min(crop, working, int(MAX_CROP_PX / scale))
        # Screens keep their phase only if a crop begins at a multiple of their period.
        top, left = (
            int(rng.integers(0, (working - crop) // SCREEN_PERIOD_PX + 1)) * SCREEN_PERIOD_PX for _ in range(2)
        )
        out, y, x = round(crop * scale), round(top * scale), round(left * scale)
        clean, first, second = (
            v[..., y : y + out, x : x + out].flatten(0, 1).float() / 127.5 - 1 for v in (source, first, second)
        )
        windows = [
            self._bank.window(int(s), int(py) + top, int(px) + left, crop) for s, py, px in place.flatten(0, 1).tolist()
        ]
        noise = torch.from_numpy(np.stack([w.noise for w in windows]))
        bands = torch.from_numpy(np.stack([w.bands for w in windows]))
        strokes = torch.from_numpy(np.stack([w.strokes for w in windows]))
        fine_strokes = strokes if scale == 1 else resize(strokes, [out, out])
        target, embeds = self._mixture(first, second, styles, t)
        age = (times[:, :, None] - times[:, None, :]).float().clamp(max=MAX_AGE)
        ages = torch.where(age > 0, age, -1.0)
        # Slots are dropped at random, so that a stream can start, be re-anchored, or run without memory.
        ages = torch.where(torch.rand(b, 1, 1) < 0.12, -torch.ones_like(ages), ages)
        follows = torch.cat([torch.zeros(b, 1, dtype=torch.bool), times[:, 1:] - times[:, :-1] == 1], 1).flatten()
        other = torch.where((styles[:, 0] != styles[:, 1]).repeat_interleave(t).view(-1, 1, 1, 1), first, clean)
        n = b * t
        return Batch(
            clean=clean,
            source=self._disturb(clean, b, t),
            target=target,
            other=other,
            noise=noise,
            textures=F.avg_pool2d(torch.cat([bands, strokes], 1), 2),
            strokes=F.pixel_unshuffle(fine_strokes, 2),
            screens=torch.from_numpy(screens(crop, crop)).expand(n, -1, -1, -1),
            fine_screens=torch.from_numpy(screens(out, out, scale, scale)).expand(n, -1, -1, -1),
            embeds=embeds,
            ages=ages,
            follows=follows,
            log_scale=float(np.log2(scale)),
            frames=t,
        )

    def _mixture(self, first: Tensor, second: Tensor, styles: Tensor, t: int) -> tuple[Tensor, Tensor]:
        """Blend the two styles of a clip: usually one alone, sometimes a random mixture."""
        pure = self._rng.random(len(styles)) < 0.45
        weight = torch.from_numpy(
            np.where(pure, self._rng.integers(0, 2, len(styles)), self._rng.uniform(0, 1, len(styles)))
        )
        weight = weight.float()
        one_hot = F.one_hot(styles, STYLE_COUNT).float()
        embeds = one_hot[:, 0] * (1 - weight)[:, None] + one_hot[:, 1] * weight[:, None]
        w = weight.repeat_interleave(t).view(-1, 1, 1, 1)
        return first * (1 - w) + second * w, embeds.repeat_interleave(t, 0)

    def _disturb(self, clean: Tensor, b: int, t: int) -> Tensor:
        """Add camera noise and flickering exposure. Targets stay clean: the past tells what is steady."""
        rng = self._rng
        sigma = torch.from_numpy(np.where(rng.random(b) < 0.6, rng.uniform(0.0, 0.06, b), 0.0)).float()
        gain = 1 + torch.randn(b, t) * torch.from_numpy(np.where(rng.random(b) < 0.4, 0.06, 0.0)).float()[:, None]
        noisy = (clean + 1) * gain.flatten().view(-1, 1, 1, 1) - 1
        noisy = noisy + torch.randn_like(clean) * sigma.repeat_interleave(t).view(-1, 1, 1, 1)
        return noisy.clamp(-1, 1)
