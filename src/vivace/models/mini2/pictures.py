"""Style descriptors of pictures: 100 numbers, computed once per picture, never on the frame path."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vivace.models.mini2.config import PICTURE_NUMBERS
from vivace.models.mini2.family import PICTURE_PX
from vivace.runtime.exported import Network
from vivace.runtime.exported.files import read_graph

FOLDER = Path(__file__).parent
"""Folder of the shipped picture network."""
FORMAT = "vivace-mini2-picture-1"


class PictureReader:
    """Runner of the picture network, loaded for the first picture. Thread-safe."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Read pictures with the network in `folder`; no file is opened yet."""
        self._folder = folder
        self._network: Network | None = None
        self._lock = threading.Lock()

    def numbers(self, rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the numbers `[100]` of a picture `uint8 [256 256 3]`, as precise as a saved look holds them.

        Raises:
            CheckpointError: a file of the network is missing or damaged.
        """
        assert rgb.shape == (PICTURE_PX, PICTURE_PX, 3)
        with self._lock:
            if self._network is None:
                self._network = self._load()
            executor = self._network.executor({"picture": np.array(rgb[None])})  # a copy, which may be written to
            found = np.array(executor.run()["numbers"], np.float32).reshape(PICTURE_NUMBERS)
        return found.astype(np.float16).astype(np.float32)

    def _load(self) -> Network:
        from vivace.runtime.exported.openvino import OpenVinoNetwork

        found = read_graph(self._folder, "picture", FORMAT)
        return OpenVinoNetwork(found.graph, found.constants, threads=1, f32=True)
