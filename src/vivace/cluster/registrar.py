"""The directory at work: told of workers, asked by gateways, kept in a file, and having sessions moved."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from vivace.cluster.checkpoint import Checkpoint
from vivace.cluster.directory import Directory, UnknownWorkerError
from vivace.cluster.records import Drained, Hello, Place, Refusal, Report, Want, WorkerState
from vivace.cluster.scaling import Scaling
from vivace.errors import VivaceError
from vivace.serve.record import SessionRecord

_log = logging.getLogger(__name__)

TICK_S = 0.5
TRIES = 3
"""Workers that are asked to go on with a session."""
SETTLE_S = 0.1
MOVE_S = 20.0
"""Time for one worker to answer, with a model that may have to be opened."""


class WorkerPort(Protocol):
    """Worker as the directory needs it; one that is gone is a ConnectionError."""

    async def restore(self, record: SessionRecord) -> Refusal | None:
        """Go on with a session; return why not."""

    async def release(self, session_id: str) -> bool:
        """Let go of a session."""

    async def record(self, session_id: str) -> SessionRecord | None:
        """Return a session as it is steered now."""

    async def restart(self) -> None:
        """Have its process started anew."""


class FleetPort(Protocol):
    """Workers that can be had and let go of."""

    def start(self, names: list[str]) -> None:
        """Ask for workers of these names."""

    def stop(self, name: str) -> None:
        """End a worker for good."""


class Registrar:
    """Directory of a cluster with what keeps it: a file, a clock, and ways to its workers. On one event loop."""

    def __init__(
        self,
        directory: Directory,
        checkpoint: Checkpoint,
        reach: Callable[[str], WorkerPort],
        default_model: str,
        scaling: Scaling | None = None,
        fleet: FleetPort | None = None,
    ) -> None:
        """Go on from the checkpoint; `reach` returns a worker by its name.

        With `scaling` the `fleet` has more or fewer workers as it says.
        """
        self._scaling, self._fleet = scaling, fleet
        self._directory = directory
        self._checkpoint = checkpoint
        self._reach = reach
        self._default_model = default_model
        self._moving: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        directory.remember(checkpoint.load())

    async def keep_house(self) -> None:
        """Lose workers that fall silent, and forget what nobody comes back for, without end."""
        while True:
            await asyncio.sleep(TICK_S)
            try:
                await self._tick()
            except Exception:  # noqa: BLE001  (the next look may do better; the log has it)
                _log.exception("looking after the cluster failed; it goes on")

    async def _tick(self) -> None:
        before = {record.id for record in self._directory.lost()}
        for name in self._directory.expire():
            _log.warning("worker %s is silent; its sessions wait for their clients", name)
        gone = [session_id for session_id in before if self._directory.find(session_id) is None]
        self._checkpoint.save((), gone)
        for session_id in self._directory.better_off():
            await self.move(session_id)
        await self._scale()
        for session_id in [key for key, lock in self._moving.items() if not lock.locked()]:
            del self._moving[session_id]

    async def _scale(self) -> None:
        """Ask for workers that are missing, and let go of one that would not be missed."""
        if self._scaling is None or self._fleet is None:
            return
        workers = self._directory.workers()
        if missing := self._scaling.missing(workers):
            _log.info("sessions wait: %s are asked for", ", ".join(missing))
            self._fleet.start(missing)
        elif (name := self._scaling.superfluous(workers)) is not None:
            incarnation = self._directory.place_on(name).incarnation  # it may be lost while it is drained
            await self.drain(name, on=True, move=True)
            if self._directory.sessions_of(name):
                self._directory.drain(name, False)
                return
            _log.info("worker %s is let go", name)
            self._fleet.stop(name)
            self._directory.lose(name, incarnation)

    # What workers say

    def register(self, hello: Hello) -> Refusal | None:
        """Take a worker in, or say why not."""
        try:
            self._directory.register(hello)
        except VivaceError as error:
            _log.error("%s", error)
            return Refusal.of(error)
        _log.info("worker %s is in the cluster, at %s", hello.name, hello.url)
        return None

    def report(self, report: Report) -> list[str] | None:
        """Take a report; return sessions that are another worker's by now, None if the worker has to register."""
        try:
            strangers = self._directory.report(report)
        except UnknownWorkerError:
            return None
        kept = [record for record in report.changed if record.id not in strangers]
        self._checkpoint.save(kept, [each for each in report.ended if self._directory.find(each) is None])
        return strangers

    # What gateways ask

    def place(self, want: Want) -> Place | Refusal:
        """Return where a new session goes."""
        try:
            return self._directory.place(want)
        except VivaceError as error:
            return Refusal.of(error)

    def opened(self, place: Place, record: SessionRecord) -> None:
        """Note that a session has come to its place."""
        self._directory.opened(place, record)
        if (found := self._directory.find(record.id)) is not None:  # its worker's own record, if that came first
            self._checkpoint.save([found[0]])

    def refused(self, place: Place, *, full: bool) -> None:
        """Give a place back; `full`: the worker refused it in spite of what it had reported."""
        self._directory.release(place)
        if full:
            self._directory.distrust(place.worker)

    def unreachable(self, place: Place) -> None:
        """Note that a gateway could not reach a worker: its sessions are opened elsewhere when they are asked for."""
        if self._directory.lose(place.worker, place.incarnation):
            _log.warning("worker %s at %s does not answer a gateway", place.worker, place.url)

    def anyone(self) -> Place | Refusal:
        """Return a worker for what any of them answers: one that takes sessions, or else any."""
        states = self._directory.workers()
        if not states:
            return Refusal(code="no_worker", message="no worker runs; try again in a few seconds", retry_after_s=2.0)
        best = max(states, key=lambda state: (any(load.loaded for load in state.models.values()), not state.draining))
        return self._directory.place_on(best.name)

    async def route(self, session_id: str) -> Place | Refusal | None:
        """Return where a session is, after it was opened again where it was lost; None if there is none of the name."""
        found = self._directory.find(session_id)
        if found is None:
            return None
        if found[1] is not None:
            return self._directory.place_on(found[1])
        async with self._moving[session_id]:
            return await self._place_again(session_id)

    async def move(self, session_id: str, to: str | None = None) -> Place | Refusal | None:
        """Have a session go on at another worker, the best one or that of a name; None if there is no such session.

        It is opened there before it is let go of here.
        """
        async with self._moving[session_id]:
            found = self._directory.find(session_id)
            if found is None or found[1] is None:
                return None if found is None else await self._place_again(session_id)
            here = found[1]
            worker = self._reach(here)
            try:
                record = await worker.record(session_id) or found[0]
            except ConnectionError:
                record = found[0]
            if to is not None:
                try:
                    place: Place | Refusal = self._directory.place_on(to)
                except UnknownWorkerError as error:
                    return Refusal.of(error)
            else:
                place = self.place(self._want(record, frozenset({here})))
            if isinstance(place, Refusal) or place.worker == here:
                return place
            if (refusal := await self._restore(place, record)) is not None:
                self._directory.release(place)
                return refusal
            self._directory.move(session_id, place.worker)
            self._directory.release(place)
            self._checkpoint.save([record])
            try:
                await worker.release(session_id)
            except ConnectionError:  # whoever comes back is told with its next report
                _log.warning("worker %s could not be told that session %s has moved", here, session_id)
            return place

    async def drain(self, name: str, *, on: bool, move: bool, restart: bool = False) -> Refusal | Drained:
        """Give a worker nothing new, and have its sessions go on elsewhere; return how many did.

        `restart` starts its process anew after that, unless sessions stay for which there is no other place.
        """
        try:
            self._directory.drain(name, on)
        except UnknownWorkerError as error:
            return Refusal.of(error)
        if not (on and move):
            return Drained(moved=0, stayed=len(self._directory.sessions_of(name)))
        answers = await asyncio.gather(*(self.move(record.id) for record in self._directory.sessions_of(name)))
        refused = [answer for answer in answers if isinstance(answer, Refusal)]
        if restart:
            if refused:
                text = f"{len(refused)} sessions of {name} find no other place ({refused[0].message}); it goes on"
                return Refusal(code="no_worker", message=text)
            await self._reach(name).restart()
        moved = sum(isinstance(answer, Place) for answer in answers)  # one that ended meanwhile did neither
        return Drained(moved=moved, stayed=len(refused))

    def workers(self) -> list[WorkerState]:
        """Return all workers."""
        return self._directory.workers()

    # Within

    async def _place_again(self, session_id: str) -> Place | Refusal | None:
        """Open a lost session on another worker."""
        while not self._directory.settled and session_id in {record.id for record in self._directory.lost()}:
            await asyncio.sleep(SETTLE_S)  # after a restart of the directory, its worker may only have to say so
        avoid: frozenset[str] = frozenset()
        answer: Place | Refusal = Refusal(code="no_worker", message="no worker runs", retry_after_s=2.0)
        for _ in range(TRIES):
            found = self._directory.find(session_id)
            if found is None:
                return None
            record, worker = found
            if worker is not None:
                return self._directory.place_on(worker)  # it has reported it meanwhile
            answer = self.place(self._want(record, avoid))
            if isinstance(answer, Refusal):
                return answer
            refusal = await self._restore(answer, record)
            if refusal is None:
                self._directory.opened(answer, record)
                _log.info("session %s goes on at worker %s", session_id, answer.worker)
                return answer
            avoid |= {answer.worker}
            self.refused(answer, full=True)
            answer = refusal
        return answer

    async def _restore(self, place: Place, record: SessionRecord) -> Refusal | None:
        try:
            async with asyncio.timeout(MOVE_S):
                return await self._reach(place.worker).restore(record)
        except (ConnectionError, TimeoutError) as error:
            self.unreachable(place)
            return Refusal(code="no_worker", message=f"worker {place.worker} does not answer ({error})")

    def _want(self, record: SessionRecord, avoid: frozenset[str]) -> Want:
        return Want(model=record.model or self._default_model, avoid=avoid, waits=False)


def open_registrar(
    version: str,
    clock: Callable[[], float],
    path: Path,
    reach: Callable[[str], WorkerPort],
    *,
    default_model: str,
    max_sessions_per_client: int,
    scaling: Scaling | None = None,
    fleet: FleetPort | None = None,
) -> Registrar:
    """Return a registrar on a file.

    Raises:
        UsageError: the file cannot be used.
    """
    directory = Directory(version, clock, max_sessions_per_client=max_sessions_per_client)
    return Registrar(directory, Checkpoint(path), reach, default_model, scaling, fleet)
