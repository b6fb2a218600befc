"""Makes the peers of a server's sessions, and lets those that watch one session share its encoder."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from aiortc import RTCIceGatherer, RTCIceServer, RTCIceTransport

from vivace.media.encoders import choose
from vivace.rtc.broadcast import Broadcast
from vivace.rtc.media_address import MediaAddress
from vivace.rtc.transport_seams import GATHER_S, gather_loopback_too
from vivace.serve.control import ControlLimits
from vivace.serve.ports import Role
from vivace.serve.rtc.peer import Peer, PeerLimits
from vivace.serve.settings import ServeSettings
from vivace.serve.turn import ice_servers

_log = logging.getLogger(__name__)


class PeerFactory:
    """Factory of peers: `factory(session, role)`. Used on the event loop."""

    def __init__(self, settings: ServeSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Take what the settings say.

        Raises:
            SinkUnsupportedError: the encoder that is asked for does not work here.
        """
        self.limits = PeerLimits(
            max_frame_px=settings.max_frame_px,
            control=ControlLimits(settings.max_messages_per_s, settings.max_body_bytes),
        )
        self._settings = settings
        self._at = MediaAddress(settings.udp_ports, settings.announced_address)
        chosen = choose(settings.encoder)
        if chosen.note:
            _log.info("%s", chosen.note)
        self._h264 = chosen.encoder
        self._clock = clock
        self._broadcasts: dict[str, Broadcast[Any]] = {}

    def __call__(self, session: Any, role: Role, *, half: bool = False) -> Peer:
        """Return a new peer of a session, to be offered something; `half`: it is sent pictures of half of each side."""
        return Peer(
            session,
            role,
            lambda: self._broadcast(session),
            self.limits,
            half=half,
            ice_servers=self.ice_servers(),
            at=self._at,
            clock=self._clock,
        )

    def ice_servers(self) -> list[RTCIceServer]:
        """Return the STUN and TURN servers that a connection made now asks for addresses."""
        return [
            RTCIceServer(
                urls=server.urls,
                username=server.username,
                credential=None if server.credential is None else server.credential.get_secret_value(),
            )
            for server in ice_servers(self._settings, time.time())
        ]

    async def name_silent_servers(self) -> None:
        """Log every STUN and TURN server that gives no address: a connection waits for it, and then does without."""
        one_each = [
            RTCIceServer(url, each.username, each.credential) for each in self.ice_servers() for url in each.urls
        ]
        for server, answers in zip(one_each, await asyncio.gather(*map(_answers, one_each)), strict=True):
            if not answers:
                _log.warning(
                    "%s gave no address within %g s: is it running, are its user and password right? Every connection "
                    "waits so long for it and then does without, which clients behind a NAT may not get through",
                    server.urls, GATHER_S,
                )  # fmt: skip

    def _broadcast(self, session: Any) -> Broadcast[Any]:
        """Return the one broadcast of a session; those that nobody watches any more are forgotten."""
        self._broadcasts = {name: found for name, found in self._broadcasts.items() if found.viewers}
        found = self._broadcasts.get(session.id)
        if found is None:
            found = Broadcast(
                session.subscribe,
                on_sent=session.report_sent,
                taken_s=lambda frame: frame.capture_time_s if session.sound.state == "on" else None,
                h264=self._h264,
                clock=self._clock,
            )
            self._broadcasts[session.id] = found
        return found


async def _answers(server: RTCIceServer) -> bool:
    gatherer = RTCIceGatherer([server])
    transport = RTCIceTransport(gatherer)
    gather_loopback_too(transport)
    try:
        await gatherer.gather()
        return any(candidate.type != "host" for candidate in gatherer.getLocalCandidates())
    finally:
        await transport.stop()


def make_peer_factory(settings: ServeSettings) -> PeerFactory:
    """Return what makes the peers of a server."""
    return PeerFactory(settings)
