"""Control channels that flood, send nonsense, or do not listen."""

from __future__ import annotations

import asyncio
import contextlib
import json

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from patience import PATIENCE_S
from serve.faults.process import Served
from serve.faults.rough import Amount, control, http_client, raw_session

NONSENSE = (
    "",
    "{",
    "null",
    "[]",
    '"text"',
    "NaN",
    '{"type": "nothing"}',
    '{"type": "update"}',
    '{"type": "update", "controls": {"prompt": 5}}',
    '{"type": "update", "controls": {"strength": 1e999}}',
    '{"type": "update", "controls": {"seed": -1}}',
    '{"type": "update", "controls": {"size": [1000000, 1000000]}}',
    '{"type": "update", "controls": {"size": [0, 0]}}',
    '{"type": "update", "controls": {"mask": "data:image/png;base64,AAAA"}}',
    '{"type": "update", "controls": {"mask": "file:///etc/passwd"}}',
    '{"type": "update", "controls": {"prompt": "\\ud800"}}',
    '{"type": "ping", "id": "' + "x" * 1_000 + '"}',
    '{"type": "ping", "presented": [[0.5, "x"]]}',
    "[" * 200_000,
    '{"a":' * 100_000,
    b"\xff\xfe\x00",
    b"\x00" * 10_000,
)


async def _pong(socket: ClientConnection, name: str) -> list[str]:
    """Ask for a pong and return the refusals that came before it."""
    await socket.send(json.dumps({"type": "ping", "id": name}))
    refusals = []
    async with asyncio.timeout(PATIENCE_S):
        while True:
            message = json.loads(await socket.recv())
            if message["type"] == "error" or (message["type"] == "ack" and not message["accepted"]):
                refusals.append(message["message"])
            if (message["type"], message.get("id")) == ("pong", name):
                return refusals


async def nonsense(server: Served, amount: Amount) -> None:
    """An invalid message is answered with an error, and the session goes on."""
    token = server.token("publish")
    async with (
        http_client(server, token=token) as http,
        raw_session(http) as session,
        control(server, session, token) as socket,
    ):
        for number, text in enumerate(NONSENSE):
            await socket.send(text)
            refusals = await _pong(socket, str(number))
            assert len(refusals) == 1, (text[:60], refusals)


async def floods(server: Served, amount: Amount) -> None:
    """A client that sends far too much is warned once and then disconnected; so is one with a far too large message."""
    token = server.token("publish")
    async with http_client(server, token=token) as http, raw_session(http) as session:
        codes = set()
        try:
            async with control(server, session, token) as socket:
                for number in range(max(amount.messages, 1_500)):  # ten seconds' worth over the limit, and some
                    await socket.send(json.dumps({"type": "ping", "id": str(number)}))
                async with asyncio.timeout(PATIENCE_S):
                    async for text in socket:
                        codes.add(json.loads(text).get("code"))
        except ConnectionClosed:
            pass
        assert socket.close_code in (1006, 1008), socket.close_code
        async with control(server, session, token) as socket:
            with contextlib.suppress(ConnectionClosed):
                await socket.send("x" * 10_000_000)
            await socket.wait_closed()
        assert socket.close_code == 1009, socket.close_code
        async with control(server, session, token) as socket:  # the session still exists for a well-behaved client
            await _pong(socket, "again")


async def deaf(server: Served, amount: Amount) -> None:
    """A client that asks and never listens is not served for ever: its queue is bounded."""
    token = server.token("publish")
    async with http_client(server, token=token) as http, raw_session(http) as session:
        request = (
            f"GET {session['control_url']} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"X-Session-Secret: {session['secret']}\r\nAuthorization: Bearer {token}\r\n\r\n"
        )
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1)
        writer.write(request.encode())
        text = json.dumps({"type": "ping", "id": "x" * 60}).encode()
        frame = bytes([0x81, 0x80 | len(text)]) + bytes(4) + text  # masked with zeros
        try:
            async with asyncio.timeout(2):
                for _ in range(amount.messages):
                    writer.write(frame)
                    await writer.drain()
        except (TimeoutError, ConnectionError):
            pass  # no longer read, or disconnected: both are right
        writer.transport.abort()


async def cut(server: Served, amount: Amount) -> None:
    """Channels that break off in the middle of a message leave nothing behind."""
    token = server.token("publish")
    async with http_client(server, token=token) as http, raw_session(http) as session:
        for _ in range(max(3, amount.cycles // 5)):
            async with control(server, session, token) as socket:
                socket.transport.write(bytes([0x81, 0xFE, 0x7F, 0xFF]) + bytes(100))  # 100 bytes of 32 KiB
                await asyncio.sleep(0.01)
                socket.transport.abort()
