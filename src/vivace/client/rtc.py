"""Pictures to and from a server over WebRTC, with an optional control channel."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import OrderedDict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from aiortc import RTCDataChannel, RTCIceServer, RTCRtpSender, RTCRtpTransceiver

from vivace.client.api import read_message, write_message
from vivace.errors import SessionClosedError, SourceLostError, UsageError
from vivace.media.frame import Rgb, check_rgb
from vivace.media.live_sound import SoundPacket
from vivace.media.mailbox import AsyncLatest
from vivace.messages import ClientMessage, ServerMessage
from vivace.rtc.assemble import FrameAssembler
from vivace.rtc.broadcast import Broadcast
from vivace.rtc.connection import (
    RateWatch,
    close_connection,
    codec_to_send,
    look_at_line,
    open_connection,
    prepare_transports,
    receive_video,
    take_description,
)
from vivace.rtc.decoding import Arrival, LiveDecoder
from vivace.rtc.descriptions import offer_transport_numbers
from vivace.rtc.encoding import CODECS
from vivace.rtc.feed import Feed
from vivace.rtc.sound import OnSound, SoundFeed, SoundReceiver

_log = logging.getLogger(__name__)

LOOK_S = 1.0
CONNECT_S = 15.0
MAX_UNREAD_EVENTS = 1_000
"""Most unread events; the oldest are dropped."""
MAX_NOTES = 256
MAX_FRAME_PX = 4096 * 2304

Exchange = Callable[[str], Awaitable[str]]
"""Function that sends an SDP offer to the server and returns its answer."""


@dataclass(frozen=True, slots=True)
class Received:
    """A picture from the server."""

    rgb: Rgb
    """`uint8 [h w 3]`."""
    arrival_s: float
    """Arrival time of its first packet, s, monotonic."""
    ready_s: float
    """Time at which it was decoded, s, monotonic."""
    rtp_timestamp: int
    """RTP timestamp, 1/90000 s, from the server's random origin, modulo 2^32."""


@dataclass(frozen=True, slots=True)
class _Outgoing:
    rgb: Rgb
    index: int
    tag: int | None = None
    control_index: int = 0


@dataclass(frozen=True, slots=True)
class Note:
    """Origin of a picture, as reported by the server."""

    index: int
    """Index among the pictures that reached the session."""
    control_index: int
    """Number of the last update it was made with, as `Ack.update_index`."""


class RtcSession:
    """WebRTC connection to a server. An async context manager; used on one event loop, except for `publish`."""

    def __init__(
        self,
        exchange: Exchange,
        *,
        publish: bool = True,
        play: bool = True,
        codecs: Sequence[str] = CODECS,
        fps: float = 30.0,
        control: bool = True,
        notes: bool = False,
        sound: bool = False,
        on_sound: OnSound | None = None,
        ice_servers: Sequence[RTCIceServer] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a connection.

        Args:
            exchange: sends the offer to the server, e.g. `lambda sdp: client.offer(info, sdp)`.
            publish: whether pictures are sent.
            play: whether pictures are received.
            codecs: codecs to offer, `H264`, `VP8` or both.
            fps: frame rate of the published pictures, for the bitrate.
            control: whether a control channel is opened beside the pictures; only with `publish`.
            notes: whether the server reports the origin of each picture, see `note`.
            sound: whether audio is included, in the same directions, see `publish_sound`.
            on_sound: called on the event loop with received audio, timed for when the pictures of its moment arrive, as
                `Received.arrival_s`.
            ice_servers: STUN and TURN servers; none are needed on a local network.
            clock: monotonic, s.

        Raises:
            UsageError: nothing to publish or play, or an unsupported codec.
        """
        if not (publish or play):
            raise UsageError("publish and play are both False; a connection has to carry something")
        if not codecs or not set(codecs) <= set(CODECS):
            raise UsageError(f"codecs are {list(codecs)}; give H264, VP8 or both")
        self._exchange = exchange
        self._publish = publish
        self._play = play
        self._codecs = codecs
        self._fps = fps
        self._control = control and publish
        self._wants_notes = notes and publish and play
        self._notes: OrderedDict[int, Note] = OrderedDict()
        self._on_sound = on_sound
        self._sound = sound
        self._voice: SoundFeed | None = None
        self._ear: SoundReceiver | None = None
        self._ice_servers = ice_servers
        self._clock = clock
        self._connected = asyncio.Event()
        self._lost = asyncio.Event()
        self._opened = asyncio.Event()
        self._outgoing: AsyncLatest[_Outgoing] | None = None
        self._incoming: AsyncLatest[Received] | None = None
        self._sender: Broadcast[_Outgoing] | None = None
        self._feed: Feed | None = None
        self._decoder: LiveDecoder | None = None
        self._assembler: FrameAssembler | None = None
        self._channel: RTCDataChannel | None = None
        self._events: deque[ServerMessage] = deque(maxlen=MAX_UNREAD_EVENTS)
        self._news = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None
        self._published = 0
        self._closing: asyncio.Task[None] | None = None

    async def connect(self, timeout_s: float = CONNECT_S) -> None:
        """Connect; when this returns, pictures flow and the control channel is open. Once only.

        Raises:
            UsageError: the server's answer cannot be used.
            SourceLostError: no connection within `timeout_s`.
        """
        self._connection = connection = open_connection(self._ice_servers)
        async with AsyncExitStack() as unmade:
            unmade.push_async_callback(self._give_up)
            connection.on("connectionstatechange", self._state_changed)
            direction = {(True, True): "sendrecv", (True, False): "sendonly", (False, True): "recvonly"}
            transceiver = connection.addTransceiver("video", direction[self._publish, self._play])
            known = RTCRtpSender.getCapabilities("video").codecs
            wanted = [f"video/{name}".lower() for name in (*self._codecs, "rtx")]
            transceiver.setCodecPreferences(
                [codec for name in wanted for codec in known if codec.mimeType.lower() == name]
            )
            speaker = connection.addTransceiver("audio", direction[self._publish, self._play]) if self._sound else None
            if self._wants_notes:
                notes = connection.createDataChannel("frames", ordered=False, maxRetransmits=0)
                notes.on("message", self._take_note)
            if self._control:
                self._channel = connection.createDataChannel("control")
                self._channel.on("open", self._opened.set)
                self._channel.on("message", self._take_message)
            if self._play:
                self._incoming = AsyncLatest()
                self._assembler, self._decoder = receive_video(
                    transceiver.receiver, self._take_picture, max_frame_px=MAX_FRAME_PX, clock=self._clock
                )
            if speaker is not None:
                self._connect_sound(speaker, transceiver)
            prepare_transports(connection)
            await connection.setLocalDescription()
            answer = await self._exchange(offer_transport_numbers(connection.localDescription.sdp))
            await take_description(connection, answer, "answer")
            if self._publish:
                outgoing = self._outgoing = AsyncLatest()
                self._sender = Broadcast(lambda: outgoing, fps=self._fps, clock=self._clock)
                self._feed = self._sender.attach(codec_to_send(transceiver))
                self._feed.connect(transceiver)
            await self._stand(timeout_s)
            unmade.pop_all()
        self._watcher = asyncio.get_running_loop().create_task(self._look_after(), name="vivace-client-rtc")

    async def _give_up(self) -> None:
        try:
            await self.close()
        except Exception:  # noqa: BLE001  (the cause of the failed connection is raised; this is logged)
            _log.exception("a connection that was not made failed to close")

    def _connect_sound(self, speaker: RTCRtpTransceiver, pictures: RTCRtpTransceiver) -> None:
        opus = [codec for codec in RTCRtpSender.getCapabilities("audio").codecs if codec.mimeType == "audio/opus"]
        speaker.setCodecPreferences(opus)
        if self._publish:
            self._loop = asyncio.get_running_loop()
            self._voice = SoundFeed(clock=self._clock)
            self._voice.connect(speaker)
        if self._play:
            self._ear = SoundReceiver(self._hear, clock=self._clock)
            self._ear.connect(speaker.receiver, pictures.receiver)

    async def close(self) -> None:
        """Close the connection; safe to call twice, and before `connect`. Completes even if the caller is cancelled."""
        if self._closing is None:
            if not hasattr(self, "_connection"):
                return
            self._lost.set()
            self._closing = asyncio.get_running_loop().create_task(self._close(), name="vivace-client-close")
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        async with AsyncExitStack() as last:  # runs whatever fails before
            last.callback(self._news.set)
            if self._incoming is not None:
                last.callback(self._incoming.close, discard=True)
            last.push_async_callback(close_connection, self._connection, self._decoder)
            if self._watcher is not None:
                self._watcher.cancel()
                await asyncio.wait([self._watcher])
            if self._voice is not None:
                self._voice.stop()
            if self._sender is not None:
                await self._sender.close()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # Pictures

    def publish(self, rgb: Rgb) -> bool:
        """Send the newest picture, `uint8 [h w 3]`, without waiting; return false once the connection is closed.

        Any thread. A picture that is still unsent is replaced.

        Raises:
            UsageError: this connection does not publish, or is not established yet.
            ControlError: not such a picture.
        """
        rgb = check_rgb(rgb)
        if self._outgoing is None:
            raise UsageError("this connection does not publish; open it with publish=True and await connect()")
        self._published += 1
        return not self._lost.is_set() and self._outgoing.put(_Outgoing(rgb, self._published - 1))

    def publish_sound(self, packet: SoundPacket) -> None:
        """Send an Opus packet at its time: the monotonic time at which the picture of its moment is published.

        Any thread; late packets are sent at once.

        Raises:
            UsageError: this connection does not publish audio, or is not established yet.
        """
        if self._voice is None:
            raise UsageError("this connection publishes no sound; open it with sound=True and await connect()")
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._voice.put, packet)

    def pictures(self) -> AsyncIterator[Received]:
        """Return an iterator over received pictures until the connection ends: always the newest. For one consumer.

        Raises:
            UsageError: this connection does not play, or is not established yet.
        """
        if self._incoming is None:
            raise UsageError("this connection does not play; open it with play=True and await connect()")
        return aiter(self._incoming)

    def note(self, rtp_timestamp: int) -> Note | None:
        """Return the origin of a picture; None if the server has not reported it, or it was long ago."""
        return self._notes.get(rtp_timestamp)

    def _take_note(self, text: str | bytes) -> None:
        rtp_timestamp, index, _, control_index = json.loads(text)
        self._notes[rtp_timestamp] = Note(index, control_index)
        if len(self._notes) > MAX_NOTES:
            self._notes.popitem(last=False)

    @property
    def unread(self) -> int:
        """Decoded pictures that were replaced by newer ones before they were taken."""
        return 0 if self._incoming is None else self._incoming.dropped

    @property
    def lost(self) -> int:
        """Frames with lost packets, or that depend on such frames."""
        return 0 if self._assembler is None else self._assembler.lost

    @property
    def encode_ms(self) -> float | None:
        """Time to encode the last picture sent, ms."""
        return None if self._sender is None else self._sender.encode_ms

    def _take_picture(self, picture: Arrival) -> None:
        assert self._incoming is not None
        if self._ear is not None:
            self._ear.picture_came(picture.rtp_timestamp, picture.arrival_s)
        received = Received(picture.rgb, picture.arrival_s, self._clock(), picture.rtp_timestamp)
        if not self._incoming.put(received):
            raise SessionClosedError("the connection is closed")

    def _hear(self, packet: SoundPacket) -> None:
        if self._on_sound is not None:
            self._on_sound(packet)

    # Control

    def send(self, message: ClientMessage) -> None:
        """Send a control message; the answer is among the events.

        Raises:
            SessionClosedError: the channel is not open.
        """
        if self._channel is None or self._channel.readyState != "open":
            raise SessionClosedError("the control channel is not open; connect with publish=True first")
        self._channel.send(write_message(message))

    async def events(self) -> AsyncIterator[ServerMessage]:
        """Yield the server's messages on the control channel until the connection ends. For one consumer."""
        while True:
            while self._events:
                yield self._events.popleft()
            if self._lost.is_set():
                return
            self._news.clear()
            await self._news.wait()

    def _take_message(self, text: str | bytes) -> None:
        if (message := read_message(text)) is not None:
            self._events.append(message)
            self._news.set()

    # The connection

    async def _stand(self, timeout_s: float) -> None:
        """Wait until the connection and its channels are open, or have failed."""
        needed = [self._connected.wait(), *([self._opened.wait()] if self._channel is not None else [])]
        ready: asyncio.Future[object] = asyncio.ensure_future(asyncio.gather(*needed))
        lost: asyncio.Future[object] = asyncio.ensure_future(self._lost.wait())
        waiters = ready, lost
        try:
            await asyncio.wait(waiters, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            stands = ready.done()
        finally:
            for waiter in waiters:
                waiter.cancel()
            await asyncio.gather(*waiters, return_exceptions=True)
        if not stands:
            raise SourceLostError(
                f"no WebRTC connection within {timeout_s:g} s; is UDP let through, or is a TURN server needed?"
            )

    def _state_changed(self) -> None:
        state = self._connection.connectionState
        if state == "connected":
            self._connected.set()
        elif state in ("failed", "closed"):
            self._lost.set()
            self._news.set()
            if self._incoming is not None:
                self._incoming.close(discard=True)

    async def _look_after(self) -> None:
        watch = RateWatch(self._clock)
        while not self._lost.is_set():
            await asyncio.sleep(LOOK_S)
            watch.observe(await look_at_line(self._connection), self._feed)
