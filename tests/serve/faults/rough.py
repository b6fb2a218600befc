"""Shared parts of rough clients: sessions over plain HTTP, and checks of every answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx2
from websockets.asyncio.client import connect

from patience import PATIENCE_S
from serve.faults.process import Served

ScopeName = Any


@dataclass(frozen=True)
class Amount:
    """Amounts of each fault: small in continuous integration, larger by hand."""

    cycles: int
    """Number of connections that come and go."""
    offers: int
    """Number of valid offers with a change."""
    packets: int
    messages: int
    connections: int
    """Number of connections that then say nothing, or half a thing."""
    warm_rounds: int
    """First rounds, in which memory is still allocated for the first time: arenas of threads, codecs, caches."""
    rounds: int
    """Least number of rounds in all."""


SHORT = Amount(cycles=8, offers=25, packets=600, messages=1_500, connections=60, warm_rounds=1, rounds=2)
LONG = Amount(cycles=200, offers=300, packets=5_000, messages=20_000, connections=400, warm_rounds=2, rounds=4)


@asynccontextmanager
async def http_client(
    server: Served, *scopes: ScopeName, token: str | None = None
) -> AsyncIterator[httpx2.AsyncClient]:
    """Yield a client with a new token, or the given one; empty for none."""
    token = server.token(*scopes) if token is None else token
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    async with httpx2.AsyncClient(base_url=server.url, headers=headers, timeout=PATIENCE_S, trust_env=False) as http:
        yield http


@asynccontextmanager
async def raw_session(http: httpx2.AsyncClient, **body: Any) -> AsyncIterator[dict[str, Any]]:
    """Yield a session that is ended afterwards, if it still exists."""
    answer = await http.post("/v1/sessions", json=body)
    assert answer.status_code == 201, answer.text
    session: dict[str, Any] = answer.json()
    try:
        yield session
    finally:
        headers = {"X-Session-Secret": session["secret"]}
        answer = await http.delete(f"/v1/sessions/{session['id']}", headers=headers)
        assert answer.status_code in (204, 404), answer.text


def control(server: Served, session: dict[str, object], token: str) -> connect:
    headers = {"X-Session-Secret": str(session["secret"]), "Authorization": f"Bearer {token}"}
    url = f"ws://127.0.0.1:{server.port}{session['control_url']}"
    return connect(url, additional_headers=headers, max_size=None, proxy=None, compression=None)


@asynccontextmanager
async def standing(server: Served) -> AsyncIterator[tuple[httpx2.AsyncClient, dict[str, Any]]]:
    """Yield a session with a standing control connection: refused offers are no sign of life, busy machines slow."""
    token = server.token("publish")
    async with (
        http_client(server, token=token) as http,
        raw_session(http) as session,
        control(server, session, token),
    ):
        yield http, session


def refused(answer: httpx2.Response, *statuses: int) -> None:
    """Check that a request was refused in the common form: status, code and a message for people."""
    assert answer.status_code in statuses, f"{answer.request.url} {answer.status_code}: {answer.text[:500]}"
    told = answer.json()
    assert told["code"], told
    assert 10 < len(told["message"]) < 1_000, told
