"""OpenVINO on a CPU: bf16 where the processor supports it, f32 elsewhere."""

from __future__ import annotations

import atexit
import sys
import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vivace.errors import BackendUnavailableError, CheckpointError
from vivace.runtime.device import Device
from vivace.runtime.exported import Arrays
from vivace.runtime.info import RuntimeInfo

Shapes = tuple[tuple[str, tuple[int, ...]], ...]
"""Shape of every input by name."""

_REPORTER = "openvino_telemetry"

KEPT_SHAPES = 24
"""Compiled networks kept for later streams: eight sizes at three efforts. The embedded model takes 20 to 100 MiB for
each, so a server whose clients keep asking for new sizes must evict some."""


def import_openvino() -> Any:
    """Import OpenVINO without its usage reporting, for privacy.

    By default, importing it starts a thread that reports to a web address and writes to `~/intel`. Without the
    reporting package it uses a stub, so that package is hidden during the import. A program that has imported OpenVINO
    or the reporting package itself is left as it is.
    """
    hidden = _REPORTER not in sys.modules and "openvino" not in sys.modules
    if hidden:
        sys.modules[_REPORTER] = None  # type: ignore[assignment]  # makes its import fail
    try:
        import openvino
    finally:
        if hidden:
            del sys.modules[_REPORTER]
    return openvino


class OpenVinoNetwork:
    """Graph read once and compiled per set of input shapes, shared by all streams of those shapes.

    Thread-safe.
    """

    def __init__(
        self, graph: bytes, weights: NDArray[np.uint8], *, threads: int | None = None, f32: bool = False
    ) -> None:
        """Read a graph.

        Args:
            graph: the IR's XML.
            weights: `uint8 [n]`, its constants.
            threads: CPU threads to use; all by default.
            f32: compute in f32 even where bf16 is available.

        Raises:
            BackendUnavailableError: OpenVINO is not installed, or has no CPU device here.
            CheckpointError: graph and weights do not match.
        """
        try:
            ov = import_openvino()
        except ImportError as error:
            raise BackendUnavailableError(
                f"OpenVINO cannot be imported ({error}); reinstall it with `pip install --force-reinstall openvino`"
            ) from error
        self._ov = ov
        self._core = ov.Core()
        if "CPU" not in self._core.available_devices:
            raise BackendUnavailableError("OpenVINO finds no CPU device here; run `vivace doctor`")
        capable = "BF16" in self._core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        precision = "bf16" if capable and not f32 else "f32"
        notes = () if capable else ("this CPU has no bf16: computing in f32, at about half the speed",)
        self.device = Device(str(self._core.get_property("CPU", "FULL_DEVICE_NAME")))
        self.info = RuntimeInfo("openvino", self.device.name, precision, notes)
        self._config: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": precision,
            "PERFORMANCE_HINT": "LATENCY",
            # A thread pinned to a core waits there for whatever else decodes, encodes or shows on it, and the other
            # threads wait for that one.
            "ENABLE_CPU_PINNING": False,
        }
        if threads is not None:
            self._config["INFERENCE_NUM_THREADS"] = threads
        self._graph = graph
        # OpenVINO refers to this memory, so it must live as long as the network.
        self._weights = ov.Tensor(weights, shared_memory=True)
        self._compiled: OrderedDict[Shapes, Any] = OrderedDict()
        self._table = threading.Lock()
        """Lock on `_compiled`, held briefly; `_lock` is held during compilation."""
        self._lock = threading.Lock()
        # A compilation interrupted by interpreter shutdown crashes the process. So shutdown waits for the one in
        # progress, in whatever thread, and prevents new ones.
        atexit.register(self._lock.acquire)
        self._read()

    def _read(self) -> Any:
        try:
            return self._core.read_model(self._graph, self._weights)
        except RuntimeError as error:
            raise CheckpointError(f"the exported graph and its weights do not fit: {error}") from error

    def prepare(self, *inputs: Arrays) -> None:
        """Compile for the shapes of each mapping, in parallel, unless already done."""
        self._compiled_for(*map(_shapes, inputs))

    def prepared(self, inputs: Arrays) -> bool:
        """Return True if it is compiled for inputs of these shapes."""
        return self._known([_shapes(inputs)]) != [None]

    def executor(self, inputs: Arrays) -> OpenVinoExecutor:
        """Return an executor that uses these arrays without copying them."""
        (compiled,) = self._compiled_for(_shapes(inputs))
        return OpenVinoExecutor(self._ov.Tensor, compiled.create_infer_request(), inputs)

    def _compiled_for(self, *wanted: Shapes) -> list[Any]:
        found = self._known(wanted)
        if None not in found:
            return found
        with self._lock:
            missing = [shapes for shapes, each in zip(wanted, self._known(wanted), strict=True) if each is None]
            # The compiler uses one core for most of its time.
            with ThreadPoolExecutor(max(1, len(missing)), thread_name_prefix="openvino-compile") as pool:
                made = dict(zip(missing, pool.map(self._compile, missing), strict=True))
            with self._table:
                self._compiled.update(made)
                found = [self._compiled[shapes] for shapes in wanted]
                # Streams that use evicted networks keep a reference until they end.
                while len(self._compiled) > KEPT_SHAPES:
                    self._compiled.popitem(last=False)
            return found

    def _known(self, wanted: Sequence[Shapes]) -> list[Any]:
        with self._table:
            for shapes in wanted:
                if shapes in self._compiled:
                    self._compiled.move_to_end(shapes)
            return [self._compiled.get(shapes) for shapes in wanted]

    def _compile(self, shapes: Shapes) -> Any:
        # Static shapes let the compiler choose layouts and fuse; the graph itself takes any size.
        model = self._read()
        model.reshape({name: list(shape) for name, shape in shapes})
        return self._core.compile_model(model, "CPU", self._config)


class OpenVinoExecutor:
    """Infer request over one stream's arrays."""

    def __init__(self, tensor: Any, request: Any, inputs: Arrays) -> None:
        self._tensor = tensor
        self._request = request
        self._inputs = dict(inputs)
        """References that keep the arrays alive: the request holds only their addresses."""
        for name, array in inputs.items():
            self.bind(name, array)
        self._outputs = {o.get_any_name(): request.get_output_tensor(i) for i, o in enumerate(request.model_outputs)}

    def bind(self, name: str, array: NDArray[np.generic]) -> None:
        """Read an input from another array of the same shape from now on, without copying it."""
        self._request.set_tensor(name, self._tensor(array, shared_memory=True))
        self._inputs[name] = array

    def run(self) -> Arrays:
        """Run once; the next run overwrites the outputs."""
        self._request.infer()
        return {name: tensor.data for name, tensor in self._outputs.items()}


def _shapes(inputs: Arrays) -> Shapes:
    return tuple((name, tuple(array.shape)) for name, array in inputs.items())


def read_bytes(path: Path) -> bytes:
    """Return the contents of a file of the package.

    Raises:
        CheckpointError: it is missing.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"cannot read {path}: {error.strerror}; reinstall vivace") from error
