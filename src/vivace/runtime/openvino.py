"""OpenVINO on a CPU: bf16 where the machine computes in it, f32 elsewhere."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vivace.errors import BackendUnavailableError, CheckpointError
from vivace.models.base import RuntimeInfo
from vivace.runtime import Arrays

Shapes = tuple[tuple[str, tuple[int, ...]], ...]


class OpenVinoNetwork:
    """A graph read once and compiled per set of input shapes, shared by all streams of those shapes.

    Safe to use from several threads.
    """

    def __init__(
        self, graph: bytes, weights: NDArray[np.uint8], *, threads: int | None = None, f32: bool = False
    ) -> None:
        """Read a graph.

        Args:
            graph: the IR's XML.
            weights: `[n]` its constants.
            threads: CPU threads to use; all by default.
            f32: compute in f32 even where bf16 is available.

        Raises:
            BackendUnavailableError: OpenVINO has no CPU device here.
            CheckpointError: the graph and the weights do not fit.
        """
        import openvino as ov

        self._ov = ov
        self._core = ov.Core()
        if "CPU" not in self._core.available_devices:
            raise BackendUnavailableError("OpenVINO finds no CPU device here; run `vivace doctor`")
        capable = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        precision = "bf16" if capable and not f32 else "f32"
        notes = () if capable else ("this CPU has no bf16: computing in f32, at about half the speed",)
        self.info = RuntimeInfo("openvino", str(self._core.get_property("CPU", "FULL_DEVICE_NAME")), precision, notes)
        self._config: dict[str, Any] = {"INFERENCE_PRECISION_HINT": precision, "PERFORMANCE_HINT": "LATENCY"}
        if threads is not None:
            self._config["INFERENCE_NUM_THREADS"] = threads
        self._graph = graph
        # OpenVINO refers to this memory, so it must live as long as the network.
        self._weights = ov.Tensor(weights, shared_memory=True)
        self._compiled: dict[Shapes, Any] = {}
        self._lock = threading.Lock()
        self._read()

    def _read(self) -> Any:
        try:
            return self._core.read_model(self._graph, self._weights)
        except RuntimeError as error:
            raise CheckpointError(f"the exported graph and its weights do not fit: {error}") from error

    def prepare(self, inputs: Arrays) -> None:
        """Compile for these shapes, unless it is done."""
        self._compile(_shapes(inputs))

    def is_ready(self, inputs: Arrays) -> bool:
        """Tell whether these shapes are compiled."""
        return _shapes(inputs) in self._compiled

    def _compile(self, shapes: Shapes) -> Any:
        if shapes in self._compiled:
            return self._compiled[shapes]
        with self._lock:
            if shapes not in self._compiled:
                # Static shapes let the compiler choose layouts and fuse; the graph itself takes any size.
                model = self._read()
                model.reshape({name: list(shape) for name, shape in shapes})
                self._compiled[shapes] = self._core.compile_model(model, "CPU", self._config)
            return self._compiled[shapes]

    def executor(self, inputs: Arrays) -> OpenVinoExecutor:
        """Bind to these arrays without copying them."""
        request = self._compile(_shapes(inputs)).create_infer_request()
        for name, array in inputs.items():
            request.set_tensor(name, self._ov.Tensor(array, shared_memory=True))
        return OpenVinoExecutor(request, inputs)


class OpenVinoExecutor:
    """One infer request over one stream's arrays."""

    def __init__(self, request: Any, inputs: Arrays) -> None:
        self._request = request
        self._inputs = inputs
        self._outputs = {o.get_any_name(): request.get_output_tensor(i) for i, o in enumerate(request.model_outputs)}

    def run(self) -> Arrays:
        """Run once; outputs are overwritten by the next run."""
        self._request.infer()
        return {name: tensor.data for name, tensor in self._outputs.items()}


def _shapes(inputs: Arrays) -> Shapes:
    return tuple((name, tuple(array.shape)) for name, array in inputs.items())


def read_bytes(path: Path) -> bytes:
    """Read a file of the package.

    Raises:
        CheckpointError: it is missing.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}; reinstall vivace") from error
