"""All uses of private parts of aioice, and of what aiortc carries media over: ICE, STUN and DTLS; each with the reason.

`tests/rtc/test_seams.py` fails if a new version has renamed or changed one of them.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

from aioice import ice, stun
from aiortc import RTCPeerConnection

from vivace.rtc.media_address import ANYWHERE, MediaAddress
from vivace.rtc.seams import replace_part

_CONNECTION = "_connection"
_GET_CANDIDATES = "get_component_candidates"
_QUERY_CONSENT = "query_consent"
_PARSE = "parse_message"
_CERTIFICATES = "_RTCPeerConnection__certificates"
_MAKE_CONTEXT = "_create_ssl_context"

CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:"
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES256-GCM-SHA384"
)
"""aiortc's cipher suites, and authenticated, forward-secret ones for RSA certificates."""

_gathering: WeakKeyDictionary[Any, set[asyncio.Task[Any]]] = WeakKeyDictionary()
"""Candidate gathering tasks by aioice connection."""


GATHER_S = 1.0


def gather_loopback_too(ice_transport: Any, at: MediaAddress = ANYWHERE) -> None:
    """Offer 127.0.0.1 as well: aioice omits it, and a machine without a network would have no address at all.

    Sockets are opened, and addresses announced, as `at` says: aioice opens any free port.

    STUN and TURN servers that do not answer within `GATHER_S` are skipped, since every new connection waits for them.

    Gathering runs to its end, even if the caller is cancelled or the connection is closed: aioice registers sockets
    only when those of all addresses are open, and would leak them otherwise. See `gathering_ended`.
    """
    connection = getattr(ice_transport, _CONNECTION)
    gather = getattr(connection, _GET_CANDIDATES)
    tasks = _gathering.setdefault(connection, set())

    async def gather_all(component: int, addresses: list[str], timeout: float) -> Any:
        if at.ports is None:
            found = await gather(component=component, addresses=addresses, timeout=timeout)
        else:  # without addresses, aioice asks its TURN server alone
            found = await at.gather(connection, addresses, component, timeout)
            found += await gather(component=component, addresses=[], timeout=timeout)
        return found if at.announced is None else found + at.announce(found)

    async def with_loopback(component: int, addresses: list[str], timeout: float = GATHER_S) -> Any:
        task = asyncio.ensure_future(gather_all(component, [*addresses, "127.0.0.1"], timeout))
        tasks.add(task)
        return await asyncio.shield(task)

    setattr(connection, _GET_CANDIDATES, with_loopback)


def host_addresses(*, ipv6: bool) -> list[str]:
    """Return this machine's addresses of one family, as offered by ICE."""
    return list(ice.get_host_addresses(use_ipv4=not ipv6, use_ipv6=ipv6))


async def gathering_ended(ice_transport: Any) -> None:
    """Wait until aioice has registered all sockets that it opened, so that closing the connection closes them."""
    if tasks := _gathering.get(getattr(ice_transport, _CONNECTION)):
        await asyncio.wait(tasks)


def accept_rsa(connection: RTCPeerConnection) -> None:
    """Accept peers with an RSA certificate too, such as GStreamer 1.22; call before any description is set.

    aiortc offers only ECDSA ciphers. The peer is authenticated by the fingerprint in its description in either case.
    """
    for certificate in getattr(connection, _CERTIFICATES):
        make = getattr(certificate, _MAKE_CONTEXT)

        def with_rsa(srtp_profiles: Any, make: Callable[..., Any] = make) -> Any:
            context = make(srtp_profiles)
            context.set_cipher_list(CIPHERS.encode())
            return context

        replace_part(certificate, _MAKE_CONTEXT, with_rsa)


def end_consent(ice_transport: Any) -> None:
    """Prevent the ICE consent check from starting; closing the connection ends one that runs.

    If a connection is closed while it is being established, aioice starts the check nevertheless; it would wait for
    ever, as no address is left to ask.
    """

    async def nothing() -> None:
        pass

    replace_part(getattr(ice_transport, _CONNECTION), _QUERY_CONSENT, nothing)


def refuse_malformed_stun() -> None:
    """Make aioice's parser raise ValueError for a malformed STUN packet, which its sockets handle.

    It raises `struct.error` for truncated numbers, which ends as a traceback in the log.
    """
    parse: Callable[[bytes], stun.Message] = getattr(stun, _PARSE)
    if getattr(parse, "__module__", None) == __name__:
        return

    def parse_or_refuse(data: bytes) -> stun.Message:
        try:
            return parse(data)
        except struct.error as error:
            raise ValueError(f"malformed STUN packet: {error}") from error

    replace_part(stun, _PARSE, parse_or_refuse)
