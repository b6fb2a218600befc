"""Masks drawn by hand: polygons over a frame that is identified by its place and its hash, and never stored.

An outline is drawn in px of the frame. `tighten` pulls it to the edge within a few px of it, so that a hand need not be
steadier than an eye; the result is inspected again, and kept as polygons.
"""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from vivace.errors import SourceUnsupportedError
from vivace.media.frame import Rgb
from vivace.media.open import open_source
from vivace.media.registry import PICTURE_SUFFIXES

Polygon = list[tuple[float, float]]
"""Corners (x, y), px."""


@dataclass(frozen=True, slots=True)
class HandFrame:
    """Frame and the outlines drawn over it."""

    file: str
    """Path below the folder of data."""
    index: int
    """Number of the frame in its file, from 0."""
    sha256: str
    """Hash of its px, `uint8 [h w 3]`, as they were drawn over."""
    outlines: Mapping[str, tuple[Polygon, ...]]
    """Outlines by region; none where it is not in the picture. `name_not` is cut out of `name`."""
    held_out: bool = False
    """True for a frame that no rule was tuned on."""

    def mask(self, region: str, size: tuple[int, int]) -> NDArray[np.bool_]:
        """Return the mask of a region, `[h w]`, for a frame of `(width, height)` px."""
        return drawn(self.outlines[region], size) & ~drawn(self.outlines.get(f"{region}_not", ()), size)

    @property
    def regions(self) -> tuple[str, ...]:
        """Regions that were drawn, or seen not to be there."""
        return tuple(name for name in self.outlines if not name.endswith("_not"))


def read_hand_frames(path: Path) -> list[HandFrame]:
    """Read a file of hand masks: tables `[[frame]]` with `file`, `index`, `sha256`, and polygons `[x, y, x, y, …]`."""
    frames = []
    for table in tomllib.loads(path.read_text("utf-8"))["frame"]:
        known = {name: table.pop(name) for name in ("file", "index", "sha256")}
        known["held_out"] = table.pop("held_out", False)
        outlines = {
            name: tuple([(line[at], line[at + 1]) for at in range(0, len(line), 2)] for line in lines)
            for name, lines in table.items()
        }
        frames.append(HandFrame(**known, outlines=outlines))
    return frames


def write_hand_frames(frames: Sequence[HandFrame], path: Path) -> None:
    """Write hand masks, one line per outline."""
    lines = ["# Masks drawn by hand over frames that are not kept; see vivace.train.regions.hand."]
    for frame in frames:
        lines += ["", "[[frame]]", f'file = "{frame.file}"', f"index = {frame.index}", f'sha256 = "{frame.sha256}"']
        lines += ["held_out = true"] * frame.held_out
        for name, polygons in frame.outlines.items():
            texts = ("[" + ", ".join(f"{value:g}" for corner in each for value in corner) + "]" for each in polygons)
            lines.append(f"{name} = [{', '.join(texts)}]")
    path.write_text("\n".join(lines) + "\n", "utf-8")


def read_frame(data: Path, file: str, index: int) -> Rgb:
    """Return a frame, `uint8 [h w 3]`.

    Raises:
        SourceError: there is no such file or frame.
    """
    path = data / file
    if path.suffix.lower() in PICTURE_SUFFIXES:
        return np.ascontiguousarray(Image.open(path).convert("RGB"))
    with open_source(str(path)) as source:
        frame = next(islice(iter(source), index, None), None)
    if frame is None:
        raise SourceUnsupportedError(f"{path} has no frame {index}")
    return frame.rgb


def sha256_of(rgb: Rgb) -> str:
    """Return the hash that identifies a frame."""
    return hashlib.sha256(rgb.tobytes()).hexdigest()


def drawn(polygons: Sequence[Polygon], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the px inside any of the polygons, `[h w]`."""
    image = Image.new("1", size)
    pen = ImageDraw.Draw(image)
    for polygon in polygons:
        pen.polygon(polygon, fill=1)
    return np.asarray(image)


def tighten(rgb: Rgb, polygons: Sequence[Polygon], reach_px: int) -> tuple[Polygon, ...]:
    """Return outlines pulled to edges within some px of them (GrabCut, Rother et al. 2004, in that band alone)."""
    import cv2

    inside = drawn(polygons, (rgb.shape[1], rgb.shape[0])).astype(np.uint8)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach_px + 1,) * 2)
    sure, possible = cv2.erode(inside, kernel), cv2.dilate(inside, kernel)
    labels = np.where(sure, cv2.GC_FGD, np.where(possible, cv2.GC_PR_FGD, cv2.GC_BGD)).astype(np.uint8)
    labels[(possible > 0) & (sure == 0) & (inside == 0)] = cv2.GC_PR_BGD
    # Colours near the outline, not of the whole picture.
    near = cv2.dilate(inside, np.ones((8 * reach_px + 1,) * 2, np.uint8)) > 0
    rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    part = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    cut = np.ascontiguousarray(labels[part])
    cv2.setRNGSeed(0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    whole = (0, 0, cut.shape[1], cut.shape[0])
    cv2.grabCut(np.ascontiguousarray(rgb[part]), cut, whole, *models, 3, cv2.GC_INIT_WITH_MASK)
    tight = np.zeros_like(inside)
    tight[part] = (cut == cv2.GC_FGD) | (cut == cv2.GC_PR_FGD)
    contours, _ = cv2.findContours(cv2.medianBlur(tight, 5), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    least = 0.002 * inside.sum()
    simple = (cv2.approxPolyDP(line, 0.8, True)[:, 0] for line in contours if cv2.contourArea(line) >= least)
    return tuple([(float(x), float(y)) for x, y in line] for line in simple)


def shown(rgb: Rgb, step_px: int, box: tuple[int, int, int, int] | None = None, width: int = 1200) -> Image.Image:
    """Return a frame, or a box of it, enlarged under a grid labelled in px, to read corners from."""
    left, top, right, bottom = box or (0, 0, rgb.shape[1], rgb.shape[0])
    scale = width / (right - left)
    image = Image.fromarray(rgb[top:bottom, left:right]).resize((width, round((bottom - top) * scale)))
    pen = ImageDraw.Draw(image, "RGBA")
    for x in range(-(-left // step_px) * step_px, right, step_px):
        pen.line([((x - left) * scale, 0), ((x - left) * scale, image.height)], fill=(255, 255, 255, 90))
        pen.text(((x - left) * scale + 2, 0), str(x), fill=(255, 255, 0))
    for y in range(-(-top // step_px) * step_px, bottom, step_px):
        pen.line([(0, (y - top) * scale), (image.width, (y - top) * scale)], fill=(255, 255, 255, 90))
        pen.text((0, (y - top) * scale), str(y), fill=(255, 255, 0))
    return image
