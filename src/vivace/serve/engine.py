"""The one thread in which all sessions of a model are painted, earliest deadline first.

A session has a queue for one frame, or for as many as a step of the model takes, where the newest wins. A frame is due
one round (a step of everybody who sends) after it came, and the queue keeps that deadline when the frame is replaced,
so that a session which sends often is not put off for ever. Nor does it get ahead: who was served less than a round ago
is due a round after that, so that who sends 120 frames a second yields to who sends 15. A queue's weight divides its
rounds: one that was promised twice the frames is due twice as soon. What else is to be done with the model
(`when_idle`) is done when no frame waits.

Sessions are stepped one by one, each in the turn of the model's device: on a CPU, a step of several gains nothing, and
the frame that is served first would wait for all of them.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread, current_thread
from typing import Any, TypeVar

from vivace.errors import SessionClosedError
from vivace.media.frame import Frame

_log = logging.getLogger(__name__)

T = TypeVar("T")

ACTIVE_S = 1.0
"""A session that sent a frame within this time takes its share of the frame budget."""
INTERVAL_GAIN = 0.1
STEP_GAIN = 0.1
"""Both averages are over about ten."""


@dataclass(eq=False, slots=True)
class SessionQueue:
    """Frames of a session that wait for the engine. Its fields belong to the engine."""

    paint: Callable[[Frame], None]
    """Makes one frame; called in the engine's thread."""
    failed: Callable[[BaseException], None]
    """Called in the engine's thread with what `paint` raised; the queue is given no frame after that."""
    budget_s: float
    keep: int = 1
    """Frames that may wait: as many as a step of the model takes."""
    weight: float = 1.0
    """Frames it is due in those of the others, while there is not time for all that come."""
    frames: deque[Frame] = field(default_factory=deque)
    deadline_s: float = 0.0
    offered_s: float = float("-inf")
    interval_s: float = 0.0
    """Between frames, on average over the last ten."""
    gone: bool = False
    last_act: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class IdleTask:
    """Something to be done when no frame waits."""

    act: Callable[[], Any]
    done: Future[Any]

    def run(self) -> None:
        """Do it, unless it was cancelled."""
        if not self.done.set_running_or_notify_cancel():
            return
        try:
            self.done.set_result(self.act())
        except Exception as error:  # noqa: BLE001  (whoever waits for it is told)
            self.done.set_exception(error)


class Engine:
    """Paints the frames of all queues in one thread."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Make an engine for the model of this name; `start` begins."""
        self.name = name
        self._clock = clock
        self._changed = Condition()
        self._queues: list[SessionQueue] = []
        self._idle_tasks: deque[IdleTask] = deque()
        self._current: SessionQueue | None = None
        self._busy_since_s: float | None = None
        self._step_s = 0.0
        self._stopping = False
        self._thread = Thread(target=self._run, name=f"vivace-engine-{name}", daemon=True)

    def start(self) -> None:
        """Begin painting."""
        self._thread.start()

    @property
    def alive(self) -> bool:
        """True while the thread runs."""
        return self._thread.is_alive()

    def busy_s(self) -> float:
        """Return how long the step in progress has taken so far, 0 if there is none."""
        with self._changed:
            return 0.0 if self._busy_since_s is None else self._clock() - self._busy_since_s

    def share_s(self) -> float:
        """Return the time there is for one frame: that of all frames that come, a queue's counted up to its budget."""
        with self._changed:
            active = self._active(self._clock())
            per_s = sum(1 / max(queue.interval_s, queue.budget_s / min(1.0, queue.weight)) for queue in active)
        return 1 / per_s if active else float("inf")

    def _active(self, now_s: float) -> list[SessionQueue]:
        return [queue for queue in self._queues if queue.offered_s >= now_s - ACTIVE_S]

    def add(self, queue: SessionQueue) -> None:
        """Take a session in."""
        with self._changed:
            self._queues.append(queue)

    def offer(self, queue: SessionQueue, frame: Frame) -> Frame | None:
        """Leave a queue's newest frame; return the one it replaced. Any thread; never waits for a step."""
        now_s = self._clock()
        with self._changed:
            displaced = queue.frames.popleft() if len(queue.frames) == queue.keep else None
            came_alone = not queue.frames and displaced is None
            queue.frames.append(frame)
            interval_s = min(ACTIVE_S, now_s - queue.offered_s)
            queue.interval_s += (interval_s - queue.interval_s) * INTERVAL_GAIN
            queue.offered_s = now_s
            if queue.gone:
                queue.frames.clear()
            elif came_alone:
                round_s = self._step_s * sum(each.weight for each in self._active(now_s)) / queue.weight
                queue.deadline_s = max(now_s, min(queue.deadline_s, now_s + round_s)) + round_s
                self._changed.notify()
        return displaced

    def has_time(self, queue: SessionQueue) -> bool:
        """Return whether every frame that comes could be painted twice, and none waits."""
        with self._changed:
            idle = not queue.gone and not any(each.frames for each in self._queues)
        return idle and 2 * self._step_s < self.share_s()

    def repeat(self, queue: SessionQueue, frame: Frame) -> None:
        """Have a frame painted that came before, after the step in progress; one that comes meanwhile replaces it."""
        with self._changed:
            if not queue.gone and not queue.frames:
                queue.frames.append(frame)
                queue.deadline_s = self._clock()
                self._changed.notify()

    def leave(self, queue: SessionQueue, last_act: Callable[[], None]) -> None:
        """Give a queue no frames any more, then free what it holds: `last_act` runs when no step of it does.

        At once in the caller's thread, or in the engine's when the step in progress is over. Any number of times; the
        first call counts.
        """
        with self._changed:
            if queue.gone:
                return
            queue.gone = True
            queue.frames.clear()
            if queue in self._queues:
                self._queues.remove(queue)
            if queue is self._current:
                queue.last_act = last_act
                return
        self._guarded(last_act)

    def when_idle(self, act: Callable[[], T]) -> Future[T]:
        """Do something in the engine's thread once no frame waits; it may be cancelled until it begins. Any thread.

        Frames that come meanwhile wait for it, so it should take no longer than a step.
        """
        task = IdleTask(act, Future())
        with self._changed:
            if self._stopping:
                task.done.set_exception(SessionClosedError("the server is shutting down"))
            else:
                self._idle_tasks.append(task)
                self._changed.notify()
        return task.done

    def stop(self, timeout_s: float = 10.0) -> bool:
        """End the thread after the step in progress; return whether it has ended within the time."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
            given_up, self._idle_tasks = self._idle_tasks, deque()
        for task in given_up:
            if task.done.set_running_or_notify_cancel():
                task.done.set_exception(SessionClosedError("the server is shutting down"))
        if self._thread.ident is not None and self._thread is not current_thread():
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while (turn := self._next()) is not None:
            if isinstance(turn, IdleTask):
                turn.run()
                with self._changed:
                    self._busy_since_s = None
                continue
            queue, frame = turn
            try:
                queue.paint(frame)
            except Exception as error:  # noqa: BLE001  (whatever a session fails with, the others go on)
                self._guarded(queue.failed, error)
            with self._changed:
                self._step_over()
                last_act = queue.last_act
            if last_act is not None:
                self._guarded(last_act)

    def _next(self) -> tuple[SessionQueue, Frame] | IdleTask | None:
        """Wait and return the most urgent frame, or a task when there is none; None when it is over."""
        with self._changed:
            while not self._stopping:
                waiting = [queue for queue in self._queues if queue.frames]
                if waiting:
                    queue = min(waiting, key=lambda each: each.deadline_s)
                    frame = queue.frames.popleft()
                    self._current, self._busy_since_s = queue, self._clock()
                    return queue, frame
                if self._idle_tasks:
                    self._busy_since_s = self._clock()
                    return self._idle_tasks.popleft()
                self._changed.wait()
            return None

    def _step_over(self) -> None:
        assert self._busy_since_s is not None
        took_s = self._clock() - self._busy_since_s
        self._step_s += (took_s - self._step_s) * STEP_GAIN
        self._current = self._busy_since_s = None

    def _guarded(self, act: Callable[..., None], *args: object) -> None:
        try:
            act(*args)
        except Exception:  # noqa: BLE001  (a session ends all the same, and gives up its slot; the log has it)
            _log.exception("engine %s: ending a session failed", self.name)
