"""A bad line: a UDP relay between two ends on this machine that loses and reorders packets."""

from __future__ import annotations

import asyncio
import random
from typing import Any


class BadLine:
    """Stands between a client and a server, whose descriptions go through `offer` and `answer`."""

    def __init__(self, *, loss: float, reorder: float, seed: int = 0, delay_s: float = 0.004) -> None:
        self.loss = loss
        self.passed = self.lost = self.reordered = 0
        self._reorder = reorder
        self._delay_s = delay_s
        self._random = random.Random(seed)
        self._sides: dict[str, asyncio.DatagramTransport] = {}
        self._homes: dict[str, tuple[str, int]] = {}

    async def __aenter__(self) -> BadLine:
        loop = asyncio.get_running_loop()
        for side in ("client", "server"):
            transport, _ = await loop.create_datagram_endpoint(
                lambda side=side: _Side(self, side),  # type: ignore[misc]
                local_addr=("127.0.0.1", 0),
            )
            self._sides[side] = transport
        return self

    async def __aexit__(self, *_: Any) -> None:
        for transport in self._sides.values():
            transport.close()
        await asyncio.sleep(0)

    def offer(self, sdp: str) -> str:
        """Lead the server to us instead of the client."""
        return self._redirect(sdp, "client", "server")

    def answer(self, sdp: str) -> str:
        """Lead the client to us instead of the server."""
        return self._redirect(sdp, "server", "client")

    def _redirect(self, sdp: str, home: str, facing: str) -> str:
        lines = []
        port = self._sides[facing].get_extra_info("sockname")[1]
        for line in sdp.splitlines():
            parts = line.split()
            if line.startswith("a=candidate:"):
                if parts[4] != "127.0.0.1":
                    continue
                self._homes[home] = (parts[4], int(parts[5]))
                parts[5] = str(port)
            lines.append(" ".join(parts))
        return "\r\n".join(lines) + "\r\n"

    def carry(self, came_on: str, data: bytes) -> None:
        """Pass a packet on, or not, or late."""
        other = "server" if came_on == "client" else "client"
        if other not in self._homes:
            return
        if self._random.random() < self.loss and data[0] > 127:  # media; the handshake has its own tests elsewhere
            self.lost += 1
            return
        self.passed += 1
        if self._random.random() < self._reorder:
            self.reordered += 1
            asyncio.get_running_loop().call_later(self._delay_s, self._send, came_on, other, data)
        else:
            self._send(came_on, other, data)

    def _send(self, came_on: str, other: str, data: bytes) -> None:
        # What came on the side that faces the client goes to the server from the side that faces it.
        transport = self._sides[other]
        if not transport.is_closing():
            transport.sendto(data, self._homes[other])


class _Side(asyncio.DatagramProtocol):
    def __init__(self, line: BadLine, side: str) -> None:
        self._line = line
        self._side = side

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._line.carry(self._side, data)
