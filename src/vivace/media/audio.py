"""Sound that travels beside the pictures: read from a file, written by the sink of a video."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple, Protocol, cast

import av
from av.audio.resampler import AudioResampler
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer, OutputContainer

from vivace.media.clock import Timeline, exact
from vivace.media.picture import Warn, ignore
from vivace.media.reader import main_audio, open_error
from vivace.media.source import on_error
from vivace.redaction import redact_error

COPYABLE = {
    "mp4": ("aac", "mp3"),
    "mov": ("aac", "mp3", "alac"),
    "matroska": ("aac", "mp3", "ac3", "eac3", "alac", "opus", "flac", "vorbis", "pcm_s16le", "pcm_s24le", "pcm_f32le"),
    "webm": ("opus", "vorbis"),
    "flv": ("aac", "mp3"),
    "mpegts": ("aac", "mp3", "ac3", "eac3", "mp2"),
    "rtsp": ("aac",),
}
"""Audio codecs that are taken over as they are, by FFmpeg's names: what every player of the container has a decoder
for. An MP4 may hold Opus and FLAC too, and is silent in QuickTime. Everything else is transcoded."""

TRANSCODED = {"webm": ("libopus", 48_000)}
"""Encoder and sample rate where it is not AAC at the source's rate."""

BIT_RATE = 160_000
"""Transparent for stereo AAC and Opus by common listening tests."""

MAX_DAMAGED = 500
"""Packets given up on before the sound is taken to end."""

_AAC_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


class Sound(Protocol):
    """Sound on its way to one output: packets in order, in the presentation time of the pictures it belongs to."""

    name: str
    """For people."""
    codec: str
    """FFmpeg's name."""
    rate: int
    channels: int
    time_base: Fraction
    """Seconds per unit of a packet's pts."""
    template: Any
    """The stream that packets may be copied from as they are; None where they may not."""
    damaged_packets: int
    """Packets that could not be read or decoded and were left out."""

    def warn(self, text: str) -> None:
        """Tell people what does not become sound."""

    def begin(self, start_s: float) -> None:
        """Be told, before the first packet is taken, where the output begins in presentation time."""

    def packets_until(self, time_s: float | None) -> Iterator[Any]:
        """Yield the packets that begin before `time_s` in presentation time (None: all that are left)."""

    def decode(self, packet: Any) -> Sequence[Any]:
        """Return the frames of a packet; raises what FFmpeg raises."""

    def close(self) -> None:
        """Let go of what is read."""


class SoundSource(Protocol):
    """Anything with sound, as a `vivace.media.Source`; each output opens it for itself."""

    ended: bool
    """True once the last picture was delivered, so that all sound that is left belongs to the output, too."""

    @property
    def files(self) -> Sequence[Path]:
        """The files that are read."""

    def open_audio(self) -> Sound | None:
        """Return the sound for one output; None where there is none."""


class AudioTrack:
    """The main audio stream of a file, opened a second time so that it is read at its own pace."""

    def __init__(self, container: InputContainer, name: str, warn: Warn | None = None):
        """Read audio from `container`, which this object closes. `warn` is told what does not become sound."""
        self._container = container
        self.name = name
        self.template = main_audio(container)
        self.codec = self.template.codec_context.codec.canonical_name
        self.rate, self.channels = self.template.rate or 0, self.template.codec_context.channels
        self.time_base = exact(self.template.time_base) if self.template.time_base else Fraction(1, 48_000)
        self.warn = warn or ignore
        self._packets: Iterator[Any] = container.demux(self.template)
        self._timeline: Timeline | None = None
        self._ahead: Any = None
        self.damaged_packets = 0

    @classmethod
    def open(cls, address: str, name: str, warn: Warn | None = None) -> AudioTrack | None:
        """Open the audio of `address`; None where it has none. Raises SourceError when it cannot be read."""
        try:
            container = av.open(address, mode="r")
        except (av.FFmpegError, OSError) as error:
            raise open_error(name, error) from redact_error(error)
        with on_error(container.close):
            if any(stream.codec_context for stream in container.streams.audio):
                return cls(container, name, warn)
            if container.streams.audio and warn is not None:
                warn(f"{name}: the sound's codec is unknown to this FFmpeg, so it is left out; convert it to AAC")
        container.close()
        return None

    def begin(self, start_s: float) -> None:
        """Do nothing: a file's sound begins where it does."""

    def packets_until(self, time_s: float | None) -> Iterator[Any]:
        """Yield the packets that begin before `time_s` in presentation time (None: all that are left)."""
        while (packet := self._peek()) is not None:
            if time_s is not None and float(packet.pts * self.time_base) >= time_s:
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
                self._packets = self._container.demux(self.template)
                continue
            except (av.FFmpegError, OSError):
                return None  # Cut short: the sound ends where the data do; the picture's reader reports it.
            if packet is None:
                return None
            if packet.size:
                if self._timeline is None:
                    self._timeline = Timeline(self.time_base, packet.duration or 1)
                packet.pts = packet.dts = self._timeline.place(packet.pts)
                self._ahead = packet
        return self._ahead

    def decode(self, packet: Any) -> Sequence[Any]:
        """Return the frames of a packet; raises what FFmpeg raises."""
        return cast(Sequence[Any], packet.decode())

    def close(self) -> None:
        """Close the file."""
        self._container.close()


class AudioWriter:
    """Writes a track into an output container, in step with the pictures, which it never stops.

    Packets are copied as they are where the container allows it, otherwise transcoded to AAC (WebM: Opus). Sound that
    changes its rate or channels half way, as in recordings of broadcasts, is transcoded to what it began as from there
    on. What cannot be written is left out, and the track's `warn` says so. Time zero of the output is `start_s` of the
    source, the same for sound and picture; sound from before it is left out.
    """

    def __init__(self, track: Sound, container: OutputContainer, muxer: str):
        """Add a stream for `track` to `container`, which has not been started. The writer closes the track.

        `muxer` is FFmpeg's name of what the sound is for, which may be the container's next form.
        """
        self._track = track
        self._container = container
        self._stream: Any = None
        self._encoder: Any = None
        """Encoder of packets; None while they are copied."""
        self._unframe: BitStreamFilterContext | None = None
        self._form: _Form | None = None
        """Form of the first decoded frame, which the output keeps."""
        self._resampler: tuple[_Form, AudioResampler] | None = None
        self._begun = False
        self._last_s = -1.0
        self._next_sample = 0
        self._changeable = False
        if not track.rate or not track.channels:
            track.warn(
                f"{track.name}: the sound declares neither sample rate nor channels, so it is left out; encode it again"
            )
            return
        # A codec without a header of its own says in every packet what it is, and may become something else.
        self._changeable = track.template is not None and not track.template.codec_context.extradata
        with self._leaving_out():
            self._add_stream(track, muxer)

    def _add_stream(self, track: Sound, muxer: str) -> None:
        source = track.template
        if source is not None and track.codec in COPYABLE.get(muxer, ()) and _takes(muxer, source):
            self._stream = self._container.add_stream_from_template(source)
            if muxer != "mpegts" and self._track.codec == "aac" and self._changeable:
                # An MPEG transport stream has AAC in ADTS frames.
                self._unframe = BitStreamFilterContext("aac_adtstoasc", source)
            return
        encoder, rate = TRANSCODED.get(muxer, ("aac", track.rate))
        if encoder == "aac" and rate not in _AAC_RATES:
            rate = 48_000
        self._stream = cast(Any, self._container.add_stream(encoder, rate=rate, bit_rate=BIT_RATE))
        self._stream.layout = "mono" if track.channels == 1 else "stereo"
        self._encoder = self._stream.codec_context

    @property
    def copies(self) -> bool:
        """Tell whether packets are copied as they are."""
        return self._encoder is None

    def write_until(self, time_s: float | None, start_s: float) -> None:
        """Write what begins before `time_s` (source time; None: all that is left). `start_s` is the output's zero."""
        if not self._begun:
            self._begun = True
            self._track.begin(start_s)
        with self._leaving_out():
            for packet in self._track.packets_until(time_s) if self._stream is not None else ():
                self._write(packet, start_s)

    @contextmanager
    def _leaving_out(self) -> Iterator[None]:
        """Leave the rest of the sound out when FFmpeg refuses it; a disk that is full is the pictures' matter, too."""
        try:
            yield
        except OSError:
            raise
        except (av.FFmpegError, ValueError, NotImplementedError) as error:
            self._track.warn(f"{self._track.name}: the sound cannot be written and is left out from here ({error})")
            self._stream = None

    def _write(self, packet: Any, start_s: float) -> None:
        frames: list[Any] = []
        if self._changeable or not self.copies:
            try:
                frames = list(self._track.decode(packet))
            except av.FFmpegError:
                self._track.damaged_packets += 1
                return
        for frame in frames:
            form = _Form.of(frame)
            self._form = self._form or form
            if self.copies and form != self._form:
                self._encoder = self._form.encoder(self._track.codec)
        if self.copies:
            self._copy(packet, start_s)
            return
        for frame in frames:
            # In samples, whatever the container counts in: the encoder takes one time base for all.
            at_s = float(packet.pts * self._track.time_base if frame.pts is None else frame.pts * frame.time_base)
            frame.pts, frame.time_base = round((at_s - start_s) * frame.sample_rate), Fraction(1, frame.sample_rate)
            if frame.pts >= 0:
                self._encode(frame)

    def _copy(self, packet: Any, start_s: float) -> None:
        packet.pts = packet.dts = packet.pts - round(start_s / self._track.time_base)
        if packet.pts < 0:
            return  # Before the filter, whose first packet brings what the header needs.
        for copied in [packet] if self._unframe is None else self._unframe.filter(packet):
            self._mux(copied)

    def _encode(self, frame: Any) -> None:
        form = _Form.of(frame)
        if self._resampler is None or self._resampler[0] != form:
            self._drain()
            encoder = self._encoder
            self._resampler = form, AudioResampler(encoder.format, encoder.layout, encoder.rate)
        self._encode_resampled(frame)

    def _drain(self) -> None:
        if self._resampler is not None:
            self._encode_resampled(None)

    def _encode_resampled(self, frame: Any) -> None:
        assert self._resampler is not None
        resampler: Any = self._resampler[1]
        for resampled in resampler.resample(frame):
            # An encoder counts on times that rise: where sound changes, what overlaps beyond rounding is left out.
            if resampled.pts >= self._next_sample - resampled.samples // 2:
                resampled.pts = max(resampled.pts, self._next_sample)
                self._next_sample = resampled.pts + resampled.samples
                self._mux(*self._encoder.encode(resampled))

    def _mux(self, *packets: Any) -> None:
        for packet in packets:
            # Sound from before zero (a codec's run-up, or what comes before the first picture) would make the muxer
            # move the pictures. It is left out, at the cost of up to one packet, some 20 ms, at the very beginning.
            # A muxer refuses times that do not rise.
            at_s = self._last_s if packet.pts is None else float(packet.pts * packet.time_base)
            if at_s >= 0 and at_s > self._last_s:
                self._last_s = at_s
                packet.stream = self._stream
                self._container.mux(packet)

    def finish(self) -> None:
        """Write what the encoder still holds."""
        if self._stream is not None and not self.copies:
            with self._leaving_out():
                self._drain()
                self._mux(*self._encoder.encode(None))

    def close(self) -> None:
        """Close the track."""
        self._track.close()


def _takes(muxer: str, source: Any) -> bool:
    """Tell whether a container's header can be written with this sound; a damaged one would cost the pictures, too."""
    if muxer == "rtsp":
        return True  # Its header is a conversation.
    try:
        with av.open(BytesIO(), "w", format=muxer) as trial:
            trial.add_stream_from_template(source)
            trial.start_encoding()
    except (av.FFmpegError, ValueError):
        return False
    return True


class _Form(NamedTuple):
    """Sample rate, channel layout and sample format of decoded sound."""

    rate: int
    layout: str
    sample_format: str

    @classmethod
    def of(cls, frame: Any) -> _Form:
        return cls(frame.sample_rate, frame.layout.name, frame.format.name)

    def encoder(self, codec: str) -> Any:
        """Return an encoder of `codec` whose packets may follow those of sound of this form."""
        encoder = cast(Any, av.CodecContext.create(codec, "w"))
        encoder.format = encoder.codec.audio_formats[0]
        encoder.layout, encoder.sample_rate, encoder.bit_rate = self.layout, self.rate, BIT_RATE
        encoder.time_base = Fraction(1, self.rate)
        return encoder
