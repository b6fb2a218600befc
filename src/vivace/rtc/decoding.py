"""Encoded frames become pictures, in a thread of their own; when pictures come faster than that, the newest counts."""

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
"""Encoded frames that may wait. Every one is decoded, as later ones build on it; beyond this all are given up."""
_DECODERS = {"H264": "h264", "VP8": "libvpx"}


class Arrival(NamedTuple):
    """A picture that has come and is decoded."""

    rgb: Rgb
    """`uint8 [h w 3]`, at `LiveDecoder.deliver_at`'s size or as it was sent."""
    source_size: Size
    """`(width, height)` as it was sent, px."""
    arrival_s: float
    """When its first packet came, monotonic."""
    rtp_timestamp: int


OnPicture = Callable[[Arrival], None]
"""Called in the decoder's thread."""


class LiveDecoder:
    """Decodes one video stream. `put` never waits; `close` ends the thread."""

    def __init__(
        self,
        on_picture: OnPicture,
        ask_for_keyframe: Callable[[], None],
        *,
        max_frame_px: int = 1920 * 1088,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start the thread; frames of more than `max_frame_px` pixels are refused before memory is spent on them."""
        self.pictures = 0
        self.skipped = 0
        """Frames decoded but never made a picture, as a newer one was there."""
        self.codec: str | None = None
        self.size: Size | None = None
        """`(width, height)` of the last picture as it was sent, px."""
        self.decode_ms = 0.0
        """Of the last picture, conversion to RGB included."""
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
        """Convert to `(width, height)` px from the next picture on, None: as it is sent. Any thread."""
        self._wanted_size = size

    def put(self, frame: EncodedFrame) -> None:
        """Hand over the next frame."""
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
        """Stop, and wait for the frame in hand; safe to call twice."""
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
                # Refused here: libvpx takes the memory before FFmpeg compares sizes.
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
                return  # whoever owns the connection sees that the session has ended, and closes it

    def _open_codec(self, codec: str) -> Any:
        # Without LOW_DELAY, a decoder may hold pictures back in case they come out of order; over WebRTC none do.
        decoder = cast(Any, av.CodecContext.create(_DECODERS[codec], "r"))
        decoder.options = {"max_pixels": str(self._max_frame_px)}
        decoder.thread_count = 1
        decoder.flags |= Flags.low_delay
        return decoder


def vp8_size(frame: EncodedFrame) -> tuple[int, int] | None:
    """Return the `(width, height)` that a VP8 keyframe says it has (RFC 6386, 9.1), px; None for other frames."""
    if frame.codec != "VP8" or len(frame.data) < 10 or frame.data[0] & 1:
        return None
    return int.from_bytes(frame.data[6:8], "little") & 0x3FFF, int.from_bytes(frame.data[8:10], "little") & 0x3FFF
