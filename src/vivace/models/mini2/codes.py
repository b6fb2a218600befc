"""Codes that a network paints with: its table of the named looks, and its projection of pictures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vivace.errors import CheckpointError
from vivace.models.mini2.config import CODE_DIM, PICTURE_NUMBERS
from vivace.models.mini2.looks import LOOK_KEYS
from vivace.models.mini2.mixture import Mixture

Code = NDArray[np.float32]
"""Representation of a look for the network, `[64]`; mixtures are sums of codes."""


@dataclass(frozen=True, slots=True)
class Codes:
    """Parameters from which codes are computed, learned with the network and specific to it."""

    table: NDArray[np.float32]
    """Codes of the named looks, `[looks 64]`, in the order of `looks.LOOKS`."""
    weight: NDArray[np.float32]
    """Projection matrix from the numbers of a picture to its code, `[64 100]`."""
    bias: NDArray[np.float32]
    """Bias of the projection, `[64]`."""

    def __post_init__(self) -> None:
        """Check the shapes.

        Raises:
            CheckpointError: they are of another model, or hold values that are not finite.
        """
        shapes = {
            "table": (len(LOOK_KEYS), CODE_DIM),
            "weight": (CODE_DIM, PICTURE_NUMBERS),
            "bias": (CODE_DIM,),
        }
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape or not np.isfinite(array).all():
                raise CheckpointError(f"codes.{name} is {list(array.shape)}, not {list(shape)} finite numbers")

    def of(self, mixture: Mixture) -> Code:
        """Return the code of a mixture, linear in its shares."""
        code = np.zeros(CODE_DIM, np.float64)
        for key, share in sorted(mixture.looks.items()):
            code += share * self.table[LOOK_KEYS.index(key)].astype(np.float64)
        for each in mixture.pictures:
            code += each.share * self.of_picture(np.array(each.numbers, np.float32)).astype(np.float64)
        return code.astype(np.float32)

    def of_picture(self, numbers: NDArray[np.float32]) -> Code:
        """Return the code of a picture by its numbers `[100]`."""
        return np.asarray(self.weight @ numbers + self.bias, np.float32)
