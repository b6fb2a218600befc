"""A bad network path: a UDP relay between two ends on this machine that loses, reorders and delays packets."""

from __future__ import annotations

import asyncio
import random
from typing import Any


class BadLine:
    """Relay between a client and a server, whose descriptions pass through `offer` and `answer`.

    Either end is known by the source address of its packets, so that a browser need not tell its addresses.
    """

    def __init__(
        self,
        *,
        loss: float = 0.0,
        reorder: float = 0.0,
        rate_bps: float | None = None,
        queue_s: float = 2.0,
        seed: int = 0,
        delay_s: float = 0.004,
    ) -> None:
        """Lose and reorder these shares of packets, and carry at most `rate_bps` bit/s in either direction.

        Further packets wait, first come, first served; those that would wait longer than `queue_s` are lost.
        """
        self.loss = loss
        self.is_cut = False
        """True if no packet passes any more."""
        self.passed = self.lost = self.reordered = 0
        self.waits_s: dict[str, list[tuple[float, float]]] = {"client": [], "server": []}
        """Arrival time and waiting time of each packet, s, by the end that sent it."""
        self._rate_bps = rate_bps
        self._queue_s = queue_s
        self._free_s = {"client": 0.0, "server": 0.0}
        """Time at which the path has carried all its packets, by the end that sent them."""
        self._reorder = reorder
        self._delay_s = delay_s
        self._random = random.Random(seed)
        self._sides: dict[str, asyncio.DatagramTransport] = {}
        self._homes: dict[str, Any] = {}

    async def __aenter__(self) -> BadLine:
        loop = asyncio.get_running_loop()
        for side in ("client", "server"):
            transport, _ = await loop.create_datagram_endpoint(
                lambda side=side: _Side(self, side),  # type: ignore[misc]
                local_addr=("0.0.0.0", 0),  # Firefox does not reach 127.0.0.1 from its other addresses
            )
            self._sides[side] = transport
        return self

    async def __aexit__(self, *_: Any) -> None:
        for transport in self._sides.values():
            transport.close()
        await asyncio.sleep(0)

    def offer(self, sdp: str) -> str:
        """Lead the server to the relay instead of the client."""
        return self._redirect(sdp, "client", "server")

    def answer(self, sdp: str) -> str:
        """Lead the client to the relay instead of the server."""
        return self._redirect(sdp, "server", "client")

    def _redirect(self, sdp: str, home: str, facing: str) -> str:
        lines = []
        port = self._sides[facing].get_extra_info("sockname")[1]
        for line in sdp.splitlines():
            parts = line.split()
            if line.startswith("a=candidate:"):
                if parts[2].lower() != "udp" or ":" in parts[4]:
                    continue
                if parts[4] == "127.0.0.1":
                    self._homes[home] = (parts[4], int(parts[5]))
                parts[5] = str(port)
            lines.append(" ".join(parts))
        return "\r\n".join(lines) + "\r\n"

    def carry(self, came_on: str, data: bytes, sender: Any) -> None:
        """Pass a packet on, or drop or delay it."""
        self._homes[came_on] = sender
        other = "server" if came_on == "client" else "client"
        if other not in self._homes or self.is_cut:
            return
        if self._random.random() < self.loss and data[0] > 127:  # media; other tests cover the handshake
            self.lost += 1
            return
        loop = asyncio.get_running_loop()
        wait_s = 0.0
        if self._rate_bps is not None:
            now_s = loop.time()
            queued_s = max(0.0, self._free_s[came_on] - now_s)
            if queued_s > self._queue_s:
                self.lost += 1
                return
            wait_s = queued_s + 8 * len(data) / self._rate_bps
            self._free_s[came_on] = now_s + wait_s
            self.waits_s[came_on].append((now_s, wait_s))
        self.passed += 1
        if self._random.random() < self._reorder:
            self.reordered += 1
            wait_s += self._delay_s
        if wait_s:
            loop.call_later(wait_s, self._send, other, data)
        else:
            self._send(other, data)

    def _send(self, other: str, data: bytes) -> None:
        # A packet that came on the side of the client leaves to the server from the side of the server.
        transport = self._sides[other]
        if not transport.is_closing():
            transport.sendto(data, self._homes[other])


class _Side(asyncio.DatagramProtocol):
    def __init__(self, line: BadLine, side: str) -> None:
        self._line = line
        self._side = side

    def datagram_received(self, data: bytes, addr: Any) -> None:
        self._line.carry(self._side, data, addr)
