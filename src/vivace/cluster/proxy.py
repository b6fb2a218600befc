"""Requests and control messages passed on to a worker, and its answers back; nothing is kept, nothing understood."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

import httpx2
from fastapi import Request, Response, WebSocket
from fastapi.responses import StreamingResponse
from starlette.websockets import WebSocketDisconnect
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_websocket
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from vivace.serve.http.errors import ApiError

_log = logging.getLogger(__name__)
_wire_log = logging.getLogger(f"{__name__}.wire")
_wire_log.setLevel(logging.INFO)  # below it, headers are written out, and those hold secrets

HOP_BY_HOP = frozenset(
    {
        *{"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer"},
        *{"transfer-encoding", "upgrade", "host", "content-length"},
        "origin",  # the gateway has looked at it; to the worker every gateway is a stranger's page
    }
)
"""Headers of one connection and of none further (RFC 9110, 7.6.1), and those that are written anew."""
CONNECT_S = 2.0
ANSWER_S = 60.0
"""A model may have to be loaded for an answer."""
LOST_CLOSE = 1012
"""WebSocket close code of a service that restarts: clients connect again."""


def kept_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that are passed on."""
    return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}


def path_of(request: Request) -> str:
    """Return path and query of a request."""
    query = request.url.query
    return f"{request.url.path}?{query}" if query else request.url.path


class Proxy:
    """Connections to workers. Used on one event loop; close it at the end."""

    def __init__(self) -> None:
        limits = httpx2.Limits(max_connections=512, max_keepalive_connections=64)
        self._http = httpx2.AsyncClient(
            timeout=httpx2.Timeout(ANSWER_S, connect=CONNECT_S), limits=limits, follow_redirects=False, trust_env=False
        )

    async def ask(self, request: Request, url: str, body: bytes) -> httpx2.Response:
        """Send a request with its body to the worker at `url`, and return the answer's beginning.

        Raises:
            ConnectionError: nobody answers there.
            ApiError: the answer takes too long.
        """
        target = f"{url}{path_of(request)}"
        headers = kept_headers(request.headers)
        try:
            return await self._http.send(
                self._http.build_request(request.method, target, headers=headers, content=body), stream=True
            )
        except (httpx2.ReadTimeout, httpx2.WriteTimeout, httpx2.PoolTimeout) as error:  # it lives, and is slow
            text = f"the worker has not answered within {ANSWER_S:g} s; try again"
            raise ApiError(504, "slow", text, retry_after_s=5) from error
        except httpx2.TransportError as error:
            raise ConnectionError(f"{url} does not answer ({type(error).__name__})") from error

    async def get(self, url: str, headers: Mapping[str, str]) -> httpx2.Response | None:
        """Return a worker's answer to a request of our own; None if there is none."""
        try:
            return await self._http.get(url, headers=kept_headers(headers))
        except httpx2.TransportError as error:
            _log.warning("%s does not answer (%s)", url, type(error).__name__)
            return None

    async def dial(self, websocket: WebSocket, url: str) -> ClientConnection:
        """Open the control channel of a worker in the name of a client.

        Raises:
            ConnectionError: nobody answers there.
            ApiError: the worker does not take it.
        """
        parts = urlsplit(url)
        scheme = "wss" if parts.scheme == "https" else "ws"
        target = urlunsplit((scheme, parts.netloc, websocket.url.path, websocket.url.query, ""))
        headers = {
            name: value
            for name, value in kept_headers(websocket.headers).items()
            if not name.lower().startswith("sec-websocket")
        }
        try:
            async with asyncio.timeout(CONNECT_S):
                return await connect_websocket(
                    target, additional_headers=headers, proxy=None, logger=_wire_log, compression=None, max_size=None
                )
        except InvalidHandshake as error:
            raise ApiError(502, "no_channel", "the worker refuses the control channel; connect again") from error
        except (OSError, TimeoutError) as error:
            raise ConnectionError(f"{url} does not answer ({type(error).__name__})") from error

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()


def passed_on(answer: httpx2.Response) -> Response:
    """Return a worker's answer as ours, its body as it comes."""

    async def body() -> AsyncIterator[bytes]:
        try:
            async for part in answer.aiter_raw():
                yield part
        finally:
            await answer.aclose()

    headers = kept_headers(answer.headers)
    if (length := answer.headers.get("content-length")) is not None:
        headers["content-length"] = length
    return StreamingResponse(body(), answer.status_code, headers)


async def converse(client: WebSocket, worker: ClientConnection) -> None:
    """Pass control messages both ways until either side ends; the client is told how the worker ended."""

    async def listen() -> None:
        with suppress(WebSocketDisconnect, ConnectionClosed):
            while True:
                message = await client.receive()
                if message["type"] == "websocket.disconnect":
                    return
                await worker.send(message.get("text") or message.get("bytes") or b"")

    async def speak() -> None:
        with suppress(ConnectionClosed):
            async for text in worker:
                await client.send_text(text if isinstance(text, str) else text.decode())

    tasks = [asyncio.create_task(listen()), asyncio.create_task(speak())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        left = tasks[0].done()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await worker.close()
    if not left:
        code = worker.close_code
        # 1006: it was cut off, as where its process has ended
        await client.close(LOST_CLOSE if code in (None, 1005, 1006) else code, worker.close_reason or "")
