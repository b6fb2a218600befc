"""Pictures as styles: how often the nearest of some pictures, none of them trained on, is the one painted like.

Nearness is the Gram distance of backbone features (Gatys et al., "Image style transfer using convolutional neural
networks", 2016): it compares colours and strokes, wherever they are, and not what is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vivace.errors import SourceUnsupportedError
from vivace.media.convert import cover
from vivace.media.frame import Rgb
from vivace.train.clips import list_videos, read_evenly
from vivace.train.looks.evaluate import stream, to_tensor
from vivace.train.looks.features import Features
from vivace.train.looks.losses import gram
from vivace.train.looks.material import Material, read_photo
from vivace.train.looks.neural import NeuralTeachers
from vivace.train.looks.student import Student

SIDE_PX = 256
PICTURES = 20
FRAMES_PER_CLIP = 2


@dataclass(frozen=True, slots=True)
class Nearest:
    """Nearest picture of each painted frame, as an index, `[pictures frames]`."""

    names: tuple[str, ...]
    """Names of the pictures."""
    source: NDArray[np.intp]
    """Unpainted frames, which are right by chance."""
    teacher: NDArray[np.intp]
    """Frames painted by the teacher."""
    ours: NDArray[np.intp]
    """Frames painted by the network."""

    def right(self, found: NDArray[np.intp]) -> NDArray[np.float64]:
        """Return the share of frames whose nearest picture is the one painted like, by picture `[pictures]`."""
        return np.asarray((found == np.arange(len(self.names))[:, None]).mean(1))


def style_pictures(material: Material, count: int = PICTURES) -> dict[str, Rgb]:
    """Return the first `count` held-out photographs that are no portraits, `uint8 [256 256 3]`, by name.

    Raises:
        SourceUnsupportedError: there are fewer, or one is no picture.
    """
    if len(material.held_out_styles) < count:
        raise SourceUnsupportedError(
            f"there are {len(material.held_out_styles)} held-out photographs that are no portraits, of {count} needed"
        )
    return {path.stem: cover(read_photo(path), (SIDE_PX, SIDE_PX)) for path in material.held_out_styles[:count]}


@torch.no_grad()
def nearest_pictures(
    student: Student, teachers: NeuralTeachers, features: Features, clips: Path, styles: Mapping[str, Rgb]
) -> Nearest:
    """Paint frames of every clip like each picture and return which picture each is nearest to.

    Raises:
        SourceError: no video in the folder.
    """
    frames = [to_tensor([cover(rgb, (SIDE_PX, SIDE_PX))]) for path in list_videos(clips)
              for rgb in read_evenly(path, FRAMES_PER_CLIP)]  # fmt: skip
    nearest = gram_index(features, [to_tensor([rgb]) for rgb in styles.values()])
    source, teacher, ours = (np.zeros((len(styles), len(frames)), np.intp) for _ in range(3))
    source[:] = [nearest(frame) for frame in frames]
    for row, picture in enumerate(styles.values()):
        numbers = teachers.code(picture)
        code = student.codes.picture(torch.from_numpy(numbers))[None]
        teacher[row] = [nearest(teachers.picture(frame, numbers)) for frame in frames]
        ours[row] = [nearest(stream(student, frame, code, 1)) for frame in frames]
    return Nearest(tuple(styles), source, teacher, ours)


def gram_index(features: Features, styles: list[Tensor]) -> Callable[[Tensor], int]:
    """Return a function from a picture `[1 3 h w]` in [0, 1] to the index of the nearest of `styles` by Gram distance.

    Entries of the matrices count in units of their deviation over the styles, so that no few strong channels decide.
    """

    def grams(picture: Tensor) -> Tensor:
        return torch.cat([gram(tap.float()).flatten() for tap in features(picture * 2 - 1)])

    known = torch.stack([grams(style) for style in styles])
    scale = known.std(0) + 1e-6
    return lambda picture: int(((known - grams(picture)) / scale).abs().mean(1).argmin())
