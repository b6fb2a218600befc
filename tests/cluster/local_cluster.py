"""A whole cluster in one event loop: gateway, directory and workers on real sockets, without Ray."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn

from fakes import SIZE, FakeModel
from patience import PATIENCE_S
from vivace.cluster.gateway import create_gateway
from vivace.cluster.records import Refusal
from vivace.cluster.registrar import Registrar, open_registrar
from vivace.cluster.worker import Worker
from vivace.serve.main import uvicorn_config
from vivace.serve.record import SessionRecord
from vivace.serve.settings import ServeSettings
from vivace.serve.version import VERSION


class LocalDirectory:
    """The registrar as gateways and workers call it; `away` is a directory whose process has ended."""

    def __init__(self, registrar: Registrar) -> None:
        self.registrar = registrar
        self.away = False

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **named: Any) -> Any:
            if self.away:
                raise ConnectionError("the directory does not answer")
            result = getattr(self.registrar, name)(*args, **named)
            return await result if asyncio.iscoroutine(result) else result

        return call


@dataclass
class Running:
    """One worker, with the task that runs it."""

    worker: Worker
    task: asyncio.Task[None]
    restarts: int = 0

    async def restore(self, record: SessionRecord) -> Refusal | None:
        return await self.worker.restore(record)

    async def release(self, session_id: str) -> bool:
        return await self.worker.release(session_id)

    async def record(self, session_id: str) -> SessionRecord | None:
        return self.worker.record(session_id)

    async def restart(self) -> None:
        self.restarts += 1


class _Gone:
    """A worker whose process has ended."""

    async def _fail(self, *_: Any) -> Any:
        raise ConnectionError("its process has ended")

    restore = release = record = restart = _fail


@dataclass
class LocalCluster:
    """Address of the gateway, and the processes behind it."""

    url: str
    directory: LocalDirectory
    settings: ServeSettings
    state: Path
    workers: dict[str, Running] = field(default_factory=dict)
    models: dict[str, FakeModel] = field(default_factory=dict)

    def reach(self, name: str) -> Any:
        return self.workers.get(name, _Gone())

    async def start(self, name: str, **named: Any) -> Worker:
        """Start a worker and wait until the directory has it."""
        settings = self.settings.model_copy(update=named.pop("settings", {}))
        model = self.models.setdefault(name, FakeModel(record=False))
        worker = Worker(settings, name, self.directory, load_model=lambda _: model, **named)
        self.workers[name] = Running(worker, asyncio.create_task(worker.run()))
        await self.until(lambda: worker.refusal is not None or self.takes(name))
        return worker

    def takes(self, name: str) -> bool:
        return any(state.name == name and state.models for state in self.directory.registrar.workers())

    async def kill(self, name: str) -> None:
        """End a worker as `SIGKILL` does: nobody is told, sockets are gone."""
        running = self.workers.pop(name)
        running.worker.manager.on_change = lambda _session_id: None
        running.task.cancel()
        await asyncio.gather(running.task, return_exceptions=True)

    async def until(self, condition: Callable[[], Any]) -> None:
        """Wait until something has happened."""
        end_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end_s, "it never happened"
            for running in self.workers.values():
                if running.task.done() and running.worker.refusal is None:
                    running.task.result()
            await asyncio.sleep(0.005)

    def session_on(self, session_id: str) -> str | None:
        """Return the worker that really has a session."""
        return next(
            (name for name, running in self.workers.items() if running.worker.record(session_id) is not None), None
        )


@asynccontextmanager
async def local_cluster(tmp_path: Path, *names: str, **changes: Any) -> AsyncIterator[LocalCluster]:
    """Run a cluster of workers of these names."""
    wanted = {"models": ["fake"], "size": SIZE, "dynamic_size": None, "slots": 2, "port": 0, "drain_s": 0.1}
    settings = ServeSettings(**(wanted | {"grace_s": 60.0} | changes))
    state = tmp_path / "directory.sqlite"

    def reach(name: str) -> Any:
        return cluster.reach(name)

    registrar = open_registrar(VERSION, time.monotonic, state, reach, default_model="fake", max_sessions_per_client=50)
    housekeeping = asyncio.create_task(registrar.keep_house())
    directory = LocalDirectory(registrar)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        app = create_gateway(settings, directory)
        server = uvicorn.Server(uvicorn_config(app, settings))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        cluster = LocalCluster(f"http://127.0.0.1:{listening.getsockname()[1]}", directory, settings, state)
        try:
            await cluster.until(lambda: server.started)
            for name in names:
                await cluster.start(name)
            yield cluster
        finally:
            server.should_exit = True
            housekeeping.cancel()
            for running in cluster.workers.values():
                running.task.cancel()
            await asyncio.gather(
                serving, housekeeping, *(each.task for each in cluster.workers.values()), return_exceptions=True
            )
