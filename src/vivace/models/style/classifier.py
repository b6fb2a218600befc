"""Inference of the style classifier: pictures in, share of every class out. OpenVINO in f32 on one thread.

Quality numbers must be reproducible, so nothing here adapts to the machine: f32 even where bf16 would be faster, one
thread for a fixed order of summation, and files checked against the sha256 of their version.
"""

from __future__ import annotations

import hashlib
import json
import threading
import tomllib
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from vivace.errors import CheckpointError, ControlError
from vivace.models.mini.styles import STYLE_KEYS
from vivace.runtime.exported import Executor
from vivace.runtime.exported.constants import join_constants
from vivace.runtime.exported.openvino import OpenVinoNetwork, read_bytes

CLASSES: tuple[str, ...] = (*STYLE_KEYS, "none")
"""Classes of pictures; `none` is unpainted."""
NONE = len(CLASSES) - 1
FORMAT = "vivace-style-1"
FOLDER = Path(__file__).parent
PROFILE = FOLDER / "style.toml"
"""Version and sha256 of the files."""
MULTIPLE_PX = 16
"""Divisor of the input's sides, px."""
WORKING_AREA_PX = 256 * 256
"""Area to which larger pictures are scaled, px: brush strokes and dots then have the size seen in training."""
SMALLEST_PX = 64
ALREADY = 0.5
"""Share of a style in the source from which an output does not tell who painted it."""


def working_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return the `(width, height)` px to which a picture of `size` must be scaled before classification.

    Larger pictures shrink to about `WORKING_AREA_PX`, smaller ones keep their size to the nearest multiple.
    """
    scale = min(1.0, (WORKING_AREA_PX / (size[0] * size[1])) ** 0.5)
    width, height = (max(SMALLEST_PX, round(side * scale / MULTIPLE_PX) * MULTIPLE_PX) for side in size)
    return width, height


class StyleClassifier:
    """Loaded weights. Thread-safe."""

    def __init__(self, graph: bytes, constants: NDArray[np.uint8], version: str) -> None:
        self.version = version
        """Version of the weights; results of different versions are not comparable."""
        self._network = OpenVinoNetwork(graph, constants, threads=1, f32=True)
        self._bound: dict[tuple[int, int], tuple[NDArray[np.uint8], NDArray[np.float32], Executor]] = {}
        self._lock = threading.Lock()

    @classmethod
    def load(cls, folder: Path = FOLDER, profile: Path = PROFILE) -> StyleClassifier:
        """Read the shipped files.

        Raises:
            CheckpointError: a file is missing, damaged, or from another version.
            BackendUnavailableError: OpenVINO is not available.
        """
        expected = tomllib.loads(read_bytes(profile).decode())
        files = {name: read_bytes(folder / name) for name in expected["files"]}
        for name, data in files.items():
            if hashlib.sha256(data).hexdigest() != expected["files"][name]:
                raise CheckpointError(
                    f"{folder / name} is not the file of version {expected['version']} (its sha256 differs); "
                    "reinstall vivace"
                )
        return cls.of(files["style.xml"], files["style.safetensors"], str(folder / "style.safetensors"))

    @classmethod
    def of(cls, graph: bytes, weights: bytes, name: str) -> StyleClassifier:
        """Return the classifier of two files' contents; `name` is the weights' name in messages.

        Raises:
            CheckpointError: damaged, or weights of something else.
        """
        try:
            tensors = load_tensors(weights)
        except SafetensorError as error:
            raise CheckpointError(f"{name} is damaged ({error}); reinstall vivace") from error
        metadata = read_metadata(weights)
        if metadata.get("format") != FORMAT or tuple(json.loads(metadata["classes"])) != CLASSES:
            raise CheckpointError(
                f"{name} has format {metadata.get('format')!r} and classes {metadata.get('classes')}; this vivace "
                f"reads {FORMAT!r} with its own styles"
            )
        return cls(graph, join_constants(tensors, metadata["graph_layout"]), metadata["version"])

    def shares(
        self, picture: NDArray[np.uint8], area: NDArray[np.floating] | NDArray[np.bool_] | None = None
    ) -> NDArray[np.float64]:
        """Return the share of each class in a picture, `[classes]`, summing to 1.

        Args:
            picture: `uint8 [h w 3]` RGB of a `working_size`.
            area: weight of each pixel, `[h w]` in [0, 1]; uniform if not given.

        Raises:
            ControlError: sides that are not multiples of 16 px, or an area of another size.
        """
        height, width = picture.shape[:2]
        if height % MULTIPLE_PX or width % MULTIPLE_PX or (area is not None and area.shape != (height, width)):
            raise ControlError(
                f"the picture is {width}x{height} and the area {None if area is None else area.shape[::-1]}; scale "
                f"both to working_size, e.g. {working_size((width, height))}"
            )
        with self._lock:
            bytes_, weights, executor = self._executor(height, width)
            bytes_[0] = picture
            weights[0, 0] = 1 if area is None else area
            return np.asarray(executor.run()["shares"][0], np.float64)

    def _executor(self, height: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.float32], Executor]:
        if (height, width) not in self._bound:
            picture = np.zeros((1, height, width, 3), np.uint8)
            area = np.ones((1, 1, height, width), np.float32)
            executor = self._network.executor({"picture": picture, "area": area})
            self._bound[height, width] = picture, area, executor
        return self._bound[height, width]


def strength(found: NDArray[np.float64], before: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of the way from a source to the full style: 0 the source, 1 all the way, below 0 back from it.

    (p(output) - p(source)) / (1 - p(source)), p being the share of the style; NaN where p(source) > `ALREADY`.

    Args:
        found: share of the style in each output, `[t]`.
        before: share of it in each source, `[t]`.
    """
    way = (found - before) / (1 - np.minimum(before, ALREADY))
    return np.where(before > ALREADY, np.nan, way)


@cache
def shipped_classifier() -> StyleClassifier:
    """Return the classifier of this installation, loaded once."""
    return StyleClassifier.load()


def read_metadata(weights: bytes) -> dict[str, str]:
    """Return the metadata of a safetensors file: version, classes, training details."""
    length = int.from_bytes(weights[:8], "little")
    metadata: dict[str, str] = json.loads(weights[8 : 8 + length]).get("__metadata__", {})
    return metadata
