"""A network path on which packets are lost and reordered: a UDP relay on this machine."""

from __future__ import annotations

import asyncio
import random
import re
from typing import Any

LATE_S = 0.03
"""Delay of a reordered packet, s: it comes after those of the next picture."""


class Relay:
    """Relay between one client and the server. An async context manager."""

    def __init__(self, *, loss: float, reorder: float, seed: int) -> None:
        """Lose and delay a share of the packets in both directions, the same ones for the same seed."""
        self.loss = loss
        self.reorder = reorder
        self.passed = 0
        self.lost = 0
        self.late = 0
        self.port = 0
        self._chance = random.Random(seed)
        self._server: tuple[str, int] | None = None
        self._near: Any = None
        self._far: Any = None
        self._client: tuple[str, int] | None = None

    async def __aenter__(self) -> Relay:
        loop = asyncio.get_running_loop()
        self._near, _ = await loop.create_datagram_endpoint(
            lambda: _Side(self._from_client), local_addr=("127.0.0.1", 0)
        )
        self._far, _ = await loop.create_datagram_endpoint(
            lambda: _Side(self._from_server), local_addr=("127.0.0.1", 0)
        )
        self.port = self._near.get_extra_info("sockname")[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._near.close()
        self._far.close()

    def lead_to(self, host: str, port: int) -> None:
        """Set the server's address."""
        self._server = host, port

    def _from_client(self, data: bytes, address: tuple[str, int]) -> None:
        self._client = address
        self._carry(self._far, data, self._server)

    def _from_server(self, data: bytes, address: tuple[str, int]) -> None:
        self._carry(self._near, data, self._client)

    def _carry(self, side: Any, data: bytes, to: tuple[str, int] | None) -> None:
        if to is None:
            return
        # Connecting is another matter: only RTP and RTCP, by their first byte (RFC 7983), meet the bad path.
        fate = self._chance.random() if 128 <= data[0] <= 191 else 1.0
        if fate < self.loss:
            self.lost += 1
        elif fate < self.loss + self.reorder:
            self.late += 1
            asyncio.get_running_loop().call_later(LATE_S, self._send, side, data, to)
        else:
            self.passed += 1
            side.sendto(data, to)

    @staticmethod
    def _send(side: Any, data: bytes, to: tuple[str, int]) -> None:
        if not side.is_closing():
            side.sendto(data, to)


class _Side(asyncio.DatagramProtocol):
    def __init__(self, take: Any) -> None:
        self.datagram_received = take


def through(relay: Relay, answer: str) -> str:
    """Return the server's answer with the relay's address in place of the server's."""
    found = re.search(r"a=candidate:\S+ 1 udp \d+ 127\.0\.0\.1 (\d+) typ host", answer)
    assert found is not None, answer
    relay.lead_to("127.0.0.1", int(found[1]))
    without = "".join(line + "\r\n" for line in answer.splitlines() if not line.startswith("a=candidate:"))
    line = f"a=candidate:relay 1 udp 2130706431 127.0.0.1 {relay.port} typ host\r\n"
    return re.sub(r"(a=ice-ufrag)", line + r"\1", without, count=1)
