"""Shipped files of the embedded model, `mini.xml` and `mini.safetensors` (float16)."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vivace.errors import CheckpointError
from vivace.models.mini.styles import STYLE_KEYS
from vivace.runtime.exported import files
from vivace.runtime.exported.files import GraphFiles

FOLDER = Path(__file__).parent
FORMAT = "vivace-mini-1"


def read_tensors(path: Path) -> tuple[dict[str, NDArray[np.generic]], dict[str, str]]:
    """Return a weight file's tensors and metadata.

    Raises:
        CheckpointError: missing, damaged, or not weights of this model.
    """
    tensors, metadata = files.read_tensors(path, FORMAT)
    _check_styles(path, metadata)
    return tensors, metadata


def read_files(folder: Path = FOLDER) -> GraphFiles:
    """Return graph and weights, with the graph's constants in place.

    Raises:
        CheckpointError: a file is missing or damaged, or the two do not match.
    """
    found = files.read_graph(folder, "mini", FORMAT)
    _check_styles(folder / "mini.safetensors", found.metadata)
    return found


def _check_styles(path: Path, metadata: dict[str, str]) -> None:
    if tuple(json.loads(metadata["styles"])) != STYLE_KEYS:
        raise CheckpointError(f"{path} was trained for other styles: {metadata['styles']}")
