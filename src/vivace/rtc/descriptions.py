"""What we take of a description from the other side: SDP that says what it means, and addresses that are some."""

from __future__ import annotations

import ipaddress

from aiortc.rtcrtpparameters import RTCRtcpFeedback, RTCRtpHeaderExtensionParameters
from aiortc.sdp import SessionDescription

from vivace.rtc.seams import TRANSPORT_CC, TRANSPORT_NUMBERS

MAX_CANDIDATES = 64
"""Addresses tried of one side; a laptop with every network there is offers a dozen."""


def check_sections(sdp: str) -> None:
    """Refuse what aiortc would take and then fail with, at once or when the connection is closed.

    Raises:
        ValueError: says what is wrong.
    """
    description = SessionDescription.parse(sdp)
    for section in description.media:
        if section.dtls is None or not section.dtls.fingerprints:
            raise ValueError("a section without fingerprint or setup")
    names = [section.rtp.muxId for section in description.media]
    if len(set(names)) < len(names):
        raise ValueError(f"two sections have the same mid: {names}")
    for group in description.group:
        if group.semantic == "BUNDLE" and not set(map(str, group.items)) <= set(names):
            raise ValueError(f"a bundle of {group.items}, where the sections are {names}")


def transport_numbers(sdp: str) -> dict[str, int]:
    """Return the video sections that speak transport-wide congestion control, with the id of its header extension."""
    found = {}
    for section in SessionDescription.parse(sdp).media:
        if any(feedback.type == TRANSPORT_CC for codec in section.rtp.codecs for feedback in codec.rtcpFeedback):
            for extension in section.rtp.headerExtensions:
                if section.kind == "video" and extension.uri == TRANSPORT_NUMBERS:
                    found[section.rtp.muxId] = extension.id
    return found


def offer_transport_numbers(sdp: str) -> str:
    """Return an offer that speaks transport-wide congestion control too, which aiortc's does not."""
    description = SessionDescription.parse(sdp)
    for section in description.media:
        if section.kind == "video":
            unused = max((extension.id for extension in section.rtp.headerExtensions), default=0) + 1
            extension = RTCRtpHeaderExtensionParameters(id=unused, uri=TRANSPORT_NUMBERS)
            section.rtp.headerExtensions.append(extension)
            for codec in section.rtp.codecs:
                if codec.rtcpFeedback:
                    codec.rtcpFeedback.append(RTCRtcpFeedback(type=TRANSPORT_CC))
    return str(description)


def usable_candidates(sdp: str) -> str:
    """Leave out candidates that nothing can be sent to, and names.

    Whoever hides its address behind a name (mDNS) reaches us first, and is known by that: to look the names up needs
    multicast, and takes a second where there is none.
    """
    lines = sdp.splitlines()
    kept, count = [], 0
    for line in lines:
        if line.startswith("a=candidate:"):
            count += 1
            if count > MAX_CANDIDATES or not _is_address(line.split()):
                continue
        kept.append(line)
    if len(kept) < len(lines):
        # More may come: with this line, checks would end before the other side has begun.
        kept = [line for line in kept if line.strip() != "a=end-of-candidates"]
    return "\r\n".join(kept) + "\r\n"


def _is_address(words: list[str]) -> bool:
    """Tell whether a candidate line, RFC 8839 5.1, has an address of one machine and a port of it."""
    if len(words) < 8 or not words[1].isdecimal() or not words[3].isdecimal() or not words[5].isdecimal():
        return False
    try:
        address = ipaddress.ip_address(words[4])
    except ValueError:
        return False
    nobody = address.is_multicast or address.is_unspecified or words[4] == "255.255.255.255"
    return 1 <= int(words[1]) <= 256 and int(words[3]) < 2**32 and 1 <= int(words[5]) <= 65_535 and not nobody
