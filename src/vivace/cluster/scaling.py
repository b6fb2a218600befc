"""Number of workers by who waits: more at once, fewer after a while, and never while a session would find no place."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vivace.cluster.records import WorkerState

START_S = 300.0
"""Time for a worker that was asked for, with a machine that may have to be had for it; then another is asked for."""
IDLE_S = 120.0
"""Time in which one worker fewer would have done, before it is let go."""
SPARE = 0.5
"""Room that is left when a worker is let go, in what a worker takes."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Least and most workers of a cluster."""

    least: int
    most: int


@dataclass(slots=True)
class Scaling:
    """Decisions on workers, one at a time; it starts and stops none itself."""

    bounds: Bounds
    clock: Callable[[], float]
    prefix: str = ""
    """Beginning of workers' names."""
    _asked_s: dict[str, float] = field(default_factory=dict)
    """Workers that were asked for and have not come, by when."""
    _idle_since_s: float | None = None

    def missing(self, workers: Sequence[WorkerState]) -> list[str]:
        """Return names of workers to be started now."""
        now_s, names = self.clock(), {worker.name for worker in workers}
        self._asked_s = {
            name: asked_s for name, asked_s in self._asked_s.items() if name not in names and now_s - asked_s < START_S
        }
        waiting = sum(load.waiting for worker in workers for load in worker.models.values())
        more = math.ceil(waiting / _slots_each(workers)) - len(self._asked_s)
        count = len(workers) + len(self._asked_s)
        more = min(self.bounds.most, max(self.bounds.least, count + max(0, more))) - count
        free = (
            name
            for index in range(2 * self.bounds.most + 1)
            if (name := f"{self.prefix}w{index}") not in names | self._asked_s.keys()
        )
        started = [name for name, _ in zip(free, range(more), strict=False)]
        self._asked_s.update(dict.fromkeys(started, now_s))
        return started

    def superfluous(self, workers: Sequence[WorkerState]) -> str | None:
        """Return the worker to be emptied and let go, None while all are needed."""
        now_s = self.clock()
        working = [worker for worker in workers if not worker.draining]
        free = sum(load.free for worker in working for load in worker.models.values() if load.loaded)
        waiting = any(load.waiting for worker in workers for load in worker.models.values())
        needed = waiting or len(working) <= self.bounds.least or free < (1 + SPARE) * _slots_each(working)
        if needed or self._asked_s:
            self._idle_since_s = None
            return None
        if self._idle_since_s is None:
            self._idle_since_s = now_s
        if now_s - self._idle_since_s < IDLE_S:
            return None
        self._idle_since_s = None
        return min(working, key=lambda worker: (worker.sessions, -len(worker.name), worker.name)).name


def _slots_each(workers: Sequence[WorkerState]) -> float:
    """Return how many sessions a worker takes, on average of those that are ready."""
    slots = [load.slots for worker in workers for load in worker.models.values() if load.loaded]
    return max(1.0, sum(slots) / len(slots)) if slots else 1.0
