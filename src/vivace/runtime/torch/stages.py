"""Device time of the stages of a step, measured without blocking the step.

On a CPU a stage is timed by the clock. On a CUDA device work is only queued between start and end, so events are
recorded on the stage's own stream and read on request: nothing waits inside a step, and stages that overlap on
different streams are timed separately.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from typing import Self

_FREE: AbstractContextManager[None] = nullcontext()


class StageTimer:
    """Timer of named stages: `with timer("encode"): …`. Off until `enabled` is set, and free of cost while off.

    A stage is entered and left by one thread, on one CUDA stream; different stages may overlap.
    """

    def __init__(self, device: torch.device | str = "cpu", *, clock: Callable[[], float] = time.perf_counter) -> None:
        """Time work on `device`; `clock` gives seconds and is used on a CPU."""
        self.enabled = False
        self._cuda = torch.device(device).type == "cuda"
        self._clock = clock
        self._spans: list[_Span] = []

    def __call__(self, stage: str) -> AbstractContextManager[object]:
        """Return a context that times one pass of `stage`."""
        if not self.enabled:
            return _FREE
        return _CudaSpan(stage, self._spans) if self._cuda else _ClockSpan(stage, self._spans, self._clock)

    def take(self) -> dict[str, list[float]]:
        """Return and clear the times of all passes since the last call, ms, by stage; waits for the device."""
        spans = self._spans[:]
        del self._spans[: len(spans)]
        taken: dict[str, list[float]] = {}
        for span in spans:
            taken.setdefault(span.stage, []).append(span.read_ms())
        return taken


class _Span(ABC):
    """One pass of a stage; counted only if it ends without an error."""

    def __init__(self, stage: str, done: list[_Span]) -> None:
        self.stage = stage
        self._done = done

    @abstractmethod
    def begin(self) -> None:
        """Mark the start."""

    @abstractmethod
    def end(self) -> None:
        """Mark the end."""

    @abstractmethod
    def read_ms(self) -> float:
        """Return the duration, ms; waits for the end."""

    def __enter__(self) -> Self:
        self.begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        if kind is None:
            self._done.append(self)


class _ClockSpan(_Span):
    def __init__(self, stage: str, done: list[_Span], clock: Callable[[], float]) -> None:
        super().__init__(stage, done)
        self._clock = clock
        self._began_s = self._ended_s = 0.0

    def begin(self) -> None:
        self._began_s = self._clock()

    def end(self) -> None:
        self._ended_s = self._clock()

    def read_ms(self) -> float:
        return (self._ended_s - self._began_s) * 1000.0


class _CudaSpan(_Span):
    def __init__(self, stage: str, done: list[_Span]) -> None:
        super().__init__(stage, done)
        self._began, self._ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]

    def begin(self) -> None:
        self._began.record()

    def end(self) -> None:
        self._ended.record()

    def read_ms(self) -> float:
        self._ended.synchronize()
        return float(self._began.elapsed_time(self._ended))
