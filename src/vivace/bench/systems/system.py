"""Systems under test: those that repaint clips, and among them those whose sessions can be timed.

Vivace's own models are used through `Stream`. An external program needs four operations (`Processor`): pictures go in
one by one, pictures come out, and the benchmark times both ends. The output of a session is timed as it comes, or
collected.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from importlib import import_module
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any, Protocol

from vivace.errors import ControlError, StepError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vivace.bench.document import Role
    from vivace.bench.metrics.footage import Frames
    from vivace.bench.quality.cases import Task
    from vivace.media.frame import Frame, Rgb
    from vivace.media.source import Source
    from vivace.models.base import StreamModel
    from vivace.models.loading import LoadOptions
    from vivace.stream import Stats, Stream

Clock = Callable[[], float]

IN_FLIGHT = 32
"""Pictures that an external system may be behind while it is timed and every frame counts: more than any published
chunk, few enough to save memory."""
REMEMBERED = 512
"""Sent pictures that may still be answered; older ones were dropped inside."""
JOIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Request:
    """Request for a session, without ground truth."""

    size: tuple[int, int]
    """`(width, height)`, px."""
    fps: float
    prompt: str
    seed: int = 0
    mask: NDArray[Any] | None = None
    """Area that may change: `uint8 [h w]` for all pictures, or `bool [t h w]`, one each; None is everywhere."""
    case: str = "live"
    """Name of the case."""
    style: str | None = None
    """Key of the style that `prompt` asks for, for systems without text prompts; None if it is not a style."""
    task: Task = "style"


@dataclass(frozen=True, slots=True)
class Painted:
    """Output of a system for a clip."""

    frames: Frames
    """Pictures `[t h w 3]`, one for each frame of the source, in order."""
    refused: str | None = None
    """Reason of a refusal; `frames` is then the source, which is what a viewer sees."""


class RefusedError(StepError):
    """Refusal of a request by a system."""

    def __init__(self, who: str, reason: str) -> None:
        super().__init__(f"{who}: refuses the job: {reason}")
        self.reason = reason


class System(ABC):
    """System that repaints clips."""

    name: str
    role: Role = "subject"
    about: str
    """Description: model, runtime, precision, device."""

    def accepts(self, request: Request) -> str | None:  # noqa: ARG002  (most accept all, or refuse in `run`)
        """Return None, or why the request does not apply; it then has no value, rather than a bad one."""
        return None

    @abstractmethod
    def run(self, request: Request, source: Frames) -> Painted:
        """Repaint `source [t h w 3]`, every frame."""


class Runner(Protocol):
    """One session."""

    def run(self, source: Source, *, live: bool) -> Generator[Frame, None, None]:
        """Yield the output frames of a source, with index and capture time of the input.

        Raises:
            RefusedError: the system refuses the request.
        """

    def change_prompt(self, text: str) -> int | None:
        """Change the prompt; return the number its frames carry as `control_index`, None if it cannot be changed."""

    def stats(self) -> Stats | None:
        """Return the session's own statistics; None if it has none."""

    def close(self) -> None:
        """End the session."""


class LiveSystem(System):
    """System that is loaded once and opens any number of sessions."""

    model: StreamModel[Any] | None = None
    """The model, if its steps can be timed alone."""

    @abstractmethod
    def open(self, request: Request, clock: Clock = time.monotonic) -> Runner:
        """Open a session.

        Raises:
            ControlError: it does not support the request.
        """

    def run(self, request: Request, source: Frames) -> Painted:
        """Return the collected output of a session over every frame of the clip.

        A frame without output shows what a viewer would see: the output before it, or black before the first.
        """
        import numpy as np

        from vivace.bench.inputs.arrays import ArraySource

        try:
            runner = self.open(request)
        except ControlError as error:
            return Painted(source, refused=str(error))
        frames, painted = np.zeros_like(source), np.zeros(len(source), bool)
        try:
            with closing(runner), closing(runner.run(ArraySource(source, request.fps), live=False)) as made:
                for frame in made:
                    frames[frame.index], painted[frame.index] = frame.rgb, True
        except RefusedError as error:
            return Painted(source, refused=error.reason)
        if not painted.any():
            raise StepError(f"{self.name}: put out no frame for {request.case}")
        for index in np.flatnonzero(~painted[1:]) + 1:
            frames[index] = frames[index - 1]
        return Painted(frames)


@dataclass(frozen=True, slots=True)
class SystemSpec:
    """System by name, so that a fresh process can load it."""

    name: str
    opener: str = "vivace.bench.systems.system:open_model"
    """Function `module:function`, called with the arguments; returns a `LiveSystem`."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """Arguments as JSON values."""
    code: str | None = None
    """Folder of another checkout's `vivace` package to measure; None: this one's."""

    def load(self) -> LiveSystem:
        """Load the system. Raises what the opener does."""
        module, _, function = self.opener.partition(":")
        system: LiveSystem = getattr(import_module(module), function)(**self.arguments)
        return system


def model_spec(
    model: str, threads: int | None = None, *, runtime: str | None = None, options: LoadOptions | None = None
) -> SystemSpec:
    """Return the spec of one of Vivace's models, loaded with `options`."""
    return SystemSpec(model, arguments=model_arguments(model, threads, runtime=runtime, options=options))


def model_arguments(
    model: str, threads: int | None, *, runtime: str | None = None, options: LoadOptions | None = None
) -> dict[str, Any]:
    """Return the arguments of `open_model` for JSON, without those that are not given."""
    given = {"threads": threads, "runtime": runtime, "options": options.to_dict() if options else None}
    return {"model": model, **{name: value for name, value in given.items() if value}}


def passthrough_spec() -> SystemSpec:
    """Return the spec of a stream that paints nothing: the cost of everything but the model."""
    return SystemSpec("passthrough", "vivace.bench.systems.system:open_passthrough", model_arguments("mini", None))


def open_model(
    model: str, threads: int | None = None, runtime: str | None = None, options: Mapping[str, Any] | None = None
) -> LiveSystem:
    """Load one of Vivace's models; `options` are those of `LoadOptions`.

    Raises:
        UnknownModelError, CheckpointError, BackendUnavailableError: it cannot be loaded.
    """
    from vivace.models import LoadOptions, load_model

    chosen = LoadOptions.from_dict(options or {})
    return ModelSystem(load_model(model, runtime=runtime, threads=threads, options=chosen))


def open_passthrough(model: str) -> LiveSystem:
    """Load a model, which a stream requires, without ever running it."""
    from vivace.models import load_model

    return ModelSystem(load_model(model), paints=False)


class ModelSystem(LiveSystem):
    """Vivace's model, through the same `Stream` that applications use."""

    def __init__(
        self,
        model: StreamModel[Any],
        *,
        name: str | None = None,
        role: Role = "subject",
        about: str | None = None,
        paints: bool = True,
    ) -> None:
        """Serve `model` with its defaults. Without `paints`, pictures pass unchanged."""
        self._model = model
        self._paints = paints
        self.model = model if paints else None
        self.name = name or model.spec.name
        self.role = role
        self.about = about or (describe(model) if paints else "a stream without a prompt: the source, untouched")

    def open(self, request: Request, clock: Clock = time.monotonic) -> Runner:
        """Open a stream; compiles the model for its size.

        Raises:
            ControlError, CapacityError: the size or prompt cannot be served.
        """
        from vivace.stream import Stream

        mask: Any = request.mask
        if mask is not None and mask.ndim == 3:
            from vivace.bench.inputs.arrays import FrameMask

            mask = FrameMask(mask, request.fps)
        prompt = request.prompt if self._paints else None
        stream = Stream(self._model, prompt=prompt, size=request.size, seed=request.seed, mask=mask, clock=clock)
        return StreamRunner(stream)


def describe(model: StreamModel[Any]) -> str:
    """Return model, runtime, precision and device, with denoising steps if several, and fallbacks taken."""
    spec, runtime = model.spec, model.runtime
    steps = f", {spec.denoising_steps[0]} steps" if spec.denoising_steps[0] > 1 else ""
    notes = "".join(f"; {note}" for note in runtime.notes)
    return f"{spec.name}: {runtime.runtime} {runtime.precision} on {runtime.device}{steps}{notes}"


def soft_mask(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a mask `uint8 [h w]` that is a gradient from left to right without full or empty areas.

    Every pixel must be blended: the most expensive mask.
    """
    import numpy as np

    width, height = size
    row = np.linspace(1, 254, width).astype(np.uint8)
    return np.tile(row, (height, 1))


class StreamRunner:
    """Runner of a `vivace.Stream`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def run(self, source: Source, *, live: bool) -> Generator[Frame, None, None]:
        """Return an iterator over the repainted frames."""
        return self._stream.run(source, live=live)

    def change_prompt(self, text: str) -> int | None:
        """Change the prompt at the next frame; None if the stream shows no prompt or refuses this one."""
        if self._stream.controls.prompt is None:
            return None
        try:
            return self._stream.update(prompt=text).update_index
        except ControlError:
            return None

    def stats(self) -> Stats:
        """Return the stream's statistics."""
        return self._stream.stats()

    def close(self) -> None:
        """Close the stream."""
        self._stream.close()


class Processor(Protocol):
    """Session of an external system: pictures in, pictures out. `send` and `receive` are called from two threads."""

    def send(self, index: int, rgb: Rgb) -> bool:
        """Pass a picture, `uint8 [h w 3]`; may wait for room. False once it takes no more: `receive` says why."""

    def finish(self) -> None:
        """Signal the end of the pictures; those inside must come out."""

    def receive(self) -> tuple[int, Rgb] | None:
        """Return the next output and the index of its source picture, after waiting; None at the end."""

    def close(self) -> None:
        """End the session; any number of times."""


class ProcessorRunner:
    """Runner of a source through a `Processor`.

    Live, a picture is sent when the camera delivers it; while `send` waits, the camera loses pictures. Otherwise a
    picture is sent when at most `in_flight` answers are missing, so that no queue hides the cost of a picture.
    """

    def __init__(self, processor: Processor, *, in_flight: float = IN_FLIGHT) -> None:
        self._processor = processor
        self._in_flight = in_flight
        self._sent: dict[float, Frame] = {}
        self._newest = -1
        self._changed = Condition()
        self._left = False
        self._error: BaseException | None = None

    def run(self, source: Source, *, live: bool) -> Generator[Frame, None, None]:
        """Yield the outputs, with time and index of their source pictures.

        Raises:
            SourceError: the source failed.
            StepError: the system answered with a picture that it was not given.
            VivaceError: any error of the processor.
        """
        feeder = Thread(target=self._feed, args=(source, live), name="vivace-bench-feed", daemon=True)
        feeder.start()
        try:
            while (received := self._processor.receive()) is not None:
                yield self._place(*received)
            if self._error is not None:
                raise self._error
        finally:
            with self._changed:
                self._left = True
                self._changed.notify_all()
            self._processor.close()
            source.close()
            feeder.join(JOIN_S)

    def _place(self, index: int, rgb: Rgb) -> Frame:
        """Return the output frame that replaces its input."""
        with self._changed:
            frame = self._sent.pop(index, None)
            if frame is None:
                raise StepError(f"the system answered with picture {index}, which was not sent or came back before")
            self._newest = max(self._newest, index)
            self._changed.notify_all()
        return replace(frame, rgb=rgb)

    def _feed(self, source: Source, live: bool) -> None:
        try:
            for frame in source:
                with self._changed:
                    while not (live or self._left) and frame.index - self._newest > self._in_flight:
                        self._changed.wait()
                    if self._left:
                        return
                    self._sent[frame.index] = frame
                    self._sent.pop(frame.index - max(REMEMBERED, self._in_flight), None)
                if not self._processor.send(frame.index, frame.rgb):
                    return
        except BaseException as error:  # noqa: BLE001  (raised in the consumer's thread, after the frames before it)
            self._error = error
        self._processor.finish()

    def change_prompt(self, text: str) -> int | None:
        """Return None: the protocol cannot change prompts."""
        del text
        return None

    def stats(self) -> Stats | None:
        """Return None: there are no internal statistics."""
        return None

    def close(self) -> None:
        """End the processor."""
        self._processor.close()
