"""Delivery of encoded packets to one viewer: a track that a connection sends, and the receiver's feedback."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import NamedTuple

from aiortc import MediaStreamTrack, RTCRtpSender, RTCRtpTransceiver
from aiortc.mediastreams import MediaStreamError

from vivace.rtc.arrivals import read_report
from vivace.rtc.encoding import CLOCK_HZ, VideoPacket
from vivace.rtc.line import LineState, SentPackets
from vivace.rtc.rates import RateControl
from vivace.rtc.seams import (
    limit_playout_delay,
    number_packets,
    on_arrivals,
    on_keyframe_request,
    replace_encoder,
    sent_timestamp,
    shift_reports,
    speaks_transport_cc,
)

_log = logging.getLogger(__name__)

KEYFRAME_TRAVELS_S = 0.3
"""Time after a keyframe in which requests are ignored, s: they were sent before it arrived. A receiver that missed it
asks again."""
PATIENCE_S = 4.8
"""Most of that time, s: each granted request of a viewer doubles it. A keyframe is for all viewers of a rendition and
makes the pictures after it worse, so that one bad line must not ask for many."""
CALM_S = 10.0
"""Time without a keyframe after which the next request of a viewer is granted at once, s."""
MAX_PAUSE_S = 2.0
MAX_WAITING = 4
"""Most packets queued for a busy connection; they depend on each other, so beyond this all are dropped."""


class Rendition(NamedTuple):
    """One encoding of the pictures, made once for all viewers that get it."""

    codec: str
    rung: int
    """Step of bitrate, 0 the full one."""
    half: bool = False
    """Half of each side: the small one of two sizes."""


@dataclass(frozen=True, slots=True)
class Sent:
    """Identity of the picture in a packet."""

    pts: int
    """RTP timestamp before the random origin is added, 1/90000 s."""
    index: int
    tag: int | None
    control_index: int


OnNote = Callable[[int, Sent], None]
"""Callback with the RTP timestamp as sent and the picture its packets hold."""


class Feed(MediaStreamTrack):
    """Track of encoded packets for one connection, newest first. Used on the event loop."""

    kind = "video"

    def __init__(
        self, codec: str, full_bps: int, *, half: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Create a feed of `codec` packets, starting at `full_bps` bit/s; `half` asks for pictures of half the side."""
        super().__init__()
        self.codec = codec
        self.rates = RateControl(full_bps)
        self.wants_keyframe = True
        """True while the viewer can only use a keyframe."""
        self.sent_packets = 0
        self.sent_bytes = 0
        self.dropped = 0
        self.last: Sent | None = None
        """Picture handed to the connection last."""
        self.rendition = Rendition(codec, self.rates.rung, half)
        """Rendition whose packets the feed gets now."""
        self.on_note: OnNote | None = None
        """Callback for every packet but the first, as it is sent."""
        self.told_of_arrivals = False
        """True once the receiver reports arrivals; other observations of the path are then unnecessary."""
        self._clock = clock
        self._on_line = SentPackets(clock())
        self._resumes_s = self._keyframe_s = -inf
        self._patience_s = KEYFRAME_TRAVELS_S
        self._sender: RTCRtpSender | None = None
        self.ahead_s = 0.0
        """Time of the last packet less that at which it was sent, s."""
        self._origin: int | None = None
        """Random origin of RTP timestamps, known once a packet was sent."""
        self._packets: deque[tuple[VideoPacket, Sent]] = deque()
        self._changed = asyncio.Event()

    def connect(self, transceiver: RTCRtpTransceiver, at_once: Callable[[], bool] = lambda: True) -> None:
        """Send this feed through a negotiated transceiver, and listen to its receiver's feedback.

        While `at_once`, the receiver is asked to show pictures as soon as they are decoded.
        """
        sender = self._sender = transceiver.sender
        sender.replaceTrack(self)
        replace_encoder(sender, self.codec, self._take_estimate)
        on_keyframe_request(sender, self.ask_for_keyframe)
        limit_playout_delay(sender, at_once)
        shift_reports(sender, lambda: self.ahead_s)
        if speaks_transport_cc(transceiver):
            number_packets(sender, self.note_sent)
            on_arrivals(sender.transport, self.take_arrivals)

    def ask_for_keyframe(self) -> None:
        """Make the next packet a keyframe, unless one is in flight: on a slow path, requests are repeated meanwhile."""
        since_s = self._clock() - self._keyframe_s
        if since_s > CALM_S:
            self._patience_s = KEYFRAME_TRAVELS_S
        if not self.wants_keyframe and since_s > self._patience_s:
            self.wants_keyframe = True
            self._patience_s = min(PATIENCE_S, 2 * self._patience_s)

    def settle(self, now_s: float) -> bool:
        """Switch to the rung that the path supports now; return whether the next picture may be sent.

        The packets of another encoder begin with a keyframe.
        """
        if self.rendition.rung != self.rates.rung:
            self.rendition = self.rendition._replace(rung=self.rates.rung)
            self.wants_keyframe = True
        return now_s >= self._resumes_s

    def observe(self, line: LineState) -> None:
        """Choose the rung for the state of the path; if it is congested, pause until its queue has drained."""
        now_s = self._clock()
        if self.rates.observe(now_s, line):
            self._resumes_s = now_s + min(MAX_PAUSE_S, line.drained_in_s)
            self._on_line.begin_anew(self._resumes_s)

    def note_sent(self, number: int, size: int) -> None:
        """Record a packet of `size` bytes sent under a transport-wide number."""
        self._on_line.sent(number, size, self._clock())

    def take_arrivals(self, fci: bytes) -> None:
        """Process an arrival report, see `vivace.rtc.arrivals`."""
        try:
            line = self._on_line.told(read_report(fci))
        except ValueError as error:
            _log.debug("%s", error)
            return
        self.told_of_arrivals = True
        if line is not None:
            self.observe(line)

    def put(self, packet: VideoPacket, sent: Sent) -> None:
        """Queue a packet, or drop it if the viewer could not decode it. Never waits."""
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
        self.ahead_s = self.last.pts / CLOCK_HZ - self._clock()
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
