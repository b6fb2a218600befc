"""Makes the peers of a server's sessions, and lets those that watch one session share its encoder."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from aiortc import RTCIceServer

from vivace.rtc.broadcast import Broadcast
from vivace.serve.control import ControlLimits
from vivace.serve.ports import Role
from vivace.serve.rtc.peer import Peer, PeerLimits
from vivace.serve.settings import ServeSettings


class PeerFactory:
    """Makes peers: `factory(session, role)`. Used on the event loop."""

    def __init__(self, settings: ServeSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.limits = PeerLimits(
            max_frame_px=settings.max_frame_px,
            control=ControlLimits(settings.max_messages_per_s, settings.max_body_bytes),
        )
        self.ice_servers = [
            RTCIceServer(
                urls=server.urls,
                username=server.username,
                credential=None if server.credential is None else server.credential.get_secret_value(),
            )
            for server in settings.ice_servers
        ]
        self._clock = clock
        self._broadcasts: dict[str, Broadcast[Any]] = {}

    def __call__(self, session: Any, role: Role) -> Peer:
        """Return a new peer of a session, to be offered something."""
        return Peer(
            session,
            role,
            lambda: self._broadcast(session),
            self.limits,
            ice_servers=self.ice_servers,
            clock=self._clock,
        )

    def _broadcast(self, session: Any) -> Broadcast[Any]:
        """Return the one broadcast of a session; those that nobody watches any more are forgotten."""
        self._broadcasts = {name: found for name, found in self._broadcasts.items() if found.viewers}
        found = self._broadcasts.get(session.id)
        if found is None:
            found = Broadcast(session.subscribe, on_sent=session.report_sent, clock=self._clock)
            self._broadcasts[session.id] = found
        return found


def make_peer_factory(settings: ServeSettings) -> PeerFactory:
    """Return what makes the peers of a server."""
    return PeerFactory(settings)
