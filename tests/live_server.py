"""A server on a real socket of this machine, around a fake model: for tests of clients."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import uvicorn

from fakes import FakeModel
from http_fakes import FakePeers, settings_for, wait_loaded
from patience import PATIENCE_S
from vivace.serve.app import create_app
from vivace.serve.main import uvicorn_config
from vivace.serve.ports import PeerFactory
from vivace.serve.session_manager import SessionManager
from vivace.serve.settings import ServeSettings
from vivace.serve.tls import Tls


@dataclass
class LiveServer:
    """Listening server."""

    url: str
    manager: SessionManager
    settings: ServeSettings
    server: uvicorn.Server
    thread: threading.Thread

    def stop(self) -> None:
        """End it as a signal does; fail if it does not end, or not cleanly."""
        self.server.should_exit = True
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()
        assert self.server.lifespan.shutdown_event.is_set()


@contextmanager
def live_server(
    settings: ServeSettings | None = None,
    *,
    port: int = 0,
    peers: PeerFactory | None = None,
    model: FakeModel | None = None,
    tls: Tls | None = None,
) -> Iterator[LiveServer]:
    """Serve until the block is left; a given port allows a server to come back at its old address."""
    settings = settings or settings_for()
    manager = SessionManager(settings, load_model=lambda _: model or FakeModel(record=False))
    app = create_app(settings, manager, peer_factory=peers or FakePeers())
    with socket.create_server(("127.0.0.1", port)) as listening:
        server = uvicorn.Server(uvicorn_config(app, settings, tls))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="live-server")
        thread.start()
        try:
            until_s = time.monotonic() + 30
            while not server.started and thread.is_alive() and time.monotonic() < until_s:
                time.sleep(0.01)
            assert server.started
            wait_loaded(manager)
            url = f"{'http' if tls is None else 'https'}://127.0.0.1:{listening.getsockname()[1]}"
            yield LiveServer(url, manager, settings, server, thread)
        finally:
            server.should_exit = True
            thread.join(PATIENCE_S)
            assert not thread.is_alive()
