"""Decoding of encoded frames in a thread of its own; if frames arrive too fast, the newest picture wins."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from threading import Condition, Thread
from typing import Any, NamedTuple, cast

import av
from av.codec.context import Flags

from vivace.errors import SessionClosedError
from vivace.media.frame import Rgb
from vivace.media.picture import PictureConverter
from vivace.media.size import Size
from vivace.rtc.assemble import EncodedFrame

_log = logging.getLogger(__name__)

MAX_WAITING = 8
"""Most encoded frames in the queue. Each is decoded, as later ones depend on it; beyond this, all are dropped."""
_DECODERS = {"H264": "h264", "VP8": "libvpx"}


class Arrival(NamedTuple):
    """A decoded picture."""

    rgb: Rgb
    """`uint8 [h w 3]`, at `LiveDecoder.deliver_at`'s size or the size sent."""
    source_size: Size
    """`(width, height)` as sent, px."""
    arrival_s: float
    """Arrival time of its first packet, s, monotonic."""
    rtp_timestamp: int


OnPicture = Callable[[Arrival], None]
"""Callback for pictures, called in the decoder's thread."""


class LiveDecoder:
    """Decoder of one video stream, with its thread. `put` never waits; `close` ends the thread."""

    def __init__(
        self,
        on_picture: OnPicture,
        ask_for_keyframe: Callable[[], None],
        *,
        max_frame_px: int = 1920 * 1088,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the thread; frames of more than `max_frame_px` pixels are rejected before memory is allocated."""
        self.pictures = 0
        self.skipped = 0
        """Frames decoded but not converted, because a newer one was waiting."""
        self.codec: str | None = None
        self.size: Size | None = None
        """`(width, height)` of the last picture as sent, px."""
        self.decode_ms = 0.0
        """Time to decode and convert the last picture to RGB, ms."""
        self._wanted_size: Size | None = None
        self._on_picture = on_picture
        self._ask_for_keyframe = ask_for_keyframe
        self._max_frame_px = max_frame_px
        self._clock = clock
        self._frames: deque[EncodedFrame] = deque()
        self._changed = Condition()
        self._closed = False
        self._thread = Thread(target=self._run, name="vivace-rtc-decode", daemon=True)
        self._thread.start()

    def deliver_at(self, size: Size | None) -> None:
        """Convert to `(width, height)` px from the next picture on; None keeps the size sent. Any thread."""
        self._wanted_size = size

    def put(self, frame: EncodedFrame) -> None:
        """Queue the next frame."""
        with self._changed:
            if self._closed:
                return
            if len(self._frames) >= MAX_WAITING:
                self._frames.clear()
                if not frame.key:
                    self._ask_for_keyframe()
                    return
            self._frames.append(frame)
            self._changed.notify()

    def close(self) -> None:
        """Stop after the frame being decoded; safe to call twice."""
        with self._changed:
            self._closed = True
            self._frames.clear()
            self._changed.notify()
        self._thread.join()

    def _next(self) -> EncodedFrame | None:
        with self._changed:
            while not self._frames and not self._closed:
                self._changed.wait()
            return None if self._closed else self._frames.popleft()

    def _run(self) -> None:
        decoder: Any = None
        convert = PictureConverter(unmarked_hd_is_bt709=False)
        while (frame := self._next()) is not None:
            began_s = self._clock()
            if (size := vp8_size(frame)) is not None and size[0] * size[1] > self._max_frame_px:
                # Rejected here: libvpx allocates memory before FFmpeg compares sizes.
                _log.debug("a frame of %dx%d px is too large", *size)
                self._ask_for_keyframe()
                continue
            try:
                if decoder is None or self.codec != frame.codec:
                    self.codec, decoder = frame.codec, self._open_codec(frame.codec)
                pictures = decoder.decode(av.Packet(frame.data))
            except av.FFmpegError as error:
                _log.debug("a frame of %d bytes could not be decoded: %s", len(frame.data), error)
                decoder = None
                self._ask_for_keyframe()
                continue
            if not pictures:
                continue
            if self._frames:
                self.skipped += 1
                continue
            convert.size = self._wanted_size
            rgb = convert(pictures[-1]).rgb
            self.size = convert.source_size
            self.decode_ms = 1000.0 * (self._clock() - began_s)
            self.pictures += 1
            try:
                self._on_picture(Arrival(rgb, convert.source_size, frame.arrival_s, frame.rtp_timestamp))
            except SessionClosedError:
                return  # the owner of the connection notices that the session has ended, and closes it

    def _open_codec(self, codec: str) -> Any:
        # Without LOW_DELAY a decoder may hold pictures back to reorder them; WebRTC sends them in order.
        decoder = cast(Any, av.CodecContext.create(_DECODERS[codec], "r"))
        decoder.options = {"max_pixels": str(self._max_frame_px)}
        decoder.thread_count = 1
        decoder.flags |= Flags.low_delay
        return decoder


def vp8_size(frame: EncodedFrame) -> tuple[int, int] | None:
    """Return the `(width, height)` in a VP8 keyframe's header (RFC 6386, 9.1), px; None for other frames."""
    if frame.codec != "VP8" or len(frame.data) < 10 or frame.data[0] & 1:
        return None
    return int.from_bytes(frame.data[6:8], "little") & 0x3FFF, int.from_bytes(frame.data[8:10], "little") & 0x3FFF
