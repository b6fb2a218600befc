"""Presentation times for the frames of a chunk, so that a model that outputs twelve at once still plays evenly.

A frame is due at its capture time plus a delay shared by all frames, as in a player's jitter buffer. The delay is what
the first frame of a chunk needs, since the others arrive with it: while chunks arrive in time, frames keep their
capture intervals. It grows at once if a chunk is late, shrinks slowly afterwards, and never exceeds what the newest
chunk needs by more than half of that chunk's duration. If several frames are due together, the newest wins.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import Condition, Thread
from typing import Self

from vivace.media.frame import Frame

SHRINKING = 0.05
"""Rate at which an excessive delay shrinks, s per s: too slow to be visible."""


class PresentationClock:
    """Scheduler for the frames of chunks. Constant memory; not thread-safe."""

    def __init__(self) -> None:
        self.delay_s = 0.0
        """Delay from capture to presentation, s."""
        self._looked_s: float | None = None

    def due_s(self, frames: Sequence[Frame], now_s: float) -> list[float]:
        """Return the presentation time of each frame of a chunk that arrived now, never in the past.

        Args:
            frames: frames in order, at least one.
            now_s: present time on the clock of their capture times.
        """
        first_s, last_s = frames[0].capture_time_s, frames[-1].capture_time_s
        needed_s = now_s - first_s
        spent_s = now_s - (now_s if self._looked_s is None else self._looked_s)
        shrunk_s = needed_s if self._looked_s is None else self.delay_s - SHRINKING * spent_s
        self._looked_s = now_s
        self.delay_s = min(max(needed_s, shrunk_s), needed_s + (last_s - first_s) / 2)
        return [max(now_s, frame.capture_time_s + self.delay_s) for frame in frames]


class Presenter:
    """Thread that shows the frames of chunks one by one as they are due.

    `put` must be called from one thread; `finish`, `stop` and `join` may be called from any.
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
        """Create the thread; `start` starts it.

        Args:
            show: called in the presenter's thread with each frame.
            clock: clock of the frames' capture times.
            on_drop: called in that thread with a frame skipped because a newer one is due.
            on_end: called in that thread after the last frame, with the error raised by `show`, if any.
            wait: waits for a condition with a time-out in seconds (a parameter for tests with simulated time).
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
        """Error raised by `show`, once the presenter has ended."""
        self._thread = Thread(target=self._run, name="vivace-present", daemon=True)

    def start(self) -> Self:
        """Start the thread and return this presenter."""
        self._thread.start()
        return self

    @property
    def delay_s(self) -> float:
        """Present delay from capture to presentation, s."""
        with self._changed:
            return self._presentation.delay_s

    def put(self, frames: Sequence[Frame]) -> bool:
        """Queue the frames of a chunk without waiting. Return false once the presenter has ended."""
        with self._changed:
            if self._finished:
                return False
            if frames:
                self._waiting.extend(zip(self._presentation.due_s(frames, self._clock()), frames, strict=True))
                self._changed.notify()
        return True

    def finish(self) -> None:
        """Accept no more frames; queued ones are still shown on time."""
        with self._changed:
            self._finished = True
            self._changed.notify()

    def stop(self) -> None:
        """Accept no more frames and discard queued ones."""
        with self._changed:
            self._finished = True
            self._waiting.clear()
            self._changed.notify()

    def join(self, timeout_s: float | None = None) -> bool:
        """Return true once the last frame was shown, after waiting; at once if the thread was never started."""
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
        except BaseException as failure:  # noqa: BLE001  (passed to the owner by `error` and `on_end`)
            self.error = failure
            self.stop()
        self._on_end(self.error)

    def _next(self) -> tuple[Frame, list[Frame]] | None:
        """Wait for the next frame that is due; return it and the older ones it overtakes, or None at the end."""
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
