"""Everything we use of aiortc and aioice that they do not promise: one function for each, and the reason.

`tests/rtc/test_seams.py` fails when a new aiortc has renamed or changed one of them.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Sequence
from typing import Any, Protocol
from weakref import WeakKeyDictionary

from aioice import stun
from aiortc import RTCRtpReceiver, RTCRtpSender, RTCRtpTransceiver, RTCSctpTransport
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from aiortc.rtcrtpreceiver import NackGenerator
from aiortc.rtp import RtpPacket

OnEstimate = Callable[[int], None]
"""Called with the bitrate that a receiver believes its line can carry, bit/s."""

_JITTER_BUFFER = "_RTCRtpReceiver__jitter_buffer"
_REQUESTS = "_RTCRtpReceiver__nack_generator"
_SOURCES = "_RTCRtpReceiver__remote_streams"
_WINDOW = "_advertised_rwnd"
_RECEIVER_CODECS = "_RTCRtpReceiver__codecs"
_SENDER_ENCODER = "_RTCRtpSender__encoder"
_SENDER_TIMESTAMP = "_RTCRtpSender__rtp_timestamp"
_SEND_KEYFRAME = "_send_keyframe"
_CONNECTION = "_connection"
_GET_CANDIDATES = "get_component_candidates"
_PARSE = "parse_message"


MAX_REPORTED = 16
"""Sources in one report; 31 is what the packet can hold."""


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


def prefer_codecs(transceiver: RTCRtpTransceiver, order: Sequence[str]) -> None:
    """Answer with the codecs in our order, after the offer is taken: aiortc keeps the other side's."""
    places = {name: place for place, name in enumerate(order)}
    codecs = transceiver._codecs
    transceiver._codecs = sorted(codecs, key=lambda codec: places.get(codec.name.upper(), len(places)))


def possible_direction(transceiver: RTCRtpTransceiver) -> str:
    """Return what the offer lets us do, e.g. `recvonly` where the other side only sends."""
    return str(transceiver._offerDirection)


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


def gather_loopback_too(ice_transport: Any) -> None:
    """Offer 127.0.0.1 as well: aioice leaves it out, and a machine without a network would have no address at all.

    What is begun is ended, also where its caller is cancelled or the connection closed meanwhile: aioice knows a socket
    only when those of all addresses are open, and would leave it open otherwise. See `gathering_ended`.
    """
    connection = getattr(ice_transport, _CONNECTION)
    gather = getattr(connection, _GET_CANDIDATES)
    tasks = _gathering.setdefault(connection, set())

    async def with_loopback(component: int, addresses: list[str], timeout: int = 5) -> Any:
        task = asyncio.ensure_future(gather(component=component, addresses=[*addresses, "127.0.0.1"], timeout=timeout))
        tasks.add(task)
        return await asyncio.shield(task)

    setattr(connection, _GET_CANDIDATES, with_loopback)


async def gathering_ended(ice_transport: Any) -> None:
    """Wait until aioice knows all sockets that it has opened, so that closing the connection closes them."""
    if tasks := _gathering.get(getattr(ice_transport, _CONNECTION)):
        await asyncio.wait(tasks)


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
