"""Baselines that run beside what is judged: what a metric gives for doing nothing, or for less than a model does."""

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
    """A model that does what another does, and has what it has besides; for those that change one thing about it."""

    def __init__(self, model: StreamModel[State]) -> None:
        self.model = model
        # What not every model has (`ComposesLook`, `KeepsMemory`, …) is looked for on the object itself: a stream must
        # not find what the model lacks, and would not find what is looked up only when it is asked for.
        for name in dir(model):
            if not name.startswith("_") and not hasattr(type(self), name) and callable(getattr_static(model, name)):
                setattr(self, name, getattr(model, name))

    @property
    def spec(self) -> ModelSpec:
        """What the model is."""
        return self.model.spec

    @property
    def runtime(self) -> RuntimeInfo:
        """Where the network runs."""
        return self.model.runtime

    @property
    def device(self) -> Device:
        """Where it runs."""
        return self.model.device

    def nbytes(self, size: tuple[int, int]) -> int:
        """Return the bytes of a stream of that size."""
        return self.model.nbytes(size)

    def open(self, size: tuple[int, int], *, seed: int = 0, **options: Any) -> State:
        """Allocate the state of one stream; `options` where the model has some to be settled by it."""
        return self.model.open(size, seed=seed, **options)

    def encode_prompt(self, text: str) -> Prompt:
        """Encode a prompt."""
        return self.model.encode_prompt(text)

    def step(self, states: Sequence[State], chunks: Sequence[Chunk]) -> list[StepResult]:
        """Advance each session by one chunk."""
        return self.model.step(states, chunks)

    def reset(self, state: State, *, keep: Keep = "nothing", seed: int | None = None) -> None:
        """Forget the past of one stream."""
        self.model.reset(state, keep=keep, seed=seed)


class PerFrame(Forwarding[State]):
    """A model whose memory is emptied before every frame: the same weights, picture by picture.

    A model whose pictures trail is shown the same ones again until they have come out.
    """

    @property
    def spec(self) -> ModelSpec:
        """What the model is; nothing trails, and every step is a first one."""
        spec = self.model.spec
        return replace(spec, output_lag_frames=0, chunk_frames=spec.frames_of_chunk(0), first_chunk_frames=None)

    def step(self, states: Sequence[State], chunks: Sequence[Chunk]) -> list[StepResult]:
        """Forget, then advance each session by one chunk."""
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
    """Return pictures that follow some, the last of them as often as it takes, as many as a chunk has."""
    return rgb if len(rgb) == frames else np.repeat(rgb[-1:], frames, axis=0)


def _joined(first: StepResult, second: StepResult) -> StepResult:
    """Return the pictures of two steps as those of one."""
    from vivace.models.base import StepResult

    rgb = np.concatenate([first.rgb, second.rgb])
    kinds = {result.edited for result in (first, second) if isinstance(result.edited, str)}
    grids = {result.edited.shape[1:] for result in (first, second) if not isinstance(result.edited, str)}
    if not grids and len(kinds) == 1:
        return StepResult(rgb, first.edited)
    grid = next(iter(grids), (1, 1))
    return StepResult(rgb, np.concatenate([_mask(result, grid) for result in (first, second)]))


def _mask(result: StepResult, grid: tuple[int, ...]) -> NDArray[np.uint8]:
    """Return what was edited of a step's pictures as a mask; one that is none has `grid` cells."""
    if not isinstance(result.edited, str):
        return result.edited
    return np.full((len(result.rgb), *grid), 255 if result.edited == "all" else 0, np.uint8)


def _first(result: StepResult, count: int) -> StepResult:
    """Return the first pictures of a step."""
    from vivace.models.base import StepResult

    edited = result.edited if isinstance(result.edited, str) else result.edited[:count]
    return StepResult(result.rgb[:count], edited)


class Passthrough(System):
    """The source itself: what a metric gives for doing nothing."""

    name = "passthrough"
    role = "baseline"
    about = "the source, untouched"

    def run(self, request: Request, source: Frames) -> Painted:
        """Return the source."""
        del request
        return Painted(source)


class Once(System):
    """A system that remembers what it made of its last request, for those that build on it."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.name, self.role, self.about = system.name, system.role, system.about
        self._made: tuple[str, Painted] | None = None

    def accepts(self, request: Request) -> str | None:
        """Return what the system says."""
        return self._system.accepts(request)

    def run(self, request: Request, source: Frames) -> Painted:
        """Repaint, unless that was the last thing done."""
        if self._made is None or self._made[0] != request.case:
            self._made = request.case, self._system.run(request, source)
        return self._made[1]


class Frozen(System):
    """The first picture of another system, for ever: what a metric gives for standing still."""

    name = "frozen"
    role = "baseline"

    def __init__(self, system: Once) -> None:
        self._system = system
        self.about = f"the first picture of {system.name}, for ever"

    def accepts(self, request: Request) -> str | None:
        """Return what the system says whose picture it is."""
        return self._system.accepts(request)

    def run(self, request: Request, source: Frames) -> Painted:
        """Repeat the first picture; what a mask keeps is kept."""
        made = self._system.run(request, source)
        still = np.broadcast_to(made.frames[0], source.shape)
        return Painted(np.ascontiguousarray(_within(request, still, source)), made.refused)


class ClassicFilter(System):
    """The classical image filter that a style was learned from, picture by picture. Needs torch."""

    name = "filter"
    role = "baseline"
    about = "the style's own image filter, frame by frame, no network"

    def accepts(self, request: Request) -> str | None:
        """Refuse what is not a style."""
        return None if request.style is not None else "there is an image filter for a style only"

    def run(self, request: Request, source: Frames) -> Painted:
        """Filter every frame."""
        from vivace.train.classic import ClassicFilter as Filter

        assert request.style is not None
        painter = Filter(request.size, request.seed)
        return Painted(_within(request, np.stack([painter.paint(request.style, rgb) for rgb in source]), source))


def _within(request: Request, painted: Frames, source: Frames) -> Frames:
    """Return what was painted where the request's mask allows it, and the source elsewhere."""
    return painted if request.mask is None else np.where(request.mask[..., None], painted, source)
