"""Contact sheet of the looks: clips that were not trained on, painted by the teachers and by the student."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from vivace.errors import CheckpointError, UsageError
from vivace.media.convert import cover
from vivace.models.mini2.looks import LOOK_KEYS
from vivace.train.clips import list_videos, read_evenly
from vivace.train.looks.evaluate import named_code, stream, to_tensor
from vivace.train.looks.fit import read_weights
from vivace.train.looks.neural import NeuralTeachers
from vivace.train.looks.student import Student
from vivace.train.looks.targets import FILTERED_FRAMES, FRAMES, Painter, Place, teacher_textures

CELL_PX = 192
_PLACE = Place(0, 0, 0)


def load_student(checkpoint: Path) -> Student:
    """Return the averaged weights of a checkpoint, or those of an exported `mini2.safetensors`.

    Raises:
        CheckpointError: it cannot be read, or is of another architecture.
    """
    student = Student()
    try:
        if checkpoint.suffix == ".safetensors":
            state = read_weights(checkpoint)[0]
        else:
            state = torch.load(checkpoint, map_location="cpu", weights_only=True)["ema"]
        student.load_state_dict(state)
    except (OSError, RuntimeError, KeyError) as error:
        raise CheckpointError(f"cannot read {checkpoint} as weights of this network ({error})") from error
    return student.eval()


def write_sheet(
    clips: Path, packages: Path, checkpoint: Path, to: Path, *, side: int = 256, looks: Sequence[str] = LOOK_KEYS[1:]
) -> None:
    """Write the sheet: two rows per clip, a column per look.

    Raises:
        UsageError: another side than 256 and 512 px.
        CheckpointError: weights or teachers cannot be read.
        SourceError: no video in the folder.
    """
    if side not in (256, 512):
        raise UsageError("the side is 256 or 512")
    scale = side // 256
    student, painter = load_student(checkpoint), Painter(NeuralTeachers(packages))
    textures = teacher_textures([_PLACE] * FRAMES, side, scale)
    rows: list[NDArray[np.uint8]] = []
    for path in list_videos(clips):
        frame = cover(read_evenly(path, 1)[0], (side, side))
        picture = to_tensor([frame])[0]
        above, below = [picture], [picture]
        for look in looks:
            above.append(painter.paint(look, picture.expand(FILTERED_FRAMES, -1, -1, -1), textures)[-1])
            below.append(stream(student, picture[None], named_code(student, look), scale)[0])
        rows.extend(np.hstack([_cell(x) for x in row]) for row in (above, below))
    Image.fromarray(np.vstack(rows)).save(to)


def _cell(picture: Tensor) -> NDArray[np.uint8]:
    whole = Image.fromarray((picture.permute(1, 2, 0) * 255 + 0.5).to(torch.uint8).numpy())
    return np.asarray(whole.resize((CELL_PX, CELL_PX), Image.Resampling.LANCZOS))
