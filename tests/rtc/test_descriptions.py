"""Senseless descriptions are refused before aiortc sees them; invalid addresses are left out."""

from __future__ import annotations

import asyncio

import pytest
from aiortc import RTCPeerConnection

from vivace.errors import UsageError
from vivace.rtc.connection import open_connection, take_description
from vivace.rtc.descriptions import (
    MAX_CANDIDATES,
    as_baseline,
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


# -- codecs ------------------------------------------------------------------------------------------------------------


def with_codecs(*lines: str, direction: str = "sendonly", kind: str = "video") -> str:
    """Return an offer of one section with these codecs, as publishers write it."""
    numbers = [line.partition(":")[2].partition(" ")[0] for line in lines if line.startswith("a=rtpmap:")]
    kept = [line for line in offer().splitlines() if not line.startswith(("a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"))]
    end = next(at for at, line in enumerate(kept) if line.startswith("m=application"))
    kept = [line.replace("BUNDLE 0 1", "BUNDLE 0").replace("a=sendonly", f"a={direction}") for line in kept[:end]]
    at = next(at for at, line in enumerate(kept) if line.startswith("m=video"))
    kept[at] = " ".join([*kept[at].replace("m=video", f"m={kind}").split()[:3], *numbers])
    return "\r\n".join([*kept, *lines]) + "\r\n"


def answered(sdp: str) -> str:
    """Return the answer to an offer."""

    async def take() -> str:
        connection = open_connection([])
        try:
            await take_description(connection, sdp, "offer")
            await connection.setLocalDescription()
            return str(connection.localDescription.sdp)
        finally:
            await connection.close()

    return asyncio.run(take())


@pytest.mark.parametrize(
    ("said", "direction"),
    [
        ("packetization-mode=1;profile-level-id=4d001f", "sendonly"),
        ("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=640028", "sendonly"),
        ("profile-level-id=4D4029;packetization-mode=1", "sendrecv"),
        ("packetization-mode=1;profile-level-id=64001f", "recvonly"),
        ("packetization-mode=0;profile-level-id=42e01f", "sendonly"),
        ("profile-level-id=42c01f", "sendonly"),
        ("", "sendonly"),
    ],
)
def test_h264_that_is_decoded_all_the_same_is_taken_and_answered_as_it_was_called(said: str, direction: str) -> None:
    lines = ["a=rtpmap:96 H264/90000", *([f"a=fmtp:96 {said}"] if said else [])]
    answer = answered(with_codecs(*lines, direction=direction))
    assert "a=rtpmap:96 H264/90000" in answer
    found = [line.partition(" ")[2] for line in answer.splitlines() if line.startswith("a=fmtp:96")]
    assert [set(each.split(";")) for each in found] == ([set(said.split(";"))] if said else [])


def test_an_offer_of_h264_main_without_an_rtcp_line_keeps_rtcp_mux() -> None:
    sdp = with_codecs("a=rtpmap:96 H264/90000", "a=fmtp:96 packetization-mode=1;profile-level-id=4d401e")
    sdp = "\r\n".join(line for line in sdp.splitlines() if not line.startswith("a=rtcp:")) + "\r\n"
    assert "a=rtcp-mux" in sdp
    assert "a=rtcp-mux" in as_baseline(sdp)[0]
    assert "4d401e" in answered(sdp)


def test_what_is_taken_as_it_is_stays_before_what_would_be() -> None:
    """A browser's answer names its previous choice: the first format that both know."""
    both = ("a=rtpmap:96 H264/90000", "a=fmtp:96 packetization-mode=1;profile-level-id=4d001f")
    plain = ("a=rtpmap:97 H264/90000", "a=fmtp:97 packetization-mode=1;profile-level-id=42e01f")
    answer = answered(with_codecs(*both, *plain))
    assert "a=rtpmap:97" in answer
    assert "a=rtpmap:96" not in answer
    answer = answered(with_codecs(*both, "a=rtpmap:98 VP8/90000"))
    assert "VP8" in answer
    assert "H264" not in answer


@pytest.mark.parametrize(
    ("lines", "direction", "kind", "words"),
    [
        (
            ("H265/90000", "AV1/90000"),
            "sendonly",
            "video",
            "the video offered is H265, AV1; offer VP8, or H.264 of profile",
        ),
        (("H264/90000", "profile-level-id=4d001f;packetization-mode=2"), "sendonly", "video", "packetization-mode=2"),
        (("H264/90000", "profile-level-id=42e01f;packetization-mode=0"), "recvonly", "video", "packetization-mode=0"),
        (
            ("H264/90000", "profile-level-id=58001f;packetization-mode=1"),
            "sendonly",
            "video",
            "profile-level-id=58001f",
        ),
        (("H264/90000", "profile-level-id=zz;packetization-mode=1"), "sendonly", "video", "profile-level-id=zz"),
        (("MPEG4-GENERIC/48000",), "sendonly", "audio", "offer Opus, or leave it out"),
    ],
)
def test_what_nobody_decodes_is_refused_with_what_to_offer(
    lines: tuple[str, ...], direction: str, kind: str, words: str
) -> None:
    written = []
    for number, line in enumerate(lines, 96):
        said = f"a=rtpmap:{number} {line}" if "/" in line else f"a=fmtp:{number - 1} {line}"
        written.append(said)
    with pytest.raises(UsageError, match=words):
        answered(with_codecs(*written, direction=direction, kind=kind))


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
