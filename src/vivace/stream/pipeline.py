"""The threads of a running stream and the two mailboxes between them.

    source ─▶ [capture thread] ─▶ box ─▶ [step thread: processor.step] ─▶ box ─▶ consumer's thread

Live, both boxes hold one item and the newest wins: a slow stage drops frames and never adds delay. Otherwise both are
short queues with back-pressure: every frame arrives, in order, while decoding, painting and the consumer's encoding
overlap.

A run ends in one of four ways, each of which ends the threads and closes the source: the source is exhausted; the
source or the processor fails, and its error is raised after the frames made before it; the consumer leaves; or `stop`
is called.
"""

from __future__ import annotations

import atexit
import logging
from collections.abc import Callable, Generator, Iterator
from threading import Thread, current_thread
from typing import Protocol, runtime_checkable

from vivace.media.frame import Frame
from vivace.media.mailbox import Handoff, Latest, Mailbox
from vivace.media.size import Size
from vivace.stream.account import Account
from vivace.stream.automation import Course
from vivace.stream.fit import prepared
from vivace.stream.presentation import Presenter
from vivace.stream.processor import FrameProcessor

_log = logging.getLogger(__name__)

AHEAD = 2
"""Frames a stage may run ahead of the next if every frame counts: enough to overlap, few enough to save memory."""

GRACE_S = 0.2
"""Time for threads to notice the end between two frames, s. Only then is the source closed, so that no thread loses it
while reading, except one that waits in it for a frame."""

JOIN_TIMEOUT_S = 5.0
"""Longest wait for a thread, s; a source blocked in a device read ends by its own time-out."""


class SourceDescription(Protocol):
    """Properties of a source that a stream needs before the first frame."""

    @property
    def name(self) -> str:
        """Name for people."""

    @property
    def size(self) -> tuple[int, int]:
        """`(width, height)`, px."""

    @property
    def fps(self) -> float | None:
        """Average frame rate, frames/s; None if unknown."""

    @property
    def live(self) -> bool:
        """True if frames that are not taken in time are lost."""


class FrameSource(Protocol):
    """Source of a stream's frames, such as `vivace.open_source` returns. `close` may be called from any thread."""

    @property
    def info(self) -> SourceDescription:
        """Properties known before the first frame."""

    def __iter__(self) -> Iterator[Frame]: ...

    def close(self) -> None:
        """Stop. May be called repeatedly."""


@runtime_checkable
class ScalingSource(Protocol):
    """Source that scales its frames on request, converting and scaling in one pass."""

    def deliver_at(self, size: Size) -> None:
        """Request frames of `(width, height)` px from the next one on."""


class Repeated:
    """Source limited to the frames that an earlier run took."""

    def __init__(self, source: FrameSource, course: Course) -> None:
        self.info = source.info
        self._source = source
        self._course = course

    def __iter__(self) -> Iterator[Frame]:
        last = max(self._course.frames, default=-1)
        for frame in self._source if last >= 0 else ():
            if frame.index in self._course.frames:
                yield frame
            if frame.index >= last:
                return

    def deliver_at(self, size: Size) -> None:
        """Pass the request on, if the source supports it."""
        if isinstance(self._source, ScalingSource):
            self._source.deliver_at(size)

    def close(self) -> None:
        """Close the source."""
        self._source.close()


class Pipeline:
    """One run of a source through a processor. Iterate `frames()` once; `stop()` may be called from any thread."""

    def __init__(
        self,
        source: FrameSource,
        processor: FrameProcessor,
        account: Account,
        *,
        live: bool,
        clock: Callable[[], float],
    ) -> None:
        self._source = source
        self._processor = processor
        self._account = account
        self._clock = clock
        self._in: Mailbox[Frame]
        self._out: Mailbox[list[Frame]]
        self._presenter: Presenter | None = None
        if live:
            chunk_frames = processor.chunk_frames
            self._in = Latest(lambda _frame: account.dropped("late"), keep=chunk_frames)
            self._out = Latest(lambda frames: account.dropped("unread", len(frames)))
            if chunk_frames > 1:
                self._presenter = Presenter(
                    lambda frame: self._out.put([frame]), clock=clock, on_drop=lambda _frame: account.dropped("unread")
                )
        else:
            self._in, self._out = Handoff(AHEAD), Handoff(AHEAD)
        # Daemon threads, so that a device that never returns cannot keep a program from ending.
        self._threads = [
            Thread(target=self._capture, name="vivace-capture", daemon=True),
            Thread(target=self._step, name="vivace-step", daemon=True),
        ]

    def frames(self) -> Generator[Frame, None, None]:
        """Start the threads and yield the output frames.

        Raises:
            SourceError: the source failed; frames before that were yielded.
            StepError: the model failed for good.
        """
        # A program may end while this iterator is suspended. A thread that interpreter shutdown interrupts inside a
        # network crashes the process, so the threads end first.
        atexit.register(self.stop)
        try:
            if self._presenter is not None:
                self._presenter.start()  # first: the step thread waits for its end
            for thread in self._threads:
                thread.start()
            for made in self._out:
                for frame in made:
                    taken_s = self._clock()
                    self._account.shown(frame, taken_s)
                    try:
                        yield frame
                    finally:  # a consumer that leaves has finished its last frame, too
                        done_s = self._clock()
                        self._account.stage("encode", (done_s - taken_s) * 1e3)
                        self._account.delivered((done_s - frame.capture_time_s) * 1e3)
        finally:
            atexit.unregister(self.stop)
            self.stop()

    def stop(self) -> bool:
        """Return true once the threads have ended, after closing the boxes and the source.

        May be called any number of times.
        """
        self._in.close(discard=True)
        self._out.close(discard=True)
        if self._presenter is not None:
            self._presenter.stop()
        self._join(GRACE_S)
        self._source.close()
        self._join(JOIN_TIMEOUT_S)
        ended = not any(thread.is_alive() for thread in self._threads)
        if not ended:
            _log.warning("%s has not stopped in time; its thread ends when it answers", self._source.info.name)
        return ended

    def _join(self, timeout_s: float) -> None:
        for thread in self._threads:
            if thread.ident is not None and thread is not current_thread():
                thread.join(timeout_s)

    def _capture(self) -> None:
        """Put source frames into the first box until it is closed."""
        error: BaseException | None = None
        try:
            self._deliver()
        except BaseException as failure:  # noqa: BLE001  (raised in the consumer's thread, after the frames before it)
            error = failure
        self._in.close(error)

    def _deliver(self) -> None:
        live = self._source.info.live
        frames = iter(self._source)
        scaling = self._source if isinstance(self._source, ScalingSource) else None
        last_index: int | None = None
        while True:
            asked_s = self._clock()
            size = self._processor.next_size
            if scaling is not None:
                scaling.deliver_at(size)
            frame = next(frames, None)
            if frame is None:
                return
            frame = prepared(frame, size, watched=self._processor.watches)
            since_s = frame.capture_time_s if live else asked_s
            self._account.stage("capture", (self._clock() - since_s) * 1e3)
            self._account.received(0 if last_index is None else max(0, frame.index - last_index - 1))
            last_index = frame.index
            if not self._in.put(frame):
                return

    def _give(self, made: list[Frame]) -> bool:
        """Pass frames to the consumer, those of a chunk one by one; return false once nobody takes them."""
        if self._presenter is None:
            return self._out.put(made)
        return not self._out.closed and self._presenter.put(made)

    def _step(self) -> None:
        """Process frames from the first box until either box is closed."""
        error: BaseException | None = None
        try:
            error = self._paint_all()
        except BaseException as failure:  # noqa: BLE001  (raised in the consumer's thread, after the frames before it)
            error = failure
        self._in.close(discard=True)
        if self._presenter is not None:
            self._presenter.finish()
            self._presenter.join()
            error = error or self._presenter.error
        self._out.close(error)

    def _paint_all(self) -> BaseException | None:
        """Process frames until the input ends; return the error it ended with."""
        incoming = iter(self._in)
        error: BaseException | None = None
        while True:
            try:
                frame = next(incoming, None)
            except BaseException as failure:  # noqa: BLE001  (returned after frames inside the model are flushed)
                error = failure
                frame = None
            if frame is None:
                break
            made = self._processor.step(frame)
            if made and not self._give(made):
                return None
        if self._out.closed:
            return None
        made = self._processor.flush()
        if made:
            self._give(made)
        return error
