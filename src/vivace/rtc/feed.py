"""The way of encoded packets to one viewer: a track that a connection sends, and what it hears back."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from aiortc import MediaStreamTrack, RTCRtpSender, RTCRtpTransceiver
from aiortc.mediastreams import MediaStreamError

from vivace.rtc.arrivals import read_report
from vivace.rtc.encoding import VideoPacket
from vivace.rtc.line import LineState, SentPackets
from vivace.rtc.rates import RateControl
from vivace.rtc.seams import (
    number_packets,
    on_arrivals,
    on_keyframe_request,
    replace_encoder,
    sent_timestamp,
    speaks_transport_cc,
)

_log = logging.getLogger(__name__)

KEYFRAME_TRAVELS_S = 0.3
"""A request that comes so soon after a keyframe was sent is about the pictures before it; who misses it asks again."""
MAX_PAUSE_S = 2.0
MAX_WAITING = 4
"""Packets that may wait for a connection that is busy; they build on each other, so beyond this all are given up."""


Rendition = tuple[str, int]
"""Codec and rung: what all its viewers get the same packets of."""


@dataclass(frozen=True, slots=True)
class Sent:
    """Which picture a packet holds."""

    pts: int
    """RTP timestamp before the random origin."""
    index: int
    tag: int | None
    control_index: int


OnNote = Callable[[int, Sent], None]
"""Called with the RTP timestamp on the line and what the packets with it hold."""


class Feed(MediaStreamTrack):
    """Encoded packets for one connection, newest first. Used on the event loop."""

    kind = "video"

    def __init__(self, codec: str, full_bps: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Feed packets of `codec`, beginning at `full_bps` bit/s."""
        super().__init__()
        self.codec = codec
        self.rates = RateControl(full_bps)
        self.wants_keyframe = True
        """Nothing but a keyframe makes sense to the viewer."""
        self.sent_packets = 0
        self.sent_bytes = 0
        self.dropped = 0
        self.last: Sent | None = None
        """What was handed to the connection last."""
        self.rendition: Rendition = codec, self.rates.rung
        """Whose packets it gets now."""
        self.on_note: OnNote | None = None
        """Is told of every packet but the first, as it is sent."""
        self.told_of_arrivals = False
        """Whether the receiver tells when packets arrive; then nobody else need look at the line."""
        self._clock = clock
        self._on_line = SentPackets(clock())
        self._resumes_s = self._keyframe_s = -inf
        self._sender: RTCRtpSender | None = None
        self._origin: int | None = None
        """Of RTP timestamps; random, and known from the first packet that was sent."""
        self._packets: deque[tuple[VideoPacket, Sent]] = deque()
        self._changed = asyncio.Event()

    def connect(self, transceiver: RTCRtpTransceiver) -> None:
        """Send this feed through a transceiver that knows both descriptions, and listen to what its receiver says."""
        sender = self._sender = transceiver.sender
        sender.replaceTrack(self)
        replace_encoder(sender, self.codec, self._take_estimate)
        on_keyframe_request(sender, self.ask_for_keyframe)
        if speaks_transport_cc(transceiver):
            number_packets(sender, self.note_sent)
            on_arrivals(sender.transport, self.take_arrivals)

    def ask_for_keyframe(self) -> None:
        """Let the next packet be a keyframe, unless one is on its way: on a slow line it takes longer than patience."""
        if self._clock() - self._keyframe_s > KEYFRAME_TRAVELS_S:
            self.wants_keyframe = True

    def settle(self, now_s: float) -> bool:
        """Change over to the rung that the line carries by now; return whether the next picture may be sent.

        Another encoder's packets begin with a keyframe.
        """
        if self.rendition[1] != self.rates.rung:
            self.rendition = self.codec, self.rates.rung
            self.wants_keyframe = True
        return now_s >= self._resumes_s

    def observe(self, line: LineState) -> None:
        """Choose the rung for a line; one that is too full is given nothing until what waits has gone through."""
        now_s = self._clock()
        if self.rates.observe(now_s, line):
            self._resumes_s = now_s + min(MAX_PAUSE_S, line.drained_in_s)
            self._on_line.begin_anew(self._resumes_s)

    def note_sent(self, number: int, size: int) -> None:
        """Note that a packet of `size` bytes was sent under a transport-wide number."""
        self._on_line.sent(number, size, self._clock())

    def take_arrivals(self, fci: bytes) -> None:
        """Take a report of arrivals, see `vivace.rtc.arrivals`."""
        try:
            line = self._on_line.told(read_report(fci))
        except ValueError as error:
            _log.debug("%s", error)
            return
        self.told_of_arrivals = True
        if line is not None:
            self.observe(line)

    def put(self, packet: VideoPacket, sent: Sent) -> None:
        """Hand over a packet; one that the viewer could not decode is dropped. Never waits."""
        if self.readyState != "live":
            return
        if len(self._packets) >= MAX_WAITING:
            self.dropped += len(self._packets)
            self._packets.clear()
            self.wants_keyframe = True
        if (self.wants_keyframe and not packet.is_keyframe) or self._clock() < self._resumes_s:
            self.dropped += 1
            return
        self.wants_keyframe = False
        if packet.is_keyframe:
            self._keyframe_s = self._clock()
        self._packets.append((packet, sent))
        self._changed.set()

    async def recv(self) -> VideoPacket:
        """Return the next packet, for aiortc's sender.

        Raises:
            MediaStreamError: the feed has stopped.
        """
        while not self._packets:
            if self.readyState != "live":
                raise MediaStreamError
            self._changed.clear()
            await self._changed.wait()
        if self._origin is None and self.last is not None and self._sender is not None:
            self._origin = sent_timestamp(self._sender) - self.last.pts
        packet, self.last = self._packets.popleft()
        if self._origin is not None and self.on_note is not None:
            self.on_note((self._origin + self.last.pts) % 2**32, self.last)
        self.sent_packets += 1
        self.sent_bytes += packet.size
        return packet

    def stop(self) -> None:
        """End the feed; safe to call twice."""
        super().stop()
        self._packets.clear()
        self._changed.set()

    def _take_estimate(self, bitrate_bps: int) -> None:
        self.rates.estimate_bps = bitrate_bps
