"""Painting of one stream's frames, chunk by chunk: controls per chunk, resets of the model's memory, failed steps.

The memory is reset by a scene cut, a change of seed or size, a failed step, a pause in painting (no prompt, strength 0,
empty mask) and a new input, and by nothing else. The prompt, its cross-fade and all other controls survive a reset. The
output never goes black: frames still inside the model are flushed first or, after a cut or a seed change of a model
that resets in flight, come out as new ones go in.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vivace.errors import CapacityError, SessionClosedError, StepError, VivaceError
from vivace.media.frame import Frame
from vivace.media.size import Size
from vivace.models.base import Chunk, Keep, Memory, Prompt, StepResult, StreamModel
from vivace.stream.account import Painting, ProcessorObserver
from vivace.stream.automation import Course
from vivace.stream.controls import ControlBoard, Controls, Snapshot, look_of
from vivace.stream.deadline import DeadlineController
from vivace.stream.fade import PromptFade
from vivace.stream.fit import prepared
from vivace.stream.inside import FrameInside, FramesInside, Shown
from vivace.stream.slot import ModelSlot

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ProcessorPolicy:
    """Settings of a processor that are not controls."""

    live: bool = True
    """Live, effort follows the deadline and cross-fades follow capture times. Otherwise every frame gets full effort
    and time is the source's own, so that a file gives the same result on any machine."""
    budget_ms: float | None = None
    """Time a frame may take when live, ms; None always runs at full effort."""
    areas: tuple[float, ...] = ()
    """Areas above the natural one that effort may rise to, as multiples of it, in falling order
    (`DeadlineController.area`)."""
    detect_cuts: bool = True
    max_failures: int = 3
    """Consecutive failed steps that end the stream: one is an accident, three mean a broken model."""
    course: Course | None = None
    """Earlier run to repeat, with its times and efforts; None runs normally."""


class Painter:
    """Painter of one stream's frames, in chunks of the model's size. Used by one thread at a time."""

    def __init__(
        self,
        model: StreamModel[Any],
        size: Size,
        board: ControlBoard,
        observer: ProcessorObserver,
        policy: ProcessorPolicy,
        clock: Callable[[], float],
    ) -> None:
        """Open the model for one stream of `(width, height)` px, unless the controls name another size.

        Raises:
            ControlError: a size the model cannot do.
            CapacityError: not enough memory; the message says what would fit.
        """
        controls = board.controls
        self.policy = policy
        self.natural_size = size
        """Output `(width, height)`, px, from the next frame on, where the controls name none."""
        self.painting = False
        """True if the newest frame was painted, false if the source was shown."""
        self.left: Sequence[Frame] = ()
        """Frames of the latest `paint` call that were not taken and must be passed again."""
        self.finish_ms = 0.0
        """Time that finishing took for the newest frame after it was painted, ms."""
        self._model = model
        self._events_due: frozenset[str] = frozenset()
        """Events of a failed step, still to be fired."""
        self._steers_strength = "strength" in model.spec.conditions
        self._board = board
        self._observer = observer
        self._clock = clock
        self._slot = self._open_slot(controls.size or size, controls.seed)
        self._spare: ModelSlot[Any] | None = None
        self._prompt: Prompt | None = None
        self._adopted: Controls | None = None
        self._look: NDArray[np.float32] | None = None
        self._fade = PromptFade(interpolates=model.spec.prompt_change == "interpolate")
        self._inside = FramesInside()
        self._forget_reason: str | None = None
        self._past = 0
        """Number of resets requested so far."""
        self._last_chunk: Chunk | None = None
        self._shown_s: float | None = None
        self._failures = 0
        self._ended: str | None = None
        self.deadline = self._new_deadline()

    @property
    def size(self) -> Size:
        """Present output `(width, height)`, px."""
        return self._slot.size

    @property
    def _follows_deadline(self) -> bool:
        """True if effort follows a deadline."""
        return self.policy.live and self.policy.budget_ms is not None

    def _open_slot(self, size: Size, seed: int) -> ModelSlot[Any]:
        controls = self._board.controls
        paints = look_of(self._model, controls) is not None and controls.strength > 0
        # Live, the model is ready before it is wanted; a file that passes as it is may never want it.
        slot = ModelSlot(self._model, size, seed, controls.options, at_once=paints or self.policy.live)
        if self._follows_deadline:
            # Now rather than under load, where compilation would take time from the stream.
            slot.prepare_efforts()
        return slot

    def _new_deadline(self) -> DeadlineController:
        efforts = (*self.policy.areas, *self._model.spec.efforts)
        return DeadlineController(efforts, self.policy.budget_ms if self._follows_deadline else None)

    def begin(self, size: Size, policy: ProcessorPolicy) -> None:
        """Switch to another input with the natural output size `size`; the memory of the old one is reset."""
        self._inside = FramesInside()
        self.natural_size = size
        self._shown_s = None
        self._failures = 0
        if self._slot.used:
            self._forget_later("input")
        if policy != self.policy:
            self.policy = policy
            self.deadline = self._new_deadline()
            if self._follows_deadline:
                self._slot.prepare_efforts()

    def prepare(self, size: Size, seed: int) -> None:
        """Open the model at another size in the caller's thread, so that the change itself takes no time.

        Raises:
            ControlError: a size the model cannot do.
            CapacityError: not enough memory; the stream goes on at its present size.
        """
        spare, self._spare = self._spare, None
        if spare is not None:
            spare.close()  # of a change that a later one replaced
        if size != self.size:
            self._spare = self._open_slot(size, seed)

    @property
    def chunk_frames(self) -> int:
        """Frames per step of the model, after the first step."""
        return self._model.spec.chunk_frames

    @property
    def next_chunk_frames(self) -> int:
        """Frames in the next step."""
        begins = self._forget_reason is not None or not self._slot.used
        return self._model.spec.frames_of_chunk(0 if begins else 1)

    @property
    def keeps_memory(self) -> bool:
        """True if `save` and `restore` may be called."""
        return self._slot.keeps_memory

    def save(self) -> Memory | None:
        """Return the model's memory; None while frames are inside the model or a reset is pending."""
        return None if self._forget_reason is not None or self._inside else self._slot.save()

    def restore(self, memory: Memory, *, painting: bool) -> None:
        """Continue from what `save` returned, with `painting` as it was then."""
        self._slot.restore(memory)
        self.painting = painting

    def check_alive(self) -> None:
        """Raise SessionClosedError, with the reason, once no more frames are taken. Any thread."""
        if self._ended is not None:
            raise SessionClosedError(f"the stream has ended ({self._ended}); open a new one")

    def end(self, reason: str) -> None:
        """End the stream and free its buffers."""
        self._ended = self._ended or reason
        self._slot.close()
        self._spare = self._last_chunk = None
        self._inside = FramesInside()

    def time_s(self, frame: Frame) -> float:
        """Return the stream time of a frame, s."""
        if self.policy.course is not None:
            return self.policy.course.frames[frame.index][0]
        return frame.capture_time_s if self.policy.live else frame.pts_s

    def effort_of(self, frame: Frame) -> float:
        """Return the effort to make a frame with, as a share of the full work."""
        return self.deadline.effort if self.policy.course is None else self.policy.course.frames[frame.index][1]

    # A chunk, from frame boundary to blend

    def paint(self, frames: list[Frame], began_s: float, *, may_wait: bool = True) -> list[Frame]:
        """Return finished frames after taking one chunk or less, under the controls of this frame boundary.

        If the memory is reset at this boundary, the step may need another number of frames: those it did not take are
        `left`, which is all of them if they are too few and `may_wait` is true.

        Raises:
            StepError, CapacityError: as `FrameProcessor.step`; the stream has ended.
        """
        self.left = ()
        snapshot = self._board.cross(frames[-1].index + 1)
        out = self._adopt(snapshot)
        now_s = self.time_s(frames[-1])
        fade = self._fade.at(now_s)
        self._shown_s = now_s
        for frame in frames:
            self._board.witness.entered(frame, self.time_s(frame), self.effort_of(frames[-1]))
        entering = [self._frame_inside(frame, snapshot, fade.presence) for frame in frames]
        prepared_s = entering[-1].prepared_s
        if fade.embeds is None or all(inside.untouched for inside in entering):
            return out + self.drain() + self._pass(entering, began_s, prepared_s)
        self.painting = True
        self._forget_if_due()
        wanted = self.next_chunk_frames
        if may_wait and len(entering) < wanted:
            self.left = frames
            return out
        entering, self.left = entering[:wanted], frames[wanted:]
        chunk = self._chunk(entering, fade.embeds, snapshot.controls)
        return out + self._paint(chunk, began_s, prepared_s)

    def drain(self) -> list[Frame]:
        """Feed the last picture until every real frame has come out of the model, which must be reset afterwards."""
        out: list[Frame] = []
        while self._inside.any:
            last = self._last_chunk
            assert last is not None
            self._inside.enter((), len(last.rgb))
            rgb = np.repeat(last.rgb[-1:], len(last.rgb), axis=0)
            padding = replace(last, rgb=rgb, thumbnails=last.thumbnails[-1:] * len(rgb), events=frozenset())
            now_s = self._clock()
            out += self._paint(padding, now_s, now_s)
        self._inside.clear()
        return out

    def _chunk(self, entering: list[FrameInside], embeds: NDArray[np.float32], controls: Controls) -> Chunk:
        """Return the pictures as a chunk, entered into the queue; a short last one is padded with its last picture."""
        missing = self.next_chunk_frames - len(entering)
        self._inside.enter(entering, missing)
        frames = [inside.frame for inside in entering]
        frames += frames[-1:] * missing
        rgb = frames[0].rgb[None] if len(frames) == 1 else np.stack([frame.rgb for frame in frames])
        rgb.flags.writeable = False  # may be the source's array, which is shown where nothing is painted
        thumbnails = tuple(frame.thumbnail for frame in frames if frame.thumbnail is not None)
        return Chunk(
            rgb,
            embeds,
            controls.denoising_steps,
            self.effort_of(frames[-1]),
            strength=controls.strength if self._steers_strength else 1.0,
            options=controls.options,
            events=self._events(controls),
            thumbnails=thumbnails if len(thumbnails) == len(frames) else (),
        )

    def _events(self, controls: Controls) -> frozenset[str]:
        """Return the events to fire at the next chunk."""
        due, self._events_due = self._events_due | self._board.take_events(controls), frozenset()
        return due

    def _adopt(self, snapshot: Snapshot) -> list[Frame]:
        """Apply new controls; return the frames that had to be flushed first."""
        controls = snapshot.controls
        size = controls.size or self.natural_size
        out: list[Frame] = []
        if size != self.size:
            out = self.drain()
            self._reopen(size, controls.seed)
        elif controls.seed != self._slot.seed:
            out = self.begin_anew("seed")
            self._slot.seed = controls.seed
        if controls is not self._adopted:
            self._adopted = controls
            look = look_of(self._model, controls)
            if not _same(look, self._look):
                self._look = look
                self._fade.aim(look, from_s=self._shown_s, length_s=controls.crossfade_s)
        if controls.prompt is not self._prompt:
            self._prompt = controls.prompt
            if snapshot.prompt_set_s is not None:
                self._observer.prompt_taken(snapshot.update_index, snapshot.prompt_set_s)
        return out

    def _reopen(self, size: Size, seed: int) -> None:
        spare, self._spare = self._spare, None
        self._last_chunk = None
        self._inside = FramesInside()
        if spare is not None and (spare.size, spare.seed) == (size, seed):
            self._slot.close()
            self._slot = spare
        else:
            self._slot.close()  # first, since both might not fit
            try:
                self._slot = self._open_slot(size, seed)
            except Exception as error:
                self.end(_reason(error))
                raise
        self._forget_reason = None
        self._observer.was_reset("size")

    def _frame_inside(self, frame: Frame, snapshot: Snapshot, presence: float) -> FrameInside:
        controls = snapshot.controls
        region = None if controls.mask is None else controls.mask.region(self.size, self.time_s(frame))
        # A model that implements strength is shown fully wherever it is above 0.
        strength = float(controls.strength > 0) if self._steers_strength else controls.strength
        # The size may have changed since the frame was prepared.
        frame = prepared(frame, self.size, watched=frame.thumbnail is not None)
        return FrameInside(
            frame, strength * presence, region, snapshot.update_index, self._past, prepared_s=self._clock()
        )

    def _pass(self, entering: list[FrameInside], began_s: float, prepared_s: float) -> list[Frame]:
        """Return the source frames as they are; the model does not run."""
        if self.painting:
            self.painting = False
            self._forget_later("resumed")
        self._observer.painted(Painting(_ms(prepared_s - began_s) / len(entering), None, 0.0, len(entering)))
        marks = {"refine": prepared_s}
        return [inside.finish(Shown(inside.source, inside.frame.alpha), marks) for inside in entering]

    def _paint(self, chunk: Chunk, began_s: float, prepared_s: float) -> list[Frame]:
        """Run one step of the model and finish the frames that come out of it."""
        self._last_chunk = chunk
        result = self._step_model(chunk)
        denoised_s = self._clock()
        self._observer.noted(result.note)
        seen = self._inside.leave(result)
        refined_s = self._clock()
        marks = {"denoise": denoised_s, "refine": refined_s}
        out = [inside.finish(shown, marks) for inside, shown in seen]
        spans_s = (prepared_s - began_s, denoised_s - prepared_s, refined_s - denoised_s)
        prepare_ms, denoise_ms, refine_ms = (_ms(span_s) / len(chunk.rgb) for span_s in spans_s)
        work = chunk.effort if result.work is None else result.work
        self._observer.painted(Painting(prepare_ms, denoise_ms, refine_ms, len(out), chunk.effort, work, result.cached))
        if out:
            frame_ms = prepare_ms + denoise_ms + refine_ms + self.finish_ms
            self.deadline.observe(frame_ms, time_s=refined_s, frame_index=out[-1].index)
        return out

    # Failures and resets

    def begin_anew(self, reason: str) -> list[Frame]:
        """Reset the model's memory before painting continues; return the frames that had to be flushed first."""
        out = [] if self._model.spec.resets_in_flight else self.drain()
        self._forget_later(reason)
        return out

    def _step_model(self, chunk: Chunk) -> StepResult:
        """Return the step's result; after a failure, substitutes for all frames inside the model."""
        try:
            result = self._slot.step(chunk)
        except CapacityError as error:
            self.end(str(error))
            raise
        except Exception as error:  # noqa: BLE001  (models fail in any way; only this stream may end)
            self._recover(error)
            self._events_due = chunk.events
            return self._inside.stand_ins(chunk.rgb[-1])
        self._failures = 0
        self._inside.made(result)
        return result

    def _recover(self, error: Exception) -> None:
        """Count a failure and reset the memory; too many in a row end the stream.

        Raises:
            StepError: the stream has ended.
        """
        name = self._model.spec.name
        reason = _reason(error)
        self._failures += 1
        self._observer.failed(reason)
        _log.warning("%s failed on a frame (%d in a row): %s", name, self._failures, reason)
        if self._failures >= self.policy.max_failures:
            self.end(reason)
            raise StepError(f"{name} failed {self._failures} times in a row, so this stream ends: {reason}") from error
        try:
            self._forget("error")
        except Exception as second:  # noqa: BLE001  (as above)
            self.end(reason)
            raise StepError(f"{name} failed ({reason}) and cannot be reset ({second}), so this stream ends") from error

    def _forget_later(self, reason: str) -> None:
        self._forget_reason = reason
        self._past += 1

    def _forget_if_due(self) -> None:
        reason, self._forget_reason = self._forget_reason, None
        if reason is not None:
            # Frames that were not flushed still come out; padding left by a flush does not.
            self._forget(reason, keep="inside" if self._inside else "nothing")

    def _forget(self, reason: str, keep: Keep = "nothing") -> None:
        self._slot.forget(keep)
        self._observer.was_reset(reason)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, VivaceError) else f"{type(error).__name__}: {error}"


def _ms(seconds: float) -> float:
    return seconds * 1e3


def _same(first: NDArray[np.float32] | None, second: NDArray[np.float32] | None) -> bool:
    """Return whether two looks are equal; a model that composes them returns a new array each time."""
    return first is second or (first is not None and second is not None and np.array_equal(first, second))
