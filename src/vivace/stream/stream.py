"""`Stream`, the object an application holds: a model, its controls, and the frames that run through."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from threading import Lock, RLock
from types import TracebackType
from typing import Any, Self

from vivace.checks import number_in
from vivace.errors import ControlError, SessionClosedError, UsageError
from vivace.media.frame import Alpha, Frame, Rgb, check_rgb
from vivace.media.size import Size
from vivace.media.source import Source, on_error
from vivace.models.base import StreamModel
from vivace.stream.account import Account
from vivace.stream.automation import Automation, Course, Witness
from vivace.stream.controls import Ack, ControlBoard, Controls, check_changes
from vivace.stream.finish import Finisher, check_finishers
from vivace.stream.fit import choose_size, prepared
from vivace.stream.moderation import NOBODY, Moderator
from vivace.stream.painter import ProcessorPolicy
from vivace.stream.pipeline import FrameSource, Pipeline, Repeated
from vivace.stream.processor import FrameProcessor, ResumePoint
from vivace.stream.stats import Stats
from vivace.stream.steering import Steering

_MICROSECOND = Fraction(1, 1_000_000)


class Stream:
    """Stream of pictures, repainted under a prompt that may change at any time.

    `update`, `stats` and `close` may be called from any thread at any time. `run` and `push` are for one thread, and
    for one of the two at a time.

    Without a prompt the stream shows the source untouched. Any number of streams may share one model; they share
    nothing else.
    """

    def __init__(
        self,
        model: str | StreamModel[Any] = "mini",
        *,
        prompt: str | None = None,
        size: Size | None = None,
        strength: float | None = None,
        seed: int = 0,
        mask: object = None,
        denoising_steps: int | None = None,
        options: Mapping[str, object] | None = None,
        crossfade_s: float = 0.25,
        fps: float | None = None,
        deadline_ms: float | None = None,
        detect_cuts: bool = True,
        finish: Sequence[Finisher] = (),
        witness: Witness | None = None,
        moderator: Moderator = NOBODY,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Load the model, encode the prompt and check every control.

        Args:
            model: A model's name, or one that `vivace.load_model` returned.
            prompt: How the picture should look; None shows the source untouched.
            size: Output `(width, height)` in px; None takes the source's shape at the model's default area.
            strength: 0 (the source, exactly) to 1 (all painted); None is the model's default.
            seed: Seed of the noise; the same seed and input give the same output.
            mask: Where the picture may change: an image or video file, `"x,y,w,h"` (px, or fractions of the output), an
                array `[h w]`, or a source. Black stays the source pixel exactly.
            denoising_steps: One of the model's step counts; None is its default.
            options: Controls of the model's own by name, see `spec.options`; the rest is at its default. A picture is a
                path, an address, a file's bytes or an array.
            crossfade_s: Time over which a new prompt blends in.
            fps: Frame rate to hold in live mode; None takes the source's.
            deadline_ms: Time a frame may take in live mode; None follows from `fps`.
            detect_cuts: If true, a scene cut resets the model's memory.
            finish: Functions applied in order to every frame before it leaves, e.g. a label (`stream.finish`). One that
                fails ends the stream with a StepError; no frame leaves without it.
            witness: Told of every update and frame (`stream.automation`), e.g. to log a show.
            moderator: Policy that may refuse prompts and pictures, such as `vivace.trust.moderation.Moderation`.
            clock: Monotonic seconds; the same as the sources' clock.

        Raises:
            UnknownModelError: there is no model of that name.
            UnknownPromptError: a prompt that the model cannot serve.
            PolicyError: a prompt or a picture is refused.
            ControlError: a control that cannot be used.
            SourceError: a picture that is missing or cannot be read.
            CapacityError: not enough memory for `size`.
        """
        self._clock = clock
        self._target_ms = _budget_ms(fps, deadline_ms)
        self._live_fps: float | None = None
        """Frame rate of the source, if it is live."""
        self._detect_cuts = bool(detect_cuts)
        self._finishers = check_finishers(finish)
        self._model: StreamModel[Any] = _load(model) if isinstance(model, str) else model
        wanted = {
            "prompt": prompt, "strength": strength, "seed": seed, "mask": mask,
            "denoising_steps": denoising_steps, "options": options, "crossfade_s": crossfade_s, "size": size,
        }  # fmt: skip
        checked = check_changes(wanted, self._model, opening=True, moderator=moderator)
        self._board = ControlBoard(Controls().changed(checked), witness)
        self._account = Account(clock=clock, finishes=bool(self._finishers))
        self._processor: FrameProcessor | None = None
        self._pipeline: Pipeline | None = None
        self._closed = False
        self._life = RLock()
        """Lock on `_processor`, `_pipeline` and `_closed`; never held while a frame is made."""
        self._steering = Steering(
            self._model, self._board, lambda: self._processor, lock=self._life, moderator=moderator
        )
        self._pushing = Lock()
        """Lock held while `push` makes a frame; taken before `_life` if both are needed."""
        self._pushed = 0
        self._push_origin_s = 0.0
        self._push_pts = -1
        if self._board.controls.size is not None:
            with on_error(self._board.close):  # or a video mask's file would stay open
                self._open(self._board.controls.size, self._policy(live=True, source_fps=None))

    # Frames

    def run(
        self,
        source: FrameSource | str | Path | int,
        *,
        live: bool | None = None,
        after: ResumePoint | None = None,
        steered_by: Sequence[Automation] = (),
        course: Course | None = None,
    ) -> Generator[Frame, None, None]:
        """Return an iterator over the repainted frames of a source.

        Live, the newest frame wins: a slow model or consumer drops frames and never adds delay. Otherwise every frame
        is painted, in order, as fast as the consumer takes them, with the same result on any machine. Frames keep the
        index, presentation time and capture time of the source.

        The run owns the source and closes it at the end, whether by exhaustion, an error, `close()`, or because the
        iteration is abandoned.

        Args:
            source: A source from `vivace.open_source`, or its argument.
            live: If true, frames not taken in time are dropped, and a file is paced to its presentation times; None
                asks the source.
            after: Resume point that `save` returned in an earlier run of the same source, controls, model and size:
                frames up to it are read but not output, and the next is as it would have been. A model that cannot save
                its memory (`models.base.KeepsMemory`) rebuilds it from the frames before, approximately.
            steered_by: Automations, e.g. a script, closed with the run; later ones override earlier ones. `update`
                works beside them.
            course: Record of an earlier live run of the same source, repeated frame for frame, as fast as the consumer
                takes them. Such a run is not live.

        Raises:
            UsageError: another run is in progress, or a live run is to repeat another.
            ControlError: an automation does not suit the output.
            SessionClosedError: the stream was closed.
            SourceError: the source failed; the frames before that were yielded.
            StepError: the model failed too often in a row.
            CapacityError: memory ran out.
        """
        with self._life:
            self._check_idle()
        if isinstance(source, (str, Path, int)):
            from vivace.media.open import open_source

            source = open_source(source, clock=self._clock)
        live = (source.info.live and course is None) if live is None else live
        if course is not None:
            if live:
                raise UsageError("a replay is not paced; run it with live=False")
            source = Repeated(source, course)
        return self._run(source, live, after, steered_by, course)

    def _run(
        self,
        source: FrameSource,
        live: bool,
        after: ResumePoint | None,
        steered_by: Sequence[Automation],
        course: Course | None,
    ) -> Generator[Frame, None, None]:
        with ExitStack() as begun:
            for automation in steered_by:
                begun.callback(automation.close)
            with on_error(source.close):
                pipeline = self._start(source, live, after, steered_by, course)
            try:
                yield from pipeline.frames()
            finally:
                pipeline.stop()
                with self._life:
                    self._pipeline = None
                    self._board.rewind()

    def save(self, frame: Frame) -> ResumePoint | None:
        """Return the resume point after a frame (see `run`); to be called from a finisher that handles the frame.

        None if the stream cannot resume there, e.g. while a reset after a cut is pending; a later frame will do.
        """
        return None if self._processor is None else self._processor.save(frame.index)

    def _start(
        self,
        source: FrameSource,
        live: bool,
        after: ResumePoint | None,
        steered_by: Sequence[Automation],
        course: Course | None,
    ) -> Pipeline:
        with self._life:
            self._check_idle()
            self._account.begin(self._clock())
            policy = replace(self._policy(live=live, source_fps=source.info.fps), course=course)
            processor = self._open(source.info.size, policy)
            for automation in steered_by:
                automation.prepare(processor.next_size)
            processor.steered_by(steered_by)
            if after is not None:
                processor.go_on_after(after)
            if live and not source.info.live:
                source = _paced(source, self._clock)
            self._pipeline = Pipeline(source, processor, self._account, live=live, clock=self._clock)
            return self._pipeline

    def push(self, rgb: Rgb, capture_time_s: float | None = None, *, alpha: Alpha | None = None) -> list[Frame]:
        """Repaint one picture of an application with its own loop; return the frames that are ready.

        For most models that is one frame, made of this picture. Models that work in chunks or trail their input return
        none to several, and `flush` returns the last ones. Where nothing is painted, the frame holds the picture
        itself, not a copy.

        Args:
            rgb: `uint8 [h w 3]`, RGB, of any size.
            capture_time_s: Capture time on the stream's clock; None is now.
            alpha: `uint8 [h w]`, opacity of the picture, passed on to the output; `rgb` is over black there.

        Raises:
            ControlError: not such a picture or time.
            UsageError: a run is in progress.
            SessionClosedError: the stream was closed, or has ended.
            StepError: the model failed too often in a row.
            CapacityError: memory ran out.
        """
        began_s = self._clock()
        rgb = check_rgb(rgb, alpha)
        if capture_time_s is None:
            captured_s = began_s
        else:
            captured_s = number_in("capture_time_s", capture_time_s, -1e12, 1e12, "give seconds of the stream's clock")
        with self._pushing:
            with self._life:
                self._check_idle()
                processor = self._processor
                if processor is None or self._pushed == 0:
                    self._account.begin(began_s)
                    processor = self._open((rgb.shape[1], rgb.shape[0]), self._policy(live=True, source_fps=None))
            if self._pushed == 0:
                self._push_origin_s = captured_s
            # Presentation times increase even where capture times do not.
            self._push_pts = max(self._push_pts + 1, round((captured_s - self._push_origin_s) / _MICROSECOND))
            frame = Frame(rgb, self._pushed, self._push_pts, _MICROSECOND, captured_s, alpha=alpha)
            self._pushed += 1
            self._account.received()
            self._account.stage("capture", (began_s - captured_s) * 1e3)
            return self._handed_over(processor.step(frame))

    def still(self, rgb: Rgb, *, alpha: Alpha | None = None) -> Frame:
        """Repaint one picture by itself, at the model's best, without memory of earlier input.

        The model runs at full effort and gets the picture `spec.warmup_frames` times, until the permanent slots of its
        memory are filled, and once more; the last output is returned. If the user names no `size`, the output is as
        large as the picture, up to `spec.still_area_px` and the model's largest sides.

        Args:
            rgb: `uint8 [h w 3]`, RGB, of any size.
            alpha: as for `push`.

        Raises:
            ControlError: not such a picture.
            UsageError: a run is in progress, or pushed pictures have not been flushed.
            SessionClosedError: the stream was closed, or has ended.
            StepError: the model failed; the stream has ended.
            CapacityError: memory ran out.
        """
        began_s = self._clock()
        rgb = check_rgb(rgb, alpha)
        with self._pushing:
            with self._life:
                self._check_idle()
                if self._pushed:
                    raise UsageError("pictures that were pushed are still in the model; call flush() first")
                self._account.begin(began_s)
                # A substitute for a failed picture keeps a stream going; here it would be the result.
                policy = ProcessorPolicy(live=False, detect_cuts=False, max_failures=1)
                processor = self._open((rgb.shape[1], rgb.shape[0]), policy, still=True)
            self._account.received()
            frame = prepared(Frame(rgb, 0, 0, _MICROSECOND, began_s, alpha=alpha), processor.next_size)
            made = processor.still(frame, self._model.spec.warmup_frames + 1)
            self._board.rewind()
            return self._handed_over([made])[0]

    def flush(self) -> list[Frame]:
        """Return the frames of earlier `push` calls that are still inside the model; the input has ended.

        The next `push` begins another input, counted from 0.

        Raises:
            UsageError: a run is in progress.
            SessionClosedError: the stream was closed.
            StepError: the model failed too often in a row.
            CapacityError: memory ran out.
        """
        with self._pushing:
            with self._life:
                self._check_idle()
            if self._processor is None or self._pushed == 0:
                return []
            made = self._handed_over(self._processor.flush())
            self._pushed, self._push_pts = 0, -1
            self._board.rewind()
            return made

    def _handed_over(self, made: list[Frame]) -> list[Frame]:
        done_s = self._clock()
        for frame in made:
            self._account.shown(frame, done_s)
            self._account.delivered((done_s - frame.capture_time_s) * 1e3)
        return made

    # Steering

    def update(self, **controls: Any) -> Ack:
        """Change controls, all at one frame boundary, and return from which frame on they apply.

        The controls are those of the constructor: `prompt, strength, seed, mask, denoising_steps, options, crossfade_s,
        size`, and `events`, the names of events to fire once. Checking, encoding and opening run in the caller's thread
        before anything changes. A prompt blends in over `crossfade_s`; another seed or size resets the model's memory.
        Options merge into those set before; None resets one to its default.

        Raises:
            UnknownPromptError: a prompt the model cannot serve; nothing changes, and the running prompt stays.
            ControlError: an unknown control, or a value that cannot be used; nothing changes.
            SourceError: a mask file that is missing or cannot be read; nothing changes.
            CapacityError: not enough memory for `size`; nothing changes.
            SessionClosedError: the stream was closed, or has ended.
        """
        arrived_s = self._clock()
        self._check_open()
        return self._steering.update(controls, arrived_s=arrived_s, admit=lambda _number: self._check_open())

    @property
    def model(self) -> StreamModel[Any]:
        """The model, e.g. for use in another stream."""
        return self._model

    @property
    def controls(self) -> Controls:
        """Controls in force for the next frame."""
        return self._board.controls

    def stats(self) -> Stats:
        """Return the statistics of the stream so far; also after it was closed."""
        processor = self._processor
        controls = self._board.controls
        return self._account.stats(
            model=self._model.spec.name,
            runtime=self._model.runtime,
            size=processor.size if processor is not None else controls.size,
            prompt=controls.prompt.text if controls.prompt is not None else None,
            budget_ms=processor.policy.budget_ms if processor is not None else self._target_ms,
            decisions=processor.deadline.decisions if processor is not None else (),
            latency_floor_ms=self._floor_ms(),
        )

    def _floor_ms(self) -> float | None:
        floor_s = self._model.spec.latency_floor_s(self._live_fps) if self._live_fps else None
        return None if floor_s is None else 1e3 * floor_s

    # Life

    def close(self) -> None:
        """End the stream: a run in progress stops iterating, threads end, buffers are freed.

        May be called repeatedly.
        """
        with self._life:
            self._closed = True
            pipeline = self._pipeline
        if pipeline is None or pipeline.stop():
            with self._pushing:
                self._free()

    def __repr__(self) -> str:
        controls = self._board.controls
        prompt = None if controls.prompt is None else controls.prompt.text
        state = "closed " if self._closed else ""
        return f"<{state}Stream of {self._model.spec.name}: prompt={prompt!r}, strength={controls.strength:g}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _free(self) -> None:
        """Free the processor's buffers; nothing runs."""
        if self._processor is not None:
            self._processor.close()
        self._board.close()

    def _open(self, source_size: Size, policy: ProcessorPolicy, *, still: bool = False) -> FrameProcessor:
        """Return the processor, opened or restarted for a source of this size."""
        controls = self._board.controls
        try:
            natural = choose_size(source_size, self._model.spec, still=still)
        except ControlError:
            if controls.size is None:
                raise
            natural = controls.size  # of a source that does not report its size
        if controls.mask is not None:
            controls.mask.prepare(controls.size or natural)
        if self._processor is None:
            self._processor = FrameProcessor(
                self._model,
                natural,
                self._board,
                self._account,
                policy,
                finishers=self._finishers,
                clock=self._clock,
            )
        else:
            self._processor.begin(natural, policy)
        return self._processor

    def _policy(self, *, live: bool, source_fps: float | None) -> ProcessorPolicy:
        self._live_fps = source_fps if live else None
        budget_ms = self._target_ms
        if budget_ms is None and source_fps:
            budget_ms = 1e3 / source_fps
        return ProcessorPolicy(live=live, budget_ms=budget_ms if live else None, detect_cuts=self._detect_cuts)

    def _check_open(self) -> None:
        if self._closed:
            raise SessionClosedError("the stream was closed; open a new one")
        if self._processor is not None:
            self._processor.check_alive()

    def _check_idle(self) -> None:
        self._check_open()
        if self._pipeline is not None:
            raise UsageError("the stream is running a source already; use another Stream for another source")


def _load(name: str) -> StreamModel[Any]:
    from vivace.models import load_model

    model: StreamModel[Any] = load_model(name)
    return model


def _paced(source: FrameSource, clock: Callable[[], float]) -> FrameSource:
    from vivace.media.pacing import PacedSource

    if not isinstance(source, Source):
        raise UsageError(f"{source.info.name} is not live and cannot be paced; run it with live=False")
    return PacedSource(source, clock=clock)


def _budget_ms(fps: float | None, deadline_ms: float | None) -> float | None:
    if fps is not None:
        number_in("fps", fps, 0.01, 1000.0, "give frames a second, e.g. 30")
    if deadline_ms is not None:
        return number_in("deadline_ms", deadline_ms, 0.1, 60_000.0, "give milliseconds a frame may take, e.g. 33")
    return None if fps is None else 1e3 / fps
