"""State that the routes of one server share."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, cast

from fastapi import Request
from starlette.requests import HTTPConnection

from vivace.serve.http.access import AccessControl
from vivace.serve.http.errors import ApiError
from vivace.serve.metrics import Metrics
from vivace.serve.ports import PeerFactory, PeerPort, Role
from vivace.serve.session import LiveSession
from vivace.serve.session_manager import SessionManager
from vivace.serve.settings import ServeSettings
from vivace.serve.thumbnails import Thumbnails
from vivace.serve.turn import ice_servers

_log = logging.getLogger(__name__)

MAX_SDP_BYTES = 64 * 1024
"""Ten times what browsers write; parsing more would hold up everybody."""

MAX_VIEWERS = 64
"""Connections that watch one session: they share an encode, but each takes its bandwidth and its encryption."""


@dataclass(frozen=True, slots=True)
class _Connection:
    session_id: str
    role: Role
    peer: PeerPort
    withdrawn: asyncio.Event | None
    """Withdrawal of the link that it came by."""


@dataclass(slots=True)
class Peers:
    """The peer connections that were made over HTTP, by the address their `Location` names."""

    factory: PeerFactory
    _open: dict[str, _Connection] = field(default_factory=dict)

    async def answer(
        self,
        session: LiveSession,
        role: Role,
        offer_sdp: str,
        withdrawn: asyncio.Event | None = None,
        *,
        half: bool = False,
    ) -> tuple[str, str]:
        """Connect; return the name of the new peer, which nobody can guess, and the answer.

        One picture goes in: that of whoever publishes by WHIP, and came last; without one, of the page that came last.
        A page stays while another program publishes, and shows and steers what is made of that. `half`: what goes out
        has half of each side.

        Raises:
            ApiError: too many viewers.
            VivaceError: an offer that cannot be used.
        """
        if role == "play" and self.watching(session.id) >= MAX_VIEWERS:
            raise ApiError(
                503,
                "viewers",
                f"this session has {MAX_VIEWERS} viewers, the most it may have; try again later",
                retry_after_s=10,
            )
        others = [] if role == "play" else self._of(session.id, role)
        name = secrets.token_urlsafe(16)
        peer = self.factory(session, role, half=half)
        self._open[name] = _Connection(session.id, role, peer, withdrawn)  # whatever closes others meanwhile finds it
        async with AsyncExitStack() as on_failure:
            on_failure.push_async_callback(self.close, name)
            answer = await peer.answer(offer_sdp)
            on_failure.pop_all()
        self._choose_picture(session.id)
        for other in others:
            await self.close(other)
        return name, answer

    def get(self, session_id: str, name: str, role: Role) -> PeerPort:
        """Return a peer.

        Raises:
            ApiError: 404.
        """
        found = self._open.get(name)
        if found is None or (found.session_id, found.role) != (session_id, role):
            raise ApiError(404, "no_peer", "there is no such connection (any more); connect again")
        return found.peer

    async def close(self, name: str) -> None:
        """Close a peer, if it is still there; it counts as open until it is closed, or has failed to."""
        found = self._open.get(name)
        if found is None:
            return
        try:
            await found.peer.close()
        except Exception:  # noqa: BLE001  (who waits for it can do nothing, and has others to close; the log has it)
            _log.exception("a connection of session %s failed to close", found.session_id)
        self._open.pop(name, None)
        self._choose_picture(found.session_id)

    async def close_all(self, session_id: str | None = None) -> None:
        """Close the peers of a session, or all."""
        names = [name for name, found in self._open.items() if session_id in (None, found.session_id)]
        await asyncio.gather(*map(self.close, names))

    async def close_ended(self, alive: set[str]) -> None:
        """Close the peers that have ended, or whose sessions are not `alive`."""
        await self._close_where(lambda found: found.session_id not in alive or found.peer.closed)

    async def close_withdrawn(self) -> None:
        """Close the peers that came by links which are withdrawn."""
        await self._close_where(lambda found: found.withdrawn is not None and found.withdrawn.is_set())

    def published(self) -> set[str]:
        """Return the sessions that a connection brings pictures to."""
        return {found.session_id for found in self._open.values() if found.role != "play" and not found.peer.closed}

    def watching(self, session_id: str | None = None) -> int:
        """Return how many connections only watch a session, or any."""
        return sum(found.role == "play" and session_id in (None, found.session_id) for found in self._open.values())

    async def _close_where(self, ends: Callable[[_Connection], bool]) -> None:
        await asyncio.gather(*[self.close(name) for name, found in self._open.items() if ends(found)])

    def _choose_picture(self, session_id: str) -> None:
        publishing = bool(self._of(session_id, "publish"))
        for name in self._of(session_id, "both"):
            self._open[name].peer.held = publishing

    def _of(self, session_id: str, role: Role) -> list[str]:
        return [name for name, found in self._open.items() if (found.session_id, found.role) == (session_id, role)]


@dataclass(frozen=True, slots=True)
class Server:
    """Settings, sessions, peers, and who may reach them."""

    settings: ServeSettings
    manager: SessionManager
    access_control: AccessControl
    peers: Peers
    thumbnails: Thumbnails
    metrics: Metrics
    checking: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a file is checked: it takes a core for some seconds."""
    signing: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Held while a snapshot is made: it takes a core for a tenth of a second."""
    made_for_whip: set[str] = field(default_factory=set)
    """Sessions that were made on the fly for one connection, and end with it."""

    def ice_servers(self) -> list[dict[str, Any]]:
        """Return the ICE servers as browsers want them, credentials included: only for those who may connect."""
        return [
            {
                "urls": server.urls,
                **({} if server.username is None else {"username": server.username}),
                **({} if server.credential is None else {"credential": server.credential.get_secret_value()}),
            }
            for server in ice_servers(self.settings, time.time())
        ]


def server_of(request: HTTPConnection) -> Server:
    """Return what the routes share."""
    return cast("Server", request.app.state.server)


async def sdp_body(request: Request) -> str:
    """Return the offer in the body of a WHIP or WHEP request.

    Raises:
        ApiError: another media type, no body, or one that is no text.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/sdp":
        raise ApiError(
            415, "media_type", f"the body is {kind[:80] or 'of no type'}; send an offer as application/sdp",
            headers={"Accept-Post": "application/sdp"},
        )  # fmt: skip
    body = await request.body()
    if len(body) > MAX_SDP_BYTES:
        raise ApiError(413, "too_large", f"the offer has {len(body)} bytes; {MAX_SDP_BYTES} are the limit, send less")
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise ApiError(400, "bad_offer", "the offer is no text; send SDP") from error
    if not text.strip():
        raise ApiError(400, "bad_offer", "the offer is empty; send SDP")
    return text
