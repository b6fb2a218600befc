"""Behaviour visible only on real sockets: refused handshakes, too large messages, vanishing clients."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from http_fakes import settings_for
from live_server import LiveServer, live_server
from patience import PATIENCE_S

HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with live_server(settings_for(slots=8, max_sessions_per_client=8, max_body_bytes=10_000)) as made:
        yield made


def opened(server: LiveServer) -> tuple[str, str]:
    """Open a session; return its id and the address of its control channel."""
    session = httpx2.post(f"{server.url}/v1/sessions", json={}).json()
    url = f"ws://{urlsplit(server.url).netloc}{session['control_url']}?secret={session['secret']}"
    return session["id"], url


def test_a_foreign_page_is_refused_in_the_handshake(server: LiveServer) -> None:
    _, url = opened(server)
    with pytest.raises(InvalidStatus) as refused, connect(url, origin="https://evil.example"):  # type: ignore[arg-type]
        pass
    assert refused.value.response.status_code == 403
    assert json.loads(refused.value.response.body)["code"] == "origin"


def test_a_message_that_is_too_large_closes_the_channel_and_spares_the_session(server: LiveServer) -> None:
    session_id, url = opened(server)
    with connect(url) as channel:
        channel.recv()
        with pytest.raises(ConnectionClosed) as closed:
            channel.send("x" * 20_000)
            while True:
                channel.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009
    assert server.manager.get(session_id).state == "live"


def test_messages_are_not_compressed_so_that_none_can_grow(server: LiveServer) -> None:
    _, url = opened(server)
    with connect(url) as channel:
        assert "Sec-WebSocket-Extensions" not in channel.response.headers  # type: ignore[union-attr]


def test_a_client_that_vanishes_is_noticed_and_its_session_kept(server: LiveServer) -> None:
    session_id, url = opened(server)
    session = server.manager.get(session_id)
    parts = urlsplit(url)
    line = socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S)
    line.sendall(HANDSHAKE.format(path=f"{parts.path}?{parts.query}").encode())
    assert b" 101 " in line.recv(4_096)

    async def noticed() -> None:
        async with asyncio.timeout(PATIENCE_S):
            while session.presence.connected:
                await asyncio.sleep(0.01)

    async def connected() -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not session.presence.connected:
                await asyncio.sleep(0.01)

    asyncio.run(connected())
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, without a goodbye
    line.close()
    asyncio.run(noticed())
    assert session.state == "live"


def raw(server: LiveServer, request: bytes) -> bytes:
    """Send bytes as they are; return the first of the answer, nothing if the connection was closed without one."""
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=PATIENCE_S) as line:
        with suppress(BrokenPipeError, ConnectionResetError):  # refused before all was sent: an answer may be there
            line.sendall(request)
        try:
            return line.recv(4_096)
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n", b"413"),
        (b"GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404"),
        (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n", b"404"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b""),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n", b"4"),
    ],
)
def test_raw_requests_that_should_not_be_are_refused(server: LiveServer, request_: bytes, status: bytes) -> None:
    answer = raw(server, request_ + b"\r\n")
    assert b"root:" not in answer
    if status and answer:  # none: refused silently, which counts
        assert answer.split(b" ")[1].startswith(status), answer


def test_the_server_answers_after_all_of_this(server: LiveServer) -> None:
    answer: Any = httpx2.get(f"{server.url}/healthz")
    assert answer.json()["status"] == "ok"
