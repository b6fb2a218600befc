"""Programs: functions without arguments over static buffers, run eagerly, compiled, or as a CUDA graph.

A program reads and writes tensors that live as long as it does, at fixed addresses. Every call does the function's work
exactly once, in every mode, so that a program may change a stream's state.

Streams: a call queues its work on the device's current stream and does not wait for it. Threads: any thread may call,
one at a time. While a graph is being recorded, other threads may use the device.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import torch

from vivace.errors import BackendUnavailableError
from vivace.runtime.torch.compiled import compile_static

Mode = Literal["eager", "compiled", "graph"]

_SPENT_S = {"compile": 0.0, "record": 0.0}


def spent_s() -> dict[str, float]:
    """Return the seconds this process has spent on first calls (`compile`) and on recording graphs (`record`)."""
    return dict(_SPENT_S)


@contextmanager
def _counted(what: str) -> Iterator[None]:
    began_s = time.perf_counter()
    yield
    _SPENT_S[what] += time.perf_counter() - began_s


WARM_UP_CALLS = 2
"""Ordinary calls before a graph is recorded: the first compiles, and lets libraries select algorithms and allocate
workspaces, which is forbidden during recording; the second runs with all of that done."""


Pool = Any
"""Device memory pool for what graphs hold between their first and last kernel, as torch identifies it.

Programs that never run at the same time, such as those of one model on one stream, may share a pool and its memory.
Their results must be in buffers of their own: the next program overwrites the rest.
"""


class Program:
    """Function that is called repeatedly on the same tensors.

    * `eager`: called as it is.
    * `compiled`: by `torch.compile`, for these shapes only. The first call compiles, which may take minutes.
    * `graph`: compiled, and from the third call on replayed as one CUDA graph. The third call records; the kernels
      launched later must not depend on decisions made in Python.
    """

    def __init__(
        self,
        function: Callable[[], object],
        *,
        device: torch.device,
        mode: Mode = "eager",
        pool: Pool | None = None,
    ) -> None:
        """Wrap a function.

        Args:
            function: reads and writes tensors it closes over; its return value is discarded.
            device: device of the tensors.
            mode: see above.
            pool: pool of the graph; one of its own if left out.

        Raises:
            BackendUnavailableError: a graph on another device than CUDA.
        """
        if mode == "graph" and device.type != "cuda":
            raise BackendUnavailableError(
                f"only a CUDA device records graphs, not {str(device)!r}; choose mode 'compiled' or 'eager'"
            )
        self._device, self._mode = device, mode
        self._run = function if mode == "eager" else compile_static(function)
        self._compiled = mode == "eager"
        self._pool = pool
        self._calls_to_warm_up = WARM_UP_CALLS if mode == "graph" else 0
        self._side: torch.cuda.Stream | None = None
        self._graph: torch.cuda.CUDAGraph | None = None

    @torch.inference_mode()
    def __call__(self) -> None:
        """Run the function's work once.

        Raises:
            BackendUnavailableError: the function cannot be recorded, because it waits for the device or allocates
                outside torch.
        """
        if self._mode != "graph":
            self._work()
        elif self._calls_to_warm_up:
            self._calls_to_warm_up -= 1
            self._warm_up()
        else:
            if self._graph is None:
                self._graph = self._record()
            self._graph.replay()

    def _work(self) -> None:
        with nullcontext() if self._compiled else _counted("compile"):
            self._run()
        self._compiled = True

    def _warm_up(self) -> None:
        # Not on the default stream, where libraries would keep workspaces that a recording cannot use.
        if self._side is None:
            self._side = torch.cuda.Stream(self._device)  # type: ignore[no-untyped-call]
        current = torch.cuda.current_stream(self._device)
        self._side.wait_stream(current)
        with torch.cuda.stream(self._side):
            self._work()
        current.wait_stream(self._side)

    def _record(self) -> torch.cuda.CUDAGraph:
        graph = torch.cuda.CUDAGraph()
        try:
            with (
                _counted("record"),
                torch.cuda.graph(graph, pool=self._pool, stream=self._side, capture_error_mode="thread_local"),
            ):
                self._run()
        except RuntimeError as error:
            raise BackendUnavailableError(
                f"this program cannot be recorded as a CUDA graph ({error}); choose mode 'compiled'"
            ) from error
        return graph
