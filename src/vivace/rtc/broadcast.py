"""Broadcast of one stream: each picture is encoded once for all viewers with the same codec, bitrate and size."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Generic, Protocol, TypeVar

import av

from vivace.errors import SinkWriteError, VivaceError
from vivace.media.encoders import X264, Encoder
from vivace.media.frame import Rgb
from vivace.media.size import Size
from vivace.rtc.encoding import CLOCK_HZ, LiveEncoder, VideoPacket, YuvConverter, full_bitrate, rtp_time
from vivace.rtc.feed import Feed, Rendition, Sent
from vivace.rtc.rates import rung_bps

_log = logging.getLogger(__name__)

KEYFRAMES = 3
KEYFRAMES_WITHIN_S = 1.0
"""Period in which at most `KEYFRAMES` are made on request, s, however many viewers ask: each is ten times the size of
an ordinary frame."""
FPS_OVER = 16
"""Intervals in the median that estimates the frame rate; one late picture does not change it."""
MAX_FAILURES = 3
"""Consecutive pictures that no encoder accepted, after which the broadcast ends."""


class Picture(Protocol):
    """Picture to send."""

    @property
    def rgb(self) -> Rgb:
        """Pixels `uint8 [h w 3]`."""

    @property
    def index(self) -> int:
        """Index in its stream."""

    @property
    def tag(self) -> int | None:
        """Tag of the source picture it was made of."""

    @property
    def control_index(self) -> int:
        """Number of the last control update it was made with."""


P = TypeVar("P", bound=Picture)
P_co = TypeVar("P_co", bound=Picture, covariant=True)


class Pictures(Protocol[P_co]):
    """Stream of pictures: always the newest, however long the last one took."""

    def __aiter__(self) -> AsyncIterator[P_co]:
        """Yield pictures until there are no more."""

    def close(self) -> None:
        """Stop; no more pictures are wanted."""


class _Encoders:
    """Encoders of one run, one per rendition. Used in the encoder's thread."""

    def __init__(self, fps: float, clock: Callable[[], float], h264: Encoder) -> None:
        self._h264 = h264
        self.encode_ms: float | None = None
        self._fps = fps
        self._clock = clock
        self._converters: defaultdict[bool, YuvConverter] = defaultdict(YuvConverter)
        """By whether they halve the picture."""
        self._encoders: dict[Rendition, LiveEncoder] = {}
        self._intervals: deque[int] = deque(maxlen=FPS_OVER)
        """Intervals between the last pictures, 1/90000 s."""
        self._last_pts: int | None = None
        self._failures = 0

    def encode(self, rgb: Rgb, pts: int, renditions: dict[Rendition, bool]) -> dict[Rendition, VideoPacket]:
        """Return the packets of a picture by rendition.

        True in `renditions` makes that packet a keyframe.

        Raises:
            SinkWriteError: nothing could be encoded, several times in a row.
        """
        began_s = self._clock()
        if self._last_pts is not None:
            self._intervals.append(pts - self._last_pts)
        self._last_pts = pts
        for gone in self._encoders.keys() - renditions.keys():
            del self._encoders[gone]
        pictures = {half: self._converters[half].convert(rgb, half=half) for half in {each.half for each in renditions}}
        packets: dict[Rendition, VideoPacket] = {}
        for rendition, keyframe in renditions.items():
            picture = pictures[rendition.half]
            try:
                encoder = self._encoder(rendition, (picture.width, picture.height))
                packet = encoder.encode(picture, pts, keyframe=keyframe)
            except av.FFmpegError as error:
                self._fail(rendition, error)
                continue
            self._failures = 0
            if packet is not None:
                packets[rendition] = packet
        self.encode_ms = 1000.0 * (self._clock() - began_s)
        return packets

    def _encoder(self, rendition: Rendition, size: Size) -> LiveEncoder:
        encoder = self._encoders.get(rendition)
        fps = self._fps if len(self._intervals) < FPS_OVER else CLOCK_HZ / median(self._intervals)
        if encoder is None or encoder.size != size or not encoder.suits(fps):
            bitrate_bps = rung_bps(full_bitrate(size, self._fps), rendition.rung)
            encoder = LiveEncoder(rendition.codec, size, bitrate_bps, fps=fps, h264=self._h264)
            self._encoders[rendition] = encoder
        return encoder

    def _fail(self, rendition: Rendition, error: av.FFmpegError) -> None:
        self._encoders.pop(rendition, None)
        self._failures += 1
        _log.warning("the %s encoder failed, and is opened again: %s", rendition.codec, error)
        if self._failures >= MAX_FAILURES:
            raise SinkWriteError(
                f"the {rendition.codec} encoder failed {self._failures} times in a row ({error}); "
                "connect again, or offer the other codec"
            ) from error


class Broadcast(Generic[P]):
    """Encoder of a stream of pictures for any number of feeds; idle without one. Used on the event loop."""

    def __init__(
        self,
        subscribe: Callable[[], Pictures[P]],
        *,
        on_sent: Callable[[P], None] | None = None,
        taken_s: Callable[[P], float | None] = lambda _picture: None,
        fps: float = 30.0,
        h264: Encoder = X264,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Encode what `subscribe` returns; it is called for the first viewer, and again after all have left.

        `on_sent` is called with every picture that has been encoded and handed to the connections. `taken_s` returns
        the time of a picture that receivers are told, s, on the clock: that of its capture beside sound, by which both
        are put in step; None is that of sending, by which browsers show it soonest, since they take differences of the
        time that painting takes for those of the network, and delay pictures to even them out.
        """
        self.encode_ms: float | None = None
        """Time to convert and encode the last picture in all renditions, ms."""
        self.pictures = 0
        self.encoded = 0
        """Packets made; divided by `pictures`, the number of renditions."""
        self.error: Exception | None = None
        """Error that ended the broadcast."""
        self._subscribe = subscribe
        self._on_sent = on_sent
        self._taken_s = taken_s
        self._fps = fps
        self._h264 = h264
        self._clock = clock
        self._size = (512, 512)
        self._feeds: list[Feed] = []
        self._keyframes_s: dict[Rendition, deque[float]] = {}
        self._last_pts = -1
        self._task: asyncio.Task[None] | None = None

    @property
    def viewers(self) -> int:
        """Number of feeds."""
        return len(self._feeds)

    def attach(self, codec: str, *, half: bool = False) -> Feed:
        """Return a new feed of packets of `codec`, `H264` or `VP8`; `half`: of pictures of half of each side."""
        feed = Feed(codec, self._full_bps(half), half=half, clock=self._clock)
        self._feeds.append(feed)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="vivace-rtc-broadcast")
        return feed

    async def detach(self, feed: Feed) -> None:
        """Stop a feed; encoding ends with the last one. Safe to call twice."""
        feed.stop()
        if feed in self._feeds:
            self._feeds.remove(feed)
        if not self._feeds:
            await self._halt()

    async def close(self) -> None:
        """Stop every feed."""
        self._stop_feeds()
        await self._halt()

    async def _halt(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        """Encode until pictures or viewers end; viewers notice by the end of their feeds."""
        pictures = self._subscribe()
        encoders = _Encoders(self._fps, self._clock, self._h264)
        executor = ThreadPoolExecutor(1, thread_name_prefix="vivace-rtc-encode")
        loop = asyncio.get_running_loop()
        try:
            async for picture in pictures:
                height, width = picture.rgb.shape[:2]
                self._size = (width, height)
                renditions, pts = self._renditions(), self._pts(picture)
                packets = await loop.run_in_executor(executor, encoders.encode, picture.rgb, pts, renditions)
                self.pictures += 1
                self.encoded += len(packets)
                self.encode_ms = encoders.encode_ms
                self._hand_out(packets, Sent(pts, picture.index, picture.tag, picture.control_index))
                if self._on_sent is not None:
                    self._on_sent(picture)
            self._stop_feeds()
        except Exception as error:  # noqa: BLE001  (any failure ends the feeds, and is logged)
            mistake = None if isinstance(error, VivaceError) else error
            _log.warning("nothing is sent any more: %s", error, exc_info=mistake)
            self.error = error
            self._stop_feeds()
        finally:
            pictures.close()
            executor.shutdown()  # waits for at most one picture

    def _stop_feeds(self) -> None:
        for feed in self._feeds:
            feed.stop()
        self._feeds.clear()

    def _pts(self, picture: P) -> int:
        """Return the RTP timestamp of a picture; they rise even where times do not."""
        taken_s = self._taken_s(picture)
        self._last_pts = max(self._last_pts + 1, rtp_time(self._clock() if taken_s is None else taken_s))
        return self._last_pts

    def _full_bps(self, half: bool) -> int:
        """Return the bitrate of rung 0."""
        width, height = self._size
        return full_bitrate((width // 2, height // 2) if half else self._size, self._fps)

    def _renditions(self) -> dict[Rendition, bool]:
        """Return the renditions to encode, and for each whether it must be a keyframe."""
        renditions: dict[Rendition, bool] = {}
        now_s = self._clock()
        for feed in self._feeds:
            feed.rates.resize(self._full_bps(feed.rendition.half))
            if feed.settle(now_s):
                renditions[feed.rendition] = renditions.get(feed.rendition, False) or feed.wants_keyframe
        for rendition, wanted in renditions.items():
            made_s = self._keyframes_s.setdefault(rendition, deque(maxlen=KEYFRAMES))
            renditions[rendition] = wanted and (len(made_s) < KEYFRAMES or now_s - made_s[0] > KEYFRAMES_WITHIN_S)
            if renditions[rendition]:
                made_s.append(now_s)
        return renditions

    def _hand_out(self, packets: dict[Rendition, VideoPacket], sent: Sent) -> None:
        for feed in self._feeds:
            packet = packets.get(feed.rendition)
            if packet is not None:
                feed.put(packet, sent)
