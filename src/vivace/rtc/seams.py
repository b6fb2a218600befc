"""All uses of private parts of aiortc, but for its transports (`transport_seams`): one function each, with the reason.

`tests/rtc/test_seams.py` fails if a new aiortc has renamed or changed one of them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from aiortc import RTCRtpReceiver, RTCRtpSender, RTCRtpTransceiver, RTCSctpTransport
from aiortc.codecs import CODECS
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from aiortc.rtcpeerconnection import find_common_codecs
from aiortc.rtcrtpparameters import RTCRtcpFeedback, RTCRtpCodecParameters, RTCRtpHeaderExtensionParameters
from aiortc.rtcrtpreceiver import NackGenerator
from aiortc.rtp import (
    RTCP_RTPFB,
    HeaderExtensions,
    HeaderExtensionsMap,
    RtcpSrPacket,
    RtpPacket,
    is_rtcp,
    pack_header_extensions,
    pack_rtcp_packet,
    unpack_header_extensions,
)

OnEstimate = Callable[[int], None]
"""Callback with a receiver's estimate of its path's capacity, bit/s."""

_JITTER_BUFFER = "_RTCRtpReceiver__jitter_buffer"
_REQUESTS = "_RTCRtpReceiver__nack_generator"
_SOURCES = "_RTCRtpReceiver__remote_streams"
_WINDOW = "_advertised_rwnd"
_RECEIVER_CODECS = "_RTCRtpReceiver__codecs"
_REMB = "_RTCRtpReceiver__remote_bitrate_estimator"
_REPORTER = "_RTCRtpReceiver__rtcp_ssrc"
_TAKE_RTP = "_handle_rtp_packet"
_TAKE_RTCP = "_handle_rtcp_data"
_SEND = "_send_rtp"
_SENDER_EXTENSIONS = "_RTCRtpSender__rtp_header_extensions_map"
_SENDER_ENCODER = "_RTCRtpSender__encoder"
_SENDER_TIMESTAMP = "_RTCRtpSender__rtp_timestamp"
_SEND_RTCP = "_send_rtcp"
_LAST_REPORT = "_RTCRtpSender__lsr"
_TAKE_REPORT = "_handle_rtcp_packet"
_SEND_KEYFRAME = "_send_keyframe"

MAX_REPORTED = 16
"""Most sources in one report; the packet can hold 31."""


class PacketBuffer(Protocol):
    """Consumer of a receiver's packets."""

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """Take a packet; return whether a keyframe should be requested.

        The second value is the complete frame in aiortc's interface; here it is None, since frames are delivered
        separately.
        """


def replace_jitter_buffer(receiver: RTCRtpReceiver, buffer: PacketBuffer) -> None:
    """Let `buffer` assemble frames.

    aiortc's jitter buffer releases a frame only when the next one begins, which costs a frame of latency; releases one
    frame per arriving packet, so that the delay of a lost packet persists; and feeds two unbounded queues.
    """
    replace_part(receiver, _JITTER_BUFFER, buffer)


def replace_requests(receiver: RTCRtpReceiver, requests: NackGenerator) -> None:
    """Let `requests` decide when missing packets are requested: aiortc asks once, unless others go missing too."""
    replace_part(receiver, _REQUESTS, requests)


class _Sources(dict[int, Any]):
    """Statistics of the newest few sources of a receiver."""

    heard = 0

    def __setitem__(self, ssrc: int, statistics: Any) -> None:
        if ssrc not in self:
            self.heard += 1
            if len(self) >= MAX_REPORTED:
                del self[next(iter(self))]
        super().__setitem__(ssrc, statistics)


def remember_few_sources(receiver: RTCRtpReceiver) -> None:
    """Limit the number of sources (SSRCs) that a receiver reports on.

    aiortc keeps every source, and a report on more than fit into a packet ends the task that sends reports; closing the
    receiver then waits for that task for ever.
    """
    replace_part(receiver, _SOURCES, _Sources())


def sources_heard(receiver: RTCRtpReceiver) -> int:
    """Return the number of sources a receiver has heard, after `remember_few_sources`."""
    sources = getattr(receiver, _SOURCES)
    return sources.heard if isinstance(sources, _Sources) else 0


def window_left(sctp: RTCSctpTransport) -> int:
    """Return the number of bytes that the peer may still send over data channels within the announced window.

    aiortc accepts more, and joins message fragments in quadratic time.
    """
    return int(getattr(sctp, _WINDOW))


def codec_name(receiver: RTCRtpReceiver, payload_type: int) -> str:
    """Return the codec of a payload type, `H264` or `VP8`; available once the receiver runs."""
    return str(getattr(receiver, _RECEIVER_CODECS)[payload_type].name).upper()


def agreed_codecs(transceiver: RTCRtpTransceiver) -> list[str]:
    """Return the negotiated codecs, the one used for sending first; available after both descriptions are set."""
    return [codec.name.upper() for codec in transceiver._codecs]


def speaks(kind: str, codecs: Sequence[RTCRtpCodecParameters]) -> bool:
    """Return whether aiortc supports one of the peer's codecs; it raises an error otherwise."""
    return bool(find_common_codecs(CODECS[kind], list(codecs)))


def call_h264(transceiver: RTCRtpTransceiver, called: Mapping[int | None, Mapping[str, int | str | None]]) -> None:
    """Answer with the peer's profile, level and packetization mode, by payload type, after its offer is applied.

    aiortc would answer with its own, and a sender might keep to that level.
    """
    for codec in transceiver._codecs:
        if codec.payloadType in called:
            codec.parameters = dict(called[codec.payloadType])


def prefer_codecs(transceiver: RTCRtpTransceiver, order: Sequence[str]) -> None:
    """Answer with the codecs in our order, after the offer is applied: aiortc keeps the peer's."""
    places = {name: place for place, name in enumerate(order)}
    codecs = transceiver._codecs
    transceiver._codecs = sorted(codecs, key=lambda codec: places.get(codec.name.upper(), len(places)))


def possible_direction(transceiver: RTCRtpTransceiver) -> str:
    """Return the direction that the offer allows us, e.g. `recvonly` if the peer only sends."""
    return str(transceiver._offerDirection)


TRANSPORT_CC = "transport-cc"
"""RTCP feedback type of arrival reports."""
TRANSPORT_NUMBERS = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
"""Header extension for transport-wide sequence numbers."""
_TRANSPORT_CC_FORMAT = 15


def agree_on_extension(transceiver: RTCRtpTransceiver, uri: str, extension_id: int) -> None:
    """Negotiate a header extension as the peer offers it; after its description is applied."""
    extension = RTCRtpHeaderExtensionParameters(id=extension_id, uri=uri)
    transceiver._headerExtensions = [*transceiver._headerExtensions, extension]


def agree_on_transport_cc(transceiver: RTCRtpTransceiver, extension_id: int) -> None:
    """Negotiate transport-wide congestion control both ways, as the peer offers; after its description is applied.

    aiortc supports only REMB: its estimate follows the bitrate received, and if both are negotiated it limits a
    browser.
    """
    agree_on_extension(transceiver, TRANSPORT_NUMBERS, extension_id)
    for codec in transceiver._codecs:
        if codec.rtcpFeedback:
            kept = [feedback for feedback in codec.rtcpFeedback if feedback.type != "goog-remb"]
            codec.rtcpFeedback = [*kept, RTCRtcpFeedback(type=TRANSPORT_CC)]
    replace_part(transceiver.receiver, _REMB, None)


def propose_start_bitrate(transceiver: RTCRtpTransceiver, bitrate_bps: int) -> None:
    """Propose the bitrate at which a browser starts to send; in our answer, after the offer is applied.

    Chromium browsers otherwise start at 300 kbit/s, scale pictures down for it, and do not scale them up again while
    there is much motion.
    """
    for codec in transceiver._codecs:
        if codec.rtcpFeedback:
            codec.parameters["x-google-start-bitrate"] = bitrate_bps // 1000


def speaks_transport_cc(transceiver: RTCRtpTransceiver) -> bool:
    """Return whether `agree_on_transport_cc` was called."""
    return any(extension.uri == TRANSPORT_NUMBERS for extension in transceiver._headerExtensions)


def on_arrival(receiver: RTCRtpReceiver, callback: Callable[[int, int], None]) -> None:
    """Call `callback` with the transport-wide number and SSRC of every numbered packet."""
    take = getattr(receiver, _TAKE_RTP)

    async def note_and_take(packet: RtpPacket, arrival_time_ms: int) -> None:
        if (number := packet.extensions.transport_sequence_number) is not None:
            callback(number, packet.ssrc)
        await take(packet, arrival_time_ms=arrival_time_ms)

    replace_part(receiver, _TAKE_RTP, note_and_take)


async def send_arrivals(receiver: RTCRtpReceiver, ssrc: int, fci: bytes) -> None:
    """Send an arrival report on packets of the source `ssrc`."""
    payload = struct.pack("!LL", getattr(receiver, _REPORTER), ssrc) + fci
    with suppress(ConnectionError):  # it is being closed
        await getattr(receiver.transport, _SEND)(pack_rtcp_packet(RTCP_RTPFB, _TRANSPORT_CC_FORMAT, payload))


class _Numbering(HeaderExtensionsMap):
    """Header extension map that writes the negotiated ones with a transport-wide number in each packet."""

    def __init__(self, agreed: HeaderExtensionsMap) -> None:
        super().__init__()
        self.number = 0
        self._agreed = agreed

    def configure(self, parameters: Any) -> None:
        self._agreed.configure(parameters)

    def set(self, values: HeaderExtensions) -> tuple[int, bytes]:
        self.number = (self.number + 1) & 0xFFFF
        values.transport_sequence_number = self.number
        return self._agreed.set(values)


def number_packets(sender: RTCRtpSender, on_sent: Callable[[int, int], None]) -> None:
    """Number a sender's packets, and call `on_sent` with number and size (bytes) of each, including retransmissions.

    Other senders of the same transport, such as audio, are not numbered.
    """
    numbering = _Numbering(getattr(sender, _SENDER_EXTENSIONS))
    replace_part(sender, _SENDER_EXTENSIONS, numbering)
    send = getattr(sender.transport, _SEND)

    async def note_and_send(data: bytes) -> None:
        if not is_rtcp(data) and int.from_bytes(data[8:12]) in (sender._ssrc, sender._rtx_ssrc):
            on_sent(numbering.number, len(data))  # aiortc sends a packet right after serialising it
        await send(data)

    replace_part(sender.transport, _SEND, note_and_send)


PLAYOUT_DELAY = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"
"""Header extension with the least and most delay between the capture and the display of a picture, 12 bits each, in
10 ms."""


_NO_DELAY, _ANY_DELAY = (0).to_bytes(3), (0xFFF).to_bytes(3)


class _PlayoutDelay(HeaderExtensionsMap):
    """Header extension map that writes the negotiated ones with a playout delay in each packet."""

    def __init__(self, agreed: HeaderExtensionsMap, at_once: Callable[[], bool]) -> None:
        super().__init__()
        self._agreed = agreed
        self._at_once = at_once
        self._id: int | None = None

    def configure(self, parameters: Any) -> None:
        self._agreed.configure(parameters)
        self._id = next((each.id for each in parameters.headerExtensions if each.uri == PLAYOUT_DELAY), None)

    def set(self, values: HeaderExtensions) -> tuple[int, bytes]:
        profile, agreed = self._agreed.set(values)
        if self._id is None:
            return profile, agreed
        delay = _NO_DELAY if self._at_once() else _ANY_DELAY
        return pack_header_extensions([*unpack_header_extensions(profile, agreed), (self._id, delay)])


def limit_playout_delay(sender: RTCRtpSender, at_once: Callable[[], bool]) -> None:
    """Ask the receiver, where playout delays are negotiated, to hold no picture back while `at_once`.

    A browser otherwise evens out the times at which pictures come, which are those at which they were painted. Call
    before the sender starts.
    """
    replace_part(sender, _SENDER_EXTENSIONS, _PlayoutDelay(getattr(sender, _SENDER_EXTENSIONS), at_once))


def on_arrivals(transport: Any, callback: Callable[[bytes], None]) -> None:
    """Call `callback` with the FCI of every arrival report that a DTLS transport receives."""
    take = getattr(transport, _TAKE_RTCP)

    async def look_and_take(data: bytes) -> None:
        at = 0
        while at + 12 <= len(data):
            first, kind, words = struct.unpack_from("!BBH", data, at)
            end = at + 4 * (words + 1)
            if kind == RTCP_RTPFB and first & 0x1F == _TRANSPORT_CC_FORMAT:
                callback(data[at + 12 : end])
            at = end
        await take(data)

    replace_part(transport, _TAKE_RTCP, look_and_take)


def on_sender_report(receiver: RTCRtpReceiver, callback: Callable[[float, int], None]) -> None:
    """Call `callback` with the times in every sender report: the sender's clock, s, and the matching RTP timestamp."""
    take = getattr(receiver, _TAKE_REPORT)

    async def look_and_take(packet: Any) -> None:
        if isinstance(packet, RtcpSrPacket) and packet.sender_info.ntp_timestamp:
            callback(packet.sender_info.ntp_timestamp / 2**32, packet.sender_info.rtp_timestamp)
        await take(packet)

    replace_part(receiver, _TAKE_REPORT, look_and_take)


def shift_reports(sender: RTCRtpSender, ahead_s: Callable[[], float]) -> None:
    """Report the time that was sent last by its own clock: aiortc reports when it was sent, `ahead_s` before that.

    A receiver synchronises by these times; when media leaves is no measure of when it was taken.
    """
    send = getattr(sender, _SEND_RTCP)

    async def shift_and_send(packets: list[Any]) -> None:
        for packet in packets:
            if isinstance(packet, RtcpSrPacket):
                packet.sender_info.ntp_timestamp += round(ahead_s() * 2**32)
                # What the reply names, from which aiortc has the round-trip time.
                replace_part(sender, _LAST_REPORT, packet.sender_info.ntp_timestamp >> 16 & 0xFFFFFFFF)
        await send(packets)

    replace_part(sender, _SEND_RTCP, shift_and_send)


def payload_of(packet: RtpPacket) -> bytes:
    """Return the codec payload of a packet, without RTP packetisation headers."""
    data: bytes = packet._data  # type: ignore[attr-defined]
    return data


def replace_encoder(sender: RTCRtpSender, codec: str, on_estimate: OnEstimate) -> None:
    """Let a sender packetise encoded frames into RTP payloads, and report REMB messages to `on_estimate`.

    A sender creates an encoder for its first frame unless it has one, and sets `target_bitrate` on it for each REMB
    message.
    """
    packers: dict[str, type[_H264Packer] | type[_Vp8Packer]] = {"H264": _H264Packer, "VP8": _Vp8Packer}
    replace_part(sender, _SENDER_ENCODER, packers[codec](on_estimate))


def on_keyframe_request(sender: RTCRtpSender, callback: Callable[[], None]) -> None:
    """Call `callback` if the receiver requests a keyframe (PLI or FIR); aiortc only tells its own encoder."""
    replace_part(sender, _SEND_KEYFRAME, callback)


def sent_timestamp(sender: RTCRtpSender) -> int:
    """Return the RTP timestamp of the last packet sent: the only way to learn aiortc's random origin."""
    return int(getattr(sender, _SENDER_TIMESTAMP))


class _Packer:
    """Packetiser of encoded frames, based on the aiortc encoder class that follows it; encodes nothing."""

    def __init__(self, on_estimate: OnEstimate) -> None:
        super().__init__()
        self._on_estimate = on_estimate

    @property
    def target_bitrate(self) -> int:
        """Placeholder for REMB values, which are not stored here."""
        return 0

    @target_bitrate.setter
    def target_bitrate(self, bitrate: int) -> None:
        self._on_estimate(bitrate)


class _H264Packer(_Packer, H264Encoder):
    pass


class _Vp8Packer(_Packer, Vp8Encoder):
    pass


def replace_part(owner: object, name: str, value: object) -> None:
    """Replace a private part, which must be there."""
    if not hasattr(owner, name):
        raise AttributeError(f"this aiortc's {type(owner).__name__} has no {name}; see vivace.rtc.seams")
    setattr(owner, name, value)
