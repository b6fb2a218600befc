"""The fixture of the media tests: a maker of clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from .clips import grey, write_clip


@pytest.fixture
def clip(tmp_path: Path) -> Callable[..., Path]:
    """Return a maker of clips: `clip("name.mp4", pictures, **how)`; grey pictures rising in brightness by default."""

    def make(name: str = "clip.mp4", pictures: Sequence[Any] | int = 10, **how: Any) -> Path:
        if isinstance(pictures, int):
            pictures = [grey(20 + 200 * index // max(1, pictures)) for index in range(pictures)]
        path = tmp_path / name
        write_clip(path, pictures, **how)
        return path

    return make
