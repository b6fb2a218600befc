"""Reading decoded pictures out of an FFmpeg container, tolerating damage: shared by files, streams and devices."""

from __future__ import annotations

import errno
import os
import struct
import threading
import time
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from io import BytesIO
from typing import Any, cast

import av
from av.container import InputContainer
from av.format import Flags
from av.stream import Disposition
from av.video.stream import VideoStream

from vivace.errors import (
    DecodeError,
    SourceError,
    SourceLostError,
    SourceNotFoundError,
    SourceStalledError,
    SourceUnsupportedError,
)
from vivace.media.clock import Clock, exact
from vivace.media.filters import FilterChain
from vivace.media.interlace import Deinterlacer
from vivace.media.mailbox import Handoff
from vivace.media.picture import Warn
from vivace.media.source import on_error
from vivace.redaction import redact_error

Opener = Callable[[], InputContainer]
"""Opens a container; raises what `av.open` raises."""

MAX_DAMAGED_IN_A_ROW = 500
"""So many unreadable packets without one picture between them mean there is nothing more to come."""

_TEXT_ART = ("tty", "bin", "xbin", "adf", "idf")
"""FFmpeg paints any text file as a terminal would."""

ARRIVAL_TIME_BASE = Fraction(1, 90_000)
MAX_WAITING_PACKETS = 300
"""Ten seconds of a camera, as long as a model loads; of more, the sender is made to wait."""

MAX_PLAUSIBLE_FPS = 1000.0
"""Containers without a frame rate report their clock (90,000 and the like)."""


def open_error(name: str, error: Exception, *, stall_timeout_s: float = 0.0) -> SourceError:
    """Return our error for what `av.open` raised on `name`."""
    reason = getattr(error, "strerror", None) or str(error)
    if isinstance(error, av.error.ExitError):
        return SourceStalledError(f"{name}: no answer within {stall_timeout_s:g} s; is it running and reachable?")
    if isinstance(error, (FileNotFoundError, av.HTTPNotFoundError)):
        return SourceNotFoundError(f"{name}: not found ({reason})")
    if isinstance(error, PermissionError):
        return SourceUnsupportedError(f"{name}: permission denied; check the owner and mode of the file or device")
    if getattr(error, "errno", None) == errno.EBUSY:
        return SourceUnsupportedError(f"{name}: in use by another program; close that first")
    if isinstance(error, (ConnectionError, TimeoutError)):
        return SourceNotFoundError(f"{name}: cannot connect ({reason}); check address and port")
    if isinstance(error, (av.ProtocolNotFoundError, av.DemuxerNotFoundError, av.DecoderNotFoundError)):
        return SourceUnsupportedError(f"{name}: this FFmpeg cannot read it ({reason})")
    if isinstance(error, OSError):
        return SourceNotFoundError(f"{name}: cannot be opened ({reason})")
    return SourceUnsupportedError(f"{name}: not a video that FFmpeg can read ({reason})")


class VideoReader:
    """Decodes the main video stream of an open container, in the order of presentation.

    Damaged packets are skipped and counted, not fatal; `frames()` ends at the end of the data.
    """

    def __init__(
        self,
        container: InputContainer,
        name: str,
        *,
        live: bool = False,
        clock: Clock = time.monotonic,
        warn: Warn | None = None,
        on_sound: Callable[[Any], None] | None = None,
    ):
        """Choose the stream to show.

        Args:
            container: open; the reader closes it, also when it raises.
            name: for messages.
            live: decode without holding frames back that may be shown already. Where the format has no time stamps
                (JPEG over HTTP, bare H.264), a thread receives the pictures, and their arrival is their time.
            clock: tells when they arrive.
            warn: told once about damage.
            on_sound: given the packets of the main sound, as they come between those of the pictures.

        Raises:
            SourceUnsupportedError: the container holds no moving picture.
        """
        self.container = container
        self.name = name
        self.damaged_packets = 0
        self._warn = warn
        self._clock = clock
        self._began_s = clock()
        self._closed = False
        self._on_sound = on_sound
        self.sound = None if on_sound is None else main_audio(container)
        """The sound whose packets are given away."""
        no_clock = container.format.flags & cast(int, Flags.no_timestamps.value)
        self._arrivals: Handoff[Any] | None = Handoff(MAX_WAITING_PACKETS) if live and no_clock else None
        self._receiving = threading.Lock()
        with on_error(container.close):
            self.stream = _main_video(container, name)
            self._decoder = self._set_up_decoder(live=live)
            self._deinterlace = Deinterlacer(self.time_base, warn)
            self._crop = _container_crop(container, self.stream)
            self._cropping: FilterChain | None = None

    def _set_up_decoder(self, *, live: bool) -> Any:
        decoder: Any = self.stream.codec_context
        if self.stream.metadata.get("alpha_mode") == "1" and decoder.name in ("vp8", "vp9"):
            # FFmpeg's own VP8/VP9 decoders drop the alpha channel; libvpx keeps it.
            decoder = av.CodecContext.create("libvpx-vp9" if decoder.name == "vp9" else "libvpx", "r")
            decoder.extradata = self.stream.codec_context.extradata
        else:
            decoder.thread_type = "SLICE" if live else "AUTO"
            decoder.thread_count = min(4, os.cpu_count() or 1)
        if live and not decoder.codec.reorder:
            # To a decoder that reorders, low delay means that the order sent is the one to show.
            decoder.flags |= av.codec.context.Flags.low_delay
        return decoder

    @property
    def stamps_arrivals(self) -> bool:
        """Tell whether the time of a picture is that of its arrival."""
        return self._arrivals is not None

    @property
    def has_more(self) -> bool:
        """Tell whether pictures that have arrived wait to be decoded."""
        return self._arrivals is not None and self._arrivals.waiting > 0

    def now(self) -> int:
        """Return the present time as that of an arrival."""
        return round((self._clock() - self._began_s) / ARRIVAL_TIME_BASE)

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit of a frame's pts."""
        if self._arrivals is not None:
            return ARRIVAL_TIME_BASE
        return exact(self.stream.time_base) if self.stream.time_base else Fraction(1, 90_000)

    @property
    def fps(self) -> float | None:
        """Average frame rate as the container tells it, where plausible. Where it has no clock, FFmpeg invents one."""
        if self._arrivals is not None:
            return None
        for rate in (self.stream.average_rate, self._decoder.framerate, self.stream.guessed_rate):
            if rate and 0 < float(rate) <= MAX_PLAUSIBLE_FPS:
                return float(rate)
        return None

    @property
    def step(self) -> int:
        """A frame's usual duration in units of `time_base`."""
        return max(1, round(1 / ((self.fps or 30.0) * float(self.time_base))))

    def frames(self) -> Iterator[av.VideoFrame]:
        """Yield decoded frames until the data end, each a whole picture, cropped as the container asks for.

        Raises:
            SourceStalledError: nothing came within the container's read time-out.
            SourceLostError: the device or connection broke.
            DecodeError: too much damage in a row.
        """
        yield from map(self._cropped, self._whole())

    def _whole(self) -> Iterator[av.VideoFrame]:
        try:
            for frame in self._decoded():
                yield from self._deinterlace(frame)
        except SourceError:
            yield from self._deinterlace.finish()
            raise
        yield from self._deinterlace.finish()

    def _cropped(self, frame: av.VideoFrame) -> av.VideoFrame:
        if not self._crop or (frame.width, frame.height) != (self.stream.width, self.stream.height):
            return frame
        if self._cropping is None or not self._cropping.fits(frame):
            self._cropping = FilterChain(frame, self.time_base, ("crop", self._crop))
        return self._cropping(frame)

    def _decoded(self) -> Iterator[av.VideoFrame]:
        damaged_in_a_row = 0
        if self._arrivals is not None:
            # A daemon: a connection that hangs in its read must not keep the process alive.
            threading.Thread(target=self._receive, args=(self._arrivals,), name=self.name, daemon=True).start()
        packets = self._packets()
        while True:
            try:
                packet = next(packets)
            except StopIteration:
                yield from self._held()
                return
            except SourceError:
                yield from self._held()
                raise
            except av.InvalidDataError:
                packets = self._packets()
                decoded: list[av.VideoFrame] | None = None
            else:
                decoded = self._decode(packet)
            if decoded is None:
                self.damaged_packets += 1
                damaged_in_a_row += 1
                if self.damaged_packets == 1 and self._warn:
                    self._warn(f"{self.name}: damaged data; what cannot be decoded is left out")
                if damaged_in_a_row >= MAX_DAMAGED_IN_A_ROW:
                    raise DecodeError(
                        f"{self.name}: {damaged_in_a_row} packets in a row cannot be decoded; "
                        "the file or its transmission is damaged"
                    )
                continue
            for frame in decoded:
                damaged_in_a_row = 0
                yield frame

    def _packets(self) -> Iterator[Any]:
        return self._demuxed() if self._arrivals is None else iter(self._arrivals)

    def _receive(self, arrivals: Handoff[Any]) -> None:
        """Stamp packets when they arrive, however late they are decoded."""
        broken: BaseException | None = None
        with self._receiving:
            try:
                for packet in self._demuxed():
                    packet.pts = packet.dts = self.now()
                    if packet.size and not arrivals.put(packet):
                        break
            except BaseException as error:  # noqa: BLE001  (raised where the pictures are read)
                broken = error
            arrivals.close(broken)
            if self._closed:
                self.container.close()

    def _demuxed(self) -> Generator[Any, None, None]:
        try:
            for packet in self.container.demux(self.stream, *([] if self.sound is None else [self.sound])):
                if packet.stream is self.stream:
                    yield packet
                elif self._on_sound is not None and packet.size:
                    self._on_sound(packet)
        except av.error.ExitError as error:
            words = f"{self.name}: no data within the time-out; the sender has stopped"
            raise SourceStalledError(words) from redact_error(error)
        except av.InvalidDataError:
            raise
        except (av.FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise SourceLostError(f"{self.name}: reading failed ({reason})") from redact_error(error)

    def _held(self) -> Iterator[av.VideoFrame]:
        """Yield what is decoded and waits for its turn to be shown."""
        try:
            yield from self._decoder.decode(None)
        except av.FFmpegError:
            return

    def _decode(self, packet: Any) -> list[av.VideoFrame] | None:
        """Return the frames a packet completes, None when it is damaged."""
        if not packet.size and packet.pts is not None:
            return []  # A picture left out by the recorder (AVI); to a decoder it would mean the end.
        try:
            frames: list[av.VideoFrame] = self._decoder.decode(packet if packet.size else None)
        except av.error.EOFError:
            return []
        except av.FFmpegError:
            return None
        return frames

    def check_kind(self) -> None:
        """Refuse by name what FFmpeg takes for a picture and cannot decode, once nothing has been decoded.

        Raises:
            SourceUnsupportedError: the kind is known, and not damaged.
        """
        if self._decoder.name == "webp":
            raise SourceUnsupportedError(f"{self.name}: an animated WebP, read only from a file that is named *.webp")

    def close(self) -> None:
        """Close the container; one that a thread reads is closed by that, after the packet it waits for."""
        self._closed = True
        if self._arrivals is not None:
            self._arrivals.close(discard=True)
        if self._receiving.acquire(blocking=False):
            self.container.close()
            self._receiving.release()


def _container_crop(container: InputContainer, stream: VideoStream) -> str:
    """Return what a container shows of its pictures as arguments of FFmpeg's crop, empty where it shows all.

    PyAV does not tell. A QuickTime file with such a stream does, in its clean aperture (ISO/IEC 14496-12, 12.1.4).
    """
    if not {"mov", "matroska"} & set(container.format.name.split(",")):
        return ""
    head = BytesIO()
    try:
        with av.open(head, "w", format="mov", options={"movflags": "empty_moov"}) as trial:
            trial.add_stream_from_template(stream)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return ""  # A codec that QuickTime has no name for, as in no file with a crop.
    _, found, aperture = head.getvalue().partition(b"clap")
    if not found:
        return ""
    width, height, right, down = (
        Fraction(over, under)
        for over, under in zip(*[iter(struct.unpack(">IIIIiIiI", aperture[:32]))] * 2, strict=True)
    )
    left, top = (stream.width - width) / 2 + right, (stream.height - height) / 2 + down
    return f"{round(width)}:{round(height)}:{round(left)}:{round(top)}"


_BESIDE = Disposition.comment | Disposition.visual_impaired | Disposition.hearing_impaired
"""Sound for some listeners, beside that for all."""


def main_audio(container: InputContainer) -> Any:
    """Return the stream marked as the default, else the first that is no commentary; players take the same.

    None where there is no sound, or none that this FFmpeg knows.
    """
    return max(
        (audio for audio in container.streams.audio if cast(Any, audio.codec_context)),
        key=lambda audio: (
            bool(audio.disposition & Disposition.default),
            not audio.disposition & _BESIDE,
            -audio.index,
        ),
        default=None,
    )


def _main_video(container: InputContainer, name: str) -> VideoStream:
    videos = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not videos:
        held: list[str] = sorted({stream.type for stream in container.streams} - {"video"})
        held += ["a cover picture"] if container.streams.video else []
        only = f", only {' and '.join(held)}" if held else "; was it cut off before it began?"
        raise SourceUnsupportedError(f"{name}: holds no video{only}")
    videos = [video for video in videos if cast(Any, video.codec_context)]
    if not videos:
        raise SourceUnsupportedError(f"{name}: its codec is unknown to this FFmpeg; convert it, for example to H.264")
    if container.format.name in _TEXT_ART:
        raise SourceUnsupportedError(f"{name}: a text file, not a video; name another file")
    # The default stream where one is marked, else the largest, which is what players show. Of an animated AVIF both the
    # cover and the animation are marked.
    return max(
        videos,
        key=lambda video: (
            bool(video.disposition & Disposition.default),
            video.frames != 1,
            video.width * video.height,
        ),
    )
