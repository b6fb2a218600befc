"""Requests that are slow, large, or forbidden."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from patience import PATIENCE_S
from serve.faults.process import Served
from serve.faults.rough import Amount, http_client, raw_session, refused, standing

TRAVERSALS = (
    "../server.log",
    "..%2fserver.log",
    "..%2F..%2F..%2Fetc%2Fpasswd",
    "%2e%2e/%2e%2e/etc/passwd",
    "%252e%252e%252fetc%252fpasswd",
    "....//....//etc/passwd",
    "..\\..\\server.log",
    "%2Fetc%2Fpasswd",
    "20260101-000000-0123456789abcdef.mp4%00.png",
    "20260101-000000-0123456789abcdef.mp4/../x",
    "a" * 5_000,
)


async def large_bodies(server: Served, amount: Amount) -> None:
    """Bodies over the limit are refused, with and without a declared length; so are prompts and masks."""
    many = b"x" * 10_000_000

    async def unannounced() -> Any:
        for _ in range(10):
            yield many[:1_000_000]

    async with http_client(server, "publish") as http, raw_session(http):
        refused(await http.post("/v1/sessions", json={"controls": {"prompt": "x" * 10_000_000}}), 413)
        refused(await http.post("/v1/sessions", json={"controls": {"prompt": "x" * 3_000_000}}), 422)
        refused(await http.post("/v1/sessions", content=unannounced()), 413)
        refused(await http.post("/whip", content=many, headers={"Content-Type": "application/sdp"}), 413)
        refused(await http.post("/v1/sessions", content=b"[" * 3_000_000), 400, 422)
        refused(await http.post("/whip?prompt=" + "x" * 3_000, headers={"Content-Type": "application/sdp"}), 422)
        mask = "data:image/png;base64," + "A" * 600_000
        refused(await http.post("/v1/sessions", json={"controls": {"mask": mask}}), 422)


async def traversals(server: Served, amount: Amount) -> None:
    """No name of a recording, and no path of the page, leads out of its folder."""
    for token in (server.token("view"), server.token("admin")):
        async with http_client(server, token=token) as http:
            for name in TRAVERSALS:
                for path in (f"/v1/recordings/{name}", f"/{name}", f"/v1/presets/{name}.jpg"):
                    answer = await http.get(path)
                    assert answer.status_code in (400, 404, 405, 422), (path, answer.status_code)
                    assert b"root:" not in answer.content
                    assert b"INFO vivace" not in answer.content
                if token != server.token("view"):
                    assert (await http.delete(f"/v1/recordings/{name}")).status_code in (403, 404, 405)


async def bad_tokens(server: Served, amount: Amount) -> None:
    """Missing, wrong, expired, with another secret or scope: refused, and nothing opened."""
    good = server.token("publish")
    expired = server.token("admin", expires_s=1, now_s=time.time() - 100)
    other = good[:-4] + ("AAAA" if not good.endswith("AAAA") else "BBBB")
    before = server.metrics()["vivace_sessions_opened_total"]
    header, payload, signature = good.split(".")
    unsigned = f"eyJhbGciOiJub25lIn0.{payload}."
    for token in ("", "x.y.z", "v1..", "." * 500, "x" * 10_000, expired, other, unsigned, f"{header}.e30.{signature}"):
        async with http_client(server, token=token) as http:
            refused(await http.post("/v1/sessions", json={}), 400, 401)
            refused(await http.get("/v1/recordings"), 400, 401)
            refused(await http.get("/metrics"), 400, 401)
    async with http_client(server, "view") as http:
        refused(await http.post("/v1/sessions", json={}), 403)
        refused(await http.get("/metrics"), 403)
        refused(await http.get("/v1/sessions"), 403)
        refused(await http.get("/v1/recordings"), 403)
    assert server.metrics()["vivace_sessions_opened_total"] == before
    async with standing(server) as (mine, session), http_client(server, "publish") as theirs:
        assert (await mine.get("/v1/recordings")).json() == {"recordings": []}, "those of others"
        for secret in ("", "x", session["secret"][:-1] + "?", "é"):
            headers = {"X-Session-Secret": secret.encode()}
            refused(await theirs.delete(f"/v1/sessions/{session['id']}", headers=headers), 403)
            refused(await theirs.post(session["offer_url"], json={"type": "offer", "sdp": "v=0"}, headers=headers), 403)
        assert (await mine.get(f"/v1/sessions/{session['id']}")).json()["state"] == "live"


async def slow_requests(server: Served, amount: Amount) -> None:
    """Half a request is not awaited indefinitely, and others are served meanwhile."""
    halves = (
        b"",
        b"GET /healthz HTT",
        b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nX-Slow: ",
        b"POST /whip HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/sdp\r\nContent-Length: 1000\r\n"
        b"Authorization: Bearer " + server.token("publish").encode() + b"\r\n\r\nv=0",
    )
    opened = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(amount.connections)]
    for number, (_, writer) in enumerate(opened):
        writer.write(halves[number % len(halves)])
    async with http_client(server, "publish") as http:
        assert (await http.get("/healthz")).status_code == 200
        async with raw_session(http):
            pass
    try:
        async with asyncio.timeout(PATIENCE_S):
            for reader, _ in opened:
                await reader.read()  # to its end: the server has closed it
    finally:
        for _, writer in opened:
            writer.close()


async def strange_requests(server: Served, amount: Amount) -> None:
    """Invalid HTTP is answered with an error or a closed connection."""
    for text in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET " + b"/x" * 100_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X-Header: y\r\n" * 50_000 + b"\r\n",
        b"POST /v1/sessions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /whip HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /v1/sessions/x/control HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            writer.write(text)
            async with asyncio.timeout(PATIENCE_S):
                first = await reader.read(12)
            assert first[:9] in (b"", b"HTTP/1.1 "), first
            assert not first.startswith(b"HTTP/1.1 5"), first
        except ConnectionError:
            pass  # closed while it was still sending: as good
        finally:
            writer.close()
