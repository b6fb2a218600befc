"""A cluster whose workers paint nothing: sessions come, wait, go and are moved, and time is that of the next event.

Directory, placement and admission are those of `vivace serve --cluster`. A worker here is an `Admission` with measured
step times, and what a network and a process take is a constant each.
"""

from __future__ import annotations

import heapq
import itertools
import math
import random
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from vivace.cluster.directory import Directory
from vivace.cluster.records import Hello, ModelLoad, Place, Report, Want
from vivace.media.size import Size
from vivace.messages import Controls
from vivace.serve.admission import Admission, Demand
from vivace.serve.costs import StepCosts
from vivace.serve.limits import RefusedError
from vivace.serve.record import SessionRecord

MODEL = "mini"
SMALL: Size = (256, 256)
LARGE: Size = (512, 512)
STATE_MIB = {SMALL: 24, LARGE: 96}
MEMORY_MIB = 8192
QUEUE = 8
REPORT_S = 0.5
"""Between two reports of a worker in which something has changed."""
NETWORK_S = 0.02
"""From a gateway to the directory or a worker, and back."""
OPEN_S = 0.6
"""From a slot to a first picture: a connection is made, and the model opened."""
NOTICE_S = 0.5
"""From the end of a worker's process until a client of it asks for its session again."""
PATIENCE_S = 30.0
"""A client waits so long in a queue."""
TRIES = 3
"""Workers that are asked for a session before it is refused."""
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Device:
    """A kind of machine, by its times of a step of `mini`."""

    name: str
    share: float
    small: float
    """Time of a step at 256x256, in that of the commonest device."""
    large: float
    """The same at 512x512."""


DEVICES = (
    Device("two cores", 0.7, 1.0, 1.9),
    Device("four cores", 0.2, 0.53, 1.0),
    Device("two cores without bf16", 0.1, 2.0, 3.8),
)
"""Measured is the first, 21.9 and 41.7 ms (README, "How fast"); the others are taken to be twice and half as fast."""


@dataclass(frozen=True, slots=True)
class Plan:
    """Events of a simulated time."""

    workers: int
    sessions: int
    """Sessions at once that come at the busiest hour, if all are let in."""
    hours: float = 1.0
    step_ms: float = 21.9
    """Time of a step at 256x256 on the commonest device."""
    life_s: float = 600.0
    """Mean length of a session."""
    large: float = 0.2
    """Share of sessions at 512x512 instead of 256x256."""
    night: float = 0.3
    """Sessions at the quietest hour, in those of the busiest."""
    failures: float = 0.02
    """Failures of a worker's process an hour."""
    restart_s: float = 15.0
    """From a failure until the worker takes sessions again."""
    regions: int = 3
    seed: int = 0


@dataclass(slots=True)
class Outcome:
    """Figures of a simulation."""

    asked: int = 0
    accepted: int = 0
    queued: int = 0
    left: int = 0
    """Clients that ran out of patience in a queue."""
    refused: Counter[str] = field(default_factory=Counter)
    moved: int = 0
    lost: int = 0
    """Sessions of failed workers for which there was no other place."""
    most: int = 0
    """Sessions at once."""
    first_picture_s: list[float] = field(default_factory=list)
    resumed_s: list[float] = field(default_factory=list)
    """From a failure to the session's next picture."""
    place_ms: list[float] = field(default_factory=list)
    """Time of the directory's own work for a placement, on this machine."""
    calls: Counter[str] = field(default_factory=Counter)
    virtual_s: float = 0.0


@dataclass(slots=True)
class _Worker:
    name: str
    device: Device
    region: str
    step_ms: float
    """Time of a step of the commonest device."""
    incarnation: int = 0
    alive: bool = True
    admission: Admission = field(init=False)
    changed: list[SessionRecord] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    due: bool = False
    """True if a report is under way."""

    def __post_init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Start its process: measured, and empty."""
        costs = StepCosts(SMALL, self.step_ms * self.device.small)
        costs.observe(LARGE, self.step_ms * self.device.large)
        self.admission = Admission(
            slots=None, frame_ms=1e3 / 15, memory_limit_bytes=MEMORY_MIB * 2**20, queue_length=QUEUE, costs=costs
        )
        self.changed, self.ended = [], []


@dataclass(slots=True)
class _Session:
    record: SessionRecord
    size: Size
    region: str
    asked_s: float
    ends_s: float
    worker: str | None = None
    live: bool = False
    failed_s: float | None = None


class Simulation:
    """One run of a plan."""

    def __init__(self, plan: Plan, measure: Callable[[], float] = time.perf_counter) -> None:
        """Prepare a cluster; `measure` times the directory's own work."""
        self.plan = plan
        self.now_s = 0.0
        self.outcome = Outcome()
        self.directory = Directory("simulated", lambda: self.now_s, max_sessions=10 * plan.sessions + 1000)
        self._measure = measure
        self._random = random.Random(plan.seed)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self._sessions: dict[str, _Session] = {}
        self._workers: dict[str, _Worker] = {}
        devices = self._random.choices(DEVICES, [each.share for each in DEVICES], k=plan.workers)
        for index, device in enumerate(devices):
            worker = _Worker(f"w{index}", device, f"r{index % plan.regions}", plan.step_ms)
            self._workers[worker.name] = worker
            self._join(worker, restarted=False)

    def run(self) -> Outcome:
        """Play the plan from its quiet end of the day into its busiest hour."""
        plan = self.plan
        self._later(0.0, self._arrive)
        self._later(1.0, self._tick)
        if plan.failures > 0:
            self._later(self._next_failure_s(), self._fail)
        end_s = plan.hours * 3600
        while self._events and self._events[0][0] <= end_s:
            self.now_s, _, act = heapq.heappop(self._events)
            act()
        self.outcome.calls = self.directory.calls
        self.outcome.virtual_s = end_s
        return self.outcome

    def _later(self, delay_s: float, act: Callable[[], None]) -> None:
        heapq.heappush(self._events, (self.now_s + delay_s, next(self._order), act))

    # Clients

    def _arrivals_per_s(self) -> float:
        """Return how many sessions come a second: it is quiet half a day before the busiest hour, which is the end."""
        until_busiest = (self.plan.hours * 3600 - self.now_s) / DAY_S
        height = 0.5 * (1 + math.cos(2 * math.pi * until_busiest))
        share = self.plan.night + (1 - self.plan.night) * height
        return share * self.plan.sessions / self.plan.life_s

    def _arrive(self) -> None:
        self._later(self._random.expovariate(self._arrivals_per_s()), self._arrive)
        size = LARGE if self._random.random() < self.plan.large else SMALL
        client = f"c{next(self._order)}"
        record = SessionRecord.new(client, MODEL, Controls(size=size), None)
        ends_s = self.now_s + self._random.expovariate(1 / self.plan.life_s)
        region = f"r{self._random.randrange(self.plan.regions)}"
        session = _Session(record, size, region, self.now_s, ends_s)
        self.outcome.asked += 1
        self._sessions[record.id] = session
        self._later(2 * NETWORK_S, lambda: self._open(session))

    def _open(self, session: _Session, avoid: frozenset[str] = frozenset()) -> None:
        """Find a place, ask the worker, and ask others where it refuses."""
        while True:
            place = self._place(session, avoid)
            if place is None:
                return
            worker = self._workers[place.worker]
            if not worker.alive:
                self.directory.lose(worker.name, str(worker.incarnation))
                avoid |= {worker.name}
                continue
            try:
                has_slot = worker.admission.enter(session.record.id, _demand(session.size))
            except RefusedError:
                self.directory.release(place)
                self.directory.distrust(worker.name)
                avoid |= {worker.name}
                if len(avoid) >= TRIES:
                    self._refuse(session, "workers")
                    return
                continue
            break
        self.directory.opened(place, session.record)
        session.worker = worker.name
        worker.changed.append(session.record)
        self._report_soon(worker)
        if session.failed_s is None:
            self.outcome.accepted += 1
            self._later(max(0.0, session.ends_s - self.now_s), lambda: self._leave(session))
        else:
            self.outcome.moved += 1
        self.outcome.most = max(self.outcome.most, self.directory.session_count)
        if has_slot:
            self._go_live(session)
        else:
            self.outcome.queued += 1
            self._later(PATIENCE_S, lambda: self._lose_patience(session))

    def _place(self, session: _Session, avoid: frozenset[str]) -> Place | None:
        area = math.prod(session.size) / math.prod(SMALL)
        want = Want(model=MODEL, area=area, region=session.region, client=session.record.client, avoid=avoid)
        began_s = self._measure()
        try:
            return self.directory.place(want)
        except RefusedError as error:
            self._refuse(session, error.code)
            return None
        finally:
            self.outcome.place_ms.append(1e3 * (self._measure() - began_s))

    def _refuse(self, session: _Session, why: str) -> None:
        del self._sessions[session.record.id]
        if session.failed_s is None:
            self.outcome.refused[why] += 1
        else:
            self.outcome.lost += 1

    def _go_live(self, session: _Session) -> None:
        session.live = True
        shown_s = self.now_s + OPEN_S
        if session.failed_s is None:
            self.outcome.first_picture_s.append(shown_s - session.asked_s)
        else:
            self.outcome.resumed_s.append(shown_s - session.failed_s)

    def _lose_patience(self, session: _Session) -> None:
        if not session.live and session.record.id in self._sessions:
            self.outcome.left += 1
            self._leave(session)

    def _leave(self, session: _Session) -> None:
        if self._sessions.pop(session.record.id, None) is None or session.worker is None:
            return
        worker = self._workers[session.worker]
        if worker.alive:
            worker.admission.leave(session.record.id, self.now_s - session.asked_s)
            worker.ended.append(session.record.id)
            self._move_up(worker)
            self._report_soon(worker)

    def _move_up(self, worker: _Worker) -> None:
        for session_id in worker.admission.move_up():
            self._go_live(self._sessions[session_id])

    # Workers

    def _join(self, worker: _Worker, *, restarted: bool) -> None:
        hello = Hello(
            name=worker.name,
            incarnation=str(worker.incarnation),
            version=self.directory.version,
            url=f"http://{worker.name}",
            region=worker.region,
            restarted=restarted,
        )
        self.directory.register(hello)
        self._report(worker)

    def _report_soon(self, worker: _Worker) -> None:
        if not worker.due:
            worker.due = True
            self._later(REPORT_S, lambda: self._report(worker))

    def _report(self, worker: _Worker) -> None:
        worker.due = False
        if not worker.alive:
            return
        self.directory.report(
            Report(
                name=worker.name,
                incarnation=str(worker.incarnation),
                models={MODEL: ModelLoad.of(worker.admission)},
                changed=worker.changed,
                ended=worker.ended,
            )
        )
        worker.changed, worker.ended = [], []

    def _tick(self) -> None:
        """Let workers in which nothing has changed be heard, and those that fell silent be lost."""
        self._later(1.0, self._tick)
        self.directory.heard(name for name, worker in self._workers.items() if worker.alive)
        self.directory.expire()

    def _next_failure_s(self) -> float:
        return self._random.expovariate(self.plan.failures * self.plan.workers / 3600)

    def _fail(self) -> None:
        self._later(self._next_failure_s(), self._fail)
        worker = self._workers[self._random.choice(tuple(self._workers))]
        if not worker.alive:
            return
        worker.alive = False
        self._later(self.plan.restart_s, lambda: self._restart(worker))
        for session in [each for each in self._sessions.values() if each.worker == worker.name]:
            session.worker, session.live, session.failed_s = None, False, self.now_s
            self._later(NOTICE_S, lambda session=session: self._again(session, worker))  # type: ignore[misc]

    def _again(self, session: _Session, worker: _Worker) -> None:
        """Have a client's session go on elsewhere, if it still wants it."""
        if session.record.id in self._sessions:
            self.directory.lose(worker.name, str(worker.incarnation))
            self._open(session, frozenset({worker.name}))

    def _restart(self, worker: _Worker) -> None:
        worker.alive = True
        worker.incarnation += 1
        worker.begin()
        self._join(worker, restarted=True)


def _demand(size: Size) -> Demand:
    return Demand(STATE_MIB[size] * 2**20, size)
