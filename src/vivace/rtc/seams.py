"""Everything we use of aiortc and aioice that they do not promise: one function for each, and the reason.

`tests/rtc/test_seams.py` fails when a new aiortc has renamed or changed one of them.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from aioice import ice, stun
from aiortc import RTCPeerConnection, RTCRtpReceiver, RTCRtpSender, RTCRtpTransceiver, RTCSctpTransport
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
    pack_rtcp_packet,
)

OnEstimate = Callable[[int], None]
"""Called with the bitrate that a receiver believes its line can carry, bit/s."""

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
_TAKE_REPORT = "_handle_rtcp_packet"
_SEND_KEYFRAME = "_send_keyframe"
_CONNECTION = "_connection"
_GET_CANDIDATES = "get_component_candidates"
_QUERY_CONSENT = "query_consent"
_PARSE = "parse_message"
_CERTIFICATES = "_RTCPeerConnection__certificates"
_MAKE_CONTEXT = "_create_ssl_context"


MAX_REPORTED = 16
"""Sources in one report; 31 is what the packet can hold."""


CIPHERS = (
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA:"
    "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES256-GCM-SHA384"
)
"""aiortc's, and for RSA what is authenticated and forward secret as well."""


class PacketBuffer(Protocol):
    """What a receiver hands its packets to."""

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """Take a packet; return whether a keyframe should be asked for, and no frame: frames go their own way."""


def replace_jitter_buffer(receiver: RTCRtpReceiver, buffer: PacketBuffer) -> None:
    """Let `buffer` put frames together.

    aiortc's own gives a frame away when the next one begins, which costs a frame of latency; gives away one frame for
    each packet that comes, so that what a lost packet held up stays late; and leads into two queues without end.
    """
    _replace(receiver, _JITTER_BUFFER, buffer)


def replace_requests(receiver: RTCRtpReceiver, requests: NackGenerator) -> None:
    """Let `requests` decide when missing packets are asked for: aiortc asks once, unless others go missing too."""
    _replace(receiver, _REQUESTS, requests)


class _Sources(dict[int, Any]):
    """The sources a receiver has heard, the newest few of them."""

    heard = 0

    def __setitem__(self, ssrc: int, statistics: Any) -> None:
        if ssrc not in self:
            self.heard += 1
            if len(self) >= MAX_REPORTED:
                del self[next(iter(self))]
        super().__setitem__(ssrc, statistics)


def remember_few_sources(receiver: RTCRtpReceiver) -> None:
    """Let a receiver report on few sources (SSRCs).

    aiortc remembers every one, and its reports on more than fit into a packet end the task that sends them; whoever
    closes the receiver then waits for that task for ever.
    """
    _replace(receiver, _SOURCES, _Sources())


def sources_heard(receiver: RTCRtpReceiver) -> int:
    """Return how many sources a receiver has heard that remembers few."""
    sources = getattr(receiver, _SOURCES)
    return sources.heard if isinstance(sources, _Sources) else 0


def window_left(sctp: RTCSctpTransport) -> int:
    """Return how many bytes the other side may still send over data channels, as it was told.

    aiortc takes more all the same, and joins what belongs together in quadratic time.
    """
    return int(getattr(sctp, _WINDOW))


def codec_name(receiver: RTCRtpReceiver, payload_type: int) -> str:
    """Return the codec of a payload type, `H264` or `VP8`; known once the receiver runs."""
    return str(getattr(receiver, _RECEIVER_CODECS)[payload_type].name).upper()


def agreed_codecs(transceiver: RTCRtpTransceiver) -> list[str]:
    """Return the codecs both sides speak, the one that is sent first; known once the descriptions are."""
    return [codec.name.upper() for codec in transceiver._codecs]


def speaks(kind: str, codecs: Sequence[RTCRtpCodecParameters]) -> bool:
    """Tell whether aiortc takes one of the codecs that the other side speaks; it fails where it does not."""
    return bool(find_common_codecs(CODECS[kind], list(codecs)))


def call_h264(transceiver: RTCRtpTransceiver, called: Mapping[int | None, Mapping[str, int | str | None]]) -> None:
    """Answer with the other side's profile, level and packetization mode, by payload type, after its offer is taken.

    aiortc would name its own, and a sender might keep to the level of that.
    """
    for codec in transceiver._codecs:
        if codec.payloadType in called:
            codec.parameters = dict(called[codec.payloadType])


def prefer_codecs(transceiver: RTCRtpTransceiver, order: Sequence[str]) -> None:
    """Answer with the codecs in our order, after the offer is taken: aiortc keeps the other side's."""
    places = {name: place for place, name in enumerate(order)}
    codecs = transceiver._codecs
    transceiver._codecs = sorted(codecs, key=lambda codec: places.get(codec.name.upper(), len(places)))


def possible_direction(transceiver: RTCRtpTransceiver) -> str:
    """Return what the offer lets us do, e.g. `recvonly` where the other side only sends."""
    return str(transceiver._offerDirection)


TRANSPORT_CC = "transport-cc"
"""The RTCP feedback that tells when packets arrived."""
TRANSPORT_NUMBERS = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"
"""The header extension that numbers packets for it."""
_TRANSPORT_CC_FORMAT = 15


def agree_on_transport_cc(transceiver: RTCRtpTransceiver, extension_id: int) -> None:
    """Number packets and tell when they arrived, both ways, as the other side does; after its description is taken.

    aiortc speaks REMB only: its estimate follows what arrives, and where both are spoken it holds a browser's down.
    """
    numbers = RTCRtpHeaderExtensionParameters(id=extension_id, uri=TRANSPORT_NUMBERS)
    transceiver._headerExtensions = [*transceiver._headerExtensions, numbers]
    for codec in transceiver._codecs:
        if codec.rtcpFeedback:
            kept = [feedback for feedback in codec.rtcpFeedback if feedback.type != "goog-remb"]
            codec.rtcpFeedback = [*kept, RTCRtcpFeedback(type=TRANSPORT_CC)]
    _replace(transceiver.receiver, _REMB, None)


def propose_start_bitrate(transceiver: RTCRtpTransceiver, bitrate_bps: int) -> None:
    """Let a browser begin to send at a bitrate; in our answer, after the offer is taken.

    Those of Google's making begin at 300 kbit/s otherwise, make pictures small for it, and do not make them large again
    where much happens in them.
    """
    for codec in transceiver._codecs:
        if codec.rtcpFeedback:
            codec.parameters["x-google-start-bitrate"] = bitrate_bps // 1000


def speaks_transport_cc(transceiver: RTCRtpTransceiver) -> bool:
    """Tell whether `agree_on_transport_cc` was called."""
    return any(extension.uri == TRANSPORT_NUMBERS for extension in transceiver._headerExtensions)


def on_arrival(receiver: RTCRtpReceiver, callback: Callable[[int, int], None]) -> None:
    """Call `callback` with the transport-wide number and the source (SSRC) of every packet that has a number."""
    take = getattr(receiver, _TAKE_RTP)

    async def note_and_take(packet: RtpPacket, arrival_time_ms: int) -> None:
        if (number := packet.extensions.transport_sequence_number) is not None:
            callback(number, packet.ssrc)
        await take(packet, arrival_time_ms=arrival_time_ms)

    _replace(receiver, _TAKE_RTP, note_and_take)


async def send_arrivals(receiver: RTCRtpReceiver, ssrc: int, fci: bytes) -> None:
    """Send a report of arrivals, one source of the packets being `ssrc`."""
    payload = struct.pack("!LL", getattr(receiver, _REPORTER), ssrc) + fci
    with suppress(ConnectionError):  # it is being closed
        await getattr(receiver.transport, _SEND)(pack_rtcp_packet(RTCP_RTPFB, _TRANSPORT_CC_FORMAT, payload))


class _Numbering(HeaderExtensionsMap):
    """Writes header extensions as `agreed` does, with a transport-wide number in each."""

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
    """Number the packets of a sender, and call `on_sent` with number and size in bytes of each; retransmitted ones too.

    Another sender of the same transport, that of a sound, numbers none.
    """
    numbering = _Numbering(getattr(sender, _SENDER_EXTENSIONS))
    _replace(sender, _SENDER_EXTENSIONS, numbering)
    send = getattr(sender.transport, _SEND)

    async def note_and_send(data: bytes) -> None:
        if not is_rtcp(data) and int.from_bytes(data[8:12]) in (sender._ssrc, sender._rtx_ssrc):
            on_sent(numbering.number, len(data))  # aiortc sends a packet at once when it has written it
        await send(data)

    _replace(sender.transport, _SEND, note_and_send)


def on_arrivals(transport: Any, callback: Callable[[bytes], None]) -> None:
    """Call `callback` with the FCI of every report of arrivals that a DTLS transport receives."""
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

    _replace(transport, _TAKE_RTCP, look_and_take)


def on_sender_report(receiver: RTCRtpReceiver, callback: Callable[[float, int], None]) -> None:
    """Call `callback` with the times of every sender report: the sender's own, s, and the RTP timestamp of then."""
    take = getattr(receiver, _TAKE_REPORT)

    async def look_and_take(packet: Any) -> None:
        if isinstance(packet, RtcpSrPacket) and packet.sender_info.ntp_timestamp:
            callback(packet.sender_info.ntp_timestamp / 2**32, packet.sender_info.rtp_timestamp)
        await take(packet)

    _replace(receiver, _TAKE_REPORT, look_and_take)


def shift_reports(sender: RTCRtpSender, ahead_s: Callable[[], float]) -> None:
    """Let a sender's reports tell times that are later than those of sending, as of what is sent before its time.

    The round trip is not told any more by what comes back: it is that of the other sender of the connection.
    """
    send = getattr(sender, _SEND_RTCP)

    async def shift_and_send(packets: list[Any]) -> None:
        for packet in packets:
            if isinstance(packet, RtcpSrPacket):
                packet.sender_info.ntp_timestamp += round(ahead_s() * 2**32)
        await send(packets)

    _replace(sender, _SEND_RTCP, shift_and_send)


def payload_of(packet: RtpPacket) -> bytes:
    """Return the codec's own bytes in a packet, which the receiver has taken out of their wrapping."""
    data: bytes = packet._data  # type: ignore[attr-defined]
    return data


def replace_encoder(sender: RTCRtpSender, codec: str, on_estimate: OnEstimate) -> None:
    """Let a sender cut encoded packets into RTP payloads, and say what REMB messages say.

    A sender makes an encoder when its first frame comes, and sets `target_bitrate` on it when a REMB arrives. One that
    is there already is kept.
    """
    packers: dict[str, type[_H264Packer] | type[_Vp8Packer]] = {"H264": _H264Packer, "VP8": _Vp8Packer}
    _replace(sender, _SENDER_ENCODER, packers[codec](on_estimate))


def on_keyframe_request(sender: RTCRtpSender, callback: Callable[[], None]) -> None:
    """Call `callback` when the receiver asks for a keyframe (PLI or FIR); aiortc only tells its own encoder."""
    _replace(sender, _SEND_KEYFRAME, callback)


def sent_timestamp(sender: RTCRtpSender) -> int:
    """Return the RTP timestamp of the last packet sent: aiortc adds a random origin to ours, known from this only."""
    return int(getattr(sender, _SENDER_TIMESTAMP))


_gathering: WeakKeyDictionary[Any, set[asyncio.Task[Any]]] = WeakKeyDictionary()
"""Searches for candidates that have begun, by aioice's connection."""


GATHER_S = 1.0


def gather_loopback_too(ice_transport: Any) -> None:
    """Offer 127.0.0.1 as well: aioice leaves it out, and a machine without a network would have no address at all.

    A STUN or TURN server that has not answered in `GATHER_S` is done without: every new connection waits for it.

    What is begun is ended, also where its caller is cancelled or the connection closed meanwhile: aioice knows a socket
    only when those of all addresses are open, and would leave it open otherwise. See `gathering_ended`.
    """
    connection = getattr(ice_transport, _CONNECTION)
    gather = getattr(connection, _GET_CANDIDATES)
    tasks = _gathering.setdefault(connection, set())

    async def with_loopback(component: int, addresses: list[str], timeout: float = GATHER_S) -> Any:
        task = asyncio.ensure_future(gather(component=component, addresses=[*addresses, "127.0.0.1"], timeout=timeout))
        tasks.add(task)
        return await asyncio.shield(task)

    setattr(connection, _GET_CANDIDATES, with_loopback)


def host_addresses(*, ipv6: bool) -> list[str]:
    """Return this machine's addresses of one family, those that ICE offers to others."""
    return list(ice.get_host_addresses(use_ipv4=not ipv6, use_ipv6=ipv6))


async def gathering_ended(ice_transport: Any) -> None:
    """Wait until aioice knows all sockets that it has opened, so that closing the connection closes them."""
    if tasks := _gathering.get(getattr(ice_transport, _CONNECTION)):
        await asyncio.wait(tasks)


def accept_rsa(connection: RTCPeerConnection) -> None:
    """Connect to peers with an RSA certificate too, such as that of GStreamer 1.22; before any description is taken.

    aiortc speaks ECDSA ciphers only. Who the other side is, the fingerprint in its description says for either kind.
    """
    for certificate in getattr(connection, _CERTIFICATES):
        make = getattr(certificate, _MAKE_CONTEXT)

        def with_rsa(srtp_profiles: Any, make: Callable[..., Any] = make) -> Any:
            context = make(srtp_profiles)
            context.set_cipher_list(CIPHERS.encode())
            return context

        _replace(certificate, _MAKE_CONTEXT, with_rsa)


def end_consent(ice_transport: Any) -> None:
    """Let the check for the other side's consent never begin; closing the connection ends one that runs.

    aioice closes a connection that is just being made, and then begins that check all the same: it would wait for ever,
    as no address is left to ask.
    """

    async def nothing() -> None:
        pass

    _replace(getattr(ice_transport, _CONNECTION), _QUERY_CONSENT, nothing)


def refuse_malformed_stun() -> None:
    """Let a malformed STUN packet be refused as aioice refuses one: with ValueError, which its sockets expect.

    Its parser lets `struct.error` out where a number in a packet is cut short, which then is a traceback in the log.
    """
    parse: Callable[[bytes], stun.Message] = getattr(stun, _PARSE)
    if getattr(parse, "__module__", None) == __name__:
        return

    def parse_or_refuse(data: bytes) -> stun.Message:
        try:
            return parse(data)
        except struct.error as error:
            raise ValueError(f"malformed STUN packet: {error}") from error

    _replace(stun, _PARSE, parse_or_refuse)


class _Packer:
    """Cuts encoded frames into payloads, as the aiortc encoder does that comes after it; encodes nothing."""

    def __init__(self, on_estimate: OnEstimate) -> None:
        super().__init__()
        self._on_estimate = on_estimate

    @property
    def target_bitrate(self) -> int:
        """What REMB last said is not kept here."""
        return 0

    @target_bitrate.setter
    def target_bitrate(self, bitrate: int) -> None:
        self._on_estimate(bitrate)


class _H264Packer(_Packer, H264Encoder):
    pass


class _Vp8Packer(_Packer, Vp8Encoder):
    pass


def _replace(owner: object, name: str, value: object) -> None:
    if not hasattr(owner, name):
        raise AttributeError(f"this aiortc's {type(owner).__name__} has no {name}; see vivace.rtc.seams")
    setattr(owner, name, value)
