"""A worker: a whole server on a port of its own, which tells a directory what it can take and what has changed."""

from __future__ import annotations

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable
from typing import Any, Protocol

import uvicorn

from vivace.cluster.records import Hello, ModelLoad, Refusal, Report
from vivace.errors import SessionClosedError, UsageError, VivaceError
from vivace.models.base import StreamModel
from vivace.serve.app import create_app
from vivace.serve.main import listen, uvicorn_config
from vivace.serve.marking import Marking
from vivace.serve.record import SessionRecord
from vivace.serve.rtc import make_peer_factory
from vivace.serve.session_manager import SessionManager
from vivace.serve.settings import ServeSettings
from vivace.serve.version import VERSION
from vivace.trust.moderation import Moderation

_log = logging.getLogger(__name__)

REPORT_S = 0.5
"""Between two reports in which nothing has changed."""
SOON_S = 0.05
"""Changes of sessions wait so long for others, s: a fader moves sixty times a second."""
AGAIN_S = 1.0
"""Before a directory that does not answer is told again."""

LoadModel = Callable[[str], StreamModel[Any]]


class DirectoryPort(Protocol):
    """Directory as a worker needs it; it may be away for a while, which is a ConnectionError."""

    async def register(self, hello: Hello) -> Refusal | None:
        """Come in; a refusal is for good."""

    async def report(self, report: Report) -> list[str] | None:
        """Report; return sessions that are another worker's by now, None where the worker has to register again."""


class Worker:
    """One server in a cluster. Used on an event loop."""

    def __init__(
        self,
        settings: ServeSettings,
        name: str,
        directory: DirectoryPort,
        *,
        region: str = "",
        node: str = "",
        restarted: bool = False,
        load_model: LoadModel | None = None,
    ) -> None:
        """Prepare a worker of this name; nothing listens yet.

        `restarted` says that its process is there in place of one that has ended.
        """
        self.manager = SessionManager(
            settings,
            load_model,
            marking=Marking.of(settings),
            moderation=Moderation.of(settings.policy, settings.safety),
        )
        self.refusal: Refusal | None = None
        """Why the directory does not take it."""
        self._settings = settings
        self._directory = directory
        self._name, self._region, self._node, self._restarted = name, region, node, restarted
        self._incarnation = secrets.token_hex(8)
        self._app = create_app(settings, self.manager, peer_factory=make_peer_factory(settings))
        self._changed: dict[str, None] = {}
        self._wake = asyncio.Event()
        self.hello: Hello | None = None

    async def run(self) -> None:
        """Serve and report until the task is cancelled or the directory refuses the worker.

        Raises:
            UsageError: its port cannot be listened on, or the directory does not take it.
            VivaceError: the default model cannot be loaded.
        """
        loop = asyncio.get_running_loop()

        def changed(session_id: str) -> None:
            loop.call_soon_threadsafe(self._note, session_id)

        self.manager.on_change = changed
        with listen(self._settings) as listening:
            server = uvicorn.Server(uvicorn_config(self._app, self._settings))
            serving = asyncio.create_task(server.serve(sockets=[listening]), name="vivace-worker-http")
            reporting = asyncio.create_task(self._report_on(listening), name="vivace-worker-reports")
            try:
                done, _ = await asyncio.wait([serving, reporting], return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                reporting.cancel()
                server.should_exit = True
                await asyncio.gather(serving, reporting, return_exceptions=True)
        if self.manager.models.load_error is not None:
            raise self.manager.models.load_error

    async def restore(self, record: SessionRecord) -> Refusal | None:
        """Go on with a session that another worker had; return why not."""
        try:
            await asyncio.to_thread(self.manager.restore, record)
        except VivaceError as error:
            return Refusal.of(error)
        return None

    async def release(self, session_id: str) -> bool:
        """Let go of a session that is another worker's now; its clients are cut off and connect again."""
        ended = self.manager.end(session_id, "moved", "It goes on at another worker of the cluster.")
        await self._app.state.server.peers.close_all(session_id)
        return ended

    def record(self, session_id: str) -> SessionRecord | None:
        """Return a session as it is steered now."""
        try:
            return self.manager.get(session_id).record
        except SessionClosedError:
            return None

    # Reports

    def _note(self, session_id: str) -> None:
        self._changed[session_id] = None
        self._wake.set()

    async def _report_on(self, listening: socket.socket) -> None:
        host, port = listening.getsockname()[:2]
        self.hello = Hello(
            name=self._name,
            incarnation=self._incarnation,
            version=VERSION,
            url=f"http://{f'[{host}]' if ':' in host else host}:{port}",
            region=self._region,
            node=self._node or socket.gethostname(),
            restarted=self._restarted,
        )
        while True:
            try:
                await self._register()
                while await self._report():
                    await self._sleep()
            except ConnectionError as error:  # it comes back, and what has changed meanwhile is told then
                _log.warning("worker %s: the directory does not answer (%s); sessions go on", self._name, error)
                await asyncio.sleep(AGAIN_S)

    async def _register(self) -> None:
        assert self.hello is not None
        self.refusal = await self._directory.register(self.hello)
        if self.refusal is not None:
            raise UsageError(self.refusal.message)
        self._changed.update(dict.fromkeys(session.id for session in self.manager.sessions()))

    async def _sleep(self) -> None:
        """Wait for the next report: soon after a change, else for a while."""
        try:
            async with asyncio.timeout(REPORT_S):
                await self._wake.wait()
            await asyncio.sleep(SOON_S)
        except TimeoutError:
            pass

    async def _report(self) -> bool:
        """Report once; return False where the directory does not know the worker."""
        self._wake.clear()
        told, self._changed = self._changed, {}
        records = {session_id: self.record(session_id) for session_id in told}
        report = Report(
            name=self._name,
            incarnation=self._incarnation,
            models=self._loads(),
            changed=[record for record in records.values() if record is not None],
            ended=[session_id for session_id, record in records.items() if record is None],
            waiting=[session.id for session in self.manager.sessions() if session.state == "waiting"],
        )
        try:
            strangers = await self._directory.report(report)
        except ConnectionError:
            self._changed = told | self._changed
            raise
        if strangers is None:
            return False
        for session_id in strangers:
            await self.release(session_id)
        return True

    def _loads(self) -> dict[str, ModelLoad]:
        models = self.manager.models
        if self.manager.draining or models.load_error is not None:
            return {}
        loaded = {} if models.loading is not None else models.loaded()
        loads = {}
        for name in self._settings.offered:
            served = loaded.get(name)
            if served is not None:
                loads[name] = ModelLoad.of(served.admission)
            elif models.ready:  # a worker that is only starting takes nobody
                loads[name] = ModelLoad(loaded=False, slots=0, free=0.0)
        return loads
