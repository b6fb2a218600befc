"""Assembly of RTP packets into encoded frames, each delivered as soon as its last packet is there.

A frame is complete with the packet that carries the marker bit (or, from senders that do not set it, when the next
frame begins). Packets are put in order. A missing packet is waited for, since the receiver requests it again; after
`PATIENCE_S` it is given up, and no frames are delivered until the next keyframe, which is requested: a picture frozen
for a moment is better than a corrupt one, and better than lasting delay.
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
"""Wait for a missing packet, s: two retransmission requests over an ordinary path."""
REQUEST_AGAIN_S = 0.04
"""Interval between two requests for the same missing packets, s."""
ASK_AGAIN_S = 0.3
"""Interval between two keyframe requests, s."""
CAPACITY = 2048
"""Packets held while one is missing: one second at 20 Mbit/s."""
RESTART_DISTANCE = 3000
"""Jump in sequence numbers that means the sender has restarted."""


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """Encoded frame as it was sent."""

    codec: str
    data: bytes
    rtp_timestamp: int
    """RTP timestamp of its packets, 1/90000 s."""
    key: bool
    """True if it can be decoded without earlier frames."""
    arrival_s: float
    """Arrival time of its first packet, s, monotonic."""


@dataclass(slots=True)
class _Waiting:
    packet: RtpPacket
    arrival_s: float


class Requests(NackGenerator):
    """Retransmission requests (NACK) in place of aiortc's: repeated, but only for packets that are still useful.

    aiortc repeats a request only when another packet goes missing; at low packet rates that may be too late.
    """

    def __init__(self, assembler: FrameAssembler, *, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._assembler = assembler
        self._clock = clock
        self._asked_s = 0.0

    def add(self, packet: RtpPacket) -> bool:
        """Record an arrived packet; return whether the missing ones should be requested."""
        found = bool(super().add(packet))
        now_s = self._clock()
        if not found and (not self.missing or now_s - self._asked_s < REQUEST_AGAIN_S):
            return False
        self.missing = {number for number in self.missing if self._assembler.waits_for(number)}
        self._asked_s = now_s
        return bool(self.missing)


class FrameAssembler:
    """Assembler for the packets of one video stream. Used on the event loop, except for `ask_for_keyframe`."""

    def __init__(
        self,
        deliver: Callable[[EncodedFrame], None],
        codec_of: Callable[[int], str],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Call `deliver` with every frame in order; `codec_of` returns the codec of a payload type."""
        self.frames = 0
        self.lost = 0
        """Frames that arrived but could not be used, because something before them is missing."""
        self._deliver = deliver
        self._codec_of = codec_of
        self._clock = clock
        self._ssrc: int | None = None
        self._waiting: dict[int, _Waiting] = {}
        self._next = 0
        """Unwrapped sequence number of the packet that continues the stream."""
        self._highest = 0
        self._gap: tuple[int, float] | None = None
        """Unwrapped number of the missing packet, and the time it was found missing, s."""
        self._needs_key = True
        self._asked_s: float | None = None

    def ask_for_keyframe(self) -> None:
        """Deliver nothing until a keyframe arrives, and request one; any thread."""
        self._needs_key = True

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """Take a packet; return whether a keyframe should be requested."""
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
        """Return whether a missing packet would still be useful."""
        return self._next <= unwrap(sequence_number, self._highest)

    def _place(self, packet: RtpPacket) -> int:
        """Return the packet's unwrapped number; restart if the sender has."""
        number = unwrap(packet.sequence_number, self._highest)
        if packet.ssrc != self._ssrc or abs(number - self._highest) > RESTART_DISTANCE:
            self._ssrc = packet.ssrc
            self._waiting.clear()
            self._gap = None
            self._needs_key = True
            # Packets reordered right at the beginning must still fit.
            self._next = self._highest = packet.sequence_number + 0x10000
            return self._next
        return number

    def _release(self, now_s: float) -> None:
        """Deliver every complete frame, and note the packet that blocks the rest."""
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
            return  # a packet that only probes the path
        key = is_keyframe(codec, data)
        if self._needs_key and not key:
            self.lost += 1
            return
        self._needs_key = False
        self.frames += 1
        self._deliver(EncodedFrame(codec, data, first.packet.timestamp, key, first.arrival_s))

    def _give_up(self) -> None:
        """Skip the missing packet, with the rest of its frame."""
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
    """Return whether a frame begins with what a decoder needs to start; the tail of a truncated frame does not."""
    if codec == "VP8":
        # RFC 6386, 9.1: the lowest bit is 0 in a keyframe, which has a start code after three bytes.
        return len(data) > 5 and data[0] & 1 == 0 and data[3:6] == b"\x9d\x01\x2a"
    if not data.startswith(b"\x00\x00\x00\x01"):
        return False
    position = 0
    while (position := data.find(b"\x00\x00\x01", position)) >= 0 and position + 3 < len(data):
        unit = data[position + 3] & 0x1F
        if unit == 7:  # sequence parameter set, without which nothing can be decoded
            return True
        if unit in (1, 2, 3, 4, 5):  # a picture
            return False
        position += 3
    return False
