"""Sanitising of remote session descriptions (SDP): supported codecs, usable addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping

from aiortc.rtcrtpparameters import RTCRtcpFeedback, RTCRtpHeaderExtensionParameters
from aiortc.sdp import MediaDescription, SessionDescription

from vivace.errors import UsageError
from vivace.rtc.seams import PLAYOUT_DELAY, TRANSPORT_CC, TRANSPORT_NUMBERS, speaks

MAX_CANDIDATES = 64
"""Most candidates tried per peer; a laptop with every kind of network offers a dozen."""
_H264_PARAMETERS = ("profile-level-id", "packetization-mode")


def check_sections(sdp: str) -> None:
    """Reject descriptions that aiortc would accept and then fail with, at once or on closing the connection.

    Raises:
        ValueError: the message says what is wrong.
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


H264_PROFILES = {"42": "Baseline", "4d": "Main", "64": "High"}
"""H.264 profiles that are decoded, of any level, by the first two digits of `profile-level-id`."""
Formats = Mapping[tuple[str, int | None], Mapping[str, int | str | None]]
"""Offered H.264 parameters (`fmtp`) by section (mid) and payload type."""


def as_baseline(sdp: str) -> tuple[str, Formats]:
    """Return an offer in which decodable H.264 profiles are renamed to Baseline, and the original parameters.

    aiortc accepts only Baseline in packetization mode 1. Packets of the other profiles, and of mode 0, are assembled
    and decoded in the same way, and what is sent here, Baseline, conforms to each profile (RFC 6184 8.1), but only in
    mode 1. Sections with a codec that aiortc accepts are left unchanged.

    Raises:
        UsageError: a section without any supported codec.
    """
    description = SessionDescription.parse(sdp)
    called: dict[tuple[str, int | None], Mapping[str, int | str | None]] = {}
    for section in description.media:
        if section.kind not in ("audio", "video") or speaks(section.kind, section.rtp.codecs):
            continue
        modes = ("0", "1") if section.direction == "sendonly" else ("1",)
        for codec in section.rtp.codecs:
            profile = str(codec.parameters.get("profile-level-id", "42e01f"))[:2].lower()
            mode = str(codec.parameters.get("packetization-mode", 0))
            if codec.name.upper() == "H264" and profile in H264_PROFILES and mode in modes:
                called[section.rtp.muxId, codec.payloadType] = codec.parameters
                codec.parameters = {**codec.parameters, "profile-level-id": "42e01f", "packetization-mode": 1}
        if not speaks(section.kind, section.rtp.codecs):
            raise UsageError(_no_codec(section))
    return _written(description) if called else sdp, called


def _written(description: SessionDescription) -> str:
    """Return a description as text. aiortc writes `a=rtcp-mux` only beside `a=rtcp`, which GStreamer leaves out."""
    for section in description.media:
        if section.rtcp_mux and section.rtcp_port is None:
            section.rtcp_port = 9  # discarded: with rtcp-mux nothing is sent there (RFC 5761)
    return str(description)


def _no_codec(section: MediaDescription) -> str:
    """Return a message that says what to offer in place of a section's codecs."""
    named = []
    for codec in section.rtp.codecs:
        said = [f"{name}={codec.parameters[name]}" for name in _H264_PARAMETERS if name in codec.parameters]
        named.append(f"{codec.name} ({';'.join(said)})" if said else codec.name)
    offered = ", ".join(dict.fromkeys(named))[:200] or "of no codec"
    if section.kind == "audio":
        return f"the sound offered is {offered}; offer Opus, or leave it out"
    profiles = ", ".join(H264_PROFILES.values())
    return (
        f"the video offered is {offered}; offer VP8, or H.264 of profile {profiles} (profile-level-id "
        f"{'…, '.join(H264_PROFILES)}…) with packetization-mode=1"
    )


def transport_numbers(sdp: str) -> dict[str, int]:
    """Return the header extension id of transport-wide sequence numbers, by video section that negotiates them."""
    return {
        section.rtp.muxId: number
        for section, number in _extensions(sdp, TRANSPORT_NUMBERS)
        if any(feedback.type == TRANSPORT_CC for codec in section.rtp.codecs for feedback in codec.rtcpFeedback)
    }


def playout_delays(sdp: str) -> dict[str, int]:
    """Return the header extension id of playout delays, by video section that negotiates them."""
    return {section.rtp.muxId: number for section, number in _extensions(sdp, PLAYOUT_DELAY)}


def _extensions(sdp: str, uri: str) -> list[tuple[MediaDescription, int]]:
    """Return the video sections that negotiate a header extension, with its id."""
    return [
        (section, extension.id)
        for section in SessionDescription.parse(sdp).media
        for extension in section.rtp.headerExtensions
        if section.kind == "video" and extension.uri == uri
    ]


def offer_transport_numbers(sdp: str) -> str:
    """Return an offer extended by transport-wide congestion control, which aiortc leaves out."""
    description = SessionDescription.parse(sdp)
    for section in description.media:
        if section.kind == "video":
            unused = max((extension.id for extension in section.rtp.headerExtensions), default=0) + 1
            extension = RTCRtpHeaderExtensionParameters(id=unused, uri=TRANSPORT_NUMBERS)
            section.rtp.headerExtensions.append(extension)
            for codec in section.rtp.codecs:
                if codec.rtcpFeedback:
                    codec.rtcpFeedback.append(RTCRtcpFeedback(type=TRANSPORT_CC))
    return _written(description)


def usable_candidates(sdp: str) -> str:
    """Remove candidates that have no usable address, and host names.

    A peer that hides its address behind a name (mDNS) contacts us first and is recognised then: resolving the name
    needs multicast, and takes a second where there is none.
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
        # More may arrive: with this line, checks would end before the peer has begun.
        kept = [line for line in kept if line.strip() != "a=end-of-candidates"]
    return "\r\n".join(kept) + "\r\n"


def _is_address(words: list[str]) -> bool:
    """Return whether a candidate line (RFC 8839 5.1) has a unicast address and a valid port."""
    if len(words) < 8 or not words[1].isdecimal() or not words[3].isdecimal() or not words[5].isdecimal():
        return False
    try:
        address = ipaddress.ip_address(words[4])
    except ValueError:
        return False
    nobody = address.is_multicast or address.is_unspecified or words[4] == "255.255.255.255"
    return 1 <= int(words[1]) <= 256 and int(words[3]) < 2**32 and 1 <= int(words[5]) <= 65_535 and not nobody
