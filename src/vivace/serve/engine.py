"""The one thread in which all sessions of a model are painted, earliest deadline first.

A session has a seat with room for one frame, where the newest wins. A frame is due one round (a step of everybody who
sends) after it came, and the seat keeps that deadline when the frame is replaced, so that a session which sends often
is not put off for ever. Nor does it get ahead: who was served less than a round ago is due a round after that, so that
who sends 120 frames a second yields to who sends 15.

Sessions are stepped one by one. `model.step` takes several, but the runtimes there are gain nothing from it: of the
embedded model on 2 cores, two separate steps at 256x256 take 38.5 ms and one step of two takes 38.8 ms (47.7 and 47.4
at 384x384), because inside it runs one after the other; and the frame that is served first would wait for both.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Condition, Thread, current_thread

from vivace.media.frame import Frame

_log = logging.getLogger(__name__)

ACTIVE_S = 1.0
"""A session that sent a frame within this time takes its share of the frame budget."""
INTERVAL_GAIN = 0.1
STEP_GAIN = 0.1
"""Both averages are over about ten."""


@dataclass(eq=False, slots=True)
class Seat:
    """A session's place in an engine. Its fields belong to the engine."""

    paint: Callable[[Frame], None]
    """Makes one frame; called in the engine's thread."""
    failed: Callable[[BaseException], None]
    """Called in the engine's thread with what `paint` raised; the seat is given no frame after that."""
    budget_s: float
    keep: int = 1
    """Frames that may wait: as many as a step of the model takes."""
    frames: deque[Frame] = field(default_factory=deque)
    deadline_s: float = 0.0
    offered_s: float = float("-inf")
    interval_s: float = 0.0
    """Between frames, on average over the last ten."""
    gone: bool = False
    last_act: Callable[[], None] | None = None


class Engine:
    """Paints the frames of all seats in one thread."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Make an engine for the model of this name; `start` begins."""
        self.name = name
        self._clock = clock
        self._changed = Condition()
        self._seats: list[Seat] = []
        self._current: Seat | None = None
        self._current_since_s = 0.0
        self._step_s = 0.0
        self._stopping = False
        self._thread = Thread(target=self._run, name=f"vivace-engine-{name}", daemon=True)

    def start(self) -> None:
        """Begin painting."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def busy_s(self) -> float:
        """Return how long the step in progress has taken so far, 0 if there is none."""
        with self._changed:
            return 0.0 if self._current is None else self._clock() - self._current_since_s

    def share_s(self) -> float:
        """Return the time there is for one frame: that of all frames that come, a seat's counted up to its budget."""
        with self._changed:
            active = self._active(self._clock())
            per_s = sum(1 / max(seat.interval_s, seat.budget_s) for seat in active)
        return 1 / per_s if active else float("inf")

    def _active(self, now_s: float) -> list[Seat]:
        return [seat for seat in self._seats if seat.offered_s >= now_s - ACTIVE_S]

    def sit(self, seat: Seat) -> None:
        """Take a session in."""
        with self._changed:
            self._seats.append(seat)

    def offer(self, seat: Seat, frame: Frame) -> Frame | None:
        """Leave a seat's newest frame; return the one it replaced. Any thread; never waits for a step."""
        now_s = self._clock()
        with self._changed:
            displaced = seat.frames.popleft() if len(seat.frames) == seat.keep else None
            came_alone = not seat.frames and displaced is None
            seat.frames.append(frame)
            interval_s = min(ACTIVE_S, now_s - seat.offered_s)
            seat.interval_s += (interval_s - seat.interval_s) * INTERVAL_GAIN
            seat.offered_s = now_s
            if seat.gone:
                seat.frames.clear()
            elif came_alone:
                round_s = self._step_s * len(self._active(now_s))
                seat.deadline_s = max(now_s, min(seat.deadline_s, now_s + round_s)) + round_s
                self._changed.notify()
        return displaced

    def leave(self, seat: Seat, last_act: Callable[[], None]) -> None:
        """Give a seat no frames any more, then free what it holds: `last_act` runs when no step of it does.

        At once in the caller's thread, or in the engine's when the step in progress is over. Any number of times; the
        first call counts.
        """
        with self._changed:
            if seat.gone:
                return
            seat.gone = True
            seat.frames.clear()
            if seat in self._seats:
                self._seats.remove(seat)
            if seat is self._current:
                seat.last_act = last_act
                return
        last_act()

    def stop(self, timeout_s: float = 10.0) -> bool:
        """End the thread after the step in progress; return whether it has ended within the time."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.ident is not None and self._thread is not current_thread():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (turn := self._next()) is not None:
            seat, frame = turn
            try:
                seat.paint(frame)
            except Exception as error:  # noqa: BLE001  (whatever a session fails with, the others go on)
                self._guarded(seat.failed, error)
            with self._changed:
                self._step_over()
                last_act = seat.last_act
            if last_act is not None:
                self._guarded(last_act)

    def _next(self) -> tuple[Seat, Frame] | None:
        """Wait for a frame and return the most urgent one; None when it is over."""
        with self._changed:
            while not self._stopping:
                waiting = [seat for seat in self._seats if seat.frames]
                if waiting:
                    seat = min(waiting, key=lambda each: each.deadline_s)
                    frame = seat.frames.popleft()
                    self._current, self._current_since_s = seat, self._clock()
                    return seat, frame
                self._changed.wait()
            return None

    def _step_over(self) -> None:
        took_s = self._clock() - self._current_since_s
        self._step_s += (took_s - self._step_s) * STEP_GAIN
        self._current = None

    def _guarded(self, act: Callable[..., None], *args: object) -> None:
        try:
            act(*args)
        except Exception:  # noqa: BLE001  (as above; the log has it)
            _log.exception("engine %s: ending a session failed", self.name)
