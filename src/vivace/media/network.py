"""Network streams, reopened when they break off."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Generator, Iterator
from fractions import Fraction
from http.client import HTTPException
from typing import Any, cast
from urllib.parse import urlsplit
from urllib.request import Request, urlopen
from zlib import crc32

import av
import numpy as np
from av.container import InputContainer

from vivace.errors import (
    DecodeError,
    SourceError,
    SourceLostError,
    SourceNotFoundError,
    SourceStalledError,
    SourceUnsupportedError,
)
from vivace.media.audio import AudioTrack, Sound
from vivace.media.clock import Clock, Timeline
from vivace.media.file import EARLY_END_S, FrameLimit
from vivace.media.frame import Frame
from vivace.media.live_sound import LiveSound, SoundPacket
from vivace.media.picture import PictureConverter, Warn
from vivace.media.reader import Opener, VideoReader, open_error
from vivace.media.reconnect import SOURCE_DELAYS_S, Attempts, connected_again
from vivace.media.registry import LIVE_SCHEMES
from vivace.media.size import Size
from vivace.media.source import STALL_TIMEOUT_S, Source, SourceInfo, on_error
from vivace.redaction import redact_address, redact_error

TIME_BASE = Fraction(1, 90_000)
"""RTP's clock for video. One for all, since a stream opened anew may count in another."""

_PLAYLISTS = ("hls", "dash")
MAX_REPEATED = 2000
"""Pictures of a live playlist that are known again: a minute of it."""
_VIDEO_SITES = ("youtube.com", "youtu.be", "vimeo.com", "twitch.tv", "tiktok.com", "dailymotion.com", "bilibili.com")

_OPTIONS: dict[str, dict[str, str]] = {
    # TCP, because lost UDP packets smear; a short look at the stream, because every second of it is delay.
    "rtsp": {"rtsp_transport": "tcp", "fflags": "nobuffer", "analyzeduration": "1000000"},
    "rtsps": {"rtsp_transport": "tcp", "fflags": "nobuffer", "analyzeduration": "1000000"},
    "rtmp": {"fflags": "nobuffer", "analyzeduration": "1000000"},
    "rtmps": {"fflags": "nobuffer", "analyzeduration": "1000000"},
    "udp": {"fflags": "nobuffer", "analyzeduration": "1000000", "overrun_nonfatal": "1"},
    "tcp": {"analyzeduration": "1000000"},
    "http": {"reconnect": "1", "reconnect_delay_max": "4"},
    "https": {"reconnect": "1", "reconnect_delay_max": "4"},
}


class NetworkSource(Source):
    """A stream from an address: live (RTSP, RTMP, UDP, endless HTTP), or a file on a web server.

    What a web server declares complete has ended. A live stream that breaks off or stalls is opened again, after
    `reconnect_delays_s`; its presentation times go on, the gap included. A recording sent without its length looks live
    and, where the server only hangs up, broken off: begun anew with the same picture at the same time, it has ended.
    Pictures of a live stream without time stamps are shown when they arrive, and come without sound.
    """

    def __init__(
        self,
        url: str,
        open_url: Opener,
        *,
        size: Size | None = None,
        max_fps: float | None = None,
        stall_timeout_s: float = STALL_TIMEOUT_S,
        reconnect_delays_s: tuple[float, ...] = SOURCE_DELAYS_S,
        clock: Clock = time.monotonic,
        sleep: Callable[[float], object] | None = None,
    ):
        """Connect and decode the first frame.

        Args:
            url: what `open_url` opens; in messages its secrets are not shown.
            open_url: opens the container; raises what `av.open` raises.
            size: `(width, height)` to deliver, px; None: as sent.
            max_fps: leave out frames that come sooner.
            stall_timeout_s: what `open_url` was given, for messages.
            reconnect_delays_s: waits before each attempt to reconnect; a frame that arrives resets them.
            clock: stamps `capture_time_s` on arrival.
            sleep: waits; the default one is cut short by `close()`.

        Raises:
            SourceNotFoundError, SourceUnsupportedError, SourceStalledError: nothing to see there.
        """
        self._name = redact_address(url)
        super().__init__(SourceInfo(name=self._name, size=(0, 0)))
        self.reconnects = 0
        self._url = url
        self._open_url = open_url
        self._limit = FrameLimit(max_fps)
        self._stall_timeout_s = stall_timeout_s
        self._attempts = Attempts(reconnect_delays_s)
        self._clock = clock
        self._sleep = sleep or self._stop.wait
        self._live = False
        self._playlist = False
        """True for a playlist that grows, whose end is told by itself, and by nobody once its server has gone."""
        self._seen: dict[tuple[int | None, int], None] = {}
        """Marks of the newest pictures of such a playlist, in order."""
        self._sound: LiveSound | None = None
        self._shift_s: float | None = None
        """From the stream's times to presentation times, by its last picture."""
        self._reader = self._connect()
        with on_error(self._reader.close):
            self._start(size)

    def _start(self, size: Size | None) -> None:
        reader, stream = self._reader, self._reader.stream
        self._pictures = reader.frames()
        first = next(self._pictures, None)
        if first is None:
            reader.check_kind()
            raise SourceUnsupportedError(f"{self._name}: the stream ended before its first picture")
        self._first: av.VideoFrame | None = first
        self._opening = _mark(first)
        self._convert = PictureConverter(size=size, aspect=stream.sample_aspect_ratio, warn=self.warnings.append)
        self._convert(first)
        duration, live = reader.container.duration, self._live
        self.info = SourceInfo(
            name=self._name,
            size=self._convert.size or (0, 0),
            fps=reader.fps,
            frames=None if live else stream.frames or None,
            duration_s=duration / 1e6 if duration and not live else None,
            live=live,
            has_audio=self._sound is not None if live else bool(reader.container.streams.audio),
            rotation_deg=self._convert.rotation_deg,
            codec=stream.codec_context.name,
            pixel_format=first.format.name,
        )

    def deliver_at(self, size: Size | None) -> None:
        """Convert to `(width, height)` px from the next frame on, None to what that one has."""
        self._convert.size = size

    def open_audio(self) -> Sound | None:
        """Open the sound: a live stream's from now on, a web file's over a connection of its own."""
        if self._sound is not None:
            return self._sound.open_audio()
        return AudioTrack.open(self._url, self._name, self.warnings.append) if self.info.has_audio else None

    @property
    def _transmits(self) -> bool:
        """Tell whether the protocol is one of live streams, whose ends are never declared."""
        return urlsplit(self._url).scheme.lower() in LIVE_SCHEMES

    def _connect(self) -> VideoReader:
        try:
            container = self._open_url()
        except (av.FFmpegError, OSError, ValueError) as error:
            raise open_error(self._name, error, stall_timeout_s=self._stall_timeout_s) from redact_error(error)
        self._live = self._transmits or not _is_finished(container)
        self._playlist = self._playlist or (self._live and container.format.name in _PLAYLISTS)
        reader = VideoReader(
            container,
            self._name,
            live=self._live,
            clock=self._clock,
            warn=self.warnings.append,
            on_sound=self._hear if self._live else None,
        )
        if self._sound is None and reader.sound is not None and not reader.stamps_arrivals:
            self._sound = _live_sound(self._name, reader.sound, self.warnings.append)
        return reader

    def _hear(self, packet: Any) -> None:
        """Pass sound on, at the presentation time of the pictures that it came with."""
        sound = self._sound
        if sound is None or self._shift_s is None or packet.pts is None:
            return
        if packet.stream.codec_context.codec.canonical_name == sound.codec:  # not so where a stream became another one
            sound.put(SoundPacket(bytes(packet), float(packet.pts * packet.time_base) + self._shift_s))

    def _read(self) -> Generator[Frame, None, None]:
        step = max(1, round(self._reader.step * self._reader.time_base / TIME_BASE))
        timeline = Timeline(TIME_BASE, step)
        index = placed = 0
        start: int | None = None
        arrival_s = self._clock()
        resumed = False
        asked = self._reader.now() if self._reader.stamps_arrivals else None
        while not self._stop.is_set():
            try:
                for picture in self._arriving():
                    if index == 0 and asked is not None and (picture.pts or 0) < asked and self._reader.has_more:
                        continue  # Live begins with the newest: what came while a model was loading has passed.
                    if resumed and self._is_repeated(picture):
                        continue
                    gap_s, arrival_s = self._clock() - arrival_s, self._clock()
                    pts = None if picture.pts is None else round(picture.pts * self._reader.time_base / TIME_BASE)
                    if resumed:
                        if self._begins_again(picture):
                            self.warnings.append(f"{self._name}: the recording begins again, so the source ends here")
                            return
                        timeline.resume(pts, gap_s)
                        resumed = False
                    if self._playlist:
                        self._seen[_mark(picture)] = None
                        if len(self._seen) > MAX_REPEATED:
                            del self._seen[next(iter(self._seen))]
                    placed = timeline.place(pts)
                    if picture.pts is not None:
                        self._shift_s = float(placed * TIME_BASE - picture.pts * self._reader.time_base)
                    start = placed if start is None else start
                    if self._limit.takes(float(placed * TIME_BASE)):
                        said = None if self.info.live else picture.duration
                        duration = round(said * self._reader.time_base / TIME_BASE) if said else None
                        rgb, alpha, decoded = self._convert(picture)
                        yield Frame(
                            rgb, index, placed, TIME_BASE, arrival_s, duration=duration, alpha=alpha, decoded=decoded
                        )
                    index += 1
                if not self._transmits and not self._playlist:
                    return
                broken: SourceError = SourceLostError(f"{self._name}: the sender closed the stream")
            except (SourceStalledError, SourceLostError, DecodeError) as error:
                if not self.info.live:
                    if start is not None and self._is_whole(float((placed - start + step) * TIME_BASE)):
                        return  # The server hung up after the end, without having said where that is.
                    raise
                broken = error
            self._reconnect(broken)
            if self._playlist and not self._live:
                return  # It is complete by now, which it is only told by being read again.
            resumed = True

    def _is_whole(self, seen_s: float) -> bool:
        return self.info.duration_s is not None and seen_s >= self.info.duration_s - EARLY_END_S

    def _begins_again(self, picture: av.VideoFrame) -> bool:
        """Tell whether a web server's stream, opened again, is the recording that it was the last time."""
        last, self._opening = self._opening, _mark(picture)
        told = self._transmits or self._playlist or self._reader.stamps_arrivals
        return not told and self._opening == last

    def _is_repeated(self, picture: av.VideoFrame) -> bool:
        """Tell whether a live playlist, read again, gives a picture that has been: it begins some segments back."""
        return self._playlist and _mark(picture) in self._seen

    def _arriving(self) -> Iterator[av.VideoFrame]:
        if self._first is not None:
            first, self._first = self._first, None
            yield first
        for picture in self._pictures:
            self._attempts.succeeded()
            yield picture

    def _reconnect(self, broken: SourceError) -> None:
        """Open the stream again. Raises what broke it once all attempts are used up."""
        self._reader.close()
        reader = connected_again(
            self._connect,
            self._attempts,
            broken,
            name=self._name,
            warn=self.warnings.append,
            wait=self._sleep,
            stopped=self._stop.is_set,
        )
        if reader is not None:
            self._reader, self._pictures = reader, reader.frames()
            self.reconnects += 1

    def _release(self) -> None:
        self._reader.close()


def _live_sound(name: str, stream: Any, warn: Warn) -> LiveSound:
    """Return where the packets of a stream's sound are left."""
    context = stream.codec_context
    codec, head, layout, rate = context.name, bytes(context.extradata or b""), context.layout, stream.rate

    def open_decoder() -> Any:
        decoder = cast(Any, av.CodecContext.create(codec, "r"))
        decoder.extradata, decoder.layout, decoder.sample_rate = head or None, layout, rate
        return decoder

    canonical = context.codec.canonical_name
    return LiveSound(name, codec=canonical, rate=rate, channels=context.channels, open_decoder=open_decoder, warn=warn)


def _is_web_page(url: str, timeout_s: float) -> bool:
    try:
        with urlopen(Request(url, headers={"User-Agent": "Mozilla/5.0"}), timeout=timeout_s) as answer:
            return bool(answer.headers.get_content_type() == "text/html")
    except (OSError, ValueError, HTTPException):
        return False


def _is_of_video_site(url: str) -> bool:
    """Tell whether an address is a site's whose videos are in pages; it may refuse to show them to a program."""
    host = urlsplit(url).hostname or ""
    return any(host == site or host.endswith(f".{site}") for site in _VIDEO_SITES)


_CERTIFICATES = {
    "CERTIFICATE_VERIFY_FAILED": "if it may be trusted, have SSL_CERT_FILE name its certificate",
    "NO_CERTIFICATE_OR_CRL_FOUND": "the file that SSL_CERT_FILE names holds no certificate",
}
"""Remedies by OpenSSL's names of errors."""


def with_remedy(error: Exception) -> str:
    """Return why a connection failed, and what to do about a certificate that is not trusted here."""
    reason = getattr(error, "strerror", None) or str(error)
    remedies = [remedy for name, remedy in _CERTIFICATES.items() if name in reason]
    return "; ".join([reason, *remedies])


def is_known(host: str) -> bool:
    """Tell whether a name of a machine can be resolved."""
    try:
        return bool(socket.getaddrinfo(host, None))
    except OSError:
        return False


def _is_finished(container: InputContainer) -> bool:
    """Tell whether what a web server sends has an end that it knows; a playlist's own length says nothing of that."""
    playlist = container.format.name in _PLAYLISTS
    return (container.duration or 0) > 0 or (container.size > 0 and not playlist)


def _mark(picture: av.VideoFrame) -> tuple[int | None, int]:
    """Return what tells one picture of a stream from another: its time, and a sum over its luma."""
    luma = picture.planes[0]
    rows = np.frombuffer(bytes(luma), np.uint8).reshape(luma.height, luma.line_size)[:, : luma.width]  # no padding
    return picture.pts, crc32(rows.tobytes())


def open_url(url: str, *, size: Size | None, fps: float | None, stall_timeout_s: float, clock: Clock) -> Source:
    """Open a network address; see `open_source`."""
    scheme = urlsplit(url).scheme.lower()
    options = dict(_OPTIONS.get(scheme, {}))

    def connect() -> InputContainer:
        try:
            container = av.open(url, mode="r", options=options, timeout=(stall_timeout_s, stall_timeout_s))
        except (av.FFmpegError, OSError) as error:
            if scheme in ("http", "https") and (_is_of_video_site(url) or _is_web_page(url, stall_timeout_s)):
                raise SourceUnsupportedError(
                    f"{redact_address(url)}: a web page, not a video; save the video in it as a file and give that, "
                    "for many sites with `yt-dlp -o clip.mp4 ADDRESS`, or give the address of a live stream in it, "
                    "which `yt-dlp --get-url ADDRESS` prints"
                ) from redact_error(error)
            if (host := urlsplit(url).hostname) and not is_known(host):
                raise SourceNotFoundError(
                    f"{redact_address(url)}: no machine called {host} can be found; check the address and the network"
                ) from redact_error(error)
            raise
        if container.format.name == "mpeg" and scheme not in LIVE_SCHEMES:
            # A program stream stamps some pictures. Where it cannot seek, FFmpeg fills the others in wrongly.
            container.close()
            stamped = {**options, "fflags": "nofillin"}
            container = av.open(url, mode="r", options=stamped, timeout=(stall_timeout_s, stall_timeout_s))
        return container

    return NetworkSource(url, connect, size=size, max_fps=fps, stall_timeout_s=stall_timeout_s, clock=clock)
