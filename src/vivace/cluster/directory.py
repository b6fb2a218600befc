"""Directory of a cluster: its workers, its sessions, and which worker has which session.

It decides nothing about pictures and holds none. Workers tell it what they can take and what has changed; gateways ask
it where a session goes, and where it is. A worker that has fallen silent, or that a gateway could not reach, is lost:
its sessions are given to others when their clients come back for them. All of it is plain code that is told the time.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from vivace.cluster.placement import Offer, Placement
from vivace.cluster.records import Hello, ModelLoad, Place, Report, Want, WorkerState
from vivace.errors import UsageError
from vivace.serve.limits import RefusedError
from vivace.serve.record import SessionRecord

SILENCE_S = 3.0
"""A worker that was not heard for so long is lost. It reports twice a second."""
KEEP_LOST_S = 60.0
"""A session of a lost worker is kept so long for its client."""
RESERVED_S = 5.0
"""A place that was given away is kept so long for its session to come."""
DISTRUST_S = 5.0
"""A worker that refuses what it said it had room for is given nothing new for so long."""
MAX_WORKERS = 20_000
MAX_SESSIONS = 200_000


class UnknownWorkerError(UsageError):
    """A worker that the directory does not know, or no longer: it has to come in again and tell all."""


class WorkerRefusedError(UsageError):
    """A worker that may not come into this cluster."""


class DirectoryFullError(RefusedError):
    """The cluster has as many workers or sessions as it can keep track of."""

    def __init__(self, what: str, most: int) -> None:
        super().__init__("directory_full", f"the cluster has {most:,} {what}, all that it can keep track of", 30.0)


@dataclass(slots=True)
class _Worker:
    hello: Hello
    heard_s: float
    models: dict[str, ModelLoad] = field(default_factory=dict)
    sessions: set[str] = field(default_factory=set)
    reserved: dict[str, tuple[float, str, float]] = field(default_factory=dict)
    """Places given away by ticket: until when, model, weight."""
    arrived: dict[str, str] = field(default_factory=dict)
    """Tickets by sessions that have come, and that no report has counted yet."""
    waiting: list[str] = field(default_factory=list)
    """Sessions that wait there for a slot."""
    draining: bool = False
    distrusted_until_s: float = 0.0

    def offers(self, model: str, now_s: float) -> Offer | None:
        """Return what it offers of a model; nothing while it is to take no sessions."""
        load = self.models.get(model)
        if load is None or self.draining or now_s < self.distrusted_until_s:
            return None
        taken = sum(weight for _, of, weight in self.reserved.values() if of == model)
        # Of a model that is not loaded nobody knows what it costs: it is taken to do at least one session.
        room = load.free if load.loaded else max(1.0, load.free)
        return Offer(load.loaded, max(0.0, room - taken), load.waiting / max(1, load.slots), self.hello.region)


@dataclass(slots=True)
class _Session:
    record: SessionRecord
    worker: str | None
    """None: it was lost."""


class Directory:
    """Workers and sessions of one cluster. Not thread-safe: whoever owns it calls it from one thread."""

    def __init__(
        self,
        version: str,
        clock: Callable[[], float],
        *,
        max_workers: int = MAX_WORKERS,
        max_sessions: int = MAX_SESSIONS,
        max_sessions_per_client: int | None = None,
    ) -> None:
        """Begin empty, for workers of one version of Vivace; `clock` gives monotonic seconds."""
        self.version = version
        self.calls: Counter[str] = Counter()
        """Number of calls, by kind."""
        self._clock = clock
        self._max_workers = max_workers
        self._max_sessions = max_sessions
        self._per_client = max_sessions_per_client
        self._workers: OrderedDict[str, _Worker] = OrderedDict()
        """The one heard longest ago first."""
        self._sessions: dict[str, _Session] = {}
        self._lost: OrderedDict[str, float] = OrderedDict()
        """Sessions without a worker, by when they were lost."""
        self._clients: Counter[str] = Counter()
        self._placement = Placement()
        self._growth: dict[str, float] = {}
        """By model, as measured last."""
        self._settled_s = clock()
        self._tickets = 0
        self._reservations: OrderedDict[str, str] = OrderedDict()
        """Workers by ticket, the oldest first."""
        self._distrusted: deque[str] = deque()
        """Workers, the one that is trusted again first in front."""

    # Workers

    def register(self, hello: Hello) -> None:
        """Take a worker in.

        Raises:
            WorkerRefusedError: another version, or a name that a live worker has.
            DirectoryFullError: too many workers.
        """
        self.calls["register"] += 1
        if hello.version != self.version:
            raise WorkerRefusedError(
                f"worker {hello.name} runs Vivace {hello.version}, and this cluster {self.version}; install the same "
                "version on all machines"
            )
        known = self._workers.get(hello.name)
        if known is not None and known.hello.incarnation != hello.incarnation:
            silent_s = self._clock() - known.heard_s
            if not hello.restarted and silent_s < SILENCE_S:
                raise WorkerRefusedError(
                    f"there is a worker {hello.name} already, at {known.hello.url}, heard {silent_s:.1f} s ago; give "
                    "this one another name"
                )
            self._drop(hello.name)
        elif known is None and len(self._workers) >= self._max_workers:
            raise DirectoryFullError("workers", self._max_workers)
        if hello.name not in self._workers:
            self._workers[hello.name] = _Worker(hello, self._clock())

    def report(self, report: Report) -> list[str]:
        """Take a worker's report; return the sessions among those it has that are somebody else's by now.

        Raises:
            UnknownWorkerError: it is not known, as after it was lost: it has to register and to report all sessions.
        """
        self.calls["report"] += 1
        worker = self._known(report.name, report.incarnation)
        worker.heard_s = self._clock()
        self._workers.move_to_end(report.name)
        strangers = [record.id for record in report.changed if not self._take(record, report.name)]
        for session_id in report.ended:
            if (session := self._sessions.get(session_id)) is not None and session.worker == report.name:
                self._forget(session_id)
        for session_id in (*(record.id for record in report.changed), *report.ended):
            if (ticket := worker.arrived.pop(session_id, None)) is not None:
                self._reservations.pop(ticket, None)
                worker.reserved.pop(ticket, None)
        gone = worker.models.keys() - report.models.keys()
        worker.models = dict(report.models)
        worker.waiting = list(report.waiting)
        self._growth.update((model, load.growth) for model, load in report.models.items() if load.loaded)
        self._offer(report.name, worker, {*gone, *report.models})
        return strangers

    def heard(self, names: Iterable[str]) -> None:
        """Note that workers live, in which nothing has changed."""
        now_s = self._clock()
        for name in names:
            if (worker := self._workers.get(name)) is not None:
                worker.heard_s = now_s
                self._workers.move_to_end(name)

    def lose(self, name: str, incarnation: str) -> bool:
        """Take a worker for lost, which nobody reaches; its sessions wait for their clients. Return whether it was."""
        self.calls["lose"] += 1
        worker = self._workers.get(name)
        if worker is None or worker.hello.incarnation != incarnation:
            return False
        self._drop(name)
        return True

    def expire(self) -> list[str]:
        """Lose workers that have fallen silent, and forget what nobody came back for; return those workers."""
        now_s = self._clock()
        silent = []
        for name, worker in self._workers.items():
            if now_s - worker.heard_s < SILENCE_S:
                break
            silent.append(name)
        for name in silent:
            self._drop(name)
        while self._lost and now_s - next(iter(self._lost.values())) >= KEEP_LOST_S:
            self._forget(next(iter(self._lost)))
        while self._distrusted:
            refusing = self._workers.get(self._distrusted[0])
            if refusing is not None and now_s < refusing.distrusted_until_s:
                break
            name = self._distrusted.popleft()
            if refusing is not None:
                self._offer(name, refusing, refusing.models)
        self._expire_reservations()
        return silent

    def drain(self, name: str, on: bool = True) -> None:
        """Give a worker no new sessions any more, or again.

        Raises:
            UnknownWorkerError: there is none of this name.
        """
        worker = self._workers.get(name)
        if worker is None:
            known = ", ".join(sorted(self._workers)[:20]) or "none"
            raise UnknownWorkerError(f"there is no worker {name[:80]!r} in this cluster; there are: {known}")
        worker.draining = on
        self._offer(name, worker, worker.models)

    def distrust(self, name: str) -> None:
        """Give a worker nothing for a while: it has refused what it had said to have room for."""
        if (worker := self._workers.get(name)) is not None:
            worker.distrusted_until_s = self._clock() + DISTRUST_S
            self._distrusted.append(name)
            self._offer(name, worker, worker.models)

    def workers(self) -> list[WorkerState]:
        """Return all workers, by name."""
        now_s = self._clock()
        return [
            WorkerState(
                name=name,
                url=worker.hello.url,
                region=worker.hello.region,
                node=worker.hello.node,
                version=worker.hello.version,
                models=worker.models,
                sessions=len(worker.sessions),
                draining=worker.draining,
                silent_s=now_s - worker.heard_s,
            )
            for name, worker in sorted(self._workers.items())
        ]

    # Sessions

    def place(self, want: Want) -> Place:
        """Return where a session goes: to room, or else to the shortest queue. The place is kept for it a while.

        Raises:
            RefusedError: no worker runs, or none takes it; the client has enough; or there are too many sessions.
        """
        self.calls["place"] += 1
        if len(self._sessions) >= self._max_sessions:
            raise DirectoryFullError("sessions", self._max_sessions)
        if self._per_client is not None and self._clients[want.client] >= self._per_client:
            raise RefusedError(
                "too_many_sessions",
                f"this client has {self._per_client} sessions, the most that one may have; end one first",
            )
        self._expire_reservations()
        weight = want.rate * max(1.0, want.area) ** self._growth.get(want.model, 1.0)
        self._placement.expect(weight)
        name = self._placement.choose(want.model, weight, want.region, want.avoid)
        if name is None and want.waits:
            name = self._placement.shortest_queue(want.model, want.region, want.avoid)
        if name is None and not any(worker.models for worker in self._workers.values()):
            text = f"{len(self._workers)} workers run, and none is ready yet; try again in a few seconds"
            raise RefusedError("loading", text, 2.0)
        if name is None:
            what = "every worker has refused it" if want.avoid else f"no worker takes sessions of {want.model} now"
            raise RefusedError("no_worker", f"{what}; try again in a few seconds", 2.0)
        self._tickets += 1
        worker, ticket = self._workers[name], str(self._tickets)
        worker.reserved[ticket] = self._clock() + RESERVED_S, want.model, weight
        self._reservations[ticket] = name
        self._offer(name, worker, [want.model])
        return self.place_on(name, ticket)

    def place_on(self, name: str, ticket: str = "") -> Place:
        """Return a worker as the place of a session.

        Raises:
            UnknownWorkerError: there is none of this name.
        """
        hello = self._known(name).hello
        return Place(worker=name, url=hello.url, incarnation=hello.incarnation, ticket=ticket)

    def opened(self, place: Place, record: SessionRecord) -> None:
        """Note that a session has come to its place."""
        self.calls["opened"] += 1
        worker = self._workers.get(place.worker)
        if worker is None:
            return
        if record.id in worker.sessions:  # its report came first, and counts it
            self.release(place)
        else:
            worker.arrived[record.id] = place.ticket
            self._take(record, place.worker)

    def release(self, place: Place) -> None:
        """Give a place back that nobody came to."""
        self._reservations.pop(place.ticket, None)
        worker = self._workers.get(place.worker)
        if worker is not None and (kept := worker.reserved.pop(place.ticket, None)) is not None:
            self._offer(place.worker, worker, [kept[1]])

    def find(self, session_id: str) -> tuple[SessionRecord, str | None] | None:
        """Return a session's record and its worker, None in place of that for one that was lost."""
        self.calls["find"] += 1
        session = self._sessions.get(session_id)
        return None if session is None else (session.record, session.worker)

    def move(self, session_id: str, worker: str) -> None:
        """Note that a session is on another worker now."""
        session = self._sessions[session_id]
        self._take(session.record, worker, moved=True)

    def sessions_of(self, name: str) -> list[SessionRecord]:
        """Return the sessions of a worker."""
        worker = self._workers.get(name)
        return [] if worker is None else [self._sessions[session_id].record for session_id in sorted(worker.sessions)]

    def better_off(self) -> list[str]:
        """Return sessions that wait for a slot at one worker while another has room, at most one of each worker."""
        found = []
        for name, worker in self._workers.items():
            known = (self._sessions[each].record for each in worker.waiting if each in self._sessions)
            record = next(known, None)
            if record is None or record.model is None:
                continue
            if self._placement.choose(record.model, 1.0, worker.hello.region, {name}) is not None:
                found.append(record.id)
        return found

    def lost(self) -> list[SessionRecord]:
        """Return the sessions without a worker."""
        return [self._sessions[session_id].record for session_id in self._lost]

    @property
    def settled(self) -> bool:
        """True once workers had the time to report the sessions of a checkpoint."""
        return self._clock() >= self._settled_s

    @property
    def session_count(self) -> int:
        """Number of sessions."""
        return len(self._sessions)

    def remember(self, records: Iterable[SessionRecord]) -> None:
        """Take sessions from a checkpoint: they are without a worker until one reports them, which takes a while."""
        self._settled_s = self._clock() + SILENCE_S
        for record in records:
            if record.id not in self._sessions:
                self._sessions[record.id] = _Session(record, None)
                self._lost[record.id] = self._clock()
                self._clients[record.client] += 1

    # Within

    def _known(self, name: str, incarnation: str | None = None) -> _Worker:
        worker = self._workers.get(name)
        if worker is None or incarnation not in (None, worker.hello.incarnation):
            raise UnknownWorkerError(f"worker {name} is not known here (any more); it has to register again")
        return worker

    def _take(self, record: SessionRecord, name: str, *, moved: bool = False) -> bool:
        """Note a session of a worker; return False where it is another worker's, to which it has moved."""
        known = self._sessions.get(record.id)
        if known is None:
            self._clients[record.client] += 1
            self._sessions[record.id] = _Session(record, name)
        elif known.worker in (None, name) or moved:
            if known.worker is not None:
                self._workers[known.worker].sessions.discard(record.id)
            self._lost.pop(record.id, None)
            known.record, known.worker = record, name
        else:
            return False
        self._workers[name].sessions.add(record.id)
        return True

    def _forget(self, session_id: str) -> None:
        session = self._sessions.pop(session_id)
        self._lost.pop(session_id, None)
        self._clients[session.record.client] -= 1
        if self._clients[session.record.client] <= 0:
            del self._clients[session.record.client]
        if session.worker is not None:
            self._workers[session.worker].sessions.discard(session_id)

    def _drop(self, name: str) -> None:
        worker = self._workers.pop(name)
        now_s = self._clock()
        for session_id in sorted(worker.sessions):
            session = self._sessions[session_id]
            session.worker = None
            self._lost[session_id] = now_s
        for model in worker.models:
            self._placement.put(name, model, None)
        for ticket in worker.reserved:
            self._reservations.pop(ticket, None)

    def _expire_reservations(self) -> None:
        now_s = self._clock()
        while self._reservations:
            ticket, name = next(iter(self._reservations.items()))
            worker = self._workers[name]
            until_s, model, _ = worker.reserved[ticket]
            if now_s < until_s:
                return
            del self._reservations[ticket], worker.reserved[ticket]
            worker.arrived = {session: kept for session, kept in worker.arrived.items() if kept != ticket}
            self._offer(name, worker, [model])

    def _offer(self, name: str, worker: _Worker, models: Iterable[str]) -> None:
        now_s = self._clock()
        for model in models:
            self._placement.put(name, model, worker.offers(model, now_s))
