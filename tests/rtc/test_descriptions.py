"""Descriptions that make no sense are refused before aiortc meets them; addresses that are none are left out."""

from __future__ import annotations

import asyncio

import pytest
from aiortc import RTCPeerConnection

from vivace.errors import UsageError
from vivace.rtc.connection import open_connection, take_description
from vivace.rtc.descriptions import (
    MAX_CANDIDATES,
    check_sections,
    offer_transport_numbers,
    transport_numbers,
    usable_candidates,
)

GOOD = "a=candidate:1 1 udp 2130706431 192.0.2.7 5000 typ host"


def offer() -> str:
    async def make() -> str:
        connection = RTCPeerConnection()
        connection.addTransceiver("video", "sendonly")
        connection.createDataChannel("control")
        await connection.setLocalDescription()
        sdp = connection.localDescription.sdp
        await connection.close()
        return str(sdp)

    return asyncio.run(make())


@pytest.mark.parametrize(
    "line",
    [
        "a=candidate:1 1 udp 2130706431 some-name.local 5000 typ host",
        "a=candidate:1 1 udp 2130706431 localhost 5000 typ host",
        "a=candidate:1 1 udp 2130706431 192.0.2.7 99999999999 typ host",
        "a=candidate:1 1 udp 2130706431 192.0.2.7 0 typ host",
        "a=candidate:1 1 udp 2130706431 192.0.2.7 -1 typ host",
        "a=candidate:1 1 udp 2130706431 224.0.0.1 5000 typ host",
        "a=candidate:1 1 udp 2130706431 255.255.255.255 5000 typ host",
        "a=candidate:1 1 udp 2130706431 0.0.0.0 5000 typ host",
        "a=candidate:1 1 udp 99999999999 192.0.2.7 5000 typ host",
        "a=candidate:1",
    ],
)
def test_a_candidate_nothing_can_be_sent_to_is_left_out(line: str) -> None:
    assert usable_candidates(f"v=0\r\n{line}\r\n{GOOD}\r\na=end-of-candidates\r\n") == f"v=0\r\n{GOOD}\r\n"


def test_good_candidates_stay_as_they_are() -> None:
    sdp = f"v=0\r\n{GOOD}\r\na=candidate:2 1 tcp 1 2001:db8::7 9 typ host tcptype active\r\na=end-of-candidates\r\n"
    assert usable_candidates(sdp) == sdp


def test_a_crowd_of_candidates_is_cut() -> None:
    assert usable_candidates(f"{GOOD}\r\n" * 1_000).count("candidate:") == MAX_CANDIDATES


def test_a_bundle_of_sections_that_are_not_there_is_refused_and_the_connection_closes() -> None:
    sdp = offer()
    without_video = sdp[: sdp.index("m=video")] + sdp[sdp.index("m=application") :]

    async def take() -> None:
        connection = open_connection([])
        with pytest.raises(UsageError, match="bundle"):
            await take_description(connection, without_video, "offer")
        await connection.close()

    asyncio.run(take())


def test_two_sections_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="same mid"):
        check_sections(offer().replace("a=mid:1", "a=mid:0").replace("BUNDLE 0 1", "BUNDLE 0"))


def test_an_offer_of_ours_speaks_of_arrivals_and_is_otherwise_as_it_was() -> None:
    plain = offer()
    assert transport_numbers(plain) == {}
    ours = offer_transport_numbers(plain)
    assert list(transport_numbers(ours)) == ["0"]
    added = set(ours.splitlines()) - set(plain.splitlines())
    assert set(plain.splitlines()) <= set(ours.splitlines())
    assert all("transport-wide-cc" in line or line.endswith(" transport-cc") for line in added)
    ids = [line.split(":")[1].split()[0] for line in ours.splitlines() if line.startswith("a=extmap:")]
    assert len(ids) == len(set(ids))


def test_feedback_without_numbers_and_numbers_without_feedback_are_neither() -> None:
    ours = offer_transport_numbers(offer()).splitlines()
    for missing in (" transport-cc", "draft-holmer-rmcat-transport-wide-cc-extensions-01"):
        assert transport_numbers("\r\n".join(line for line in ours if not line.endswith(missing)) + "\r\n") == {}
