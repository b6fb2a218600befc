"""Baked targets of the looks: shards of clean pairs of frames, each painted in a few looks.

Teachers cost more than a training step, so each pair is painted once and used several times. A shard is one safetensors
file whose pictures are JPEG (quality 95, full chroma): a tenth of their bytes. Shards are numbered and determined by
their number and the looks that were favoured, so that baking can stop and resume at any of them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from torch import Tensor

from vivace.models.keyframes.load import need_opencv
from vivace.models.mini.textures import Textures, make_textures, screens
from vivace.models.mini2.config import SCALES
from vivace.models.mini2.looks import LOOKS, Look
from vivace.models.mini2.textures import Cells, block_textures, make_cells, stroke_fields
from vivace.train.clips import Segment, sample_clip
from vivace.train.looks.computed import COMPUTED
from vivace.train.looks.material import Material, draw_segments, draw_style_picture
from vivace.train.looks.neural import CODE_NUMBERS, NeuralTeachers
from vivace.train.looks.operators import LookTextures
from vivace.train.processes import replacing
from vivace.train.teachers import TeacherTextures

SIDE_PX = 256
FRAMES = 2
"""Frames of a pair: one and the one before it."""
FILTERED_FRAMES = 4
"""Frames that a flickering teacher paints for a pair: the filter needs a past."""
ITEMS = 32
LOOKS_PER_ITEM = 5
PICTURE = "picture"
"""Key of the look of a picture, which has a code and no name."""
PICTURE_NEED = 7.0
"""Sampling weight of painting like a picture; a named look has 1."""
NEURAL_NEED = 1.5
TORUS_PX = 512
TORUS_SEEDS = 8
_PLACE_PX = 16
"""Grid of the windows on the torus, px, so that screens, whose phase begins at the picture, agree with it."""
_QUALITY = 95
_RETIRED = "retired "
NO_FAVOUR: Mapping[str, float] = {}
"""Factors of the looks' sampling weights where no look is favoured; a look that is not named has 1."""


@dataclass(frozen=True, slots=True)
class Place:
    """Position of a frame's textures on a torus, working px."""

    seed: int
    top: int
    left: int


@lru_cache(maxsize=TORUS_SEEDS)
def torus(seed: int) -> tuple[Textures, Cells]:
    """Return the texture fields of training, made once per seed."""
    return make_textures(TORUS_PX, TORUS_PX, seed), make_cells(TORUS_PX, TORUS_PX, seed)


@lru_cache(maxsize=TORUS_SEEDS)
def _stroke_torus(seed: int) -> NDArray[np.uint8]:
    return stroke_fields(torus(seed)[0])


def torus_fields(seed: int, top: int, left: int, side: int) -> NDArray[np.uint8]:
    """Return the fields of strokes `uint8 [side side 12]` of a window of the torus, working px."""
    rows, columns = ((begin + np.arange(side)) % TORUS_PX for begin in (top, left))
    return _stroke_torus(seed)[rows][:, columns]


def window(place: Place, side_px: int, scale: int) -> tuple[Textures, Cells]:
    """Return the fields of a picture of `side_px` px."""
    fields, cells = torus(place.seed)
    side = side_px // scale
    return fields.window(place.top, place.left, side, side), cells.window(place.top, place.left, side, side)


def teacher_textures(places: list[Place], side_px: int, scale: int) -> LookTextures:
    """Return the textures of frames at the resolution of the picture."""
    windows = [window(place, side_px, scale) for place in places]

    def enlarged(fields: list[NDArray[np.float32]]) -> Tensor:
        stacked = torch.from_numpy(np.stack(fields))
        if scale == 1:
            return stacked
        return F.interpolate(stacked, size=(side_px, side_px), mode="bilinear", align_corners=False)

    numbers = torch.from_numpy(np.stack([c.number for _, c in windows]))
    base = TeacherTextures(
        enlarged([f.noise for f, _ in windows]),
        enlarged([f.bands for f, _ in windows]),
        enlarged([f.strokes for f, _ in windows]),
        torch.from_numpy(screens(side_px, side_px, scale, scale)).expand(len(windows), -1, -1, -1),
        scale,
    )
    return LookTextures(
        base,
        numbers.repeat_interleave(scale, 1).repeat_interleave(scale, 2),
        enlarged([c.offset for _, c in windows]),
        enlarged([c.edge[None] for _, c in windows]),
    )


class Painter:
    """All teachers."""

    def __init__(self, neural: NeuralTeachers) -> None:
        self.neural = neural

    @torch.no_grad()
    def paint(
        self, look: str, pictures: Tensor, textures: LookTextures, code: NDArray[np.float32] | None = None
    ) -> Tensor:
        """Return a pair `[2 3 h w]` in [0, 1] painted; `pictures [4 3 h w]` and `textures` end with it."""
        return steadied(look, pictures, self.paint_unfiltered(look, pictures, textures, code))

    @torch.no_grad()
    def paint_unfiltered(
        self, look: str, pictures: Tensor, textures: LookTextures, code: NDArray[np.float32] | None = None
    ) -> Tensor:
        """Return what a teacher paints, frame by frame: the pair, or of a neural one all of `pictures [4 3 h w]`."""
        if look in COMPUTED:
            return COMPUTED[look](pictures[-FRAMES:], textures).clamp(0, 1)
        scale = int(textures.scale)
        found = _BY_KEY.get(look)
        if found is None:
            if code is None:
                raise ValueError("painting like a picture needs the picture's code")
            return self.neural.picture(pictures, code)
        if found.kind == "anime":
            return self.neural.anime(pictures, scale)
        return self.neural.painting(pictures, found.painting, scale)


def steadied(look: str, pictures: Tensor, painted: Tensor) -> Tensor:
    """Return a pair `[2 3 h w]` painted, filtered along the motion of `pictures [4 3 h w]` if its teacher flickers."""
    if look in COMPUTED:
        return painted
    need_opencv("steadying what flickers")
    from vivace.train.looks.steady import filter_along_motion

    sources = [np.ascontiguousarray(x) for x in _bytes(pictures).permute(0, 2, 3, 1).numpy()]
    steady = filter_along_motion(sources, [np.ascontiguousarray(x) for x in painted.permute(0, 2, 3, 1).numpy()])
    return torch.from_numpy(np.stack(steady[-FRAMES:])).permute(0, 3, 1, 2).clamp(0, 1)


_BY_KEY: dict[str, Look] = {look.key: look for look in LOOKS}


def needs(favour: Mapping[str, float] = NO_FAVOUR) -> dict[str, float]:
    """Return the sampling weight of each look, multiplied by `favour`."""
    table = {look.key: 1.0 if look.kind == "computed" else NEURAL_NEED for look in LOOKS if look.kind != "source"}
    return {key: need * favour.get(key, 1.0) for key, need in {**table, PICTURE: PICTURE_NEED}.items()}


def bake(
    material: Material,
    painter: Painter,
    folder: Path,
    numbers: range,
    *,
    favour: Mapping[str, float] = NO_FAVOUR,
    report: Callable[[int], None] = lambda _n: None,
) -> None:
    """Write the shards of these numbers into `folder`; in existing ones, only retired pictures are painted.

    New shards have more of the looks that `favour` multiplies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        path = shard_path(folder, number)
        if not is_baked(path):
            with replacing(path) as partial:
                drawn = favour_of(path) if path.exists() else favour
                save_shard(partial, material, painter, number, kept=read_painted(path), favour=drawn)
        report(number)


def looks_of(path: Path) -> list[list[str]]:
    """Return the looks of a shard's items; a retired one has a prefix."""
    with safe_open(path, "np") as file:
        looks: list[list[str]] = json.loads(file.metadata()["looks"])
    return looks


def favour_of(path: Path) -> dict[str, float]:
    """Return the factors with which a shard's looks were drawn."""
    with safe_open(path, "np") as file:
        return read_favour(file.metadata())


def read_favour(metadata: Mapping[str, str]) -> dict[str, float]:
    """Return the factors that a shard's metadata records."""
    factors: dict[str, float] = json.loads(metadata.get("favour", "{}"))
    return factors


def is_complete(path: Path) -> bool:
    """Return whether a shard exists with the places of its textures, which those of former versions lack."""
    if not path.exists():
        return False
    with safe_open(path, "np") as file:
        return "places" in file.keys()  # noqa: SIM118 (no iteration protocol)


def is_baked(path: Path) -> bool:
    """Return whether a shard is complete, with nothing in it retired."""
    return is_complete(path) and not any(look.startswith(_RETIRED) for item in looks_of(path) for look in item)


def retire(path: Path, looks: frozenset[str]) -> None:
    """Mark the pictures of former teachers in a shard: training skips them, and baking paints them anew."""
    before = looks_of(path)
    after = [[_RETIRED * (look in looks) + look for look in item] for item in before]
    if after != before:
        with replacing(path) as partial:
            save_file(load_file(path), partial, _metadata(after, favour_of(path)))


def read_painted(path: Path) -> list[dict[str, bytes]]:
    """Return the JPEGs of a shard's items by look; the pair itself has an empty name."""
    if not path.exists():
        return []
    looks = looks_of(path)
    with safe_open(path, "np") as file:
        ends = [0, *file.get_tensor("ends").ravel().tolist()]
        jpeg = file.get_tensor("jpeg").tobytes()
    names = [name for item in looks for name in ("", *item)]
    parts = [jpeg[begin:end] for begin, end in pairwise(ends)]
    return [
        dict(zip(names[i:j], parts[i:j], strict=True))
        for i, j in pairwise(range(0, len(names) + 1, 1 + LOOKS_PER_ITEM))
    ]


def shard_path(folder: Path, number: int) -> Path:
    """Return the path of a shard."""
    return folder / f"looks-{number:05d}.safetensors"


def shard_paths(folder: Path) -> list[Path]:
    """Return the paths of all shards in a folder, in the order of their numbers."""
    return sorted(folder.glob("looks-*.safetensors"))


def save_shard(
    path: Path,
    material: Material,
    painter: Painter,
    number: int,
    items: int = ITEMS,
    kept: Sequence[Mapping[str, bytes]] = (),
    favour: Mapping[str, float] = NO_FAVOUR,
) -> None:
    """Make and write shard `number`; pictures `kept` are not painted anew.

    The number and the favoured looks alone determine its content.
    """
    rng = np.random.default_rng([number, 11])
    torch.manual_seed(number)
    table = needs(favour)
    names = list(table)
    share = np.array(list(table.values())) / sum(table.values())
    jpegs: list[bytes] = []
    looks: list[list[str]] = []
    codes: list[NDArray[np.float32]] = []
    scales: list[int] = []
    textures: list[NDArray[np.uint8]] = []
    seen_at: list[list[Place]] = []
    for item, segment in enumerate(draw_segments(material, rng, items)):
        scale = SCALES[int(rng.integers(len(SCALES)))]
        pictures, places = sample_pair(segment, rng, scale)
        basis = teacher_textures(places, SIDE_PX, scale)
        code = painter.neural.code(draw_style_picture(material, rng))
        chosen = [str(n) for n in rng.choice(names, LOOKS_PER_ITEM, replace=False, p=share)]
        pair = _jpeg(pictures[-FRAMES:])
        # With other material, the kept pictures show something else.
        before = kept[item] if item < len(kept) and kept[item][""] == pair else {}
        jpegs.append(pair)
        jpegs.extend(before.get(look) or _jpeg(painter.paint(look, pictures, basis, code)) for look in chosen)
        looks.append(chosen)
        codes.append(code)
        scales.append(scale)
        seen_at.append(places)
        fields = [window(place, SIDE_PX, scale) for place in places]
        # Textures are stored as bytes: they are most of a shard, but would otherwise take most of a trainer's time.
        textures.append(np.stack([block_textures(f, c, scale) for f, c in fields]))
    ends = np.cumsum([len(j) for j in jpegs])
    save_file(
        {
            "jpeg": np.frombuffer(b"".join(jpegs), np.uint8),
            "ends": ends.reshape(items, 1 + LOOKS_PER_ITEM),
            "codes": np.stack(codes).astype(np.float32).reshape(items, CODE_NUMBERS),
            "scales": np.array(scales),
            "places": np.array([[[p.seed, p.top, p.left] for p in places] for places in seen_at]),
            "textures": np.stack(textures),
        },
        path,
        _metadata(looks, favour),
    )


def _metadata(looks: list[list[str]], favour: Mapping[str, float]) -> dict[str, str]:
    return {"looks": json.dumps(looks)} | ({"favour": json.dumps(dict(favour))} if favour else {})


def sample_pair(segment: Segment, rng: np.random.Generator, scale: int) -> tuple[Tensor, list[Place]]:
    """Return frames `[4 3 h w]` in [0, 1] and the texture positions of the last two."""
    clip = sample_clip(segment, rng, frames=FILTERED_FRAMES, size=SIDE_PX, scale=scale)
    seed = int(rng.integers(TORUS_SEEDS))
    top, left = (int(v) * _PLACE_PX for v in rng.integers(0, TORUS_PX // _PLACE_PX, 2))
    places = [Place(seed, top + int(dy), left + int(dx)) for dy, dx in clip.shift[-FRAMES:].tolist()]
    return clip.pictures, places


def _bytes(pictures: Tensor) -> Tensor:
    return (pictures.clamp(0, 1) * 255 + 0.5).to(torch.uint8)


def _jpeg(pictures: Tensor) -> bytes:
    """Return frames `[t 3 h w]`, stacked vertically, as a JPEG."""
    stacked = _bytes(pictures).permute(0, 2, 3, 1).flatten(0, 1).numpy()
    file = io.BytesIO()
    Image.fromarray(stacked).save(file, "jpeg", quality=_QUALITY, subsampling=0)
    return file.getvalue()


def read_jpeg(data: bytes) -> Tensor:
    """Return the frames that `_jpeg` encoded, `uint8 [t 3 h w]`."""
    with Image.open(io.BytesIO(data)) as image:
        stacked = torch.from_numpy(np.array(image))
    return stacked.unflatten(0, (-1, SIDE_PX)).permute(0, 3, 1, 2)
