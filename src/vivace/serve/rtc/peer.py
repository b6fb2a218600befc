"""One WebRTC connection of a session: pictures in, pictures out, and control beside them, in any combination."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Protocol

from aiortc import RTCDataChannel, RTCIceServer, RTCRtpTransceiver

from vivace.errors import ControlError, SessionClosedError, UsageError
from vivace.media.frame import Rgb
from vivace.media.live_sound import SoundPacket
from vivace.media.size import Size
from vivace.rtc.assemble import FrameAssembler
from vivace.rtc.broadcast import Broadcast
from vivace.rtc.connection import (
    RateWatch,
    close_connection,
    codec_to_send,
    look_at_line,
    open_connection,
    overdone,
    prepare_transports,
    receive_video,
    take_description,
)
from vivace.rtc.decoding import Arrival, LiveDecoder
from vivace.rtc.encoding import CODECS
from vivace.rtc.feed import Feed
from vivace.rtc.media_address import ANYWHERE, MediaAddress
from vivace.rtc.rates import START_BPS
from vivace.rtc.seams import possible_direction, prefer_codecs, propose_start_bitrate, speaks_transport_cc
from vivace.rtc.sound import SoundFeed, SoundReceiver, speaks_opus
from vivace.serve.control import ControlLimits
from vivace.serve.ports import Role
from vivace.serve.rtc.channel import ControlChannel, send_note
from vivace.serve.sound import SessionSound
from vivace.serve.statistics import NetworkReport

_log = logging.getLogger(__name__)

LOOK_S = 1.0
"""Between two looks at the line."""
CONTROL_LABEL = "control"
NOTES_LABEL = "frames"


class PeerSession(Protocol):
    """Session as a peer needs it, see `serve.session.LiveSession`."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def state(self) -> str: ...  # noqa: D102

    @property
    def next_size(self) -> Size | None: ...  # noqa: D102

    def push(
        self,
        rgb: Rgb,
        capture_time_s: float | None = None,
        *,
        tag: int | None = None,
        source_size: Size | None = None,
    ) -> bool:
        """Give the newest picture; False when the session has ended."""

    def attach(self) -> Callable[[float], None]:
        """A connection stands; returns its end, which takes when the client was last heard."""

    def report_network(self, report: NetworkReport) -> None:
        """Take what is known of the line."""

    @property
    def sound(self) -> SessionSound:
        """Receiver of its sound."""

    def hear(self, packet: SoundPacket) -> None:
        """Give sound."""


@dataclass(frozen=True, slots=True)
class PeerLimits:
    """Limits of one connection."""

    max_frame_px: int
    control: ControlLimits
    connect_s: float = 20.0
    """A connection that does not stand by then is closed."""
    silence_s: float = 8.0
    """One of which nothing has been heard for so long is closed, though it was sent something. Less than a session is
    kept for a client that gives no sign."""


@dataclass(frozen=True, slots=True)
class PeerStats:
    """Statistics of one connection."""

    state: str
    """`new`, `connecting`, `connected`, `failed` or `closed`."""
    codec_in: str | None
    codec_out: str | None
    pictures_in: int
    size_in: tuple[int, int] | None
    lost_in: int
    """Frames that could not be used, since packets before them were lost."""
    skipped_in: int
    """Frames that were decoded but made way for newer ones."""
    decode_ms: float | None
    packets_out: int
    dropped_out: int
    encode_ms: float | None
    viewers: int
    """Number of viewers that share the broadcast."""
    sent_kbps: float
    received_kbps: float
    target_kbps: float | None
    sound_in: int
    """Packets of sound that came."""
    sound_out: int
    """And that were sent."""
    rtt_ms: float | None
    loss: float | None


class Peer:
    """One connection of a session. Used on the event loop.

    `answer` is called once. From then on the peer looks after itself: it closes when the session ends, when the other
    side leaves or falls silent, or by `close`.
    """

    def __init__(
        self,
        session: PeerSession,
        role: Role,
        broadcast: Callable[[], Broadcast[Any]],
        limits: PeerLimits,
        *,
        half: bool = False,
        ice_servers: Sequence[RTCIceServer] = (),
        at: MediaAddress = ANYWHERE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a connection; `broadcast` returns what sends the session's pictures, `half`: the smaller ones."""
        self.session = session
        self.role = role
        self.held = False
        """True while the pictures that come are dropped."""
        self.closed_reason: str | None = None
        """Why the connection was closed, in words; None while it stands."""
        self._limits = limits
        self._half = half
        self._open_broadcast = broadcast
        self._clock = clock
        self._at = at
        self._connection = open_connection(ice_servers)
        self._broadcast: Broadcast[Any] | None = None
        self._feed: Feed | None = None
        self._decoder: LiveDecoder | None = None
        self._assembler: FrameAssembler | None = None
        self._ear: SoundReceiver | None = None
        self._voice: SoundFeed | None = None
        self._channel: ControlChannel | None = None
        self._detach: Callable[[float], None] | None = None
        self._silent_since_s: float | None = None
        self._watch = RateWatch(clock)
        self._watcher: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._rtt_ms: float | None = None
        self._loss: float | None = None

    @property
    def closed(self) -> bool:
        """True once the connection has ended."""
        return self.closed_reason is not None

    @property
    def state(self) -> str:
        """State of the connection, as in a browser's `connectionState`."""
        return str(self._connection.connectionState)

    async def answer(self, offer_sdp: str) -> str:
        """Return the answer to an offer; the connection is made as soon as the other side has it.

        Raises:
            UsageError: the offer is none, or asks for nothing that this connection may carry; or it was closed.
            SessionClosedError: the session has ended.
        """
        if self._watcher is not None:
            raise UsageError("this connection is negotiated already; open another one for a new offer")
        self._check_open()
        connection = self._connection
        connection.on("connectionstatechange", self._state_changed)
        if self.role != "play":
            connection.on("datachannel", self._take_channel)
        await take_description(connection, offer_sdp, "offer")
        self._check_open()  # what is begun below, only a closing that comes later ends
        transceivers = connection.getTransceivers()
        publisher, viewer = self._give_roles(transceivers)
        self._give_sound(transceivers, publisher)
        prepare_transports(connection, self._at)
        if publisher is not None:
            self._assembler, self._decoder = receive_video(
                publisher.receiver, self._push, max_frame_px=self._limits.max_frame_px, clock=self._clock
            )
        if viewer is not None:
            self._broadcast = self._open_broadcast()
            self._feed = self._broadcast.attach(codec_to_send(viewer), half=self._half)
            # Beside sound pictures keep their delay: Chromium delays sound by it whether or not it is in force.
            self._feed.connect(viewer, lambda: self.session.sound.state != "on")
        await connection.setLocalDescription()
        self._check_open()
        if self.role != "play":
            self._detach = self.session.attach()
        self._watcher = asyncio.get_running_loop().create_task(self._look_after(), name="vivace-rtc-peer")
        return str(connection.localDescription.sdp)

    def _check_open(self) -> None:
        if self.session.state == "ended":
            raise SessionClosedError("the session has ended; open a new one")
        if self.closed:
            raise UsageError(f"this connection was closed before it was made ({self.closed_reason}); make another one")

    async def close(self, reason: str = "closed by the server") -> None:
        """Close the connection in whatever state it is; safe to call twice, and returns when all has ended."""
        if self._closing is None:
            self.closed_reason = reason
            self._closing = asyncio.get_running_loop().create_task(self._close(), name="vivace-rtc-close")
        await asyncio.shield(self._closing)

    def stats(self) -> PeerStats:
        """Return how the connection does."""
        feed, decoder, broadcast = self._feed, self._decoder, self._broadcast
        return PeerStats(
            state=self.state,
            codec_in=None if decoder is None else decoder.codec,
            codec_out=None if feed is None else feed.codec,
            pictures_in=0 if decoder is None else decoder.pictures,
            size_in=None if decoder is None else decoder.size,
            lost_in=0 if self._assembler is None else self._assembler.lost,
            skipped_in=0 if decoder is None else decoder.skipped,
            decode_ms=None if decoder is None else decoder.decode_ms,
            packets_out=0 if feed is None else feed.sent_packets,
            dropped_out=0 if feed is None else feed.dropped,
            encode_ms=None if broadcast is None else broadcast.encode_ms,
            viewers=0 if broadcast is None else broadcast.viewers,
            sent_kbps=self._watch.sent_bps / 1000,
            received_kbps=self._watch.received_bps / 1000,
            target_kbps=None if feed is None else feed.rates.bitrate_bps / 1000,
            sound_in=0 if self._ear is None else self._ear.packets,
            sound_out=0 if self._voice is None else self._voice.sent_packets,
            rtt_ms=self._rtt_ms,
            loss=self._loss,
        )

    def _give_roles(
        self, transceivers: Sequence[RTCRtpTransceiver]
    ) -> tuple[RTCRtpTransceiver | None, RTCRtpTransceiver | None]:
        """Decide which video comes in and which goes out.

        Raises:
            UsageError: the offer has no video in the direction that is needed.
        """
        publisher = viewer = None
        for transceiver in transceivers:
            if transceiver.kind != "video":
                continue
            possible = possible_direction(transceiver)
            takes = publisher is None and self.role != "play" and possible in ("recvonly", "sendrecv")
            gives = viewer is None and self.role != "publish" and possible in ("sendonly", "sendrecv")
            if takes:
                publisher = transceiver
            if gives:
                viewer = transceiver
            transceiver.direction = _DIRECTION[takes, gives]
            if takes or gives:
                prefer_codecs(transceiver, CODECS)
            if takes and speaks_transport_cc(transceiver):
                propose_start_bitrate(transceiver, START_BPS)
        if self.role == "publish" and publisher is None:
            raise UsageError("the offer sends no video; offer one with sendonly or sendrecv, in H.264 or VP8")
        if self.role == "play" and viewer is None:
            raise UsageError("the offer receives no video; offer one with recvonly or sendrecv, in H.264 or VP8")
        if publisher is None and viewer is None:
            raise UsageError("the offer has no video that is sent or received; offer one in H.264 or VP8")
        return publisher, viewer

    def _give_sound(self, transceivers: Sequence[RTCRtpTransceiver], publisher: RTCRtpTransceiver | None) -> None:
        """Take the first Opus that is sent and give the session's to the first that is received, as with pictures."""
        for transceiver in transceivers:
            if transceiver.kind != "audio":
                continue
            possible = possible_direction(transceiver) if speaks_opus(transceiver) else "inactive"
            takes = self._ear is None and self.role != "play" and possible in ("recvonly", "sendrecv")
            gives = self._voice is None and self.role != "publish" and possible in ("sendonly", "sendrecv")
            transceiver.direction = _DIRECTION[takes, gives]
            if takes:
                self._ear = SoundReceiver(self._hear, clock=self._clock)
                self._ear.connect(transceiver.receiver, None if publisher is None else publisher.receiver)
            if gives:
                self._voice = self.session.sound.feed(self._clock)
                self._voice.connect(transceiver)

    def _hear(self, packet: SoundPacket) -> None:
        """Give the session sound."""
        if not self.held:
            self.session.hear(packet)

    def _push(self, picture: Arrival) -> None:
        """Give the session a picture; in the decoder's thread."""
        if self.held:
            return
        if self._ear is not None:
            self._ear.picture_came(picture.rtp_timestamp, picture.arrival_s)
        try:
            taken = self.session.push(
                picture.rgb, picture.arrival_s, tag=picture.rtp_timestamp, source_size=picture.source_size
            )
        except ControlError as error:
            _log.warning("session %s: a picture was refused: %s", self.session.id, error)
            return
        if not taken:
            raise SessionClosedError("the session has ended")
        if self._decoder is not None:
            self._decoder.deliver_at(self.session.next_size)

    def _take_channel(self, channel: RTCDataChannel) -> None:
        if channel.label == CONTROL_LABEL and self._channel is None:
            self._channel = ControlChannel(channel, self.session, self._limits.control)
        elif channel.label == NOTES_LABEL and self._feed is not None:
            self._feed.on_note = lambda timestamp, sent: send_note(channel, timestamp, sent)
        else:
            channel.close()

    def _state_changed(self) -> None:
        if self.state in ("failed", "closed"):
            self._end("the other side has gone" if self.state == "closed" else "the connection failed")

    def _end(self, reason: str) -> None:
        """Close soon; from where nobody can wait."""
        if self._closing is None:
            self.closed_reason = reason
            self._closing = asyncio.get_running_loop().create_task(self._close(), name="vivace-rtc-close")

    async def _look_after(self) -> None:
        """Close a connection that never stands or falls silent, and tell the session about the line."""
        began_s = heard_s = self._clock()
        received_bytes = sent_packets = 0
        while True:
            await asyncio.sleep(LOOK_S)
            now_s = self._clock()
            if self.session.state == "ended" or (self._feed is not None and self._feed.readyState == "ended"):
                error = None if self._broadcast is None else self._broadcast.error
                self._end("the session has ended" if error is None else str(error))
                return
            if self.state != "connected":
                if now_s - began_s > self._limits.connect_s:
                    self._end(f"no connection within {self._limits.connect_s:g} s; is UDP let through?")
                    return
                continue
            line = await look_at_line(self._connection)
            if (problem := overdone(self._connection)) is not None:
                self._end(problem)
                return
            self._watch.observe(line, self._feed)
            self._rtt_ms, self._loss = line.rtt_ms, line.loss
            expected = self._expects_something(sent_packets)
            if line.received_bytes != received_bytes or not expected:
                heard_s = now_s
            received_bytes, sent_packets = line.received_bytes, 0 if self._feed is None else self._feed.sent_packets
            if now_s - heard_s > self._limits.silence_s:
                self._silent_since_s = heard_s
                self._end(f"nothing was heard for {self._limits.silence_s:g} s")
                return
            if self._feed is not None and self.role == "both":
                self._report(self._feed)

    def _expects_something(self, sent_packets: int) -> bool:
        """Tell whether the other side should be heard: it sends pictures, or reports on those it gets."""
        if self._decoder is not None and self._decoder.pictures:
            return True
        return self._feed is not None and self._feed.sent_packets > sent_packets

    def _report(self, feed: Feed) -> None:
        rates = feed.rates
        self.session.report_network(
            NetworkReport(
                rtt_ms=self._rtt_ms,
                loss=self._loss,
                bitrate_kbps=self._watch.sent_bps / 1000,
                wanted_kbps=rates.full_bps / 1000,
                available_kbps=None if rates.rung == 0 or rates.carried_bps is None else rates.carried_bps / 1000,
            )
        )

    async def _close(self) -> None:
        _log.info("session %s: a %s connection ends: %s", self.session.id, self.role, self.closed_reason)
        async with AsyncExitStack() as last:  # whatever fails before
            last.push_async_callback(close_connection, self._connection, self._decoder)
            if self._voice is not None:
                last.callback(self.session.sound.forget, self._voice)
            if self._broadcast is not None and self._feed is not None:
                last.push_async_callback(self._broadcast.detach, self._feed)
            if self._detach is not None:  # first: whatever fails below, the client is not there any more
                self._detach(self._clock() if self._silent_since_s is None else self._silent_since_s)
            watcher = self._watcher
            if watcher is not None and not watcher.done():
                watcher.cancel()
                await asyncio.wait([watcher])
            if self._channel is not None:
                await self._channel.close()


_DIRECTION = {
    (True, True): "sendrecv",
    (True, False): "recvonly",
    (False, True): "sendonly",
    (False, False): "inactive",
}
"""By whether pictures are taken and given."""
