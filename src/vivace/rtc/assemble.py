"""RTP packets become encoded frames: as soon as the last packet is there, and never at the price of the next frame.

A frame is complete with the packet that carries the marker bit (or, from senders that do not set it, when the next
frame begins). Packets that come out of order are put in order. A missing one is waited for, since the receiver asks
for it again; after `PATIENCE_S` it is given up, and pictures stop until the next keyframe, which is asked for: a
picture that stands for a moment is better than one in tatters, and better than one that is late for ever.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from aiortc.rtcrtpreceiver import NackGenerator
from aiortc.rtp import RtpPacket

from vivace.rtc.arrivals import unwrap
from vivace.rtc.seams import payload_of

PATIENCE_S = 0.12
"""For a missing packet: time for two requests over an ordinary line."""
REQUEST_AGAIN_S = 0.04
"""Between two requests for the same missing packets."""
ASK_AGAIN_S = 0.3
"""Between two requests for a keyframe."""
CAPACITY = 2048
"""Packets held while one is missing: a second of 20 Mbit/s."""
RESTART_DISTANCE = 3000
"""A jump of sequence numbers over which a sender must have begun anew."""


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One frame as it was sent."""

    codec: str
    data: bytes
    rtp_timestamp: int
    """As in its packets."""
    key: bool
    """Whether it can be decoded without those before."""
    arrival_s: float
    """When its first packet came."""


@dataclass(slots=True)
class _Waiting:
    packet: RtpPacket
    arrival_s: float


class Requests(NackGenerator):
    """Which packets are asked for again, in place of aiortc's: more than once, and only while they are of use.

    aiortc asks again only when another packet is found missing; on a quiet line that may be too late.
    """

    def __init__(self, assembler: FrameAssembler, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._assembler = assembler
        self._clock = clock
        self._asked_s = 0.0

    def add(self, packet: RtpPacket) -> bool:
        """Note that a packet has come; return whether the missing ones should be asked for."""
        found = bool(super().add(packet))
        now_s = self._clock()
        if not found and (not self.missing or now_s - self._asked_s < REQUEST_AGAIN_S):
            return False
        self.missing = {number for number in self.missing if self._assembler.waits_for(number)}
        self._asked_s = now_s
        return bool(self.missing)


class FrameAssembler:
    """Puts the packets of one video stream together. Used on the event loop, but for `ask_for_keyframe`."""

    def __init__(
        self,
        deliver: Callable[[EncodedFrame], None],
        codec_of: Callable[[int], str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`deliver` is called with every frame in order; `codec_of` tells the codec of a payload type."""
        self.frames = 0
        self.lost = 0
        """Frames that came but could not be used, since something before them is missing."""
        self._deliver = deliver
        self._codec_of = codec_of
        self._clock = clock
        self._ssrc: int | None = None
        self._waiting: dict[int, _Waiting] = {}
        self._next = 0
        """The packet that continues the stream, counted without wrapping."""
        self._highest = 0
        self._gap: tuple[int, float] | None = None
        """The packet that is missing, and since when."""
        self._needs_key = True
        self._asked_s: float | None = None

    def ask_for_keyframe(self) -> None:
        """Deliver nothing until a keyframe comes, and ask for one; any thread."""
        self._needs_key = True

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """Take a packet; return whether a keyframe should be asked for."""
        now_s = self._clock()
        number = self._place(packet)
        if number >= self._next:
            self._waiting[number] = _Waiting(packet, now_s)
            self._highest = max(self._highest, number)
        self._release(now_s)
        while self._gap is not None and (now_s - self._gap[1] > PATIENCE_S or len(self._waiting) > CAPACITY):
            self._give_up()
            self._release(now_s)
        return self._wants_keyframe(now_s), None

    def waits_for(self, sequence_number: int) -> bool:
        """Tell whether a packet that has not come would still be of use."""
        return self._next <= unwrap(sequence_number, self._highest)

    def _place(self, packet: RtpPacket) -> int:
        """Return the packet's number without wrapping; begin anew with a sender that has."""
        number = unwrap(packet.sequence_number, self._highest)
        if packet.ssrc != self._ssrc or abs(number - self._highest) > RESTART_DISTANCE:
            self._ssrc = packet.ssrc
            self._waiting.clear()
            self._gap = None
            self._needs_key = True
            # Packets that overtook each other right at the beginning shall still find their place.
            self._next = self._highest = packet.sequence_number + 0x10000
            return self._next
        return number

    def _release(self, now_s: float) -> None:
        """Deliver every frame that is complete, and note what holds up the rest."""
        parts: list[_Waiting] = []
        number = self._next
        while (part := self._waiting.get(number)) is not None:
            if parts and part.packet.timestamp != parts[0].packet.timestamp:
                self._finish(parts, number)
                parts = []
            parts.append(part)
            number += 1
            if part.packet.marker:
                self._finish(parts, number)
                parts = []
        if number > self._highest:
            self._gap = None
        elif self._gap is None or self._gap[0] != number:
            self._gap = number, now_s

    def _finish(self, parts: list[_Waiting], following: int) -> None:
        for number in range(self._next, following):
            del self._waiting[number]
        self._next = following
        first = parts[0]
        codec = self._codec_of(first.packet.payload_type)
        data = b"".join(payload_of(part.packet) for part in parts)
        if not data:
            return  # a packet that only probes the line
        key = is_keyframe(codec, data)
        if self._needs_key and not key:
            self.lost += 1
            return
        self._needs_key = False
        self.frames += 1
        self._deliver(EncodedFrame(codec, data, first.packet.timestamp, key, first.arrival_s))

    def _give_up(self) -> None:
        """Go on after the missing packet; what is left of its frame is thrown away."""
        assert self._gap is not None
        missing = self._gap[0]
        for number in range(self._next, missing):
            self._waiting.pop(number, None)
        self._next = min((number for number in self._waiting if number > missing), default=self._highest + 1)
        self._gap = None
        self._needs_key = True
        self.lost += 1

    def _wants_keyframe(self, now_s: float) -> bool:
        if not self._needs_key:
            self._asked_s = None
            return False
        if self._asked_s is not None and now_s - self._asked_s < ASK_AGAIN_S:
            return False
        self._asked_s = now_s
        return True


def is_keyframe(codec: str, data: bytes) -> bool:
    """Tell whether a frame begins with what a decoder needs to start; the rest of a cut-off frame does not."""
    if codec == "VP8":
        # RFC 6386, 9.1: the lowest bit is 0 in a keyframe, which has a start code after three bytes.
        return len(data) > 5 and data[0] & 1 == 0 and data[3:6] == b"\x9d\x01\x2a"
    if not data.startswith(b"\x00\x00\x00\x01"):
        return False
    position = 0
    while (position := data.find(b"\x00\x00\x01", position)) >= 0 and position + 3 < len(data):
        unit = data[position + 3] & 0x1F
        if unit == 7:  # sequence parameters, without which nothing can be decoded
            return True
        if unit in (1, 2, 3, 4, 5):  # a picture
            return False
        position += 3
    return False
