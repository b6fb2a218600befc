"""Training material of the looks: clips and photographs of a folder whose manifest states the licence of each."""

from __future__ import annotations

import csv
import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vivace.errors import SourceNotFoundError, SourceUnsupportedError
from vivace.train.clips import Segment, read_run
from vivace.worlds import PAINTED, make_scene

MANIFEST = "MANIFEST.csv"
_COPYLEFT = re.compile(r"\b(SA|L?GPL)\b")
"""Copyleft licences: share-alike and GPL pictures stay out of weights that ship under Apache-2.0 (decision 0012)."""
_RUN_FRAMES = 60
_MAX_SIDE_PX = 640
HELD_OUT_SHARE = 16
"""Divisor of the held-out photographs: one in so many is never used in training, since styles of pictures are judged by
them."""


@dataclass(frozen=True, slots=True)
class Material:
    """Files to train on."""

    clips: tuple[Path, ...]
    photos: tuple[Path, ...]
    paintings: tuple[Path, ...]
    """Photographs that show paintings."""
    held_out: tuple[Path, ...]
    """Photographs that are not trained on."""
    held_out_styles: tuple[Path, ...]
    """Those of them that are no portraits, which as styles are all alike."""


def read_material(folder: Path) -> Material:
    """Return the files of a folder that its manifest allows.

    Rows of the splits `train` and `photo` are taken, unless their licence is share-alike, copyleft or in doubt.

    Raises:
        SourceNotFoundError: no manifest, or files that it names are not there.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise SourceNotFoundError(
            f"{path} is missing; a folder of training data says in it, by columns file, split, clip_licence, tags and"
            " notes, which file may be used"
        )
    with path.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] in ("train", "photo") and is_usable(row)]
    missing = [row["file"] for row in rows if not (folder / row["file"]).is_file()]
    if missing:
        raise SourceNotFoundError(f"{path} names {len(missing)} files that are not there, {missing[0]} for one")
    photos = [row for row in rows if row["split"] == "photo"]
    held_out = [row for row in photos if is_held_out(row["file"])]
    kept = [row for row in photos if not is_held_out(row["file"])]
    return Material(
        clips=tuple(folder / row["file"] for row in rows if row["split"] == "train"),
        photos=tuple(folder / row["file"] for row in kept),
        paintings=tuple(folder / row["file"] for row in kept if "painting" in row["tags"].split(";")),
        held_out=tuple(folder / row["file"] for row in held_out),
        held_out_styles=tuple(folder / row["file"] for row in held_out if "portrait" not in row["tags"].split(";")),
    )


def is_usable(row: dict[str, str]) -> bool:
    """Return whether shipped weights may be trained on a row of the manifest."""
    doubtful = any(mark in row["notes"] for mark in ("[share-alike]", "[doubt]"))
    return not _COPYLEFT.search(row["clip_licence"]) and not doubtful


def is_held_out(name: str) -> bool:
    """Return whether a photograph is held out: by its name, so that more photographs change nothing."""
    return hashlib.sha256(Path(name).name.encode()).digest()[0] % HELD_OUT_SHARE == 0


def read_photo(path: Path, max_side_px: int = 1024) -> NDArray[np.uint8]:
    """Return a photograph as `uint8 [h w 3]`.

    Raises:
        SourceUnsupportedError: it is not a picture.
    """
    try:
        with Image.open(path) as image:
            image.thumbnail((max_side_px, max_side_px), Image.Resampling.LANCZOS)
            return np.array(image.convert("RGB"))
    except (OSError, ValueError) as error:
        raise SourceUnsupportedError(f"{path} cannot be read as a picture ({error})") from error


def draw_segments(material: Material, rng: np.random.Generator, count: int) -> list[Segment]:
    """Return `count` segments: about half photographs, the rest runs of clips and of built-in scenes.

    The benchmark's scenes are excluded: a model must not be trained on its test data.
    """
    segments: list[Segment] = []
    while len(segments) < count:
        pick = rng.random()
        if pick < 0.5 or not material.clips:
            path = material.photos[int(rng.integers(len(material.photos)))]
            segments.append(Segment(path.stem, read_photo(path)[None]))
        elif pick < 0.95:
            path = material.clips[int(rng.integers(len(material.clips)))]
            run = read_run(path, rng, frames=_RUN_FRAMES, max_side_px=_MAX_SIDE_PX)
            # Decoding costs more than painting, so a run serves several clips.
            segments.extend([Segment(path.stem, run)] * min(3, count - len(segments)))
        else:
            name = PAINTED[int(rng.integers(len(PAINTED)))]
            scene = make_scene(name, (480, 270), seed=int(rng.integers(1 << 30)))
            begin = float(rng.uniform(0, 60))
            segments.append(Segment(f"scene-{name}", np.stack([scene.render(begin + i / 24) for i in range(12)])))
    return segments


def draw_style_picture(material: Material, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a random style picture, `uint8 [h w 3]`: a painting, a photograph or a rendered texture."""
    pick = rng.random()
    if pick < 0.35 and material.paintings:
        picture = read_photo(material.paintings[int(rng.integers(len(material.paintings)))], 512)
    elif pick < 0.75:
        picture = read_photo(material.photos[int(rng.integers(len(material.photos)))], 512)
    else:
        return rendered_texture(rng)
    h, w = picture.shape[:2]
    side = int(min(h, w) * rng.uniform(0.5, 1.0))
    top, left = int(rng.integers(h - side + 1)), int(rng.integers(w - side + 1))
    crop = picture[top : top + side, left : left + side].astype(np.float32) / 255
    if rng.random() < 0.5:
        crop = crop[:, ::-1]
    if rng.random() < 0.5:
        # Colours of its own: channels mixed a little, another gamma.
        mix = np.eye(3) + rng.normal(0, 0.15, (3, 3))
        crop = np.clip(crop @ mix.T.astype(np.float32), 0, 1) ** float(np.exp(rng.normal(0, 0.25)))
    return np.asarray(crop * 255 + 0.5, np.uint8)


def rendered_texture(rng: np.random.Generator, side: int = 256) -> NDArray[np.uint8]:
    """Return a random texture `uint8 [side side 3]`: filtered noise, stripes or spots in a random palette."""
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]
    spectrum = np.fft.rfft2(rng.standard_normal((2, side, side)))
    angle, along, across = rng.uniform(0, np.pi), np.exp(rng.uniform(0, 3.2)), np.exp(rng.uniform(-0.3, 1.8))
    u, v = fx * np.cos(angle) + fy * np.sin(angle), fy * np.cos(angle) - fx * np.sin(angle)
    gain = (
        np.exp(-2 * np.pi**2 * ((along * u) ** 2 + (across * v) ** 2))
        if rng.random() < 0.6
        else 1 / (np.hypot(fy, fx) + 0.01) ** rng.uniform(0.6, 1.8)
    )
    field = np.fft.irfft2(spectrum * gain, s=(side, side))
    field = (field - field.mean((1, 2), keepdims=True)) / (field.std((1, 2), keepdims=True) + 1e-9)
    level = field[0]
    if rng.random() < 0.35:
        level = np.sin(level * rng.uniform(1.5, 5))
    elif rng.random() < 0.3:
        level = np.sign(level - rng.normal()) * 1.2
    t = np.clip(0.5 + 0.28 * level, 0, 1)
    palette = rng.uniform(0, 1, (int(rng.integers(2, 6)), 3))
    at = t * (len(palette) - 1)
    low = np.minimum(at.astype(int), len(palette) - 2)
    picture = palette[low] + (palette[low + 1] - palette[low]) * (at - low)[..., None]
    picture = picture * (1 + 0.12 * field[1][..., None])
    return np.asarray(np.clip(picture, 0, 1) * 255 + 0.5, np.uint8)
