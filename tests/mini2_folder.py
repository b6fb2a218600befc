"""Folder as written by `vivace train looks export`, with random weights."""

from __future__ import annotations

from pathlib import Path

import torch

from vivace.models.mini2.config import PICTURE_NUMBERS, Mini2Config
from vivace.models.mini2.family import PICTURE_PX
from vivace.train.export import convert
from vivace.train.looks.export import PROFILE, export
from vivace.train.looks.student import Student

TINY = Mini2Config(eighth=16, sixteenth=16, dim=32, heads=2, depth=2, memory_blocks=(1,), fine=48)


class _Pictures(torch.nn.Module):
    """Stand-in for the network that reads style pictures: mixtures of the mean colours of its quarters."""

    def __init__(self) -> None:
        super().__init__()
        self.mixed = torch.nn.Linear(12, PICTURE_NUMBERS)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        half = PICTURE_PX // 2
        quarters = picture.float().reshape(1, 2, half, 2, half, 3).mean((2, 4)) / 128 - 1
        return self.mixed(quarters.reshape(1, 12))


def random_folder(folder: Path) -> str:
    """Write a model of random weights and return the path of its profile."""
    torch.manual_seed(0)
    student = Student(TINY)
    with torch.no_grad():
        for weights in student.parameters():
            # The network begins as the identity, for every look.
            weights += torch.randn_like(weights) * 0.03
    example = {"picture": torch.zeros(1, PICTURE_PX, PICTURE_PX, 3, dtype=torch.uint8)}
    pictures = convert(_Pictures(), example, [[1, PICTURE_PX, PICTURE_PX, 3]], ["numbers"])
    export(student, pictures, folder, {"trained_step": "40", "trained_pictures": "640", "trained_minutes": "3.0"})
    return str(folder / PROFILE)
