"""Baselines measured besides the subject: the values of metrics for doing nothing, or less than a model does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from inspect import getattr_static
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from vivace.bench.metrics.footage import Frames
from vivace.bench.systems.system import Painted, Request, System
from vivace.models.base import Chunk, Keep, ModelSpec, Prompt, RuntimeInfo, StreamModel

if TYPE_CHECKING:  # another checkout's package may be older than this class
    from vivace.models.base import StepResult
    from vivace.runtime.device import Device


State = TypeVar("State")


class Forwarding(Generic[State]):
    """Model that forwards everything to another; base of those that change one thing about it."""

    def __init__(self, model: StreamModel[State]) -> None:
        self.model = model
        # Optional interfaces (`ComposesLook`, `KeepsMemory`, …) are looked up on the object itself: a stream must not
        # find what the model lacks, and would not find attributes that are resolved dynamically.
        for name in dir(model):
            if not name.startswith("_") and not hasattr(type(self), name) and callable(getattr_static(model, name)):
                setattr(self, name, getattr(model, name))

    @property
    def spec(self) -> ModelSpec:
        """Specification of the model."""
        return self.model.spec

    @property
    def runtime(self) -> RuntimeInfo:
        """Description of the model's runtime."""
        return self.model.runtime

    @property
    def device(self) -> Device:
        """Device of the model."""
        return self.model.device

    def nbytes(self, size: tuple[int, int]) -> int:
        """Return the bytes of a stream of that size."""
        return self.model.nbytes(size)

    def open(self, size: tuple[int, int], *, seed: int = 0, **options: Any) -> State:
        """Allocate the state of one stream; `options` are those of scope `stream`, if the model has any."""
        return self.model.open(size, seed=seed, **options)

    def encode_prompt(self, text: str) -> Prompt:
        """Return an encoded prompt."""
        return self.model.encode_prompt(text)

    def step(self, states: Sequence[State], chunks: Sequence[Chunk]) -> list[StepResult]:
        """Advance each session by one chunk."""
        return self.model.step(states, chunks)

    def reset(self, state: State, *, keep: Keep = "nothing", seed: int | None = None) -> None:
        """Reset the memory of one stream."""
        self.model.reset(state, keep=keep, seed=seed)


class PerFrame(Forwarding[State]):
    """Model whose memory is reset before every frame: the same weights, one picture at a time.

    A model with output lag is given the same pictures again until they have come out.
    """

    @property
    def spec(self) -> ModelSpec:
        """Specification of the model, without lag; every step is a first one."""
        spec = self.model.spec
        return replace(spec, output_lag_frames=0, chunk_frames=spec.frames_of_chunk(0), first_chunk_frames=None)

    def step(self, states: Sequence[State], chunks: Sequence[Chunk]) -> list[StepResult]:
        """Reset, then advance each session by one chunk."""
        spec = self.model.spec
        for state in states:
            self.model.reset(state)
        wanted = spec.frames_of_chunk(0)
        made = self.model.step(states, chunks)
        again = [replace(chunk, rgb=_again(chunk.rgb, spec.chunk_frames)) for chunk in chunks]
        while any(len(result.rgb) < wanted for result in made):
            further = self.model.step(states, again)
            made = [_joined(*parts) for parts in zip(made, further, strict=True)]
        return [_first(result, wanted) for result in made]


def _again(rgb: NDArray[np.uint8], frames: int) -> NDArray[np.uint8]:
    """Return `frames` pictures to follow the given ones: the same, or the last one repeated."""
    return rgb if len(rgb) == frames else np.repeat(rgb[-1:], frames, axis=0)


def _joined(first: StepResult, second: StepResult) -> StepResult:
    """Return the results of two steps as one."""
    from vivace.models.base import StepResult

    rgb = np.concatenate([first.rgb, second.rgb])
    kinds = {result.edited for result in (first, second) if isinstance(result.edited, str)}
    grids = {result.edited.shape[1:] for result in (first, second) if not isinstance(result.edited, str)}
    if not grids and len(kinds) == 1:
        return StepResult(rgb, first.edited)
    grid = next(iter(grids), (1, 1))
    return StepResult(rgb, np.concatenate([_mask(result, grid) for result in (first, second)]))


def _mask(result: StepResult, grid: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return the edited area of a step's pictures as a mask; one without a mask gets `grid` cells."""
    if not isinstance(result.edited, str):
        return result.edited
    return np.full((len(result.rgb), *grid), 255 if result.edited == "all" else 0, np.uint8)


def _first(result: StepResult, count: int) -> StepResult:
    """Return the first `count` pictures of a step."""
    from vivace.models.base import StepResult

    edited = result.edited if isinstance(result.edited, str) else result.edited[:count]
    return StepResult(result.rgb[:count], edited)


class Passthrough(System):
    """The source itself: metric values for doing nothing."""

    name = "passthrough"
    role = "baseline"
    about = "the source, untouched"

    def run(self, request: Request, source: Frames) -> Painted:
        """Return the source."""
        del request
        return Painted(source)


class Once(System):
    """System that caches its last result, for those that build on it."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.name, self.role, self.about = system.name, system.role, system.about
        self._made: tuple[str, Painted] | None = None

    def accepts(self, request: Request) -> str | None:
        """Return the system's answer."""
        return self._system.accepts(request)

    def run(self, request: Request, source: Frames) -> Painted:
        """Repaint, unless this is the cached request."""
        if self._made is None or self._made[0] != request.case:
            self._made = request.case, self._system.run(request, source)
        return self._made[1]


class Frozen(System):
    """First picture of another system, repeated: metric values for a frozen output."""

    name = "frozen"
    role = "baseline"

    def __init__(self, system: Once) -> None:
        self._system = system
        self.about = f"the first picture of {system.name}, for ever"

    def accepts(self, request: Request) -> str | None:
        """Return the answer of the system whose picture it is."""
        return self._system.accepts(request)

    def run(self, request: Request, source: Frames) -> Painted:
        """Repeat the first picture; areas outside a mask stay the source."""
        made = self._system.run(request, source)
        still = np.broadcast_to(made.frames[0], source.shape)
        return Painted(np.ascontiguousarray(_within(request, still, source)), made.refused)


class ClassicFilter(System):
    """Classical image filter that taught the style, applied picture by picture. Needs torch."""

    name = "filter"
    role = "baseline"
    about = "the style's own image filter, frame by frame, no network"

    def accepts(self, request: Request) -> str | None:
        """Reject requests other than styles."""
        return None if request.style is not None else "there is an image filter for a style only"

    def run(self, request: Request, source: Frames) -> Painted:
        """Filter every frame."""
        from vivace.train.classic import ClassicFilter as Filter

        assert request.style is not None
        painter = Filter(request.size, request.seed)
        return Painted(_within(request, np.stack([painter.paint(request.style, rgb) for rgb in source]), source))


def _within(request: Request, painted: Frames, source: Frames) -> Frames:
    """Return the painted pictures within the request's mask, and the source elsewhere."""
    return painted if request.mask is None else np.where(request.mask[..., None], painted, source)
