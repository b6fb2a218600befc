"""A client may leave at any moment: that is never an internal error, and nothing of it remains."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import socket
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from uvicorn.protocols.utils import ClientDisconnected
from websockets.sync.client import connect

from fakes import FakeModel
from http_fakes import OFFER, FakePeers, settings_for
from live_server import LiveServer, live_server
from patience import PATIENCE_S
from serve_rig import in_loop, until
from vivace.messages import Controls
from vivace.serve import main
from vivace.serve.app import create_app
from vivace.serve.http import sessions
from vivace.serve.session_manager import SessionManager

SDP = "application/sdp"
RECORDED = "20260101-000000-0123456789abcdef.mp4"
SAID = (
    {"type": "ping", "id": "1"},
    {"type": "update", "controls": {"prompt": "red"}},
    {"type": "nonsense"},
    {"type": "end"},
)
"""Messages of a client in a whole conversation."""


@pytest.fixture(autouse=True)
def _nothing_is_taken_for_a_mistake(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Check that no error is logged, and no task ends with an exception that nobody has retrieved."""
    yield
    gc.collect()  # asyncio finds out then
    records = [record for phase in ("setup", "call", "teardown") for record in caplog.get_records(phase)]
    bad = [record for record in records if record.levelno >= logging.ERROR or record.exc_info]
    assert not bad, [f"{record.getMessage()}\n{record.exc_text}" for record in bad]


# A connection made of calls, in which every moment can be met


class Line:
    """Stand-in for uvicorn, for a client that sends everything and then waits until the server closes.

    It leaves as message number `leaves_at` is about to be sent, and uvicorn reports it in one of two ways.
    """

    def __init__(self, path: str, *, leaves_at: int | None, error: type[Exception], headers: Any = ()) -> None:
        self.scope = {
            "type": "websocket",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "scheme": "ws",
            "path": path.partition("?")[0],
            "raw_path": path.partition("?")[0].encode(),
            "query_string": path.partition("?")[2].encode(),
            "headers": [(b"host", b"localhost"), *headers],
            "subprotocols": [],
            "state": {},
            "extensions": {"websocket.http.response": {}},
        }
        self.sent: list[str] = []
        self._leaves_at = leaves_at
        self._error = error
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._inbox.put_nowait({"type": "websocket.connect"})
        for message in SAID:
            self._inbox.put_nowait({"type": "websocket.receive", "text": json.dumps(message)})

    async def receive(self) -> dict[str, Any]:
        return await self._inbox.get()

    async def send(self, message: Any) -> None:
        if len(self.sent) == self._leaves_at:
            raise self._error
        self.sent.append(message["type"])
        if message["type"] == "websocket.close":
            self._inbox.put_nowait({"type": "websocket.disconnect", "code": 1000})


@asynccontextmanager
async def application(*folder: Path, **changes: Any) -> AsyncIterator[tuple[Any, SessionManager]]:
    settings = settings_for(*folder, **changes)
    manager = SessionManager(settings, load_model=lambda _: FakeModel(record=False))
    app = create_app(settings, manager, peer_factory=FakePeers())
    async with app.router.lifespan_context(app):
        await until(lambda: manager.ready)
        yield app, manager


async def converse(
    app: Any, manager: SessionManager, kind: str, leaves_at: int | None, error: type[Exception]
) -> list[str]:
    """Run a conversation of some kind until it ends by itself; return the sent messages."""
    session = manager.open_session(client="ada", controls=Controls())
    path, headers = f"/v1/sessions/{session.id}/control?secret={session.secret}", []
    if kind == "unknown":
        path = "/v1/sessions/nobody/control"
    elif kind == "foreign":
        headers = [(b"origin", b"https://evil.example")]
    line = Line(path, leaves_at=leaves_at, error=error, headers=headers)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await app(line.scope, line.receive, line.send)
        assert not session.presence.connected
    finally:
        manager.end(session.id, "client", "the test is over")
    return line.sent


@pytest.mark.parametrize("kind", ["whole", "unknown", "foreign"])
@in_loop
async def test_whatever_is_being_sent_when_a_control_channel_breaks_is_no_mistake(kind: str) -> None:
    async with application() as (app, manager):
        whole = await converse(app, manager, kind, None, ClientDisconnected)
        assert len(whole) >= {"whole": 6, "unknown": 3, "foreign": 2}[kind], whole
        for leaves_at in range(len(whole)):
            for error in (ClientDisconnected, BrokenPipeError):
                await converse(app, manager, kind, leaves_at, error)
            if kind != "foreign" and leaves_at > 0:  # uvicorn has closed it after it was accepted
                await converse(app, manager, kind, leaves_at, RuntimeError)


@in_loop
async def test_a_message_in_the_wrong_order_stays_a_mistake() -> None:
    """Leaving is recognised by its place: a server that refuses to accept is no client that leaves."""
    async with application() as (app, manager):
        with pytest.raises(RuntimeError):
            await converse(app, manager, "whole", 0, RuntimeError)


@in_loop
async def test_a_client_that_takes_nothing_any_more_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SEND_TIMEOUT_S", 0.01)

    class Deaf(Line):
        async def send(self, message: Any) -> None:
            await super().send(message)
            if len(self.sent) > 2:
                await asyncio.Event().wait()

    async with application() as (app, manager):
        session = manager.open_session(client="ada", controls=Controls())
        path = f"/v1/sessions/{session.id}/control?secret={session.secret}"
        line = Deaf(path, leaves_at=None, error=ClientDisconnected)
        async with asyncio.timeout(PATIENCE_S):
            await app(line.scope, line.receive, line.send)
        assert session.state == "live"


@pytest.mark.parametrize("body", [None, b"x" * 1_000])
@in_loop
async def test_a_download_outlasts_a_body_that_never_comes_and_one_that_is_too_large(
    body: bytes | None, tmp_path: Path
) -> None:
    (tmp_path / RECORDED).write_bytes(bytes(1 << 20))
    begun, sent = asyncio.Event(), 0
    parts = [] if body is None else [body]

    async def receive() -> dict[str, Any]:
        await begun.wait()
        if not parts:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": parts.pop(), "more_body": True}

    async def send(message: Any) -> None:
        nonlocal sent
        begun.set()
        sent += len(message.get("body", b""))
        for _ in range(10):  # everything due by now happens
            await asyncio.sleep(0)

    async with application(tmp_path, request_s=1e-9, max_body_bytes=100) as (app, _):
        scope = Line(f"/v1/recordings/{RECORDED}", leaves_at=None, error=OSError).scope
        scope |= {"type": "http", "method": "GET", "scheme": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}}
        async with asyncio.timeout(PATIENCE_S):
            await app(scope, receive, send)
    assert sent == 1 << 20


# Real sockets


class Held:
    """Slow part of the server, for which a client does not wait."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, *_: object) -> None:
        self.reached.set()
        assert self.go_on.wait(PATIENCE_S)


class HeldModel(FakeModel):
    """Model that is slow for one prompt."""

    def __init__(self) -> None:
        super().__init__(record=False)
        self.held = Held()

    def encode_prompt(self, text: str) -> Any:
        if text == "blue":
            self.held()
        return super().encode_prompt(text)


@pytest.fixture(scope="module")
def common(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LiveServer, HeldModel]]:
    model, folder = HeldModel(), tmp_path_factory.mktemp("recordings")
    settings = settings_for(folder, slots=8, max_sessions_per_client=8, max_body_bytes=100_000, request_s=0.3)
    with live_server(settings, model=model) as made:
        yield made, model


@pytest.fixture
def server(common: tuple[LiveServer, HeldModel]) -> Iterator[LiveServer]:
    yield common[0]
    wait_until(lambda: not common[0].server.server_state.tasks)  # all remaining work for clients that have left
    assert httpx2.get(f"{common[0].url}/healthz").json()["status"] == "ok"


@pytest.fixture
def model(common: tuple[LiveServer, HeldModel]) -> HeldModel:
    common[1].held = Held()
    return common[1]


def opened(server: LiveServer) -> dict[str, Any]:
    session: dict[str, Any] = httpx2.post(f"{server.url}/v1/sessions", json={}).json()
    return session


def control_path(session: dict[str, Any]) -> str:
    return f"{session['control_url']}?secret={session['secret']}"


def dial(server: LiveServer, request: bytes, *, room_bytes: int | None = None) -> socket.socket:
    """Send the beginning of a request; the caller leaves. `room_bytes` wait unread on this side."""
    line = socket.socket()
    line.settimeout(PATIENCE_S)
    if room_bytes is not None:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room_bytes)
    line.connect(("127.0.0.1", urlsplit(server.url).port))
    line.sendall(request)
    return line


def hang_up(line: socket.socket) -> None:
    """Leave without a goodbye."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    line.close()


def handshake(path: str) -> bytes:
    return (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    ).encode()


def masked(text: str) -> bytes:
    """Return a WebSocket message as a client sends it."""
    data = text.encode()
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + struct.pack(">H", len(data))
    return b"\x81" + size + bytes(4) + data


SLOW_UPDATE = json.dumps({"type": "update", "controls": {"prompt": "blue"}})


def test_a_handshake_that_is_cut_off_is_no_mistake(server: LiveServer) -> None:
    session = opened(server)
    for path in (control_path(session), session["control_url"], "/v1/sessions/nobody/control", "/nothing", "/"):
        hang_up(dial(server, handshake(path)))
        with closing(dial(server, handshake(path))) as line:
            assert line.recv(100).startswith(b"HTTP/1.1 ")


@pytest.mark.parametrize("rude", [True, False])
def test_a_channel_that_breaks_while_the_server_thinks_is_no_mistake(
    server: LiveServer, model: HeldModel, rude: bool
) -> None:
    session = opened(server)
    line = dial(server, handshake(control_path(session)))
    assert b" 101 " in line.recv(4_096)
    line.sendall(masked(SLOW_UPDATE))
    assert model.held.reached.wait(PATIENCE_S)
    if rude:
        hang_up(line)
    else:
        line.close()
    model.held.go_on.set()
    wait_until(lambda: not server.manager.get(session["id"]).presence.connected)


def test_a_message_too_large_while_the_server_thinks_is_no_mistake(server: LiveServer, model: HeldModel) -> None:
    """uvicorn closes the channel under an answer that is under way."""
    session = opened(server)
    line = dial(server, handshake(control_path(session)))
    assert b" 101 " in line.recv(4_096)
    line.sendall(masked(SLOW_UPDATE))
    assert model.held.reached.wait(PATIENCE_S)
    line.sendall(b"\x81\xff" + struct.pack(">Q", 10_000_000) + bytes(4))
    while line.recv(4_096):  # until it is closed
        pass
    model.held.go_on.set()
    wait_until(lambda: not server.manager.get(session["id"]).presence.connected)
    line.close()


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("GET /v1/models HT", ""),
        ("GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n", ""),
        ("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", ""),
        ("GET /vivace.js HTTP/1.1\r\nHost: localhost\r\n\r\n", ""),
        ("GET /v1/presets/ink.jpg HTTP/1.1\r\nHost: localhost\r\n\r\n", ""),
        ("POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\n", "{"),
        (f"POST /whip HTTP/1.1\r\nHost: localhost\r\nContent-Type: {SDP}\r\nContent-Length: 50\r\n\r\n", "v=0"),
        (
            f"POST /whip HTTP/1.1\r\nHost: localhost\r\nContent-Type: {SDP}\r\nTransfer-Encoding: chunked\r\n\r\n",
            "3\r\nv=0",
        ),
    ],
    ids=["head", "answer", "metrics", "page", "thumbnail", "json", "offer", "chunk"],
)
def test_a_request_that_breaks_off_is_no_mistake(server: LiveServer, head: str, body: str) -> None:
    for leave in (hang_up, socket.socket.close):
        leave(dial(server, f"{head}{body}".encode()))


def test_a_download_that_breaks_off_is_no_mistake(server: LiveServer) -> None:
    assert server.settings.recordings is not None
    with (server.settings.recordings / RECORDED).open("wb") as file:
        file.truncate(64 << 20)  # more than fits on its way to a client
    request = f"GET /v1/recordings/{RECORDED} HTTP/1.1\r\nHost: localhost\r\n".encode()
    for more in (b"", b"Range: bytes=1000-\r\n", b"Range: bytes=0-9,1000-\r\n"):
        line = dial(server, request + more + b"\r\n")
        assert line.recv(4_096).startswith(b"HTTP/1.1 20")
        hang_up(line)


def test_an_offer_nobody_waits_for_any_more_leaves_a_connection_that_is_given_up() -> None:
    """WHIP and WHEP alike: the answer goes nowhere, and the session made for it ends."""
    held = Held()

    class SlowPeers(FakePeers):
        def __call__(self, session: Any, role: Any, *, half: bool = False) -> Any:
            peer = super().__call__(session, role, half=half)
            answer = peer.answer

            async def slowly(offer_sdp: str) -> str:
                await asyncio.to_thread(held)
                return await answer(offer_sdp)

            peer.answer = slowly  # type: ignore[method-assign]
            return peer

    peers = SlowPeers()
    with live_server(settings_for(), peers=peers) as server:
        head = (
            f"POST /whip HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sdp\r\nContent-Length: {len(OFFER)}"
        )
        line = dial(server, f"{head}\r\n\r\n{OFFER}".encode())
        assert held.reached.wait(PATIENCE_S)
        hang_up(line)
        held.go_on.set()
        wait_until(lambda: len(server.manager.sessions()) == 1)
        peers.made[0].closed = True  # as a real one does that never connects
        wait_until(lambda: not server.manager.sessions())


def test_a_server_may_end_while_clients_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """One has said goodbye and reads nothing any more, one says nothing, one asks for a page: none delays the end."""
    monkeypatch.setattr(main, "CLOSING_S", 0.1)
    with live_server(settings_for()) as server:
        deaf = dial(server, handshake(control_path(opened(server))), room_bytes=1)
        assert b" 101 " in deaf.recv(4_096)
        (channel,) = (each for each in server.server.server_state.connections if hasattr(each, "handle_close"))
        channel.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        while channel.transport.get_write_buffer_size() < 100_000:
            deaf.sendall(b"\x89\xfd" + bytes(4 + 125))  # a ping, which uvicorn answers by itself
        deaf.sendall(b"\x88\x80" + bytes(4))  # goodbye
        wait_until(lambda: channel.conn.state.name != "OPEN")
        with connect(server.url.replace("http", "ws") + control_path(opened(server))) as silent:
            silent.recv()
            half = dial(server, b"GET /healthz HTTP/1.1\r\n")
            server.stop()
        half.close()
        deaf.close()


def wait_until(condition: Any) -> None:
    """Wait until another thread has done something; fail if it does not."""
    pause = threading.Event()
    for _ in range(int(PATIENCE_S / 0.01)):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it never happened")
