"""Synthetic music with known beats."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vivace.show.sound.analysis import RATE, Samples


def drums(
    bpm: float,
    seconds: float,
    *,
    noise: float = 0.02,
    jitter_s: float = 0.0,
    swing: float = 0.0,
    gain: float = 0.5,
    first_s: float = 0.3,
) -> tuple[Samples, NDArray[np.float64]]:
    """Return kick, snare and hats over a pad, and the times of the beats."""
    rng = np.random.default_rng(round(bpm))
    count = int(seconds * RATE)
    out = np.zeros(count + RATE)
    t = np.arange(RATE // 4) / RATE
    kick = np.sin(2 * np.pi * (50 * t + 2 * np.exp(-30 * t))) * np.exp(-18 * t)
    snare = rng.normal(size=len(t)) * np.exp(-25 * t) * 0.5
    hat = np.diff(rng.normal(size=len(t) + 1)) * np.exp(-70 * t) * 0.2
    period = 60 / bpm
    beats = []
    for number in range(int((seconds - first_s) / period)):
        at_s = first_s + number * period + rng.normal() * jitter_s
        beats.append(at_s)
        played = [(0.0, kick if number % 2 == 0 else snare), (0.0, hat), (0.5 * (1 + swing), hat)]
        if number % 4 == 2:
            played.append((0.75, kick * 0.6))
        for share, sound in played:
            start = round((at_s + share * period) * RATE)
            out[start : start + len(sound)] += sound
    out = out[:count]
    out += 0.08 * np.sin(2 * np.pi * 220 * np.arange(count) / RATE) + rng.normal(size=count) * noise
    return (out * gain / np.abs(out).max()).astype(np.float32), np.array(beats)


def write_wav(path: Path, samples: Samples, rate: int = RATE, channels: int = 1) -> Path:
    """Write samples with 16 bits."""
    whole = (np.clip(samples, -1, 1) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.repeat(whole, channels).tobytes())
    return path
