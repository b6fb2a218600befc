"""A whole server around a fake model and fake peers, for tests of HTTP and WebSocket."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from fakes import FakeModel
from vivace.errors import UsageError
from vivace.serve.app import create_app
from vivace.serve.marking import Marking
from vivace.serve.ports import Role
from vivace.serve.session import LiveSession
from vivace.serve.session_manager import SessionManager
from vivace.serve.settings import ServeSettings
from vivace.trust.moderation import Moderation

OFFER = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\n"
SDP_HEADERS = {"content-type": "application/sdp"}


@dataclass
class FakePeer:
    """Peer that answers any plausible offer."""

    session: LiveSession
    role: Role
    closed: bool = False
    held: bool = False
    half: bool = False

    async def answer(self, offer_sdp: str) -> str:
        if not offer_sdp.startswith("v=0"):
            raise UsageError("the offer is none; send SDP")
        return f"v=0\r\ns=answer to {self.role}\r\n"

    async def close(self) -> None:
        self.closed = True


@dataclass
class FakePeers:
    """Factory of fake peers that remembers them."""

    made: list[FakePeer] = field(default_factory=list)

    def __call__(self, session: LiveSession, role: Role, *, half: bool = False) -> FakePeer:
        self.made.append(FakePeer(session, role, half=half))
        return self.made[-1]


@dataclass
class Running:
    """Running server."""

    client: TestClient
    manager: SessionManager
    peers: FakePeers
    settings: ServeSettings

    def open(self, **body: Any) -> dict[str, Any]:
        answer = self.client.post("/v1/sessions", json=body)
        assert answer.status_code == 201, answer.text
        return answer.json()

    def control(self, session: dict[str, Any]) -> Any:
        return self.websocket(session["control_url"] + "?secret=" + session["secret"])

    def websocket(self, path: str, **what: Any) -> Any:
        return self.client.websocket_connect("ws://localhost" + path, **what)


def settings_for(tmp_path: Path | None = None, **changes: Any) -> ServeSettings:
    wanted: dict[str, Any] = {"models": ["fake"], "size": (32, 16), "dynamic_size": None, "slots": 2, "drain_s": 0.1}
    return ServeSettings(**(wanted | {"recordings": tmp_path} | changes))


def wait_loaded(manager: SessionManager, patience_s: float = 60.0) -> None:
    """Wait until a started server accepts sessions; raise its error if it does not."""
    until_s = time.monotonic() + patience_s
    while not manager.ready:
        if manager.models.load_error is not None:
            raise manager.models.load_error
        assert time.monotonic() < until_s, "the model was never loaded"
        time.sleep(0.005)


@contextmanager
def running(
    settings: ServeSettings | None = None,
    *,
    base_url: str = "http://localhost",
    model: FakeModel | None = None,
    fake: bool = True,
    moderation: Moderation | None = None,
    marking: Marking | None = None,
) -> Iterator[Running]:
    settings = settings or settings_for()
    load_model = (lambda _: model or FakeModel(record=False)) if fake else None
    manager = SessionManager(settings, load_model, marking=marking, moderation=moderation)
    peers = FakePeers()
    app = create_app(settings, manager, peer_factory=peers)
    with TestClient(app, base_url=base_url, raise_server_exceptions=False) as client:
        wait_loaded(manager)
        yield Running(client, manager, peers, settings)
