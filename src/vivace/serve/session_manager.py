"""Sessions of a server: who may open one, who gets a slot, and who has left without saying so."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import RLock
from typing import Any

from vivace import messages
from vivace.errors import SessionClosedError
from vivace.media.size import Size
from vivace.models.base import StreamModel
from vivace.serve.admission import Demand
from vivace.serve.context import SessionContext
from vivace.serve.limits import RefusedError
from vivace.serve.logs import event
from vivace.serve.marking import Marking
from vivace.serve.offered_models import OfferedModels
from vivace.serve.presence import EndReason
from vivace.serve.record import SessionRecord
from vivace.serve.recording import Recording, RecordingLimits, RecordingStore
from vivace.serve.served_model import ServedModel
from vivace.serve.session import LiveSession
from vivace.serve.settings import ServeSettings
from vivace.serve.snapshot import ServerSnapshot, model_snapshot
from vivace.serve.steering import check_opening
from vivace.show.drive import followers
from vivace.stream.account import SERVED_STAGES, Account
from vivace.stream.finish import Finisher
from vivace.stream.histogram import merged
from vivace.stream.kept import KeptTotals
from vivace.trust.moderation import Moderation

_log = logging.getLogger(__name__)

TICK_S = 0.5
"""Twice a second: statistics, and who is overdue."""
OPENERS = 2
"""Threads that open models for sessions: compiling for one size must not keep another waiting."""
DRAIN_LOOK_S = 0.1
KNOWN_ENDS = 256
"""Ended sessions of which the reason is still known."""
CLOSE_S = 5.0
"""Time for recordings and threads to come to their end."""


@dataclass(frozen=True, slots=True)
class Quota:
    """Sessions that a client has and may have."""

    sessions: int
    max_sessions: int
    slots: int
    """Number of slots of all loaded models."""
    free_slots: int
    waiting: int
    queue_length: int
    draining: bool


class SessionManager:
    """The sessions of one server. Thread-safe; `start`, `stop` and `drain` belong to the event loop."""

    def __init__(
        self,
        settings: ServeSettings,
        load_model: Callable[[str], StreamModel[Any]] | None = None,
        clock: Callable[[], float] = time.monotonic,
        finishers: Callable[[str], Sequence[Finisher]] = lambda _session: (),
        marking: Marking | None = None,
        moderation: Moderation | None = None,
    ) -> None:
        """Make a manager; nothing is loaded before `start` or the first session.

        Args:
            settings: how it runs.
            load_model: loads a model by name; None is `vivace.models.load_model`.
            clock: monotonic seconds, the same as of the frames' capture times.
            finishers: makes what is done to every frame of a session before it leaves (`stream.finish`), from its id.
            marking: what marks pictures and recordings; None: nothing. Its finishers come after the others.
            moderation: what refuses prompts and pictures; None: nothing.
        """
        self.settings = settings
        self.clock = clock
        self.draining = False
        self.models = OfferedModels(settings, load_model, clock)
        """No session opens while `start` loads the default one."""
        self.marking = marking or Marking()
        self.moderation = moderation or Moderation()
        self._finishers = lambda session: (
            *finishers(session),
            *self.moderation.finishers(live=True, language=settings.label_language),
            *self.marking.pictures(session).finishers,
        )
        limits = RecordingLimits(
            settings.recording_max_mib * 2**20, settings.recording_max_s, settings.recordings_total_mib * 2**20
        )
        self.recording_store = None if settings.recordings is None else RecordingStore(settings.recordings, limits)
        """Recordings; None if nobody can record."""
        self._lock = RLock()
        """Guards sessions and admissions. May be taken before a session's lock, never after."""
        self._sessions: dict[str, LiveSession] = {}
        self._ended: Counter[EndReason] = Counter()
        self._ends: OrderedDict[str, messages.Ended] = OrderedDict()
        self._opened = 0
        self._drops: Counter[str] = Counter()
        self._kept = KeptTotals()
        self._stages = Account(SERVED_STAGES, clock).totals()
        """Both of sessions that have ended."""
        self._closing: list[Recording] = []
        self._background = ThreadPoolExecutor(OPENERS, thread_name_prefix="vivace-open")
        self._housekeeping: asyncio.Task[None] | None = None
        self.on_change: Callable[[str], None] = lambda _session_id: None
        """Is told, in any thread, of a session that has begun, ended, or whose record has changed."""

    # Life of the server

    async def start(self) -> None:
        """Load and measure the default model, and begin housekeeping.

        Raises:
            UnknownModelError: no such profile.
            DeviceError: this machine cannot run it.
        """
        await self.models.load_default()
        self._housekeeping = asyncio.create_task(self._keep_house(), name="vivace-housekeeping")

    @property
    def ready(self) -> bool:
        """True while new sessions can be opened: the default model is loaded and its engine runs."""
        return self.models.ready and not self.draining

    async def drain(self, timeout_s: float | None = None) -> None:
        """Take no new sessions, tell the running ones, wait for them to leave, and end those that did not.

        Recordings are complete when this returns.
        """
        timeout_s = self.settings.drain_s if timeout_s is None else timeout_s
        with self._lock:
            self.draining = True
        text = f"The server shuts down in {timeout_s:.0f} s. Finish and connect again in a minute."
        for session in self.sessions():
            if session.state == "waiting":
                session.end("drain", "The server is shutting down. Connect again in a minute.")
            else:
                session.tell(messages.Error(code="draining", message=text))
        looks = round(timeout_s / DRAIN_LOOK_S)
        while looks > 0 and self.sessions():
            await asyncio.sleep(DRAIN_LOOK_S)
            looks -= 1
        for session in self.sessions():
            session.end("drain", "The server is shutting down. Connect again in a minute.")
        await asyncio.to_thread(self._close_recordings)

    async def stop(self) -> None:
        """End everything: sessions, recordings, engines, threads. Any number of times."""
        await self.drain(0.0)
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            await asyncio.gather(self._housekeeping, return_exceptions=True)
            self._housekeeping = None
        await asyncio.to_thread(self._stop_threads)

    def _close_recordings(self) -> None:
        with self._lock:
            closing, self._closing = self._closing, []
        for recording in closing:
            if not recording.join(CLOSE_S):
                _log.error(
                    "recording %s did not close in %.0f s; it plays up to its last half second", recording.name, CLOSE_S
                )

    def _stop_threads(self) -> None:
        self._background.shutdown(wait=True, cancel_futures=True)
        for served in self.models.loaded().values():
            if not served.engine.stop(CLOSE_S):
                _log.error("engine %s is in a step that does not end", served.name)

    async def _keep_house(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            try:
                self.tick()
            except Exception:  # noqa: BLE001  (the next look may do better; the log has it)
                _log.exception("housekeeping failed; it goes on")

    def tick(self) -> None:
        """Look after everybody once: end who is overdue, move the queue up, send statistics and positions."""
        now_s = self.clock()
        for session in self.sessions():
            if (due := session.presence.overdue(now_s, session.live_since_s)) is not None:
                session.end(*due)
        with self._lock:
            self._move_up()
            self._closing = [recording for recording in self._closing if not recording.join(0.0)]
        for session in self.sessions():
            if session.state == "live":
                session.tell_stats()

    # Sessions

    def open_session(
        self,
        *,
        client: str,
        model: str | None = None,
        controls: messages.Controls | None = None,
        fps: float | None = None,
        drive: Sequence[str] | None = None,
        resume: str | None = None,
    ) -> LiveSession:
        """Open a session, live or waiting; or give one back to a client that knows its secret.

        May load a model and encodes the prompt, so an event loop calls it through `asyncio.to_thread`.

        Args:
            client: whom the limit on sessions counts, e.g. an address.
            model: one of the settings' models; None is the first.
            controls: to begin with. A prompt that the model cannot serve is left out, which `LiveSession.notices` says.
            fps: frames a second to be promised, 1 to 60; None: the settings' `min_fps`.
            drive: controls that follow its sound, such as `strength=level`; None: the settings' `drive`.
            resume: `secret` of an earlier session. If that has ended, a new one is opened.

        Raises:
            RefusedError: the server starts or drains, the client has enough, or the queue is full; with `code`.
            UnknownModelError: not one of the settings' models.
            PolicyError: a prompt or a picture is refused.
            ControlError: another control that cannot be used.
        """
        with self._lock:
            self._check_welcome(client, resuming=resume is not None)
            if resume is not None and (session := self._by_secret(resume)) is not None:
                session.resume()
                return session
        drive = self.settings.drive if drive is None else drive
        return self._open(SessionRecord.new(client, model, controls or messages.Controls(), fps, drive))

    def restore(self, record: SessionRecord) -> LiveSession:
        """Go on with a session that another process had; takes time as `open_session` does, and raises the same.

        It keeps its id, its secret, its links and all that was steered; the model's memory begins anew. It does
        not wait for a slot: another process may have one.
        """
        with self._lock:
            if (session := self._sessions.get(record.id)) is not None:
                return session
        return self._open(record, waits=False)

    def _open(self, record: SessionRecord, *, waits: bool = True) -> LiveSession:
        served = self.models.served(record.model)
        opening = check_opening(record.controls, served.model, self.settings.max_frame_px, self.moderation)
        driven_by = followers(record.drive, served.model, self.moderation)
        size = opening.controls.size
        if size is not None:
            served.sizes.allow(size)
        rate = 1.0 if record.fps is None else record.fps / self.settings.min_fps
        session = LiveSession(served, opening, record, rate, self._session_context(), driven_by)
        demand = served.demand(size or served.default_size, rate)
        with self._lock:
            self._check_welcome(record.client)
            has_slot = served.admission.enter(session.id, demand)
            if not has_slot and not waits:
                served.admission.leave(session.id)
                raise RefusedError("queue_full", f"there is no free slot for session {session.id} here")
            self._sessions[session.id] = session
            self._opened += 1
            if has_slot:
                session.go_live(self._promised_fps(served, demand))
            else:
                self._tell_queue(served)
        self.on_change(session.id)
        _log.info("session %s of %s opened for %s: %s", session.id, served.name, record.client, session.state,
                  extra=event("session_opened", session=session.id, model=served.name, client=record.client,
                              state=session.state))  # fmt: skip
        for notice in opening.notices:  # many a WHIP publisher can be told nowhere else
            near = ", ".join(name for name, _ in notice.matches) or "nothing"
            _log.info("session %s begins without its %s, which %s does not know; near is %s",
                      session.id, notice.control, served.name, near)  # fmt: skip
        return session

    def get(self, session_id: str) -> LiveSession:
        """Return a session that has not ended, by its id.

        Raises:
            SessionClosedError: there is none, or no more.
        """
        with self._lock:
            session = self._sessions.get(session_id)
        if session is None:
            if (end := self.how_ended(session_id)) is not None:
                raise SessionClosedError(f"the session has ended ({end.reason}): {end.message or 'open a new one'}")
            raise SessionClosedError(f"there is no session {session_id[:40]!r} (any more); open a new one")
        return session

    def how_ended(self, session_id: str) -> messages.Ended | None:
        """Return how a session ended, for a client that was away when it was told; the last few hundred are known."""
        with self._lock:
            return self._ends.get(session_id)

    def sessions(self) -> list[LiveSession]:
        """Return all sessions that have not ended, the oldest first."""
        with self._lock:
            return list(self._sessions.values())

    def end(self, session_id: str, reason: EndReason, message: str = "") -> bool:
        """End a session; return whether there was one."""
        with self._lock:
            session = self._sessions.get(session_id)
        if session is None:
            return False
        session.end(reason, message)
        return True

    def quota(self, client: str) -> Quota:
        """Return what a client has and may have."""
        with self._lock:
            admissions = [served.admission for served in self.models.loaded().values()]
            return Quota(
                sessions=self._count(client),
                max_sessions=self.settings.max_sessions_per_client,
                slots=sum(each.slots for each in admissions),
                free_slots=sum(max(0, each.slots - each.live) for each in admissions),
                waiting=sum(each.waiting for each in admissions),
                queue_length=self.settings.queue_length,
                draining=self.draining,
            )

    def snapshot(self) -> ServerSnapshot:
        """Return everything there is to measure, at once."""
        with self._lock:
            now_s = self.clock()
            sessions = list(self._sessions.values())
            drops, kept = self._drops.copy(), self._kept
            for session in sessions:
                drops.update(session.account.drops)
                kept = kept.plus(session.account.kept_totals())
            live = [session.account.newest_out_s for session in sessions if session.state == "live"]
            outs = [out_s for out_s in live if out_s is not None]
            return ServerSnapshot(
                draining=self.draining,
                models=tuple(model_snapshot(served) for served in self.models.loaded().values()),
                live=sum(session.state == "live" for session in sessions),
                waiting=sum(session.state == "waiting" for session in sessions),
                absent=sum(session.presence.absent(now_s) for session in sessions),
                recordings=sum(session.recorder.current is not None for session in sessions),
                opened=self._opened,
                refused=dict(self.moderation.refused),
                ended={str(reason): count for reason, count in self._ended.items()},
                drops=dict(drops),
                kept=kept,
                newest_frame_age_s=min((now_s - out_s for out_s in outs), default=None),
                stages=merged([self._stages, *(session.account.totals() for session in sessions)]),
            )

    # Under the lock

    def _check_welcome(self, client: str, *, resuming: bool = False) -> None:
        self.models.check_loaded()
        if self.draining:
            raise RefusedError("draining", "the server is shutting down; try again in a minute", 60.0)
        most = self.settings.max_sessions_per_client
        if not resuming and self._count(client) >= most:
            raise RefusedError(
                "too_many_sessions", f"this client has {most} sessions, the most that one may have; end one first"
            )

    def _count(self, client: str) -> int:
        return sum(session.client == client for session in self._sessions.values())

    def _by_secret(self, secret: str) -> LiveSession | None:
        # All are compared, in constant time each, so that timing tells nothing about a secret.
        matches = [
            session
            for session in self._sessions.values()
            if hmac.compare_digest(session.secret.encode(), secret.encode())
        ]
        return matches[0] if matches else None

    def _move_up(self) -> None:
        for served in self.models.loaded().values():
            served.tell_admission()
            for key in served.admission.move_up():
                demand = served.admission.asked(key)
                assert demand is not None
                self._sessions[key].go_live(self._promised_fps(served, demand))
            self._tell_queue(served)

    def _promised_fps(self, served: ServedModel, demand: Demand) -> float:
        """Return what is said at admission: no more than the budget of a frame leaves, however fast the model is."""
        return min(served.admission.promised_fps(demand), 1e3 / self.settings.budget_ms * max(1.0, demand.rate))

    def _tell_queue(self, served: ServedModel) -> None:
        for position, key in enumerate(served.admission.queue(), start=1):
            offer = served.offer(key) if position == 1 else None
            self._sessions[key].tell_waiting(position, served.admission.retry_after_s(position), offer)

    # What sessions call

    def _session_context(self) -> SessionContext:
        return SessionContext(
            settings=self.settings,
            clock=self.clock,
            in_background=self._in_background,
            resize=self._resize,
            grow=self._grow,
            changed=lambda session_id: self.on_change(session_id),
            ended=self._session_ended,
            recording_store=self.recording_store,
            marking=self.marking,
            moderator=self.moderation,
            finishers=self._finishers,
        )

    def _in_background(self, act: Callable[[], None]) -> None:
        def guarded() -> None:
            try:
                act()
            except Exception:  # noqa: BLE001  (nobody looks at what a pool's task raised; the log has it)
                _log.exception("opening or reshaping a model failed")

        self._background.submit(guarded)

    def _session_ended(self, session_id: str, recordings: tuple[Recording, ...]) -> None:
        with self._lock:
            self._closing += recordings
            session = self._sessions.pop(session_id, None)
            if session is None:
                return
            since_s = session.live_since_s
            session.served.admission.leave(session.id, None if since_s is None else self.clock() - since_s)
            assert session.end_reason is not None
            self._ended[session.end_reason] += 1
            self._ends[session.id] = messages.Ended(reason=session.end_reason, message=session.end_message)
            if len(self._ends) > KNOWN_ENDS:
                self._ends.popitem(last=False)
            self._drops.update(session.account.drops)
            self._kept = self._kept.plus(session.account.kept_totals())
            self._stages = merged([self._stages, session.account.totals()])
            self._move_up()
        self.on_change(session_id)
        live_s = 0.0 if since_s is None else self.clock() - since_s
        frames = session.account.frames_out
        fps = round(frames / live_s, 2) if live_s else 0.0
        _log.info("session %s ended (%s): %s It was live for %.0f s, with %d frames, %.1f a second.",
                  session.id, session.end_reason, session.end_message, live_s, frames, fps,
                  extra=event("session_ended", session=session.id, model=session.model, client=session.client,
                              reason=session.end_reason, live_s=round(live_s, 3), frames=frames, fps=fps,
                              dropped=dict(session.account.drops)))  # fmt: skip

    def _resize(self, session_id: str, size: Size) -> None:
        with self._lock:
            if (session := self._sessions.get(session_id)) is not None:
                session.served.resize(session_id, size)
                self._move_up()

    def _grow(self, session_id: str, size: Size) -> None:
        with self._lock:
            if (session := self._sessions.get(session_id)) is not None:
                session.served.grow(session_id, size)
                self._move_up()
