"""Opus as in WebRTC, and detection of tones."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from vivace.media.live_sound import SoundPacket

HZ = 48_000
PACKET_S = 0.02


def opus(seconds: float, tones_s: tuple[float, ...] = (), length_s: float = 0.1) -> list[bytes]:
    """Return packets of 20 ms: silence with tones in it."""
    time_s = np.arange(round(seconds * HZ)) / HZ
    loud = np.zeros(len(time_s))
    for tone_s in tones_s:
        inside = (time_s >= tone_s) & (time_s < tone_s + length_s)
        loud += 0.6 * np.sin(2 * np.pi * 1000 * time_s) * inside
    samples = np.repeat((loud * 32767).astype(np.int16), 2)
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format, encoder.time_base = HZ, "stereo", "s16", Fraction(1, HZ)
    encoder.options = {"application": "lowdelay"}
    encoder.open()
    packets: list[bytes] = []
    for begin in range(0, len(samples) - 1919, 1920):
        frame = av.AudioFrame.from_ndarray(samples[None, begin : begin + 1920].copy(), format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = HZ, begin // 2, Fraction(1, HZ)
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets


def timed(packets: list[bytes], began_s: float = 0.0) -> Iterator[SoundPacket]:
    """Yield packets with their times."""
    for number, data in enumerate(packets):
        yield SoundPacket(data, began_s + number * PACKET_S)


def samples_of(path: Path) -> tuple[np.ndarray, int, float]:
    """Return the sound of a file, `float [n]`, its rate, and the time of the first sample, s."""
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    mono = [frame.to_ndarray().astype(float).mean(axis=0) for frame in frames]
    assert frames[0].format.name.endswith("p"), "planar"
    return np.concatenate(mono), frames[0].sample_rate, float(frames[0].pts * frames[0].time_base)


def tones_in(samples: np.ndarray, rate: int, began_s: float = 0.0, loud: float = 0.1) -> list[float]:
    """Return the start times of tones, s: loud after 50 ms of silence."""
    at = np.flatnonzero(np.abs(samples) > loud)
    begins = at[np.diff(at, prepend=-rate) > 0.05 * rate]
    return [began_s + index / rate for index in begins]
