"""What the HTTP side needs of a peer connection, as protocols: `serve.rtc` fulfils them, tests stand in for them."""

from __future__ import annotations

from typing import Literal, Protocol

from vivace.serve.session import LiveSession

Role = Literal["both", "publish", "play"]
"""What a connection carries: a picture in and one out (the studio), in only (WHIP), out only (WHEP)."""


class PeerPort(Protocol):
    """One peer connection."""

    held: bool
    """Whether the pictures that it brings are let go of: another connection's go in."""

    @property
    def closed(self) -> bool:
        """Whether the connection has ended, by itself or by `close`."""

    async def answer(self, offer_sdp: str) -> str:
        """Return the answer to an offer.

        Raises:
            VivaceError: an offer that cannot be used.
        """

    async def close(self) -> None:
        """Close the connection; safe to call twice."""


class PeerFactory(Protocol):
    """Makes peers."""

    def __call__(self, session: LiveSession, role: Role) -> PeerPort:
        """Return a peer of a session that has not been offered anything yet."""
