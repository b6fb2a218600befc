"""What can be judged: anything that repaints clips, and our models as one of them."""

from __future__ import annotations

import time
from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from vivace.bench.metrics.footage import Frames
from vivace.bench.quality.cases import Task
from vivace.errors import ControlError
from vivace.media.frame import Frame, Rgb
from vivace.media.source import Source, SourceInfo
from vivace.models.base import StreamModel
from vivace.stream import Stream
from vivace.stream.blend import Region

if TYPE_CHECKING:
    from vivace.bench.document import Role


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
