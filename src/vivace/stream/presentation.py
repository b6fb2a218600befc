"""When to show the frames of a chunk: a model that gives twelve at once still makes an even picture.

A frame is due at the time of its capture plus a delay that all frames share, as in a player's jitter buffer. The delay
is what the first frame of a chunk needs, for the others come with it: so long as chunks come in time, frames follow
each other as they were captured. It grows at once when a chunk is late, shrinks slowly afterwards, and never exceeds
what the newest chunk needs by more than half of that chunk's length. Where frames are due together, the newest wins.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, Thread
from typing import Self

from vivace.media.frame import Frame

SHRINKING = 0.05
"""Seconds a second by which a delay shrinks that is longer than needed: too slow to be seen."""


class PresentationClock:
    """Says when the frames of a chunk are due. Constant memory; not thread-safe."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        """From capture to presentation."""
        self._looked_s: float | None = None

    def due_s(self, frames: Sequence[Frame], now_s: float) -> list[float]:
        """Return when each frame of a chunk that came just now is to be shown, never before now.

        Args:
            frames: in order, at least one.
            now_s: on the clock of their capture times.
        """
        first_s, last_s = frames[0].capture_time_s, frames[-1].capture_time_s
        needed_s = now_s - first_s
        spent_s = now_s - (now_s if self._looked_s is None else self._looked_s)
        shrunk_s = needed_s if self._looked_s is None else self.delay_s - SHRINKING * spent_s
        self._looked_s = now_s
        self.delay_s = min(max(needed_s, shrunk_s), needed_s + (last_s - first_s) / 2)
        return [max(now_s, frame.capture_time_s + self.delay_s) for frame in frames]


class Presenter:
    """Shows the frames of chunks one by one when they are due, in a thread of its own.

    `put` belongs to one thread; `finish`, `stop` and `join` may be called from any.
    """

    def __init__(
        self,
        show: Callable[[Frame], object],
        *,
        clock: Callable[[], float],
        on_drop: Callable[[Frame], object] | None = None,
        on_end: Callable[[BaseException | None], object] | None = None,
        wait: Callable[[Condition, float | None], object] = Condition.wait,
    ) -> None:
        """Prepare; `start` begins.

        Args:
            show: called in the presenter's thread with each frame.
            clock: of the frames' capture times.
            on_drop: called in that thread with a frame for which it is too late, because a newer one is due.
            on_end: called in that thread after the last frame, with what `show` failed with, if it did.
            wait: waits for a condition, so many seconds at most (tests bring their own time).
        """
        self._show = show
        self._clock = clock
        self._on_drop = on_drop or (lambda _frame: None)
        self._on_end = on_end or (lambda _error: None)
        self._wait = wait
        self._presentation = PresentationClock()
        self._waiting: deque[tuple[float, Frame]] = deque()
        self._changed = Condition()
        self._finished = False
        self.error: BaseException | None = None
        """What `show` failed with, once the presenter has ended."""
        self._thread = Thread(target=self._run, name="vivace-present", daemon=True)

    def start(self) -> Self:
        """Begin to show frames, and return this presenter."""
        self._thread.start()
        return self

    @property
    def delay_s(self) -> float:
        """Present delay from capture to presentation."""
        with self._changed:
            return self._presentation.delay_s

    def put(self, frames: Sequence[Frame]) -> bool:
        """Leave the frames of a chunk; never waits. Returns False once the presenter has ended."""
        with self._changed:
            if self._finished:
                return False
            if frames:
                self._waiting.extend(zip(self._presentation.due_s(frames, self._clock()), frames, strict=True))
                self._changed.notify()
        return True

    def finish(self) -> None:
        """Take no more; what waits is still shown in time."""
        with self._changed:
            self._finished = True
            self._changed.notify()

    def stop(self) -> None:
        """Take no more, and let go of what waits."""
        with self._changed:
            self._finished = True
            self._waiting.clear()
            self._changed.notify()

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until the last frame was shown; return whether it was, at once where it was never started."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while (step := self._next()) is not None:
                frame, late = step
                for each in late:
                    self._on_drop(each)
                self._show(frame)
        except BaseException as failure:  # noqa: BLE001  (handed on to whoever owns the presenter)
            self.error = failure
            self.stop()
        self._on_end(self.error)

    def _next(self) -> tuple[Frame, list[Frame]] | None:
        """Wait for the next frame that is due; return it, and those before it for which it is too late."""
        with self._changed:
            while True:
                if not self._waiting:
                    if self._finished:
                        return None
                    self._wait(self._changed, None)
                    continue
                now_s = self._clock()
                due = max((place for place, (due_s, _) in enumerate(self._waiting, 1) if due_s <= now_s), default=0)
                taken = [self._waiting.popleft()[1] for _ in range(due)]
                if taken:
                    return taken[-1], taken[:-1]
                self._wait(self._changed, min(due_s for due_s, _ in self._waiting) - now_s)
