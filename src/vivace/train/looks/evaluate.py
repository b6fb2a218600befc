"""Scores of the looks: the network, streamed over clips that were not trained on, against the teachers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vivace.errors import SourceUnsupportedError
from vivace.media.frame import Rgb
from vivace.models.mini2.looks import LOOK_KEYS
from vivace.models.mini2.textures import block_textures
from vivace.train.clips import list_videos
from vivace.train.evaluate import change, edges, nearest_teacher, psnr, read_clip
from vivace.train.looks.neural import CODE_NUMBERS
from vivace.train.looks.student import Student, draw, step_numbers
from vivace.train.looks.targets import (
    FILTERED_FRAMES,
    FRAMES,
    Painter,
    Place,
    steadied,
    teacher_textures,
    torus_fields,
    window,
)

_PLACE = Place(0, 0, 0)
"""Place of the textures, which stay there: camera motion is not followed, so that both have them at the same px."""
COLUMNS = {
    "psnr_db": "PSNR dB",
    "nearest": "nearest",
    "recognised": "recognised",
    "teacher_recognised": "teacher recognised",
    "flicker_source": "flicker / source",
    "unfiltered_source": "teacher's flicker / source",
    "flicker_unfiltered": "flicker / teacher",
    "flicker_teacher": "flicker / filtered teacher",
    "sharpness": "sharpness / teacher",
}
"""Titles of the values of a row."""


@dataclass(slots=True)
class LookScore:
    """Measurements of one look, an entry for each clip."""

    psnr_db: list[float] = field(default_factory=list)
    """PSNR of the last frame to the teacher's."""
    nearest: list[bool] = field(default_factory=list)
    """True if of all teachers' last frames the right one is the nearest."""
    recognised: list[bool] = field(default_factory=list)
    """True if the classifier of all looks takes the last frame for the look."""
    teacher_recognised: list[bool] = field(default_factory=list)
    """The same of the teacher's last frame."""
    teacher_change: list[float] = field(default_factory=list)
    """Mean change of the teacher's last pair, 0 to 255; flicker is ours over it, of sums."""
    unfiltered_change: list[float] = field(default_factory=list)
    """The same before filtering along motion, which only neural teachers are trained from."""
    change: list[float] = field(default_factory=list)
    source_change: list[float] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)
    """Mean difference of neighbouring px over the teacher's."""

    def row(self) -> dict[str, float]:
        """Return means over the clips; flicker as ratios of sums, so that a still clip divides by nothing."""
        return {
            "psnr_db": float(np.mean(self.psnr_db)),
            "nearest": float(np.mean(self.nearest)),
            "recognised": float(np.mean(self.recognised or np.nan)),
            "teacher_recognised": float(np.mean(self.teacher_recognised or np.nan)),
            "flicker_teacher": float(np.sum(self.change) / max(np.sum(self.teacher_change), 1e-6)),
            "flicker_unfiltered": float(np.sum(self.change) / max(np.sum(self.unfiltered_change), 1e-6)),
            "unfiltered_source": float(np.sum(self.unfiltered_change) / max(np.sum(self.source_change), 1e-6)),
            "flicker_source": float(np.sum(self.change) / max(np.sum(self.source_change), 1e-6)),
            "sharpness": float(np.mean(self.sharpness)),
        }


def measure(
    student: Student,
    painter: Painter,
    clips: Path,
    judge: Callable[[Tensor], list[str]] | None = None,
    *,
    side: int = 256,
    skip: int = 24,
    looks: Sequence[str] = LOOK_KEYS[1:],
    steps: int = 1,
) -> dict[str, LookScore]:
    """Return the scores by look, of pictures of `side` px, a multiple of 256, `skip` frames into each clip.

    The network takes `steps` steps a frame. `judge` names the looks of pictures `[n 3 h w]` in [0, 1], see `Judge`.

    Raises:
        SourceError: no video in the folder, or none that is long enough.
    """
    scale = side // 256
    scores = {look: LookScore() for look in looks}
    textures = teacher_textures([_PLACE] * FRAMES, side, scale)
    found = 0
    for path in list_videos(clips):
        source = read_clip(path, (side, side), FILTERED_FRAMES, skip)
        if len(source) < FILTERED_FRAMES:
            continue
        found += 1
        pictures = to_tensor(source)
        alone = {look: painter.paint_unfiltered(look, pictures, textures) for look in looks}
        painted = {look: to_rgb(steadied(look, pictures, theirs)) for look, theirs in alone.items()}
        last = {look: theirs[-1] for look, theirs in painted.items()}
        for look, score in scores.items():
            theirs = painted[look]
            ours = to_rgb(stream(student, pictures, named_code(student, look), scale, steps=steps))[-FRAMES:]
            score.psnr_db.append(psnr(ours[-1], theirs[-1]))
            score.nearest.append(nearest_teacher(ours[-1], last) == look)
            if judge is not None:
                found_ours, found_theirs = judge(to_tensor([ours[-1], theirs[-1]]))
                score.recognised.append(found_ours == look)
                score.teacher_recognised.append(found_theirs == look)
            score.change.append(change(ours))
            score.teacher_change.append(change(theirs))
            score.unfiltered_change.append(change(to_rgb(alone[look])[-FRAMES:]))
            score.source_change.append(change(source[-FRAMES:]))
            score.sharpness.append(edges(ours[-1]) / max(edges(theirs[-1]), 1e-3))
    if not found:
        raise SourceUnsupportedError(
            f"{clips}: no clip goes on for {FILTERED_FRAMES} frames after the first {skip}; give longer ones"
        )
    return scores


@torch.no_grad()
def named_code(student: Student, look: str) -> Tensor:
    """Return the code `[1 64]` of a named look."""
    return student.code(torch.full((1, 2), LOOK_KEYS.index(look)), torch.zeros(1, CODE_NUMBERS), torch.ones(1))


@torch.no_grad()
def stream(student: Student, pictures: Tensor, code: Tensor, scale: int, *, steps: int = 1) -> Tensor:
    """Return frames `[t 3 h w]` in [0, 1] painted with a code `[1 64]`, each `steps` steps from the output before."""
    side = pictures.shape[-1]
    textures = torch.from_numpy(block_textures(*window(_PLACE, side, scale), scale)).permute(2, 0, 1)[None]
    textures = textures.float() / 128 - 1
    fields = torus_fields(_PLACE.seed, _PLACE.top, _PLACE.left, side // scale)[None]
    log_scale, count = torch.full((1,), float(np.log2(scale))), torch.full((1,), float(steps))
    painted: list[Tensor] = []
    for picture in pictures:
        source = (picture[None] * 255).round() / 128 - 1
        maps = draw(source, fields, scale)
        estimate = painted[-1] if painted else torch.zeros_like(source)
        for step in range(steps):
            has_estimate = torch.full((1,), float(bool(painted) or step > 0))
            numbers = step_numbers(torch.full((1,), step / steps), count, log_scale, has_estimate)
            estimate = student(source, estimate, textures, maps, code, numbers).clamp(-1, 1)
        painted.append(estimate)
    return ((torch.cat(painted) + 1) * (128 / 255)).clamp(0, 1)


def to_tensor(pictures: Sequence[Rgb]) -> Tensor:
    """Return pictures `uint8 [h w 3]` as `[t 3 h w]` in [0, 1]."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255


def to_rgb(pictures: Tensor) -> list[Rgb]:
    """Return pictures `[t 3 h w]` in [0, 1] as bytes."""
    return list((pictures.permute(0, 2, 3, 1) * 255 + 0.5).to(torch.uint8).numpy())
