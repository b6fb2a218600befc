"""A look fitted to pictures of one's own, on the shipped weights.

Only the hundred numbers that stand for a picture are fitted, so that what comes out is a saved look like any other and
costs nothing to paint. Painted scenes are brought near the pictures in their patches: sliced Wasserstein distances of
7 x 7 px at three scales (patches as in Elnekave and Weiss, "Generating natural images with direct patch distributions
matching", 2022), which need no other network. What the scenes show stays: its light and shade may not move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vivace.errors import UsageError
from vivace.media.frame import Rgb
from vivace.media.images import ImagesSource
from vivace.models.mini2.mixture import Mixture, PictureShare
from vivace.models.mini2.pictures import PictureReader
from vivace.models.mini2.textures import block_textures
from vivace.train.looks.fit import SHIPPED
from vivace.train.looks.sheet import load_student
from vivace.train.looks.student import Student, draw, signed, step_numbers
from vivace.train.looks.targets import Place, torus_fields, window
from vivace.worlds import PAINTED, make_scene

SIDE_PX = 256
PATCH_PX = 7
SCALES = 3
PROJECTIONS = 32
POINTS = 2048
"""Patches of a picture that are compared, at each scale."""
KEEP_WEIGHT = 0.4
"""Weight of light and shade, which stay where they are."""
STRAY_WEIGHT = 0.02
"""Weight of the numbers' squared distance from the pictures' mean, in their spread."""
LEAST_SPREAD = 0.25
"""Least spread, in the spread of all numbers: one picture alone has none."""
LEARNING_RATE = 0.08


@dataclass(frozen=True, slots=True)
class Fitted:
    """A fitted look, and the patch distance to the pictures of scenes that it was not fitted on."""

    mixture: Mixture
    before: float
    """Distance with the mean of the pictures' numbers, with which the fit begins."""
    after: float


def read_pictures(paths: Sequence[Path]) -> list[Rgb]:
    """Return pictures `uint8 [256 256 3]`, of files and of folders; damaged ones are left out where others are not.

    Raises:
        SourceError: a path without pictures, or with none that can be read.
        UsageError: no path.
    """
    if not paths:
        raise UsageError("there are no pictures to fit a look to; give files, or folders that hold some")
    pictures = []
    for path in paths:
        with ImagesSource(path, size=(SIDE_PX, SIDE_PX)) as source:
            pictures += [frame.rgb for frame in source]
    return pictures


def fit_look(pictures: Sequence[Rgb], *, steps: int = 120, seed: int = 0, weights: Path = SHIPPED) -> Fitted:
    """Return a look that paints scenes like `pictures`, each `uint8 [256 256 3]`.

    Raises:
        CheckpointError: the weights, or the network that reads style pictures, are damaged.
    """
    student = load_student(weights).requires_grad_(False)
    reader = PictureReader()
    read = np.stack([reader.numbers(picture) for picture in pictures])
    mean = torch.from_numpy(read.mean(0))
    spread = torch.from_numpy(np.maximum(read.std(0), LEAST_SPREAD * read.std()))
    stray = torch.zeros_like(mean, requires_grad=True)
    optimiser = torch.optim.Adam([stray], lr=LEARNING_RATE)
    falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 1 / steps, steps)
    rng = np.random.default_rng(seed)
    styles = [signed([picture]) for picture in pictures]
    scenes = [*_scenes(seed=0), *_scenes(seed=2)]
    for _ in range(steps):
        source, style = (each[rng.integers(len(each))] for each in (scenes, styles))
        painted = paint(student, source, mean + spread * stray)
        loss = patch_distance(painted, style, rng) + KEEP_WEIGHT * _moved(painted, source)
        loss = loss + STRAY_WEIGHT * stray.square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        falling.step()
    found = (mean + spread * stray).detach()
    before, after = (_distance(student, numbers, styles) for numbers in (mean, found))
    return Fitted(Mixture({}, (PictureShare(tuple(found.tolist()), 1.0),)), before, after)


def paint(student: Student, source: Tensor, numbers: Tensor) -> Tensor:
    """Return a picture `[1 3 h w]` painted by the numbers `[100]` of a picture, in one step, without a frame before."""
    zero = torch.zeros(1)
    conditions = step_numbers(zero, torch.ones(1), zero, zero)
    code = student.codes.picture(numbers)[None]
    maps = draw(source, torus_fields(0, 0, 0, SIDE_PX)[None], 1)
    painted: Tensor = student(source, torch.zeros_like(source), _textures(), maps, code, conditions)
    return painted.clamp(-1, 1)


@cache
def _textures() -> Tensor:
    """Return textures `[1 32 h/4 w/4]`, which stay where they are."""
    return signed([block_textures(*window(Place(0, 0, 0), SIDE_PX, 1), 1)])


def patch_distance(x: Tensor, style: Tensor, rng: np.random.Generator) -> Tensor:
    """Return the sliced Wasserstein distance of the patches of two pictures `[1 3 h w]`, summed over scales."""
    total = x.new_zeros(())
    for _ in range(SCALES):
        filters = torch.from_numpy(rng.standard_normal((PROJECTIONS, 3, PATCH_PX, PATCH_PX), np.float32))
        filters = F.normalize(filters.flatten(1)).view_as(filters)
        ours, theirs = (_some(F.conv2d(picture, filters)[0].flatten(1), rng) for picture in (x, style))
        total = total + (ours.sort(1)[0] - theirs.sort(1)[0]).abs().mean()
        x, style = F.avg_pool2d(x, 2), F.avg_pool2d(style, 2)
    return total


def _some(projected: Tensor, rng: np.random.Generator) -> Tensor:
    """Return `POINTS` of the projections `[p n]`, at random places."""
    return projected[:, torch.from_numpy(rng.integers(projected.shape[1], size=POINTS))]


def _moved(painted: Tensor, source: Tensor) -> Tensor:
    """Return how far light and shade have moved: 1 less the correlation of light in means of 4 x 4 px."""
    ours, theirs = (F.avg_pool2d(picture.mean(1, keepdim=True), 4).flatten() for picture in (painted, source))
    return 1 - F.cosine_similarity(ours - ours.mean(), theirs - theirs.mean(), dim=0)


@torch.no_grad()
def _distance(student: Student, numbers: Tensor, styles: Sequence[Tensor]) -> float:
    """Return the mean patch distance of held-out scenes from the pictures."""
    rng = np.random.default_rng(0)
    painted = [paint(student, source, numbers) for source in _scenes(seed=1)]
    return float(np.mean([float(patch_distance(each, style, rng)) for each in painted for style in styles]))


def _scenes(seed: int) -> list[Tensor]:
    """Return frames `[1 3 h w]` of the painted scenes; the benchmark's are left out."""
    return [signed([make_scene(name, (SIDE_PX, SIDE_PX), seed=seed).render(3.0)]) for name in PAINTED]
