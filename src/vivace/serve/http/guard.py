"""Guard in front of every request: addresses, origins, sizes of bodies, and headers that protect the page."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vivace.serve.auth import is_loopback
from vivace.serve.http.errors import ApiError

_log = logging.getLogger(__name__)

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob: mediastream:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)

HEADERS = {
    "Cache-Control": "no-cache",  # kept, and asked for each time: modules of two versions never meet
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Permissions-Policy": (
        "camera=(self), display-capture=(self), fullscreen=(self), geolocation=(), microphone=(self), midi=(self)"
    ),
    "Referrer-Policy": "no-referrer",  # addresses may carry a token
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
"""Headers of an answer that sets no others."""

ALLOWED_METHODS = "GET, POST, PUT, PATCH, DELETE, OPTIONS"
ALLOWED_HEADERS = "Authorization, Content-Type, If-Match, Range, X-Session-Secret"
EXPOSED_HEADERS = "ETag, Link, Location, Retry-After, Content-Range, Vivace-Notices, WWW-Authenticate, X-Session-Secret"


@dataclass(frozen=True, slots=True)
class GuardRules:
    """Limits of what the guard lets through."""

    max_body_bytes: int
    larger: Mapping[str, int] = field(default_factory=dict)
    """Bytes of a body at paths that take larger ones."""
    body_s: float = 20.0
    """Time for a body to arrive."""
    origins: Collection[str] = ()
    """Origins of pages, besides our own, that may call from a browser."""
    local_only: bool = False
    """No tokens are asked for, so only requests addressed to this machine by name are served: a page of a stranger
    that rebinds its own name to 127.0.0.1, or a proxy that was put in front, is refused."""


class Guard:
    """ASGI middleware that refuses what should not reach the app, and knows a client that leaves from a mistake.

    Whatever is being done for a client that has left ends with `ClientDisconnect`, and here: it is no error.
    """

    def __init__(self, app: ASGIApp, rules: GuardRules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            await self._serve(scope, receive, send)
        except ClientDisconnect:
            _log.info("%s %s: the client has left", scope.get("method", "WebSocket"), scope["path"][:200])

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        foreign = origin is not None and not _is_own(origin, headers.get("host", ""))
        sender = _Sender(send, origin if foreign and self._allows(origin) else None)
        problem = self._refusal(headers, origin if foreign else None, self._limit(scope["path"]))
        if problem is not None:
            await problem.response()(scope, receive, sender)
        elif scope["type"] == "http" and scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await Response(status_code=204)(scope, receive, sender)
        elif scope["type"] == "http":
            await self._app(scope, _Limited(receive, self._rules, self._limit(scope["path"]), sender), sender)
        else:
            await self._app(scope, receive, sender)

    def _allows(self, origin: str | None) -> bool:
        return origin is not None and origin.rstrip("/") in self._rules.origins

    def _limit(self, path: str) -> int:
        return self._rules.larger.get(path, self._rules.max_body_bytes)

    def _refusal(self, headers: Headers, foreign_origin: str | None, limit: int) -> ApiError | None:
        host = headers.get("host", "")
        if self._rules.local_only and not is_loopback(_name_of(host)):
            return ApiError(
                421,
                "host",
                f"this server answers on its own machine alone, not as {host[:80]!r}; to serve others, set "
                "VIVACE_SERVE_TOKEN_SECRET (make one with `vivace serve secret`) and give them tokens",
            )
        if foreign_origin is not None and not self._allows(foreign_origin):
            return ApiError(
                403,
                "origin",
                f"pages of {foreign_origin[:80]} may not use this server; allow them with "
                f"--allow-origin {foreign_origin[:80]}",
            )
        length = headers.get("content-length")
        if length is not None and (not length.isdecimal() or len(length) > 18 or int(length) > limit):
            return _too_large(limit)
        return None


class _Sender:
    """Adds the headers that protect the page, and those that let an allowed origin read the answer."""

    def __init__(self, send: Send, allowed_origin: str | None) -> None:
        self.begun = False
        """True once the answer is on its way."""
        self._send = send
        self._allowed_origin = allowed_origin

    async def __call__(self, message: Message) -> None:
        self._complete(message)
        accepted, self.begun = self.begun, True
        try:
            await self._send(message)
        except OSError as error:
            raise ClientDisconnect from error
        except RuntimeError as error:
            # uvicorn has closed a WebSocket, for a message that is too large or a ping without an answer, and nobody
            # has been told yet. Anything else it may find wrong here is a mistake of ours.
            if accepted and message["type"] in ("websocket.send", "websocket.close"):
                raise ClientDisconnect from error
            raise

    def _complete(self, message: Message) -> None:
        if message["type"] in ("http.response.start", "websocket.http.response.start"):
            message.setdefault("headers", [])
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.add_vary_header("Origin")
            if self._allowed_origin is not None:
                headers["Access-Control-Allow-Origin"] = self._allowed_origin
                headers["Access-Control-Allow-Methods"] = ALLOWED_METHODS
                headers["Access-Control-Allow-Headers"] = ALLOWED_HEADERS
                headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
                headers["Access-Control-Max-Age"] = "600"
                headers["Cross-Origin-Resource-Policy"] = "cross-origin"


class _Limited:
    """Counts a body as it comes, for clients that do not say its length, and waits for it so long and no longer.

    Once the answer has begun, what still comes of the body is nobody's concern, and nothing else can be answered.
    """

    def __init__(self, receive: Receive, rules: GuardRules, limit: int, sender: _Sender) -> None:
        self._receive = receive
        self._rules = rules
        self._limit = limit
        self._sender = sender
        self._seen = 0
        self._more = True
        self._until_s: float | None = None

    async def __call__(self) -> Message:
        if not self._more or self._answering():  # what comes now is only that the client goes
            return await self._receive()
        if self._until_s is None:
            self._until_s = asyncio.get_running_loop().time() + self._rules.body_s
        try:
            async with asyncio.timeout_at(self._until_s):
                message = await self._receive()
        except TimeoutError as error:
            if self._answering():  # since it was asked above
                return await self._receive()
            text = f"the body did not arrive within {self._rules.body_s:g} s; send it again"
            raise ApiError(408, "slow", text, headers={"Connection": "close"}) from error
        self._seen += len(message.get("body", b""))
        self._more = message.get("more_body", False)
        if self._seen > self._limit and not self._answering():
            raise _too_large(self._limit)
        return message

    def _answering(self) -> bool:
        return self._sender.begun


def _too_large(limit: int) -> ApiError:
    return ApiError(413, "too_large", f"the body is over the limit of {limit} bytes; send less")


def _is_own(origin: str, host: str) -> bool:
    """Return whether a page was served by us. Only hosts are compared: TLS may end in front of us."""
    try:
        netloc = urlsplit(origin).netloc
    except ValueError:  # half an address in brackets
        return False
    return bool(host) and netloc.lower() == host.lower()


def _name_of(host: str) -> str:
    """Return a Host header without its port."""
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0]
