"""The network that follows key frames, loaded once a process from the files beside this module."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

from vivace.errors import BackendUnavailableError, install_extra
from vivace.runtime.exported import Network
from vivace.runtime.exported.files import read_graph

FOLDER = Path(__file__).parent
FORMAT = "vivace-keyframes-1"
REMEMBER, FOLLOW = "remember", "follow"
"""Names of the two graphs' files."""
REMEMBERED = ("keys", "values")
"""Outputs of the graph that reads a key frame, inputs of the one that follows it."""


class Networks(NamedTuple):
    """The graphs of `graph.py`."""

    remember: Network
    follow: Network


_loaded: dict[tuple[Path, int | None], Networks] = {}
_lock = threading.Lock()


def need_opencv(what: str = "following a key frame") -> None:
    """Raise BackendUnavailableError where OpenCV is not installed, which the base install leaves out."""
    try:
        import cv2  # noqa: F401 (modules that import it are imported later)
    except ImportError as error:
        raise BackendUnavailableError(
            f"{what} needs OpenCV, which the base install leaves out; {install_extra('keyframes')}"
        ) from error


@cache
def weights() -> Mapping[str, str]:
    """Return the hashes of the shipped weights by name, `sha256:…`."""
    files = {name: FOLDER / f"{name}.safetensors" for name in (REMEMBER, FOLLOW)}
    return {
        f"keyframes {name}": f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}" for name, path in files.items()
    }


def load(folder: Path = FOLDER, *, threads: int | None = None) -> Networks:
    """Return the networks of a folder, shared by all streams of the process.

    Raises:
        CheckpointError: a file is missing or damaged.
        BackendUnavailableError: OpenVINO has no CPU device here, or OpenCV, which finds motion, is not installed.
    """
    from vivace.runtime.exported.openvino import OpenVinoNetwork

    need_opencv()
    with _lock:
        key = folder, threads
        if key not in _loaded:
            follow = read_graph(folder, FOLLOW, FORMAT)
            remember = read_graph(folder, REMEMBER, FORMAT, follow.tensors)
            _loaded[key] = Networks(
                *(OpenVinoNetwork(each.graph, each.constants, threads=threads) for each in (remember, follow))
            )
        return _loaded[key]
