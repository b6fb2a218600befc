"""Scores of the looks: the network, streamed over clips that were not trained on, against the teachers."""

from __future__ import annotations

from collections.abc import Sequence
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
from vivace.train.evaluate import change, edges, psnr, read_clip
from vivace.train.looks.neural import CODE_NUMBERS
from vivace.train.looks.student import Student, step_numbers
from vivace.train.looks.targets import FILTERED_FRAMES, FRAMES, Painter, Place, teacher_textures, window

_PLACE = Place(0, 0, 0)
"""Place of the textures, which stay there: camera motion is not followed, so that both have them at the same px."""


@dataclass(slots=True)
class LookScore:
    """Measurements of one look, an entry for each clip."""

    psnr_db: list[float] = field(default_factory=list)
    """PSNR of the last frame to the teacher's."""
    teacher_change: list[float] = field(default_factory=list)
    """Mean change of the teacher's last pair, 0 to 255; flicker is ours over it, of sums."""
    change: list[float] = field(default_factory=list)
    source_change: list[float] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)
    """Mean difference of neighbouring px over the teacher's."""

    def row(self) -> dict[str, float]:
        """Return means over the clips; flicker as ratios of sums, so that a still clip divides by nothing."""
        return {
            "psnr_db": float(np.mean(self.psnr_db)),
            "flicker_teacher": float(np.sum(self.change) / max(np.sum(self.teacher_change), 1e-6)),
            "flicker_source": float(np.sum(self.change) / max(np.sum(self.source_change), 1e-6)),
            "sharpness": float(np.mean(self.sharpness)),
        }


def measure(
    student: Student,
    painter: Painter,
    clips: Path,
    *,
    side: int = 256,
    skip: int = 24,
    looks: Sequence[str] = LOOK_KEYS[1:],
) -> dict[str, LookScore]:
    """Return the scores by look, of pictures of `side` px, a multiple of 256, `skip` frames into each clip.

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
        pictures = torch.from_numpy(np.stack(source)).permute(0, 3, 1, 2).float() / 255
        for look, score in scores.items():
            theirs = _rgb(painter.paint(look, pictures, textures))
            ours = _rgb(stream(student, pictures, look, scale))[-FRAMES:]
            score.psnr_db.append(psnr(ours[-1], theirs[-1]))
            score.change.append(change(ours))
            score.teacher_change.append(change(theirs))
            score.source_change.append(change(source[-FRAMES:]))
            score.sharpness.append(edges(ours[-1]) / max(edges(theirs[-1]), 1e-3))
    if not found:
        raise SourceUnsupportedError(
            f"{clips}: no clip goes on for {FILTERED_FRAMES} frames after the first {skip}; give longer ones"
        )
    return scores


@torch.no_grad()
def stream(student: Student, pictures: Tensor, look: str, scale: int) -> Tensor:
    """Return frames `[t 3 h w]` in [0, 1] in a named look, each one step from the output before it."""
    side = pictures.shape[-1]
    textures = torch.from_numpy(block_textures(*window(_PLACE, side, scale), scale)).permute(2, 0, 1)[None]
    textures = textures.float() / 128 - 1
    code = student.code(torch.full((1, 2), LOOK_KEYS.index(look)), torch.zeros(1, CODE_NUMBERS), torch.ones(1))
    zero, log_scale = torch.zeros(1), torch.full((1,), float(np.log2(scale)))
    painted: list[Tensor] = []
    for picture in pictures:
        source = (picture[None] * 255).round() / 128 - 1
        estimate = painted[-1] if painted else torch.zeros_like(source)
        numbers = step_numbers(zero, torch.ones(1), log_scale, torch.full((1,), float(bool(painted))))
        painted.append(student(source, estimate, textures, code, numbers).clamp(-1, 1))
    return ((torch.cat(painted) + 1) * (128 / 255)).clamp(0, 1)


def _rgb(pictures: Tensor) -> list[Rgb]:
    return list((pictures.permute(0, 2, 3, 1) * 255 + 0.5).to(torch.uint8).numpy())
