"""The shipped files of the embedded model: a graph without weights, and weights that serve graph and modules alike.

`mini.xml` is the exported OpenVINO graph; `mini.safetensors` holds the parameters in float16 under their torch names,
plus the few constants of the graph that are no parameters. The metadata says where in the graph's constant area each
tensor goes, so that weights are shipped once and the base install needs no torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from vivace.errors import CheckpointError
from vivace.models.mini.styles import STYLE_KEYS
from vivace.runtime.exported.constants import join_constants

FOLDER = Path(__file__).parent
FORMAT = "vivace-mini-1"


@dataclass(frozen=True, slots=True)
class MiniFiles:
    """What the two files hold."""

    graph: bytes
    """The IR's XML."""
    constants: NDArray[np.uint8]
    """`[n]` the IR's constant area, put together again."""


def read_tensors(path: Path) -> tuple[dict[str, NDArray[np.generic]], dict[str, str]]:
    """Return a weight file's tensors and metadata.

    Raises:
        CheckpointError: missing, damaged, or not weights of this model.
    """
    try:
        with safe_open(path, "np") as file:
            metadata = dict(file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no iteration protocol)
    except FileNotFoundError as error:
        raise CheckpointError(f"{path} is missing; reinstall vivace, or export a trained checkpoint to it") from error
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged ({error}); reinstall vivace") from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has format {metadata.get('format')!r}, not {FORMAT!r}; it belongs to another model"
        )
    if tuple(json.loads(metadata["styles"])) != STYLE_KEYS:
        raise CheckpointError(f"{path} was trained for other styles: {metadata['styles']}")
    return tensors, metadata


def read_files(folder: Path = FOLDER) -> MiniFiles:
    """Read graph and weights and put the graph's constants in place.

    Raises:
        CheckpointError: a file is missing or damaged, or the two do not belong together.
    """
    graph_path = folder / "mini.xml"
    try:
        graph = graph_path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {graph_path} ({error.strerror}); reinstall vivace") from error
    tensors, metadata = read_tensors(folder / "mini.safetensors")
    return MiniFiles(graph, join_constants(tensors, metadata["graph_layout"]))
