"""Audio encoding to Opus for WebRTC: 48 kHz, stereo, 20 ms per packet."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any, cast

import av
from av.audio.resampler import AudioResampler

from vivace.media.audio import Sound
from vivace.media.live_sound import SoundPacket

RATE = 48_000
FRAME = 960
"""Samples per packet."""
BIT_RATE = 128_000


class OpusWriter:
    """Encoder of an audio track, in the presentation time of its video. One thread at a time."""

    def __init__(self, track: Sound) -> None:
        """Encode `track`, which remains the caller's to close.

        Raises:
            ValueError: this FFmpeg has no Opus.
        """
        self._track = track
        self._encoder = cast(Any, av.CodecContext.create("libopus", "w"))
        self._encoder.sample_rate, self._encoder.layout, self._encoder.format = RATE, "stereo", "s16"
        self._encoder.time_base, self._encoder.bit_rate = Fraction(1, RATE), BIT_RATE
        self._encoder.options = {"application": "lowdelay"}
        self._resampler = AudioResampler("s16", "stereo", RATE, FRAME)
        self._next: int | None = None
        """Sample index at which the next packet begins."""
        self._taken = 0
        self._lost = False

    def packets_until(self, time_s: float | None) -> Iterator[SoundPacket]:
        """Yield the timed packets that begin before `time_s` (None: all that remain)."""
        for packet in () if self._lost else self._track.packets_until(time_s):
            try:
                frames = self._track.decode(packet)
            except av.FFmpegError:
                self._track.damaged_packets += 1
                continue
            for frame in frames:
                at_s = float(packet.pts * self._track.time_base if frame.pts is None else frame.pts * frame.time_base)
                yield from self._encoded(frame, at_s)

    def _encoded(self, frame: Any, at_s: float) -> Iterator[SoundPacket]:
        at = round(at_s * RATE)
        if self._next is None or abs(at - self._next) > RATE // 10:
            self._next = at  # first packet, or after a gap
        frame.pts = None
        try:
            resampled: list[Any] = self._resampler.resample(frame)
        except ValueError as error:  # the audio format has changed
            self._lost = True
            self._track.warn(f"{self._track.name}: the sound is left out from here ({error})")
            return
        for part in resampled:
            part.pts, part.time_base = self._taken, Fraction(1, RATE)
            self._taken += part.samples
            for packet in self._encoder.encode(part):
                yield SoundPacket(bytes(packet), self._next / RATE)
                self._next += FRAME
