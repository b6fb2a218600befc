"""Constants of an exported graph, stored as named tensors, so that weights ship once and any tool can read them."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

CONSTANTS = "graph.constants"
"""Name of the tensor `uint8 [n]` with all constants that are not parameters, in the order of their offsets."""


ROWS = "@rows"
"""Suffix of a parameter that a graph has in another order: a convolution as the product of rows with a matrix."""


def rows_of(kernel: NDArray[np.generic]) -> NDArray[np.generic]:
    """Return a convolution's kernel `[out in h w]` as a matrix `[out h*w*in]`."""
    return np.ascontiguousarray(kernel.transpose(0, 2, 3, 1)).reshape(len(kernel), -1)


def join_constants(tensors: Mapping[str, NDArray[np.generic]], layout: str) -> NDArray[np.uint8]:
    """Return a graph's constant area `uint8 [n]`, assembled from its parameters and `CONSTANTS`.

    Args:
        tensors: parameters by name, and `CONSTANTS`.
        layout: JSON: `size` of the area, bytes; `parameters`, (name, offset) each; `others`, (offset, size) each. The
            name of a kernel may end with `ROWS`, see `rows_of`.
    """
    places = json.loads(layout)
    area = np.zeros(places["size"], np.uint8)
    for name, offset in places["parameters"]:
        stored = tensors[name.removesuffix(ROWS)]
        data = np.ascontiguousarray(rows_of(stored) if name.endswith(ROWS) else stored).reshape(-1).view(np.uint8)
        area[offset : offset + data.size] = data
    others = tensors[CONSTANTS].reshape(-1).view(np.uint8)
    at = 0
    for offset, size in places["others"]:
        area[offset : offset + size] = others[at : at + size]
        at += size
    return area
