"""Audio beside video: Opus packets forwarded unchanged, with the timing of the pictures they belong to.

Audio and video travel separately, and pictures take longer: to encode, to assemble, and to paint where they are
painted. The sender's reports (RTCP SR) relate the timestamps of both streams; from them, each audio packet gets the
time at which the pictures of its moment arrived. Forwarded, both keep these times, and sender reports of our own tell
them, by which the receiver synchronises both.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from statistics import median
from typing import Any, NamedTuple

import av
from aiortc import MediaStreamTrack, RTCRtpReceiver, RTCRtpTransceiver
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import RtpPacket

from vivace.media.live_sound import SoundPacket
from vivace.rtc.arrivals import unwrap
from vivace.rtc.encoding import CLOCK_HZ
from vivace.rtc.seams import (
    agreed_codecs,
    on_sender_report,
    payload_of,
    prefer_codecs,
    remember_few_sources,
    replace_jitter_buffer,
    shift_reports,
)

CODEC = "OPUS"
SAMPLE_HZ = 48_000
"""Clock rate of Opus RTP timestamps, Hz, whatever the recording's rate (RFC 7587, 4.1)."""
HELD = 4
"""Packets that may overtake a missing one, 80 ms; then it is given up."""
MAX_QUEUED = 250
"""Most packets queued for sending, five seconds; beyond it the oldest are dropped."""
OVER = 30
"""Arrivals in the median that estimates a stream's travel time; one late packet does not change it."""
LEAD_S = 0.5
"""Longest time that audio is sent ahead of its presentation time, s. Receivers buffer audio longer than video anyway;
delay added here comes on top, and makes video wait for it there: 60 ms in Chromium."""
FOLLOW = 0.05
"""Share of the difference by which `Delay` follows each picture's time: a step is followed within a second."""
MAX_DELAY_S = 3.0

PLAYED_LATE_S = 0.025
"""Time by which browsers play sound later than they account for, s, measured in Chromium
(`tests/e2e/measure_sound.py`): its packets are told to be so much older."""

OnSound = Callable[[SoundPacket], None]


class _Clock(NamedTuple):
    """A pair of corresponding times, on a stream's clock and on the sender's."""

    media_s: float
    ntp_s: float

    @property
    def offset_s(self) -> float:
        """Difference from the stream's time to the sender's, s."""
        return self.ntp_s - self.media_s


class _Stream:
    """Travel time and sender clock of one stream."""

    def __init__(self, hz: int) -> None:
        self.clock: _Clock | None = None
        self._hz = hz
        self._near = 0
        self._late: deque[float] = deque(maxlen=OVER)

    def media_s(self, timestamp: int) -> float:
        """Return an RTP timestamp in s of the stream's time, unwrapped from 32 bits."""
        self._near += ((timestamp - self._near + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        return self._near / self._hz

    def arrived(self, media_s: float, arrival_s: float) -> None:
        """Record an arrival."""
        if self._late and abs(arrival_s - media_s - self._late[-1]) > MAX_DELAY_S:
            self._late.clear()  # the sender has restarted
            self.clock = None
        self._late.append(arrival_s - media_s)

    @property
    def offset_s(self) -> float | None:
        """Difference from the stream's time to local arrival time, s; None before anything has arrived."""
        return median(self._late) if self._late else None


class SoundReceiver:
    """Reordering and timing of received audio packets. Used on the event loop, except for `picture_came`."""

    def __init__(self, on_sound: OnSound, *, clock: Callable[[], float] = time.monotonic) -> None:
        """Call `on_sound` with each packet, timed for when its pictures arrive."""
        self.packets = 0
        self.lost = 0
        self._on_sound = on_sound
        self._clock = clock
        self._sound, self._video = _Stream(SAMPLE_HZ), _Stream(CLOCK_HZ)
        self._ssrc: int | None = None
        self._next = 0
        self._waiting: dict[int, tuple[RtpPacket, float]] = {}

    def connect(self, sound: RTCRtpReceiver, video: RTCRtpReceiver | None) -> None:
        """Take the packets of a receiver, and the sender reports of both streams."""
        replace_jitter_buffer(sound, self)
        remember_few_sources(sound)
        on_sender_report(sound, lambda ntp_s, timestamp: self._told(self._sound, ntp_s, timestamp))
        if video is not None:
            on_sender_report(video, lambda ntp_s, timestamp: self._told(self._video, ntp_s, timestamp))

    def picture_came(self, timestamp: int, arrival_s: float) -> None:
        """Record a picture's arrival time (s, monotonic) and RTP timestamp. Any thread, but always the same."""
        self._video.arrived(self._video.media_s(timestamp), arrival_s)

    def add(self, packet: RtpPacket) -> tuple[bool, None]:
        """Take a packet."""
        number = unwrap(packet.sequence_number, self._next)
        if packet.ssrc != self._ssrc:
            self._ssrc, self._next = packet.ssrc, packet.sequence_number + 0x10000
            self._waiting.clear()
            number = self._next
        if number >= self._next:
            self._waiting[number] = packet, self._clock()
        while self._waiting:
            if self._next not in self._waiting:
                if max(self._waiting) - self._next < HELD:
                    break
                self.lost += 1
            else:
                self._take(*self._waiting.pop(self._next))
            self._next += 1
        return False, None

    def _take(self, packet: RtpPacket, arrival_s: float) -> None:
        data = payload_of(packet)
        media_s = self._sound.media_s(packet.timestamp)
        self._sound.arrived(media_s, arrival_s)
        if data:
            self.packets += 1
            self._on_sound(SoundPacket(data, media_s + self._offset_s()))

    def _offset_s(self) -> float:
        """Return the offset from the audio's own time to the arrival time of its pictures, s."""
        sound, video = self._sound, self._video
        if sound.clock is not None and video.clock is not None and (arrives_s := video.offset_s) is not None:
            return sound.clock.offset_s - video.clock.offset_s + arrives_s
        assert sound.offset_s is not None
        return sound.offset_s

    def _told(self, stream: _Stream, ntp_s: float, timestamp: int) -> None:
        stream.clock = _Clock(stream.media_s(timestamp), ntp_s)


class SoundFeed(MediaStreamTrack):
    """Audio track of one connection, whose sender reports place it with its pictures. Used on the event loop."""

    kind = "audio"

    def __init__(
        self,
        delay_s: Callable[[], float] = lambda: 0.0,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Create a feed for packets whose pictures are sent `delay_s()` after their time."""
        super().__init__()
        self.sent_packets = 0
        self.dropped = 0
        self.ahead_s = 0.0
        """Time of the last packet less that at which it was sent, s."""
        self._delay_s = delay_s
        self._clock = clock
        self._queue: deque[SoundPacket] = deque()
        self._came = asyncio.Event()
        self._origin_s: float | None = None
        self._last_pts = -1

    def connect(self, transceiver: RTCRtpTransceiver) -> None:
        """Send this feed through a transceiver; aiortc marks it as synchronised with the connection's video."""
        transceiver.sender.replaceTrack(self)
        shift_reports(transceiver.sender, lambda: self.ahead_s)

    def put(self, packet: SoundPacket) -> None:
        """Queue a packet; never waits."""
        if self.readyState != "live":
            return
        if len(self._queue) >= MAX_QUEUED:
            self._queue.popleft()
            self.dropped += 1
        self._queue.append(packet)
        self._came.set()

    async def recv(self) -> Any:
        """Return the next packet, for aiortc's sender.

        Raises:
            MediaStreamError: the feed has stopped.
        """
        while not self._queue:
            if self.readyState != "live":
                raise MediaStreamError
            self._came.clear()
            await self._came.wait()
        packet = self._queue.popleft()
        due_s = packet.time_s + min(MAX_DELAY_S, self._delay_s())
        if (wait_s := due_s - LEAD_S - self._clock()) > 0:
            await asyncio.sleep(min(wait_s, MAX_DELAY_S))
        self.ahead_s = packet.time_s - PLAYED_LATE_S - self._clock()
        if self.readyState != "live":
            raise MediaStreamError
        if self._origin_s is None:
            self._origin_s = packet.time_s
        sent = av.Packet(packet.data)
        self._last_pts = max(self._last_pts + 1, round((packet.time_s - self._origin_s) * SAMPLE_HZ))
        sent.pts = sent.dts = self._last_pts
        sent.time_base = Fraction(1, SAMPLE_HZ)
        self.sent_packets += 1
        return sent

    def stop(self) -> None:
        """End the feed; safe to call twice."""
        super().stop()
        self._queue.clear()
        self._came.set()


class Delay:
    """Smoothed processing time of pictures, by which audio waits to be sent where they take long."""

    def __init__(self) -> None:
        self.value_s = 0.0
        self._known = False

    def picture_took(self, took_s: float) -> None:
        """Take the time of one picture, s."""
        took_s = min(MAX_DELAY_S, max(0.0, took_s))
        self.value_s = took_s if not self._known else self.value_s + FOLLOW * (took_s - self.value_s)
        self._known = True


def speaks_opus(transceiver: RTCRtpTransceiver) -> bool:
    """Return whether the negotiated audio is Opus, after moving it to the front.

    Call after the descriptions are applied.
    """
    if CODEC not in agreed_codecs(transceiver):
        return False
    prefer_codecs(transceiver, (CODEC,))
    return True
