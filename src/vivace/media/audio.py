"""Audio that travels beside the pictures: read from the source, written by the file sink."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer, OutputContainer

from vivace.media.clock import exact
from vivace.media.reader import open_error
from vivace.redaction import redact_error

COPYABLE = {
    "mp4": ("aac", "mp3", "ac3", "eac3", "alac", "opus", "flac"),
    "matroska": ("aac", "mp3", "ac3", "eac3", "alac", "opus", "flac", "vorbis", "pcm_s16le", "pcm_s24le", "pcm_f32le"),
    "webm": ("opus", "vorbis"),
    "flv": ("aac", "mp3"),
    "mpegts": ("aac", "mp3", "ac3", "eac3", "mp2"),
    "rtsp": ("aac",),
}
"""Audio codecs that a container takes as they are, by FFmpeg's names; everything else is transcoded."""

TRANSCODED = {"webm": ("libopus", 48_000)}
"""Encoder and sample rate where it is not AAC at the source's rate."""

BIT_RATE = 160_000
"""Transparent for stereo AAC and Opus by common listening tests."""

MAX_DAMAGED = 500
"""Packets given up on before the sound is taken to end."""

_AAC_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


class AudioTrack:
    """The first audio stream of a file, opened a second time so that it is read at its own pace."""

    def __init__(self, container: InputContainer, name: str):
        """Read audio from `container`, which this object closes."""
        self._container = container
        self.name = name
        self.stream = container.streams.audio[0]
        self.codec = self.stream.codec_context.name
        self._packets: Iterator[Any] = container.demux(self.stream)
        self._ahead: Any = None
        self.damaged_packets = 0
        """Packets that could not be read or decoded and were left out."""

    @classmethod
    def open(cls, address: str, name: str) -> AudioTrack | None:
        """Open the audio of `address`; None where it has none. Raises SourceError when it cannot be read."""
        try:
            container = av.open(address, mode="r")
        except (av.FFmpegError, OSError) as error:
            raise open_error(name, error) from redact_error(error)
        if not container.streams.audio:
            container.close()
            return None
        return cls(container, name)

    @property
    def time_base(self) -> Fraction:
        """Seconds per unit of a packet's pts."""
        return exact(self.stream.time_base) if self.stream.time_base else Fraction(1, 48_000)

    def packets_until(self, time_s: float | None) -> Iterator[Any]:
        """Yield the packets that begin before `time_s` in presentation time (None: all that are left)."""
        while (packet := self._peek()) is not None:
            if time_s is not None and packet.pts is not None and float(packet.pts * self.time_base) >= time_s:
                return
            self._ahead = None
            yield packet

    def _peek(self) -> Any:
        while self._ahead is None:
            try:
                packet = next(self._packets, None)
            except av.InvalidDataError:
                self.damaged_packets += 1
                if self.damaged_packets > MAX_DAMAGED:
                    return None
                self._packets = self._container.demux(self.stream)
                continue
            except (av.FFmpegError, OSError):
                return None  # Cut short: the sound ends where the data do; the picture's reader reports it.
            if packet is None:
                return None
            if packet.size:
                self._ahead = packet
        return self._ahead

    def close(self) -> None:
        """Close the file."""
        self._container.close()


class AudioWriter:
    """Writes a track into an output container, in step with the pictures.

    Packets are copied as they are where the container allows it, otherwise transcoded to AAC (WebM: Opus). Time zero of
    the output is `start_s` of the source, the same for sound and picture; sound from before it is left out.
    """

    def __init__(self, track: AudioTrack, container: OutputContainer):
        """Add a stream for `track` to `container`, which has not been started. The writer closes the track."""
        self._track = track
        self._container = container
        self.copies = track.codec in COPYABLE.get(container.format.name, ())
        source = track.stream
        self._stream: Any
        self._unframe: BitStreamFilterContext | None = None
        if self.copies:
            self._stream = container.add_stream_from_template(source)
            if container.format.name == "mp4" and track.codec == "aac" and not source.codec_context.extradata:
                # An MPEG transport stream has AAC in ADTS frames, which FFmpeg removes by itself elsewhere.
                self._unframe = BitStreamFilterContext("aac_adtstoasc", source)
            return
        encoder, rate = TRANSCODED.get(container.format.name, ("aac", source.rate))
        if encoder == "aac" and rate not in _AAC_RATES:
            rate = 48_000
        self._stream = container.add_stream(encoder, rate=rate, bit_rate=BIT_RATE)
        self._stream.layout = "mono" if source.codec_context.channels == 1 else "stereo"

    def write_until(self, time_s: float | None, start_s: float) -> None:
        """Write what begins before `time_s` (source time; None: all that is left). `start_s` is the output's zero."""
        for packet in self._track.packets_until(time_s):
            if self.copies:
                self._copy(packet, start_s)
            else:
                self._encode(packet, start_s)

    def _copy(self, packet: Any, start_s: float) -> None:
        shift = round(start_s / self._track.time_base)
        if packet.pts is not None:
            packet.pts -= shift
        if packet.dts is not None:
            packet.dts -= shift
        for copied in [packet] if self._unframe is None else self._unframe.filter(packet):
            copied.stream = self._stream
            self._mux(copied)

    def _encode(self, packet: Any, start_s: float) -> None:
        try:
            frames = packet.decode()
        except av.FFmpegError:
            self._track.damaged_packets += 1
            return
        for frame in frames:
            if frame.pts is not None:
                frame.pts -= round(start_s / exact(frame.time_base))
                if frame.pts < 0:
                    continue
            for encoded in self._stream.encode(frame):
                self._mux(encoded)

    def _mux(self, packet: Any) -> None:
        # Sound from before zero (a codec's run-up, or what comes before the first picture) would make the muxer move
        # the pictures. It is left out, at the cost of up to one packet, some 20 ms, at the very beginning.
        if packet.pts is None or packet.pts >= 0:
            self._container.mux(packet)

    def finish(self) -> None:
        """Write what the encoder still holds."""
        if not self.copies:
            for packet in self._stream.encode(None):
                self._mux(packet)

    def close(self) -> None:
        """Close the track."""
        self._track.close()
