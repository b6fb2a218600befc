"""Baked training targets: shards of clean clips, painted by each style's teacher.

Teachers cost more than a training step, so each clip is painted once and used several times. A shard is one safetensors
file; shards are numbered and seeded by their number, so that baking can stop and resume at any of them, and a trainer
picks up new ones while it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from vivace.models.mini.styles import STYLE_COUNT, STYLE_KEYS
from vivace.models.mini.textures import Textures, make_textures, screens
from vivace.train.clips import Segment, sample_clip
from vivace.train.processes import replacing
from vivace.train.teachers import TEACHERS, TeacherTextures

CLIP_FRAMES = 4
ITEMS_PER_SHARD = 48
TORUS_PX = 512
TORUS_SEEDS = 8
"""Number of texture fields in training. The network sees only windows at random positions, so it learns no particular
field."""

SCALES: tuple[tuple[float, int, float], ...] = ((1.0, 192, 0.45), (2.0, 256, 0.40), (1.5, 192, 0.15))
"""Output px per working px, picture side in px, share of the shards."""

STYLE_WEIGHTS = {
    "night": 0.45,
    "golden": 0.45,
    "snow": 0.8,
    "noir": 0.45,
    "thermal": 0.4,
    "sepia": 0.5,
    "blueprint": 0.8,
}
"""Sampling weights of styles that are mostly a change of colour: they need fewer examples."""
SECOND_STYLE_SHARE = 0.3
"""Share of clips painted in two styles, from which mixtures are blended."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Opened shard; tensors are read lazily by item."""

    path: Path
    scale: float
    count: int


class TorusBank:
    """Texture fields used in training, made once."""

    def __init__(self) -> None:
        self._fields: dict[int, Textures] = {}

    def window(self, seed: int, top: int, left: int, size: int) -> Textures:
        """Return `size` x `size` px of a torus from `(top, left)`, wrapping around."""
        if seed not in self._fields:
            self._fields[seed] = make_textures(TORUS_PX, TORUS_PX, seed)
        return self._fields[seed].window(top, left, size, size)


def bake(
    segments: list[Segment], folder: Path, count: int, *, report: Callable[[int], None] = lambda _done: None
) -> None:
    """Write shards 0 to `count` - 1 into `folder`, skipping those that exist."""
    folder.mkdir(parents=True, exist_ok=True)
    bank = TorusBank()
    for number in range(count):
        path = folder / f"shard-{number:05d}.safetensors"
        if not path.exists():
            with replacing(path) as partial:
                save_shard(partial, segments, bank, number)
        report(number + 1)


def save_shard(path: Path, segments: list[Segment], bank: TorusBank, number: int) -> None:
    """Make and write shard `number`, which alone determines its content."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rng = np.random.default_rng([number, 2026])
    pick = float(rng.random())
    scale, size, _ = SCALES[0 if pick < SCALES[0][2] else 1 if pick < SCALES[0][2] + SCALES[1][2] else 2]
    weights = np.array([STYLE_WEIGHTS.get(key, 1.0) for key in STYLE_KEYS])
    weights /= weights.sum()
    columns: dict[str, list[Tensor]] = {k: [] for k in ("source", "first", "second", "styles", "times", "place")}
    for _ in range(ITEMS_PER_SHARD):
        segment = segments[int(rng.integers(len(segments)))]
        clip = sample_clip(segment, rng, frames=CLIP_FRAMES, size=size, scale=scale)
        first, second = rng.choice(STYLE_COUNT, 2, replace=False, p=weights)
        if rng.random() > SECOND_STYLE_SHARE:
            second = first
        origin = torch.from_numpy(rng.integers(0, TORUS_PX, 2))
        place = torch.cat([torch.full((CLIP_FRAMES, 1), int(rng.integers(TORUS_SEEDS))), origin + clip.shift], 1)
        textures = teacher_textures(bank, place, size, scale, device)
        pictures = clip.pictures.to(device)
        painted = [
            _bytes(TEACHERS[STYLE_KEYS[style]](pictures, textures).cpu()) for style in dict.fromkeys((first, second))
        ]
        columns["source"].append(_bytes(clip.pictures))
        columns["first"].append(painted[0])
        columns["second"].append(painted[-1])
        columns["styles"].append(torch.tensor([int(first), int(second)]))
        columns["times"].append(clip.times)
        columns["place"].append(place)
    save_file({k: torch.stack(v) for k, v in columns.items()}, path, {"scale": str(scale)})


def teacher_textures(bank: TorusBank, place: Tensor, size: int, scale: float, device: torch.device) -> TeacherTextures:
    """Return the textures of each frame, enlarged to the picture; `place [t 3]` is (torus, top, left)."""
    working = round(size / scale)
    windows = [bank.window(int(s), int(y), int(x), working) for s, y, x in place.tolist()]

    def enlarged(fields: list[np.ndarray]) -> Tensor:
        stacked = torch.from_numpy(np.stack(fields)).to(device)
        return (
            stacked if scale == 1 else F.interpolate(stacked, size=(size, size), mode="bilinear", align_corners=False)
        )

    return TeacherTextures(
        enlarged([w.noise for w in windows]),
        enlarged([w.bands for w in windows]),
        enlarged([w.strokes for w in windows]),
        torch.from_numpy(screens(size, size, scale, scale)).to(device).expand(len(windows), -1, -1, -1),
        scale,
    )


def _bytes(pictures: Tensor) -> Tensor:
    return (pictures.clamp(0, 1) * 255 + 0.5).to(torch.uint8)


def list_shards(folder: Path) -> list[Shard]:
    """Return the shards of a folder, in order."""
    shards = []
    for path in sorted(folder.glob("shard-*.safetensors")):
        with safe_open(path, "pt") as file:
            count = file.get_slice("times").get_shape()[0]
            shards.append(Shard(path, float(file.metadata()["scale"]), count))
    return shards
