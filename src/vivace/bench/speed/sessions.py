"""Number of sessions of one model that a machine serves in time.

All sessions get their pictures at the same moment, the worst case, and are stepped together, as `StreamModel.step`
allows. A picture is in time if its step ends within one period. A picture whose period is over before its step began is
never painted: it is late at no cost, as live streams drop outdated pictures.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from vivace.bench.inputs.loops import render_loop, there_and_back
from vivace.bench.systems.system import Clock, Request
from vivace.errors import CapacityError
from vivace.media.frame import Rgb
from vivace.models.base import Chunk, StreamModel

SHARE = 0.99
"""Share of pictures that must be in time."""
MAX_SESSIONS = 256
WARMUP_STEPS = 5


class Session:
    """State of a model and the pictures it is given."""

    def __init__(
        self,
        model: StreamModel[Any],
        request: Request,
        pictures: Sequence[Rgb],
        seed: int = 0,
        options: Mapping[str, float | bool | str] | None = None,
    ) -> None:
        """Open the model; `pictures` are shown forth and back, with the model's own `options`.

        Raises:
            ControlError, CapacityError: the size cannot be served.
        """
        self.state: Any = model.open(request.size, seed=request.seed + seed)
        self._spec = model.spec
        self._embeds = model.encode_prompt(request.prompt).embeds
        self._pictures = pictures
        self.options = options or {}
        self._begun = False
        self.events: frozenset[str] = frozenset()
        """Events for the next chunk."""

    def chunk(self, number: int) -> Chunk:
        """Return the `number`-th chunk of pictures; the first one requested begins the session."""
        first = number * self._spec.chunk_frames
        indices = range(first, first + self._spec.frames_of_chunk(1 if self._begun else 0))
        self._begun = True
        rgb = np.stack([self._pictures[there_and_back(index, len(self._pictures))] for index in indices])
        chunk = Chunk(
            rgb,
            self._embeds,
            self._spec.denoising_steps[0],
            strength=self._spec.default_strength,
            options=self.options,
        )
        events, self.events = self.events, frozenset()
        return replace(chunk, events=events) if events else chunk


class Server(Protocol):
    """Server of any number of sessions."""

    def step(self, sessions: int, number: int) -> None:
        """Paint chunk `number` of this many sessions."""


class ModelServer:
    """Server that steps sessions of one model together and opens them when first needed."""

    def __init__(self, model: StreamModel[Any], request: Request) -> None:
        self._model = model
        self._request = request
        self._pictures = render_loop(request.size, seed=request.seed)
        self._sessions: list[Session] = []

    def step(self, sessions: int, number: int) -> None:
        """Paint chunk `number` of the first `sessions` sessions.

        Raises:
            CapacityError: not enough memory.
        """
        while len(self._sessions) < sessions:
            self._sessions.append(Session(self._model, self._request, self._pictures, seed=len(self._sessions)))
        active = self._sessions[:sessions]
        self._model.step([one.state for one in active], [one.chunk(number) for one in active])


@dataclass(frozen=True, slots=True)
class Pace:
    """Timing of the pictures."""

    period_s: float
    """Time between two chunks of a session, which is also the time a chunk may take, s."""
    ticks: int
    """Chunks per trial."""


def share_in_time(
    server: Server,
    sessions: int,
    pace: Pace,
    *,
    clock: Clock = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> float:
    """Return the share of chunks painted in time, 0 to 1; stops once `SHARE` is out of reach."""
    for number in range(WARMUP_STEPS):
        server.step(sessions, number)
    allowed_late = int((1.0 - SHARE) * pace.ticks + 1e-9)
    late = 0
    start_s = clock()
    for tick in range(pace.ticks):
        due_s = start_s + tick * pace.period_s
        if (early_s := due_s - clock()) > 0:
            sleep(early_s)
        if clock() < due_s + pace.period_s:
            server.step(sessions, WARMUP_STEPS + tick)
        late += clock() > due_s + pace.period_s + 1e-9
        if late > allowed_late:
            return 1.0 - late / pace.ticks
    return 1.0 - late / pace.ticks


def search(holds: Callable[[int], bool], *, guess: int = 1, limit: int = MAX_SESSIONS) -> int:
    """Return the greatest number that holds, 0 to `limit`, if every smaller one holds too.

    Doubles or halves from `guess` until the answer is bracketed, then bisects.
    """
    low, high = 0, limit + 1
    number = min(max(guess, 1), limit)
    while high - low > 1:
        if holds(number):
            low = number
            number = 2 * low if high > limit else (low + high) // 2
        else:
            high = number
            number = high // 2 if low == 0 else (low + high) // 2
        number = min(max(number, low + 1), high - 1)
    return low


def sessions_held(
    model: StreamModel[Any],
    request: Request,
    fps: float,
    trial_s: float,
    *,
    clock: Clock = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
    server: Server | None = None,
) -> int:
    """Return the number of sessions that get 99 % of their pictures in time at `fps`, by trials of `trial_s` each.

    Memory may be the limit as well: a session that cannot be opened is not served.
    """
    chunk = model.spec.chunk_frames
    pace = Pace(chunk / fps, max(1, round(trial_s * fps / chunk)))
    serving = server or ModelServer(model, request)
    for number in range(WARMUP_STEPS):
        serving.step(1, number)
    began_s = clock()
    serving.step(1, WARMUP_STEPS)
    alone_s = clock() - began_s

    def holds(sessions: int) -> bool:
        try:
            return share_in_time(serving, sessions, pace, clock=clock, sleep=sleep) >= SHARE
        except CapacityError:
            return False

    return search(holds, guess=int(pace.period_s / max(alone_s, 1e-4)))
