"""Addresses of a connection's media: the UDP ports that are opened, and the address that is announced."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aioice import Candidate, ice
from aioice.candidate import candidate_foundation, candidate_priority

from vivace.errors import CapacityError


class NoPortError(CapacityError):
    """All UDP ports that may be used are taken."""

    code = "udp_ports"


@dataclass(frozen=True, slots=True)
class MediaAddress:
    """Addresses and ports that receive media; by default this machine's addresses at any free port."""

    ports: tuple[int, int] | None = None
    """First and last UDP port that may be opened."""
    announced: str | None = None
    """Additional IP address to offer, whose same ports lead here, as through a router."""

    async def gather(
        self, connection: Any, addresses: Sequence[str], component: int, timeout_s: float
    ) -> list[Candidate]:
        """Open a port of the range on each address; return the candidates: hosts, and addresses seen by a STUN server.

        Raises:
            NoPortError: none of the range is free.
        """
        assert self.ports is not None
        hosts = await _open(connection, addresses, self.ports)
        connection._protocols += hosts  # from here on closing the connection closes them
        for host in hosts:
            address, port = host.transport.get_extra_info("sockname")[:2]
            host.local_candidate = Candidate(
                foundation=candidate_foundation("host", "udp", address),
                component=component,
                transport="udp",
                priority=candidate_priority(component, "host"),
                host=address,
                port=port,
                type="host",
            )
        found = [host.local_candidate for host in hosts]
        if connection.stun_server is not None:
            asked = [
                asyncio.create_task(ice.server_reflexive_candidate(host, connection.stun_server))
                for host in hosts
                if ipaddress.ip_address(host.local_candidate.host).version == 4
            ]
            done, late = await asyncio.wait(asked, timeout=timeout_s) if asked else (set(), set())
            for task in late:
                task.cancel()
            found += [task.result()[0] for task in done if task.exception() is None]
        return found

    def announce(self, found: Sequence[Candidate]) -> list[Candidate]:
        """Return the announced address at the ports of the host candidates that were found, loopback left out."""
        if self.announced is None:
            return []
        version = ipaddress.ip_address(self.announced).version
        return [
            Candidate(
                foundation=candidate_foundation("srflx", "udp", each.host),
                component=each.component,
                transport="udp",
                priority=candidate_priority(each.component, "srflx"),
                host=self.announced,
                port=each.port,
                type="srflx",
                related_address=each.host,
                related_port=each.port,
            )
            for each in found
            if each.type == "host" and _reaches(each.host, version)
        ]


ANYWHERE = MediaAddress()
"""This machine's addresses, at any free port."""


def _reaches(host: str, version: int) -> bool:
    address = ipaddress.ip_address(host)
    return address.version == version and not address.is_loopback


async def _open(connection: Any, addresses: Sequence[str], ports: tuple[int, int]) -> list[Any]:
    """Return sockets of aioice's, one an address, at a port of the range that is free on all of them.

    Raises:
        NoPortError: there is none.
    """
    first, last = ports
    count = last - first + 1
    begin = secrets.randbelow(count)  # a port that was closed a moment ago may still get packets of its last user
    loop = asyncio.get_running_loop()
    for port in (first + (begin + step) % count for step in range(count)):
        hosts: list[Any] = []
        for address in addresses:
            try:
                _, host = await loop.create_datagram_endpoint(
                    lambda: ice.StunProtocol(connection), local_addr=(address, port)
                )
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    continue  # no address of this machine any more
                for other in hosts:
                    await other.close()
                break
            hosts.append(host)
        else:
            return hosts
    raise NoPortError(
        f"all UDP ports from {first} to {last} are taken, and a connection needs one; try again when somebody has "
        "left, or have the operator widen `udp_ports`"
    )
