"""What can be measured: our models, the baselines that always run beside them, and systems made elsewhere."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from vivace.bench.cases import Task
from vivace.bench.document import Role
from vivace.bench.metrics.footage import Frames
from vivace.errors import ControlError
from vivace.media.frame import Frame, Rgb
from vivace.media.source import Source, SourceInfo
from vivace.models.base import Chunk, Keep, ModelSpec, Prompt, RuntimeInfo, StreamModel
from vivace.stream import Stream
from vivace.stream.blend import Region


@dataclass(frozen=True, slots=True)
class Job:
    """One case as a system gets it: nothing of the truth."""

    name: str
    """The case's name."""
    prompt: str
    style: str | None
    """Key of the style that `prompt` asks for, for systems that have no words; None: it asks for something else."""
    fps: float
    seed: int
    masks: NDArray[np.bool_] | None = None
    """`[t h w]`: where the picture may change; None: everywhere."""
    task: Task = "style"


@dataclass(frozen=True, slots=True)
class Painted:
    """What a system made of a clip."""

    frames: Frames
    """`[t h w 3]`, one for each frame of the source, in order."""
    refused: str | None = None
    """Why the system would not do it; `frames` is then the source, which is what a viewer sees."""


class System(Protocol):
    """Something that repaints clips."""

    name: str
    role: Role
    about: str

    def accepts(self, job: Job) -> str | None:
        """Return None, or why the job does not apply to this system: it then gets no value, rather than a bad one."""

    def run(self, job: Job, source: Frames) -> Painted:
        """Repaint `source [t h w 3]`, every frame."""


class ModelSystem:
    """A model of ours, through the same `Stream` that an application uses."""

    def __init__(self, model: StreamModel, *, name: str | None = None, role: Role = "subject", about: str = "") -> None:
        self._model = model
        runtime = model.runtime
        self.name = name or model.spec.name
        self.role: Role = role
        self.about = about or f"{model.spec.summary} {runtime.runtime} {runtime.precision} on {runtime.device}"

    def accepts(self, job: Job) -> str | None:
        """Return None: a model is asked everything, and refuses for itself."""
        del job
        return None

    def run(self, job: Job, source: Frames) -> Painted:
        """Stream the clip, every frame, with the model's defaults."""
        height, width = source.shape[1:3]
        mask = None if job.masks is None else _FrameMask(job.masks, job.fps)
        try:
            stream = Stream(self._model, prompt=job.prompt, size=(width, height), seed=job.seed, mask=mask)
        except ControlError as error:
            return Painted(source, refused=str(error))
        with stream:
            frames = [frame.rgb for frame in stream.run(_ArraySource(source, job.fps), live=False)]
        return Painted(np.stack(frames))


class Forwarding:
    """A model that does what another does; for those that change one thing about it."""

    def __init__(self, model: StreamModel) -> None:
        self.model = model

    @property
    def spec(self) -> ModelSpec:
        """What the model is."""
        return self.model.spec

    @property
    def runtime(self) -> RuntimeInfo:
        """Where the network runs."""
        return self.model.runtime

    def nbytes(self, size: tuple[int, int]) -> int:
        """Return the bytes of a stream of that size."""
        return self.model.nbytes(size)

    def open(self, size: tuple[int, int], *, seed: int = 0) -> object:
        """Allocate the state of one stream."""
        return self.model.open(size, seed=seed)

    def encode_prompt(self, text: str) -> Prompt:
        """Encode a prompt."""
        return self.model.encode_prompt(text)

    def step(self, states: Sequence[object], chunks: Sequence[Chunk]) -> list[NDArray[np.uint8]]:
        """Advance each session by one chunk."""
        return self.model.step(states, chunks)

    def reset(self, state: object, *, keep: Keep = "nothing", seed: int | None = None) -> None:
        """Forget the past of one stream."""
        self.model.reset(state, keep=keep, seed=seed)


class PerFrame(Forwarding):
    """A model whose memory is emptied before every frame: the same weights, picture by picture.

    A model whose pictures trail is shown the same ones again until they have come out.
    """

    @property
    def spec(self) -> ModelSpec:
        """What the model is; nothing trails."""
        return replace(self.model.spec, output_lag_frames=0)

    def step(self, states: Sequence[object], chunks: Sequence[Chunk]) -> list[NDArray[np.uint8]]:
        """Forget, then advance each session by one chunk."""
        spec = self.model.spec
        for state in states:
            self.model.reset(state)
        made = self.model.step(states, chunks)
        for _ in range(-(-spec.output_lag_frames // spec.chunk_frames)):
            further = self.model.step(states, chunks)
            made = [np.concatenate(parts) for parts in zip(made, further, strict=True)]
        return [frames[: spec.chunk_frames] for frames in made]


class Passthrough:
    """The source itself: what a metric gives for doing nothing."""

    name = "passthrough"
    role: Role = "baseline"
    about = "the source, untouched"

    def accepts(self, job: Job) -> str | None:
        """Return None: nothing can be done about everything."""
        del job
        return None

    def run(self, job: Job, source: Frames) -> Painted:
        """Return the source."""
        del job
        return Painted(source)


class Once:
    """A system that remembers what it made of its last job, for those that build on it."""

    def __init__(self, system: System) -> None:
        self._system = system
        self.name, self.role, self.about = system.name, system.role, system.about
        self._made: tuple[str, Painted] | None = None

    def accepts(self, job: Job) -> str | None:
        """Return what the system says."""
        return self._system.accepts(job)

    def run(self, job: Job, source: Frames) -> Painted:
        """Repaint, unless that was the last thing done."""
        if self._made is None or self._made[0] != job.name:
            self._made = job.name, self._system.run(job, source)
        return self._made[1]


class Frozen:
    """The first picture of another system, for ever: what a metric gives for standing still."""

    name = "frozen"
    role: Role = "baseline"

    def __init__(self, system: Once) -> None:
        self._system = system
        self.about = f"the first picture of {system.name}, for ever"

    def accepts(self, job: Job) -> str | None:
        """Return what the system says whose picture it is."""
        return self._system.accepts(job)

    def run(self, job: Job, source: Frames) -> Painted:
        """Repeat the first picture; what a mask keeps is kept."""
        made = self._system.run(job, source)
        still = np.broadcast_to(made.frames[0], source.shape)
        if job.masks is not None:
            still = np.where(job.masks[..., None], still, source)
        return Painted(np.ascontiguousarray(still), made.refused)


class ClassicFilter:
    """The classical image filter that a style was learned from, picture by picture. Needs torch."""

    name = "filter"
    role: Role = "baseline"
    about = "the style's own image filter, frame by frame, no network"

    def accepts(self, job: Job) -> str | None:
        """Refuse what is not a style."""
        return None if job.style is not None else "there is an image filter for a style only"

    def run(self, job: Job, source: Frames) -> Painted:
        """Filter every frame."""
        from vivace.train.classic import ClassicFilter as Filter

        assert job.style is not None
        painter = Filter((source.shape[2], source.shape[1]), job.seed)
        painted = np.stack([painter.paint(job.style, rgb) for rgb in source])
        if job.masks is not None:
            painted = np.where(job.masks[..., None], painted, source)
        return Painted(painted)


class _FrameMask:
    """A mask that is known for every frame."""

    def __init__(self, masks: NDArray[np.bool_], fps: float) -> None:
        self._masks = masks
        self._fps = fps

    def region(self, size: tuple[int, int], time_s: float) -> Region:
        """Return the region of the frame at that time."""
        del size  # the clip's own, which is what the stream was opened with
        index = min(round(time_s * self._fps), len(self._masks) - 1)
        return Region(self._masks[index].astype(np.uint8) * np.uint8(255))

    def prepare(self, size: tuple[int, int]) -> None:
        """Do nothing: the masks are drawn."""

    def close(self) -> None:
        """Do nothing: the masks are in memory."""


class _ArraySource(Source):
    """Frames in memory as a source."""

    def __init__(self, frames: Frames, fps: float) -> None:
        self._frames = frames
        self._time_base = 1 / Fraction(fps).limit_denominator(1001)
        height, width = frames.shape[1:3]
        super().__init__(SourceInfo("clip", (width, height), fps, len(frames), len(frames) / fps))

    def _read(self) -> Generator[Frame, None, None]:
        for index, rgb in enumerate(self._frames):
            yield Frame(cast("Rgb", rgb), index, index, self._time_base, time.monotonic())
