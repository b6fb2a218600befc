"""Style descriptors of pictures: 100 numbers, computed once per picture, never on the frame path."""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vivace.models.mini2.config import PICTURE_NUMBERS
from vivace.models.mini2.family import PICTURE_PX
from vivace.runtime.exported import Network


class PictureReader:
    """Runner of the picture network, loaded for the first picture. Thread-safe."""

    def __init__(self, load: Callable[[], Network]) -> None:
        self._load = load
        self._network: Network | None = None
        self._lock = threading.Lock()

    def numbers(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the numbers `[100]` of a picture `uint8 [256 256 3]`, rounded to the precision of a saved look."""
        assert rgb.shape == (PICTURE_PX, PICTURE_PX, 3)
        with self._lock:
            if self._network is None:
                self._network = self._load()
            executor = self._network.executor({"picture": np.array(rgb[None])})  # a copy, which may be written to
            found = np.array(executor.run()["numbers"], np.float32).reshape(PICTURE_NUMBERS)
        return found.astype(np.float16).astype(np.float32)
