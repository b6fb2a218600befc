"""A request has a limited time to arrive; then its connection is closed, and others never wait for it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol

from http_fakes import settings_for
from live_server import LiveServer, live_server
from patience import PATIENCE_S


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    with live_server(settings_for(request_s=0.3)) as made:
        yield made


def answer_to(server: LiveServer, *pieces: bytes) -> bytes:
    """Send the pieces, the second after an answer to the first, and read until the server closes."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE_S) as line:
        line.sendall(pieces[0])
        said = b""
        if len(pieces) > 1:
            said = line.recv(65_536)
            line.sendall(pieces[1])
        while more := line.recv(65_536):
            said += more
        return said


@pytest.mark.parametrize("text", [b"", b"GET /healthz HT", b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Half: "])
def test_a_connection_without_a_whole_head_is_closed(server: LiveServer, text: bytes) -> None:
    assert answer_to(server, text) == b""


def test_half_a_second_request_is_waited_for_no_longer(server: LiveServer) -> None:
    said = answer_to(server, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET /healthz HT")
    assert said.startswith(b"HTTP/1.1 200")
    assert said.count(b"HTTP/1.1") == 1


def test_half_a_body_is_answered_with_408(server: LiveServer) -> None:
    head = b"POST /whip HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sdp\r\nContent-Length: 100\r\n\r\n"
    said = answer_to(server, head + b"v=0")
    assert said.startswith(b"HTTP/1.1 408")
    assert b'"slow"' in said


def test_a_body_that_is_no_http_is_answered_once_and_no_mistake_of_ours(
    server: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    head = b"POST /whip HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
    said = answer_to(server, head + b"no number\r\n")
    assert said.startswith(b"HTTP/1.1 400")
    assert said.count(b"HTTP/1.1") == 1
    assert httpx2.get(f"{server.url}/healthz", trust_env=False).status_code == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_an_answer_does_not_wait_for_the_client_to_confirm_its_head(monkeypatch: pytest.MonkeyPatch) -> None:
    set_up: list[int] = []
    real = H11Protocol.connection_made

    def made(self: H11Protocol, transport: Any) -> None:
        real(self, transport)
        line = transport.get_extra_info("socket")
        asyncio.get_running_loop().call_soon(
            lambda: set_up.append(line.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
        )

    monkeypatch.setattr(H11Protocol, "connection_made", made)
    with live_server(settings_for()) as server:
        assert httpx2.get(f"{server.url}/healthz", trust_env=False).status_code == 200
    assert [nodelay != 0 for nodelay in set_up] == [True]


def test_a_client_that_leaves_within_a_body_is_no_mistake_of_ours(
    server: LiveServer, caplog: pytest.LogCaptureFixture
) -> None:
    address = urlsplit(server.url)
    head = b"POST /whip HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sdp\r\nContent-Length: 100\r\n\r\n"
    with socket.create_connection((address.hostname, address.port), timeout=PATIENCE_S) as line:
        line.sendall(head + b"v=0")
    assert httpx2.get(f"{server.url}/healthz", trust_env=False).status_code == 200
    assert answer_to(server, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_websocket_is_left_alone(server: LiveServer) -> None:
    from websockets.sync.client import connect

    session = httpx2.post(f"{server.url}/v1/sessions", json={}, trust_env=False).json()
    url = f"ws://{urlsplit(server.url).netloc}{session['control_url']}?secret={session['secret']}"
    with connect(url, proxy=None) as channel:
        statistics = 0
        while statistics < 2:  # half a second apart: longer than a request may take
            statistics += '"stats"' in str(channel.recv(timeout=PATIENCE_S))
        channel.send('{"type": "ping"}')
        assert channel.recv(timeout=PATIENCE_S)
    httpx2.delete(f"{server.url}/v1/sessions/{session['id']}?secret={session['secret']}", trust_env=False)
