"""UDP ports that a connection opens, and addresses that it offers."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Iterator

import pytest
from aiortc import RTCPeerConnection

from vivace.rtc.connection import close_connection, open_connection, prepare_transports
from vivace.rtc.media_address import MediaAddress, NoPortError

CANDIDATE = re.compile(r"^a=candidate:\S+ 1 udp \d+ (\S+) (\d+) typ (\w+)(?: raddr (\S+) rport (\d+))?", re.MULTILINE)


@pytest.fixture
def taken() -> Iterator[int]:
    """Open a UDP port on all IPv4 addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("0.0.0.0", 0))
        yield other.getsockname()[1]


async def offered(connection: RTCPeerConnection, at: MediaAddress) -> list[tuple[str, int, str, str]]:
    """Return the candidates of an offer: address, port, type, related address."""
    connection.addTransceiver("video")
    prepare_transports(connection, at)
    await connection.setLocalDescription()
    found = CANDIDATE.findall(connection.localDescription.sdp)
    return [(host, int(port), kind, related) for host, port, kind, related, _ in found]


def free_range() -> tuple[int, int]:
    """Return a range of a few ports, all of them free, and none that a system gives to who asks for any."""
    for first in range(20_000, 32_000, 97):
        try:
            for port in range(first, first + 4):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
                    probe.bind(("0.0.0.0", port))
        except OSError:
            continue
        return first, first + 3
    raise AssertionError("no four ports in a row are free")


def test_only_ports_of_the_range_are_opened_and_they_are_given_back() -> None:
    async def scene() -> None:
        first, last = free_range()
        connections = [open_connection([]) for _ in range(4)]
        try:
            every = [await offered(each, MediaAddress((first, last))) for each in connections]
        finally:
            for each in connections:
                await close_connection(each, None)
        on_loopback = [port for found in every for host, port, _, _ in found if host == "127.0.0.1"]
        assert sorted(on_loopback) == list(range(first, last + 1)), "one port a connection"
        assert all(first <= port <= last for found in every for _, port, _, _ in found)
        again = open_connection([])
        try:
            assert await offered(again, MediaAddress((first, last)))
        finally:
            await close_connection(again, None)

    asyncio.run(scene())


def test_a_range_that_is_taken_is_told(taken: int) -> None:
    async def scene() -> None:
        connection = open_connection([])
        try:
            with pytest.raises(NoPortError, match=rf"{taken} to {taken}.*udp_ports"):
                await offered(connection, MediaAddress((taken, taken)))
        finally:
            await close_connection(connection, None)

    asyncio.run(scene())


@pytest.mark.parametrize("in_range", [False, True])
def test_an_announced_address_is_offered_at_the_same_ports(in_range: bool) -> None:
    async def scene() -> None:
        connection = open_connection([])
        try:
            found = await offered(connection, MediaAddress(free_range() if in_range else None, "203.0.113.7"))
        finally:
            await close_connection(connection, None)
        hosts = {(host, port) for host, port, kind, _ in found if kind == "host" and ":" not in host}
        announced = {
            (related, port) for host, port, kind, related in found if host == "203.0.113.7" and kind == "srflx"
        }
        assert announced == {(host, port) for host, port in hosts if host != "127.0.0.1"}

    asyncio.run(scene())
