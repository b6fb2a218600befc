"""Frame processing of one stream: grouping into chunks, cut detection, painting, finishing.

Processors share the model's weights and nothing else. A processor is used by one thread at a time. Controls arrive
through its `ControlBoard` and statistics leave through its observer (such as an `Account`); both are thread-safe.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from vivace.errors import StepError
from vivace.media.frame import Frame
from vivace.media.size import Size
from vivace.models.base import Memory, StreamModel
from vivace.models.thumbnail import thumbnail
from vivace.stream.account import ProcessorObserver
from vivace.stream.automation import Automation
from vivace.stream.controls import ControlBoard
from vivace.stream.cuts import CutDetector
from vivace.stream.deadline import DeadlineController
from vivace.stream.finish import Finisher, finish
from vivace.stream.fit import prepared
from vivace.stream.painter import Painter, ProcessorPolicy

REPLAYED_FRAMES = 32
"""Frames painted again before a resume point if the model cannot save its memory: twice the longest window here."""


@dataclass(frozen=True, slots=True)
class ResumePoint:
    """Position between two frames of an input from which a later run can continue."""

    index: int
    """Index of the last frame before the position; -1 is the beginning."""
    memory: Memory | None = None
    """The model's memory at the position, if the model can save it."""
    painting: bool = False
    """True if that frame was painted."""


BEGINNING = ResumePoint(-1)


class FrameProcessor:
    """Converter of source frames into output frames. Used by one thread at a time."""

    def __init__(
        self,
        model: StreamModel[Any],
        size: Size,
        board: ControlBoard,
        observer: ProcessorObserver,
        policy: ProcessorPolicy | None = None,
        *,
        finishers: Sequence[Finisher] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Open the model for one stream of `(width, height)` px, unless the controls name another size.

        Every output frame passes the `finishers`, in order.

        Raises:
            ControlError: a size the model cannot do.
            CapacityError: not enough memory; the message says what would fit.
        """
        self._board = board
        self._observer = observer
        self._clock = clock
        self._finishers = finishers
        self._painter = Painter(model, size, board, observer, policy or ProcessorPolicy(), clock)
        self._detector = CutDetector()
        self._pending: list[Frame] = []
        """Frames of the next chunk."""
        self._resumed = BEGINNING
        self._taken = -1
        """Index of the newest source frame."""
        self._automations: Sequence[Automation] = ()
        self._origin_s: float | None = None
        """Stream time at the first frame, s."""

    @property
    def policy(self) -> ProcessorPolicy:
        """Policy for the present input."""
        return self._painter.policy

    @property
    def deadline(self) -> DeadlineController:
        """Controller of the frame budget."""
        return self._painter.deadline

    @property
    def size(self) -> Size:
        """Present output `(width, height)`, px."""
        return self._painter.size

    @property
    def chunk_frames(self) -> int:
        """Frames per step of the model, after the first step."""
        return self._painter.chunk_frames

    @property
    def natural_size(self) -> Size:
        """Output `(width, height)`, px, where the controls name none."""
        return self._painter.natural_size

    @property
    def next_size(self) -> Size:
        """`(width, height)` of the next output frame, px; the size that frames are best prepared at."""
        return self._board.controls.size or self._painter.natural_size

    @property
    def watches(self) -> bool:
        """True if coming frames need thumbnails for cuts and motion, i.e. while painting. Any thread."""
        controls = self._board.controls
        return self._painter.painting or (controls.prompt is not None and controls.strength > 0)

    def begin(self, size: Size, policy: ProcessorPolicy) -> None:
        """Switch to another input with the natural output size `size`; the memory of the old one is reset."""
        self._pending.clear()
        self._detector.reset()
        self._resumed = BEGINNING
        self._automations, self._origin_s = (), None
        self._painter.begin(size, policy)

    def go_on_after(self, point: ResumePoint) -> None:
        """Output nothing of the new input up to a point, and restore the model's memory there.

        If the model cannot save its memory, it is rebuilt approximately from the frames before the point.
        """
        self._resumed = point

    def steered_by(self, automations: Sequence[Automation]) -> None:
        """Steer the new input by these automations; later ones override earlier ones."""
        self._automations = automations

    def save(self, index: int) -> ResumePoint | None:
        """Return the resume point after a frame, from a finisher that handles it; None where none is possible."""
        if not self._painter.keeps_memory:
            return ResumePoint(index)
        if self._pending or index != self._taken:
            return None
        memory = self._painter.save()
        return None if memory is None else ResumePoint(index, memory, self._painter.painting)

    def resize(self, size: Size) -> None:
        """Set another natural size from the next frame on; frames inside the model come out at the old size first."""
        self._painter.natural_size = size

    def prepare(self, size: Size, seed: int) -> None:
        """Open the model at another size in the caller's thread, so that the change itself takes no time.

        Raises:
            ControlError: a size the model cannot do.
            CapacityError: not enough memory; the stream goes on at its present size.
        """
        self._painter.prepare(size, seed)

    def step(self, frame: Frame) -> list[Frame]:
        """Return the output frames that are ready, in order, none to several, after taking the next source frame.

        Raises:
            StepError: the model failed too often in a row, or a finisher failed; the stream has ended.
            CapacityError: memory ran out; the stream has ended and its buffers are freed.
            SessionClosedError: the stream had ended before.
        """
        return self._finished(self._step(frame))

    def still(self, frame: Frame, times: int) -> Frame:
        """Return the last result of feeding one picture `times` times; errors as for `step`."""
        made: list[Frame] = []
        for index in range(times):
            made += self._step(replace(frame, index=index, pts=index))
        made += self._flushed()
        [finished] = self._finished([replace(made[-1], index=frame.index, pts=frame.pts)])
        return finished

    def flush(self) -> list[Frame]:
        """Return every frame still inside the model, because the input has ended or another scene begins."""
        return self._finished(self._flushed())

    def check_alive(self) -> None:
        """Raise SessionClosedError, with the reason, once no more frames are taken. Any thread."""
        self._painter.check_alive()

    def close(self) -> None:
        """Free the buffers; the processor takes no more frames."""
        self._end("it was closed")

    def _end(self, reason: str) -> None:
        self._painter.end(reason)
        self._pending.clear()

    def _finished(self, made: list[Frame]) -> list[Frame]:
        """Return frames after the finishers, without those before the resume point."""
        if self._taken <= self._resumed.index + REPLAYED_FRAMES:
            made = [frame for frame in made if frame.index > self._resumed.index]
        if not self._finishers:
            return made
        out = []
        for frame in made:
            began_s = self._clock()
            try:
                out.append(finish(frame, self._finishers, self._clock))
            except StepError as error:
                self._end(str(error))
                raise
            self._painter.finish_ms = (self._clock() - began_s) * 1e3
            self._observer.finished(self._painter.finish_ms)
        return out

    def _step(self, frame: Frame) -> list[Frame]:
        self.check_alive()
        began_s = self._clock()
        self._steer(frame)
        frame = prepared(frame, self.next_size, watched=self.watches)
        out: list[Frame] = []
        self._taken = frame.index
        seen = frame.thumbnail if self.policy.detect_cuts else None
        is_cut = seen is not None and self._detector.is_cut(seen)
        if frame.index <= self._resumed.index and self._passes_over(frame):
            return out
        if is_cut:
            self._observer.cut()
            out = self._advance_all()
            out += self._painter.begin_anew("cut")
        self._pending.append(frame)
        if len(self._pending) >= self._painter.next_chunk_frames:
            out += self._advance(began_s)
        return out

    def _steer(self, frame: Frame) -> None:
        """Submit the changes that automations want from this frame on."""
        if not self._automations:
            return
        now_s = self._painter.time_s(frame)
        if self._origin_s is None:
            self._origin_s = now_s
        for automation in self._automations:
            for change in automation.due(frame, now_s - self._origin_s, lambda: self._board.controls):
                self._board.submit(change.checked, arrived_s=self._clock(), given=change.given)

    def _passes_over(self, frame: Frame) -> bool:
        """Return whether a frame before the resume point need not be painted."""
        point, mask = self._resumed, self._board.controls.mask
        if mask is not None:
            mask.region(self.size, self._painter.time_s(frame))  # a video mask starts with the first frame
        if point.memory is None:
            return frame.index <= point.index - REPLAYED_FRAMES
        if frame.index == point.index:
            self._painter.restore(point.memory, painting=point.painting)
        return True

    def _flushed(self) -> list[Frame]:
        return self._advance_all() + self._painter.drain()

    def _advance_all(self) -> list[Frame]:
        """Return the output of all pending frames, including a chunk that is not full."""
        out: list[Frame] = []
        while self._pending:
            out += self._advance(self._clock(), may_wait=False)
        return out

    def _advance(self, began_s: float, *, may_wait: bool = True) -> list[Frame]:
        """Return the output of the pending frames."""
        frames, self._pending = self._pending, []
        out = self._painter.paint(frames, began_s, may_wait=may_wait)
        self._pending += self._painter.left
        frames = frames[: len(frames) - len(self._painter.left)]
        if not self._painter.painting:
            self._detector.reset()  # no cut detection until painting resumes
        elif self.policy.detect_cuts:
            # An update may arrive between the receipt of a frame and its step. Detection must not depend on that
            # timing, or a replay would find other cuts.
            for frame in frames:
                if frame.thumbnail is None:
                    self._detector.is_cut(thumbnail(frame.rgb))
        return out
