"""The constants of an exported graph, kept as named tensors, so that weights are shipped once and read by anyone."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

CONSTANTS = "graph.constants"
"""Name of the tensor `uint8 [n]` with the constants that are no parameters, in the order of their offsets."""


def join_constants(tensors: Mapping[str, NDArray[np.generic]], layout: str) -> NDArray[np.uint8]:
    """Return the constant area `[n]` of a graph, put together from its parameters and `CONSTANTS`.

    Args:
        tensors: parameters by name, and `CONSTANTS`.
        layout: JSON: `size` of the area, bytes; `parameters`, (name, offset) each; `others`, (offset, size) each.
    """
    places = json.loads(layout)
    area = np.zeros(places["size"], np.uint8)
    for name, offset in places["parameters"]:
        data = np.ascontiguousarray(tensors[name]).reshape(-1).view(np.uint8)
        area[offset : offset + data.size] = data
    others = tensors[CONSTANTS].reshape(-1).view(np.uint8)
    at = 0
    for offset, size in places["others"]:
        area[offset : offset + size] = others[at : at + size]
        at += size
    return area
