"""The files of the perception networks, loaded once a process."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vivace.runtime.exported import Arrays
from vivace.runtime.exported.files import read_graph
from vivace.runtime.exported.openvino import OpenVinoNetwork

FORMAT = "vivace-regions-1"
FOLDER = Path(str(resources.files("vivace.regions") / "graphs"))


@dataclass(frozen=True, slots=True)
class NetworkFile:
    """Input and outputs of a perception network."""

    size: tuple[int, int]
    """`(width, height)` of its picture, px."""
    outputs: tuple[str, ...]
    """Names of its outputs, in the order of its file."""
    offset_and_scale: tuple[float, float]
    """A byte of the picture is brought to `(byte - offset) * scale`."""
    exact: bool = False
    """Computed in f32: coordinates of hundreds of px in bf16 are off by one."""


_UNIT = (0.0, 1 / 255)
_SIGNED = (127.5, 1 / 127.5)

NETWORKS = {
    "person": NetworkFile((256, 256), ("mask",), _UNIT),
    "person_wide": NetworkFile((256, 144), ("mask",), _UNIT),
    "faces": NetworkFile((128, 128), ("boxes", "scores"), _SIGNED, exact=True),
    "far_faces": NetworkFile((192, 192), ("boxes", "scores"), _SIGNED, exact=True),
    "face_mesh": NetworkFile((192, 192), ("points", "score"), _UNIT, exact=True),
    "bodies": NetworkFile((224, 224), ("boxes", "scores"), _SIGNED),
}
"""Perception networks by the name of their files."""

_networks: dict[tuple[str, int | None], OpenVinoNetwork] = {}
_lock = threading.Lock()


def network(name: str, threads: int | None = None) -> OpenVinoNetwork:
    """Return a network, read once a process and shared by its streams.

    Raises:
        CheckpointError: its files are missing or damaged.
        BackendUnavailableError: OpenVINO is not installed or has no CPU device here.
    """
    with _lock:
        if (name, threads) not in _networks:
            files = read_graph(FOLDER, name, FORMAT)
            exact = NETWORKS[name].exact
            _networks[name, threads] = OpenVinoNetwork(files.graph, files.constants, threads=threads, f32=exact)
        return _networks[name, threads]


class Perception:
    """A perception network bound to one stream's picture."""

    def __init__(self, name: str, threads: int | None = None) -> None:
        """Load and compile it, if no other stream has."""
        self.size = NETWORKS[name].size
        width, height = self.size
        self._picture = np.zeros((1, height, width, 3), np.uint8)
        self._executor = network(name, threads).executor({"picture": self._picture})

    def run(self, rgb: NDArray[np.uint8]) -> Arrays:
        """Return the outputs for a picture `uint8 [h w 3]` of the network's size; the next run overwrites them."""
        self._picture[0] = rgb
        return self._executor.run()
