"""Files of an exported network: `NAME.xml`, the graph without weights, and `NAME.safetensors`, its weights.

The weights are the parameters under their torch names, in the precision they ship in, and the few constants of the
graph that are not parameters. The metadata gives each tensor's place in the graph's constant area, so that weights ship
once and the base install needs no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from vivace.errors import CheckpointError
from vivace.runtime.exported.constants import join_constants


@dataclass(frozen=True, slots=True)
class GraphFiles:
    """Contents of the two files."""

    graph: bytes
    """The IR's XML."""
    constants: NDArray[np.uint8]
    """The IR's constant area `uint8 [n]`, reassembled."""
    tensors: dict[str, NDArray[np.generic]]
    metadata: dict[str, str]


def read_tensors(path: Path, form: str) -> tuple[dict[str, NDArray[np.generic]], dict[str, str]]:
    """Return a weight file's tensors and metadata; `form` is the format that the metadata must name.

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
    if metadata.get("format") != form:
        raise CheckpointError(
            f"{path} has format {metadata.get('format')!r}, not {form!r}; it belongs to another model"
        )
    return tensors, metadata


def read_graph(
    folder: Path, name: str, form: str, shared: Mapping[str, NDArray[np.generic]] = MappingProxyType({})
) -> GraphFiles:
    """Return the graph and weights of a name, with the graph's constants in place.

    `shared` are weights that it has in common with another graph, whose file they are in.

    Raises:
        CheckpointError: a file is missing or damaged, or belongs to another model.
    """
    path = folder / f"{name}.xml"
    try:
        graph = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path} ({error.strerror}); reinstall vivace") from error
    tensors, metadata = read_tensors(folder / f"{name}.safetensors", form)
    try:
        constants = join_constants({**shared, **tensors}, metadata["graph_layout"])
    except (KeyError, ValueError) as error:
        raise CheckpointError(f"{path} is for other weights ({error}); export both together, or reinstall") from error
    return GraphFiles(graph, constants, tensors, metadata)
