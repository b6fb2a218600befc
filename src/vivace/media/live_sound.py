"""Sound of live sources: packets as they come, for any number of outputs, each of which takes them at its own pace."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple, cast

import av
import numpy as np

from vivace.media.picture import Warn, ignore

MAX_WAITING = 1_500
"""Packets that wait for one output, half a minute of Opus; one that takes none loses the oldest."""
JUMP_S = 0.015
"""Packets of 20 ms say when they were heard to a few milliseconds. Beyond this one is missing, or clocks have drifted
apart."""
SILENCE_S = 1.0
"""Gaps are filled by no more than this at once."""


class SoundPacket(NamedTuple):
    """Encoded sound of some milliseconds."""

    data: bytes
    time_s: float
    """When it was heard, in the presentation time of the pictures it belongs to."""


def opus_decoder() -> Any:
    """Return a decoder of Opus as WebRTC carries it: 48 kHz, stereo."""
    decoder = cast(Any, av.CodecContext.create("libopus", "r"))
    decoder.format, decoder.layout, decoder.sample_rate = "s16", "stereo", 48_000
    return decoder


class LiveSound:
    """Sound of a live source, left here packet by packet and opened by each output. Thread-safe."""

    ended = False

    def __init__(
        self,
        name: str,
        *,
        codec: str = "opus",
        rate: int = 48_000,
        channels: int = 2,
        open_decoder: Callable[[], Any] = opus_decoder,
        warn: Warn = ignore,
    ) -> None:
        """Take packets of `codec`; each output decodes them for itself by what `open_decoder` gives."""
        self.name = name
        self.codec = codec
        self.rate = rate
        self.channels = channels
        self.muted = False
        """True while packets are left out, so that outputs get silence."""
        self.heard = False
        """True once a packet has come."""
        self.open_decoder = open_decoder
        self.warn = warn
        self._lock = Lock()
        self._tracks: tuple[LiveTrack, ...] = ()

    @property
    def files(self) -> Sequence[Path]:
        """None are read."""
        return ()

    def put(self, packet: SoundPacket) -> None:
        """Leave a packet for all outputs; never waits."""
        self.heard = True
        if not self.muted:
            for track in self._tracks:
                track.put(packet)

    def open_audio(self) -> LiveTrack:
        """Return what comes from now on, for one output."""
        track = LiveTrack(self)
        with self._lock:
            self._tracks = (*self._tracks, track)
        return track

    def forget(self, track: LiveTrack) -> None:
        """Leave nothing more for an output."""
        with self._lock:
            self._tracks = tuple(each for each in self._tracks if each is not track)


class LiveTrack:
    """Live sound on its way to one output (`vivace.media.audio.Sound`). What is missing in it is silence."""

    template = None

    def __init__(self, sound: LiveSound) -> None:
        self.name, self.codec = sound.name, sound.codec
        self.rate, self.channels = sound.rate, sound.channels
        self.time_base = Fraction(1, sound.rate)
        self.damaged_packets = 0
        self._sound = sound
        self._decoder = sound.open_decoder()
        self._waiting: deque[SoundPacket] = deque(maxlen=MAX_WAITING)
        self._next: int | None = None
        """Presentation time of the next sample, in units of 1/rate s."""

    def warn(self, text: str) -> None:
        """Tell people what does not become sound."""
        self._sound.warn(text)

    def put(self, packet: SoundPacket) -> None:
        """Leave a packet."""
        self._waiting.append(packet)

    def begin(self, start_s: float) -> None:
        """Let the output begin with silence: Firefox knows no end of a cut-off file whose sound begins later."""
        self._next = round(start_s * self.rate)

    def packets_until(self, time_s: float | None) -> Iterator[Any]:
        """Yield the packets that begin before `time_s` in presentation time (None: all that have come)."""
        while self._waiting and (time_s is None or self._waiting[0].time_s < time_s):
            taken = self._waiting.popleft()
            packet = av.Packet(taken.data)
            packet.pts = packet.dts = round(taken.time_s * self.rate)
            packet.time_base = self.time_base
            yield packet

    def decode(self, packet: Any) -> Sequence[Any]:
        """Return the frames of a packet, after as much silence as there was none; raises what FFmpeg raises."""
        at, frames = packet.pts, list[Any]()
        self._next = at if self._next is None else self._next
        after_gap = at - self._next > JUMP_S * self.rate
        if after_gap:
            self._decoder = self._sound.open_decoder()  # what it remembers would be heard again now
        for frame in self._decoder.decode(packet):
            if after_gap:
                frames += self._silence(at, frame)
                after_gap = False
            elif self._next - at > JUMP_S * self.rate:
                at += frame.samples
                continue  # what is there already is not replaced
            frame.pts, frame.time_base = self._next, self.time_base
            at = self._next = self._next + frame.samples
            frames.append(frame)
        return frames

    def _silence(self, until: int, like: Any) -> Iterator[Any]:
        assert self._next is not None
        while self._next < until:
            samples = min(until - self._next, round(SILENCE_S * self.rate))
            width = len(like.layout.channels)
            shape = (width, samples) if like.format.is_planar else (1, width * samples)
            frame = av.AudioFrame.from_ndarray(
                np.zeros(shape, like.to_ndarray().dtype), format=like.format.name, layout=like.layout.name
            )
            frame.sample_rate, frame.pts, frame.time_base = self.rate, self._next, self.time_base
            self._next += samples
            yield frame

    def close(self) -> None:
        """Take no more."""
        self._sound.forget(self)
