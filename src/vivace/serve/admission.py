"""Admission of sessions: slots, a queue, and a promise of frames a second, from measured step times and memory.

A session that is let in keeps what it was promised; a machine that turns out slower lets fewer new ones in and throws
nobody out. Pure bookkeeping: it reads no clock, starts nothing, and is called under its owner's lock.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median

from vivace.media.size import Size
from vivace.serve.costs import StepCosts
from vivace.serve.limits import RefusedError

MAX_SLOTS = 256
"""However fast a model is, sockets and encoders end somewhere."""
HEADROOM = 0.9
"""Share of the time that steps may take; the rest is for decoding and encoding."""
REMEMBERED_LIVES = 20
FIRST_RETRY_S = 30.0
"""Until one has ended; nobody is told that a slot is free then."""
MIN_RETRY_S, MAX_RETRY_S = 2.0, 60.0


@dataclass(frozen=True, slots=True)
class Demand:
    """Resources that a session asks for."""

    nbytes: int
    """Memory of its state."""
    size: Size
    """Size of its output, `(width, height)` px."""
    rate: float = 1.0
    """Frames to be promised, in those that everybody gets who names no number."""
    instead: str = "a smaller one"
    """Size to choose where this one can never be had."""


class Admission:
    """Slots of one model and the queue in front of them."""

    def __init__(
        self, *, slots: int | None, frame_ms: float, memory_limit_bytes: int, queue_length: int, costs: StepCosts
    ) -> None:
        """Start empty.

        Args:
            slots: how many sessions, by decree; None measures.
            frame_ms: time in which every session must get a frame.
            memory_limit_bytes: of all sessions' states together.
            queue_length: sessions that may wait.
            costs: times of steps.
        """
        self.costs = costs
        self.memory_limit_bytes = memory_limit_bytes
        self._decreed = slots
        self._frame_ms = frame_ms
        self._queue_length = queue_length
        self._lives_s: deque[float] = deque(maxlen=REMEMBERED_LIVES)
        self._live: dict[str, Demand] = {}
        self._waiting: dict[str, Demand] = {}  # in order

    @property
    def slots(self) -> int:
        """Number of sessions of the default size and rate that are painted at once."""
        if self._decreed is not None:
            return self._decreed
        return max(1, min(MAX_SLOTS, math.floor(self._room_ms / max(self.costs.step_ms, 1e-3) + 1e-9)))

    @property
    def live(self) -> int:
        """Number of sessions that have a slot."""
        return len(self._live)

    @property
    def waiting(self) -> int:
        """Number of sessions that wait for one."""
        return len(self._waiting)

    @property
    def free(self) -> float:
        """Sessions of the default size and rate that could still be let in, a fraction for what is left of one."""
        if self._waiting:
            return 0.0
        if self._decreed is not None:
            return float(max(0, self._decreed - len(self._live)))
        if not self._live:
            return float(self.slots)
        left_ms = self._room_ms - sum(map(self._ms, self._live.values()))
        return max(0.0, min(MAX_SLOTS - len(self._live), left_ms / max(self.costs.step_ms, 1e-3)))

    @property
    def state_bytes(self) -> int:
        """Memory of the sessions that have a slot."""
        return sum(demand.nbytes for demand in self._live.values())

    def promised_fps(self, demand: Demand) -> float:
        """Return the frames a second that a session gets at full effort, of those that come, however full it gets."""
        full_ms = max(self.slots * self.costs.step_ms, self._ms(demand), sum(map(self._ms, self._live.values())), 1e-3)
        return demand.rate * min(1e3 * HEADROOM / full_ms, 1e3 * MAX_SLOTS)

    def enter(self, key: str, demand: Demand) -> bool:
        """Let a session in; return whether it has a slot, or else waits.

        Raises:
            RefusedError: the queue is full, or the session would not fit if it were alone.
        """
        if demand.nbytes > self.memory_limit_bytes:
            needs, has = demand.nbytes / 2**20, self.memory_limit_bytes / 2**20
            raise RefusedError(
                "memory", f"a session of this size needs {needs:.0f} MiB of {has:.0f}; choose {demand.instead}"
            )
        if not self._waiting and self._fits(demand):
            self._live[key] = demand
            return True
        if len(self._waiting) >= self._queue_length:
            retry_s = self.retry_after_s(len(self._waiting) + 1)
            when = "later" if retry_s is None else f"in about {retry_s:.0f} s"
            raise RefusedError(
                "queue_full",
                f"every slot is taken ({self.slots}), and the queue is full ({len(self._waiting)}); try again {when}",
                retry_s or FIRST_RETRY_S,
            )
        self._waiting[key] = demand
        return False

    def leave(self, key: str, life_s: float | None = None) -> None:
        """Forget a session; `life_s` is how long it had its slot."""
        if self._live.pop(key, None) is not None and life_s is not None:
            self._lives_s.append(life_s)
        self._waiting.pop(key, None)

    def move_up(self) -> list[str]:
        """Give free slots to those who wait, in order; return them."""
        moved = []
        while self._waiting:
            key, demand = next(iter(self._waiting.items()))
            if not self._fits(demand):
                break
            del self._waiting[key]
            self._live[key] = demand
            moved.append(key)
        return moved

    def resize(self, key: str, demand: Demand) -> bool:
        """Change what a session asks for, if there is room; return whether it was done."""
        if key in self._waiting:
            self._waiting[key] = demand
            return True
        before = self._live.get(key)
        if before is None:
            return False
        smaller = demand.nbytes <= before.nbytes and self._ms(demand) <= self._ms(before)
        if not smaller and not self._fits(demand, besides=key):
            return False
        self._live[key] = demand
        return True

    def grow(self, key: str, nbytes: int, base_bytes: int) -> bool:
        """Change what a session's state takes beyond what it asked for, if no slot needs that; return whether.

        Its time is not counted: it takes what the others leave. `base_bytes` is what a session takes that comes.
        """
        before = self._live.get(key)
        if before is None:
            return False
        others = sum(each.nbytes for other, each in self._live.items() if other != key)
        kept = base_bytes * max(0, self.slots - len(self._live))
        if nbytes > before.nbytes and others + nbytes + kept > self.memory_limit_bytes:
            return False
        self._live[key] = replace(before, nbytes=nbytes)
        return True

    def queue(self) -> list[str]:
        """Return who waits, in order."""
        return list(self._waiting)

    def asked(self, key: str) -> Demand | None:
        """Return what a session asked for, None if it is neither live nor waits."""
        return self._live.get(key) or self._waiting.get(key)

    def offer(self, demands: Sequence[Demand]) -> Demand | None:
        """Return the first of smaller demands that who waits next could have at once."""
        return next((demand for demand in demands if self._fits(demand)), None)

    def position(self, key: str) -> int | None:
        """Return a session's place in the queue, 1 being next; None if it does not wait."""
        return list(self._waiting).index(key) + 1 if key in self._waiting else None

    def retry_after_s(self, position: int) -> float | None:
        """Return about when a place in the queue will have become a slot, None while no session has ended yet."""
        if not self._lives_s:
            return None
        life_s = median(self._lives_s)
        return min(MAX_RETRY_S, max(MIN_RETRY_S, position * life_s / self.slots))

    @property
    def _room_ms(self) -> float:
        """Time that the steps of a frame of everybody may take."""
        return HEADROOM * self._frame_ms

    def _ms(self, demand: Demand) -> float:
        return demand.rate * self.costs.ms(demand.size)

    def _fits(self, demand: Demand, besides: str | None = None) -> bool:
        others = [each for key, each in self._live.items() if key != besides]
        if sum(each.nbytes for each in others) + demand.nbytes > self.memory_limit_bytes:
            return False
        if self._decreed is not None:
            return len(others) < self._decreed
        # Alone, a session may be as slow as it likes.
        if not others:
            return True
        needed_ms = sum(map(self._ms, others)) + self._ms(demand)
        return len(others) < MAX_SLOTS and needed_ms <= self._room_ms + 1e-9
