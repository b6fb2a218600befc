"""The HTTP API of a server: sessions, models, presets, recordings, quota."""

from __future__ import annotations

import asyncio
import math
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

import httpx2

from vivace.client.api import ServerError, ServerUnreachableError, SessionInfo
from vivace.client.control import ClientSession, controls_of
from vivace.errors import UsageError
from vivace.messages import Controls, RecordingInfo
from vivace.redaction import redact_address

TIMEOUT_S = 30.0
"""Time-out of any request, s; loading a model for the first time is the slowest."""


class Client:
    """Client of one server; made by `connect`."""

    def __init__(
        self, url: str, http: httpx2.AsyncClient, authorization: Mapping[str, str], tls: ssl.SSLContext | None = None
    ) -> None:
        self.url = url
        """Base URL without user and password."""
        self.tls = tls
        """TLS trust for HTTPS; None trusts the usual certificate authorities."""
        self.authorization = authorization
        """Authorization header of every request; empty if none is needed."""
        self._http = http

    async def open(
        self, *, model: str | None = None, controls: Controls | None = None, **changes: Any
    ) -> ClientSession:
        """Open a session and its control channel.

        A prompt that the model does not know does not prevent a session: it is left out, and the session's `notices`
        name it with the nearest styles.

        Args:
            model: one of `models()`; the server's default if None.
            controls: initial controls, or
            changes: the same by name: `prompt`, `strength`, `options`, …; None is the default, as if left out.

        Raises:
            ControlError: a value that cannot be used.
            ServerError: the server is full, or refuses a control, or a token is missing.
            ServerUnreachableError: no answer.
        """
        named = {name: value for name, value in changes.items() if value is not None}
        if controls is not None and named:
            raise UsageError(f"give controls or {', '.join(named)}, not both")
        wanted = controls or controls_of(named)
        body = {"model": model, "controls": wanted.model_dump(exclude_unset=True, mode="json")}
        answer = await self._open(body)
        session = ClientSession(self, SessionInfo.model_validate(answer))
        await session.connect()
        return session

    async def _open(self, body: dict[str, Any]) -> Any:
        """Request a session, retrying while the server is still loading, up to the read time-out."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + (self._http.timeout.read or math.inf)
        while True:
            try:
                return await self._json("POST", "/v1/sessions", json=body)
            except ServerError as error:
                if error.code != "loading" or loop.time() > until_s:
                    raise
                await asyncio.sleep(error.retry_after_s or 1.0)

    async def models(self) -> list[dict[str, Any]]:
        """Return the models that the server offers, the default first."""
        return list((await self._json("GET", "/v1/models"))["models"])

    async def presets(self) -> list[dict[str, str]]:
        """Return suggested prompts."""
        return list((await self._json("GET", "/v1/presets"))["presets"])

    async def quota(self) -> dict[str, Any]:
        """Return the number of sessions that may be opened and of free slots."""
        return dict(await self._json("GET", "/v1/quota"))

    async def recordings(self) -> list[RecordingInfo]:
        """Return the recordings, newest first: those made with the same token, or all for operators."""
        found = (await self._json("GET", "/v1/recordings"))["recordings"]
        return [RecordingInfo.model_validate(item) for item in found]

    async def download(self, name: str) -> bytes:
        """Return the bytes of a recording."""
        return (await self.request("GET", f"/v1/recordings/{name}")).content

    async def snapshot(self, session: SessionInfo, **query: str) -> bytes:
        """Return the newest picture of a session as a file, signed if the server signs.

        Args:
            session: session to take it from.
            query: parameters of the API, such as `type="jpg"`, `compare="true"`.
        """
        headers = {"X-Session-Secret": session.secret}
        path = f"/v1/sessions/{session.id}/snapshot"
        return (await self.request("GET", path, params=query, headers=headers)).content

    async def offer(self, session: SessionInfo, sdp: str) -> str:
        """Return the server's answer to an SDP offer that publishes and plays over one connection."""
        headers = {"X-Session-Secret": session.secret}
        answer = await self._json("POST", session.offer_url, json={"sdp": sdp, "type": "offer"}, headers=headers)
        return str(answer["sdp"])

    async def request(self, method: str, path: str, **what: Any) -> httpx2.Response:
        """Send a request to a path of the server and return a successful answer.

        Raises:
            ServerError: the server answered with an error.
            ServerUnreachableError: no answer.
        """
        try:
            answer = await self._http.request(method, path, **what)
        except httpx2.TransportError as error:
            why = str(error) or type(error).__name__
            remedy = (
                "its certificate is not trusted here; give `tls`, an SSL context that trusts the file it names at start"
                if "CERTIFICATE_VERIFY_FAILED" in why
                else "is `vivace serve` running there?"
            )
            raise ServerUnreachableError(f"{self.url} does not answer ({why}); {remedy}", code="unreachable") from error
        if answer.is_success:
            return answer
        raise _refusal(answer)

    def websocket_url(self, path: str, **query: str) -> str:
        """Return the WebSocket URL of a path of the server."""
        parts = urlsplit(urljoin(self.url, path))
        scheme = "wss" if parts.scheme == "https" else "ws"
        return urlunsplit((scheme, parts.netloc, parts.path, str(httpx2.QueryParams(query)), ""))

    async def _json(self, method: str, path: str, **what: Any) -> Any:
        return (await self.request(method, path, **what)).json()


@asynccontextmanager
async def connect(
    url: str, *, token: str | None = None, timeout_s: float = TIMEOUT_S, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Client]:
    """Connect to the server at `http(s)://host:port`.

    Args:
        url: base URL; a user and password in it are for a proxy in front of the server.
        token: from `vivace serve token`; a server that listens on loopback needs none.
        timeout_s: time-out of any request, and of opening a session while the server starts.
        tls: TLS trust for HTTPS; for a server with a self-signed certificate, `ssl.create_default_context(cafile=…)`
            with the file that it names at start.

    Raises:
        UsageError: not such a URL, or a token besides a user and password.
    """
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    if parts.scheme not in ("http", "https") or not host:
        raise UsageError(f"{redact_address(url)[:80]!r} is no address of a server; give one like http://127.0.0.1:8787")
    if user and token is not None:
        raise UsageError("a request says once who asks: give a token, or a user and password in the address, not both")
    url = urlunsplit(parts._replace(netloc=host))  # without credentials, which an HTTP library might log
    who = f"Bearer {token}" if token is not None else f"Basic {b64encode(unquote(user).encode()).decode()}"
    headers = {"Authorization": who} if user or token is not None else {}
    async with httpx2.AsyncClient(
        base_url=url, headers=headers, timeout=timeout_s, verify=tls or True, trust_env=False
    ) as http:
        yield Client(url, http, headers, tls)


def _refusal(answer: httpx2.Response) -> ServerError:
    try:
        told = answer.json()
        code, message, retry_after_s = told["code"], told["message"], told.get("retry_after_s")
    except (ValueError, KeyError, TypeError):
        return ServerError(f"{answer.url} answered {answer.status_code} {answer.reason_phrase}; is it a Vivace server?",
                           code="http", status=answer.status_code)  # fmt: skip
    return ServerError(message, code=code, status=answer.status_code, retry_after_s=retry_after_s)
