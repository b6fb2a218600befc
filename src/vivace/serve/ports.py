"""Peer connections as the HTTP side needs them: protocols that `serve.rtc` fulfils and tests stand in for."""

from __future__ import annotations

from typing import Literal, Protocol

from vivace.serve.session import LiveSession

Role = Literal["both", "publish", "play"]
"""Pictures that a connection carries: in and out (the studio), in only (WHIP), out only (WHEP)."""


class PeerPort(Protocol):
    """One peer connection."""

    held: bool
    """True while the pictures that it brings are dropped: another connection's go in."""

    @property
    def closed(self) -> bool:
        """True once the connection has ended, by itself or by `close`."""

    async def answer(self, offer_sdp: str) -> str:
        """Return the answer to an offer.

        Raises:
            VivaceError: an offer that cannot be used.
        """

    async def close(self) -> None:
        """Close the connection; safe to call twice."""


class PeerFactory(Protocol):
    """Makes peers."""

    def __call__(self, session: LiveSession, role: Role, *, half: bool = False) -> PeerPort:
        """Return a peer of a session that has not been offered anything yet.

        `half`: it is sent pictures of half of each side.
        """
