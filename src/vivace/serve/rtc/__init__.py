"""WebRTC peers of sessions: the studio's connection both ways, WHIP in and WHEP out."""

from __future__ import annotations

from vivace.serve.rtc.factory import PeerFactory, make_peer_factory
from vivace.serve.rtc.peer import Peer, PeerStats

__all__ = ["Peer", "PeerFactory", "PeerStats", "make_peer_factory"]
