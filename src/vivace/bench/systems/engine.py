"""What can be timed: an engine that is loaded once, and its sessions that frames run through.

Vivace's own models come in through `Stream`. A foreign program needs five verbs (`Processor`): pictures go in one by
one, pictures come out, and the benchmark times both ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from threading import Condition, Thread
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from vivace.media.frame import Frame, Rgb
    from vivace.media.source import Source
    from vivace.models.base import StreamModel
    from vivace.models.loading import LoadOptions
    from vivace.stream import Stats, Stream

Clock = Callable[[], float]

IN_FLIGHT = 32
"""Pictures a foreign system may be behind when every frame counts: more than any published chunk, few enough to stay
small."""
REMEMBERED = 512
"""Pictures sent of which an answer is still expected; what is older was dropped inside."""
JOIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Opening:
    """How a session is opened."""

    size: tuple[int, int]
    """`(width, height)`, px."""
    fps: float
    prompt: str
    seed: int = 0
    masked: bool = False
    """With a mask over all of the picture, see `soft_mask`."""


class Runner(Protocol):
    """One session."""

    def run(self, source: Source, *, live: bool) -> Generator[Frame, None, None]:
        """Yield the output frames of a source, with index and capture time of the input."""

    def change_prompt(self, text: str) -> int | None:
        """Change the prompt; return the number its frames carry as `control_index`, None if it cannot be changed."""

    def stats(self) -> Stats | None:
        """Return what the session counted itself; None if it does not."""

    def close(self) -> None:
        """End the session."""


class Engine(Protocol):
    """Something loaded once per process that opens any number of sessions."""

    @property
    def about(self) -> str:
        """What it is: model, runtime, precision, device."""

    @property
    def model(self) -> StreamModel | None:
        """The model, where steps can be timed alone; None for others."""

    def open(self, opening: Opening, clock: Clock = time.monotonic) -> Runner:
        """Open a session."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """An engine by name, so that a fresh process can load it."""

    name: str
    opener: str = "vivace.bench.systems.engine:open_model"
    """`module:function`, called with the arguments; returns an `Engine`."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """JSON values."""
    code: str | None = None
    """Folder of the `vivace` package that is measured, that of another checkout; None: this one's."""

    def open(self) -> Engine:
        """Load the engine.

        Raises:
            VivaceError: what the opener raises.
        """
        module, _, function = self.opener.partition(":")
        engine: Engine = getattr(import_module(module), function)(**self.arguments)
        return engine


def model_engine(
    model: str, threads: int | None = None, *, runtime: str | None = None, options: LoadOptions | None = None
) -> EngineSpec:
    """Return the spec of one of Vivace's models, loaded with `options`."""
    return EngineSpec(model, arguments=model_arguments(model, threads, runtime=runtime, options=options))


def model_arguments(
    model: str, threads: int | None, *, runtime: str | None = None, options: LoadOptions | None = None
) -> dict[str, Any]:
    """Return the arguments of `open_model`, as JSON has them: those that are not given are left out."""
    given = {"threads": threads, "runtime": runtime, "options": options.to_dict() if options else None}
    return {"model": model, **{name: value for name, value in given.items() if value}}


def passthrough_engine() -> EngineSpec:
    """Return the spec of a stream that paints nothing: what all but the model costs."""
    return EngineSpec("passthrough", "vivace.bench.systems.engine:open_passthrough", model_arguments("mini", None))


def command_engine(command: str, name: str) -> EngineSpec:
    """Return the spec of a command that speaks the protocol of `vivace.bench.systems.foreign`."""
    return EngineSpec(name, "vivace.bench.systems.engine:open_command", {"command": command})


def open_model(
    model: str, threads: int | None = None, runtime: str | None = None, options: Mapping[str, Any] | None = None
) -> Engine:
    """Load one of Vivace's models; `options` are those of `LoadOptions`.

    Raises:
        UnknownModelError, CheckpointError, BackendUnavailableError: it cannot be loaded.
    """
    from vivace.models import LoadOptions, load_model

    chosen = LoadOptions.from_dict(options or {})
    return ModelEngine(load_model(model, runtime=runtime, threads=threads, options=chosen))


def open_passthrough(model: str) -> Engine:
    """Load a model, which a stream has to have, and never ask it for anything."""
    from vivace.models import load_model

    return ModelEngine(load_model(model), paints=False)


def open_command(command: str) -> Engine:
    """Return a command as an engine; it is started with every session."""
    from vivace.bench.systems.foreign_live import CommandProcessor
    from vivace.redaction import redact

    return ProcessorEngine(f"the command {redact(command)}", lambda: CommandProcessor(command))


class ModelEngine:
    """A model, its sessions being streams."""

    def __init__(self, model: StreamModel, *, paints: bool = True, about: str = "") -> None:
        """Serve `model`; `about` stands before what it says of itself. Without `paints`, pictures pass untouched."""
        self._model = model
        self._about = about
        self._paints = paints

    @property
    def about(self) -> str:
        """Model, runtime, precision, device; denoising steps where there are several, and fallbacks that were taken."""
        if not self._paints:
            return "a stream without a prompt: the source, untouched"
        spec, runtime = self._model.spec, self._model.runtime
        steps = f", {spec.denoising_steps[0]} steps" if spec.denoising_steps[0] > 1 else ""
        notes = "".join(f"; {note}" for note in runtime.notes)
        return f"{self._about}{spec.name}: {runtime.runtime} {runtime.precision} on {runtime.device}{steps}{notes}"

    @property
    def model(self) -> StreamModel | None:
        """The model, unless it has nothing to do."""
        return self._model if self._paints else None

    def open(self, opening: Opening, clock: Clock = time.monotonic) -> Runner:
        """Open a stream; compiles the model for its size.

        Raises:
            ControlError, CapacityError: the size or prompt cannot be served.
        """
        from vivace.stream import Stream

        prompt = opening.prompt if self._paints else None
        mask = soft_mask(opening.size) if opening.masked else None
        stream = Stream(self._model, prompt=prompt, size=opening.size, seed=opening.seed, mask=mask, clock=clock)
        return StreamRunner(stream)


def soft_mask(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a mask `uint8 [h w]` that lets the source through everywhere, less and less from left to right.

    Every pixel has to be mixed: the dearest mask there is.
    """
    import numpy as np

    width, height = size
    row = np.linspace(1, 254, width).astype(np.uint8)
    return np.tile(row, (height, 1))


class StreamRunner:
    """A `vivace.Stream` as a runner."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def run(self, source: Source, *, live: bool) -> Generator[Frame, None, None]:
        """Yield the repainted frames."""
        return self._stream.run(source, live=live)

    def change_prompt(self, text: str) -> int | None:
        """Change the prompt at the next frame; None if the stream shows no prompt or refuses this one."""
        from vivace.errors import ControlError

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
    """A foreign system: pictures in, pictures out. `send` and `receive` are called from two threads."""

    def open(self, size: tuple[int, int], fps: float, prompt: str, seed: int) -> None:
        """Begin a session for pictures of `(width, height)` px."""

    def send(self, index: int, rgb: Rgb) -> bool:
        """Hand over a picture, `uint8 [h w 3]`; may wait for room. False when it takes no more: `receive` says why."""

    def finish(self) -> None:
        """Say that no more pictures come; what is inside shall come out."""

    def receive(self) -> tuple[int, Rgb] | None:
        """Wait for an output and the index of the picture it was made of; None at the end."""

    def close(self) -> None:
        """End the session; any number of times."""


class ProcessorEngine:
    """A foreign system; every session is a processor of its own."""

    model = None

    def __init__(self, about: str, make: Callable[[], Processor]) -> None:
        self.about = about
        self._make = make

    def open(self, opening: Opening, clock: Clock = time.monotonic) -> Runner:
        """Start a processor."""
        del clock  # what is inside is not ours to time
        processor = self._make()
        processor.open(opening.size, opening.fps, opening.prompt, opening.seed)
        return ProcessorRunner(processor)


class ProcessorRunner:
    """Runs a source through a `Processor`.

    Live, a picture is sent when the camera gives it; while `send` waits, the camera loses pictures. Otherwise a picture
    is sent when the answers are at most `in_flight` behind, so that no queue hides what a picture costs.
    """

    def __init__(self, processor: Processor, *, in_flight: int = IN_FLIGHT) -> None:
        self._processor = processor
        self._in_flight = in_flight
        self._sent: dict[int, Frame] = {}
        self._newest = -1
        self._changed = Condition()
        self._left = False
        self._error: BaseException | None = None

    def run(self, source: Source, *, live: bool) -> Generator[Frame, None, None]:
        """Yield the outputs, with time and index of the picture they were made of.

        Raises:
            SourceError: the source failed.
            StepError: the system answered with a picture that it was not given.
            VivaceError: whatever the processor raises.
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
        """Return the output frame in the place of its input."""
        from vivace.errors import StepError

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
                    self._sent.pop(frame.index - REMEMBERED, None)
                if not self._processor.send(frame.index, frame.rgb):
                    return
        except BaseException as error:  # noqa: BLE001  (raised in the consumer's thread, after the frames before it)
            self._error = error
        self._processor.finish()

    def change_prompt(self, text: str) -> int | None:
        """Return None: the protocol has no way to change a prompt."""
        del text
        return None

    def stats(self) -> Stats | None:
        """Return None: nothing is counted inside."""
        return None

    def close(self) -> None:
        """End the processor."""
        self._processor.close()
