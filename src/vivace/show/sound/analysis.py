"""Analysis of sound, causal, hop by hop: loudness, onsets and beats.

Loudness is against the loudest of the last seconds, so that a quiet microphone and a mastered track drive alike.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vivace.show.sound.beats import BeatTracker

Samples = NDArray[np.float32]
"""`float32 [n]`, mono, -1 to 1."""

RATE = 16_000
"""Hz; beats and onsets are below 8 kHz."""
HOP = 160
"""Samples from one value to the next, 10 ms."""
WINDOW = 512
HOP_S = HOP / RATE

FLOOR_DB = -50.0
"""Below it, of full scale, there is silence: the noise of a good microphone in a quiet room."""
_SILENT = 10 ** (FLOOR_DB / 10)
RANGE_DB = 30.0
"""From as loud as it gets to nothing."""
LOUDEST_S = 10.0
"""In which the loudest is forgotten by 6 dB."""
RELEASE_S = 0.25
"""In which a level falls to a third; it rises at once."""
PULSE_S = 0.2
"""In which the pulse of an onset is over."""
LEAST_GAP_S = 0.06
"""Between two onsets: what is nearer is one, to an ear."""

_BANDS = 32
_LOWEST_HZ, _HIGHEST_HZ = 40.0, 7_500.0
_BASS_HZ, _TREBLE_HZ = 150.0, 2_500.0
_LEAST_LOUD_DB = FLOOR_DB + 10.0
"""Lowest level that counts as loud: a nearly silent room is not made loud."""
_COMPRESSION = 1_000.0
_BEFORE = 2
"""Hops back that a spectrum is compared with: windows of neighbours overlap by two thirds."""
_RISE_LEAST = 0.02
"""A rise of the spectrum, in logarithms, that is none."""
_ONSET_RATIO, _ONSET_LEAST = 3.0, 0.08
"""Factor and offset, in logarithms, by which an onset exceeds the median rise of the spectrum in the last second."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A moment of sound; all but the counts are 0 to 1."""

    level: float = 0.0
    bass: float = 0.0
    mid: float = 0.0
    treble: float = 0.0
    onset: float = 0.0
    """1 where something begins, and falling."""
    beat: float = 0.0
    """1 on a beat, and falling to the next."""
    onsets: int = 0
    """Number of onsets so far."""
    beats: int = 0
    position: float = 0.0
    """In beats: how many there have been, and how much of the way to the next is over."""


SILENCE = Heard()
SIGNALS = ("level", "bass", "mid", "treble", "onset", "beat")


class _Loudness:
    """The loudness of a part of the spectrum, 0 to 1."""

    def __init__(self) -> None:
        self.value = 0.0
        self._loudest_db = _LEAST_LOUD_DB

    def feed(self, power: float) -> None:
        level_db = 10 * np.log10(power + 1e-12)
        self._loudest_db = max(level_db, _LEAST_LOUD_DB, self._loudest_db - 6 * HOP_S / LOUDEST_S)
        share = 1 + (level_db - self._loudest_db) / RANGE_DB if level_db > FLOOR_DB else 0.0
        self.value = max(float(np.clip(share, 0, 1)), self.value * float(np.exp(-HOP_S / RELEASE_S)))
        if self.value < 1e-3:
            self.value = 0.0


class Analyser:
    """Takes sound in order, and tells what the newest moment of it is."""

    def __init__(self) -> None:
        self.heard = SILENCE
        self.hops = 0
        """Number of hops taken; the newest moment is at `hops * HOP_S`."""
        self._left: Samples = np.zeros(0, np.float32)
        self._window: Samples = np.zeros(WINDOW, np.float32)
        self._shape = np.hanning(WINDOW).astype(np.float32)
        self._scale = 2 / float(self._shape.sum())
        self._bands = _bands()
        hz = np.fft.rfftfreq(WINDOW, 1 / RATE)
        self._parts = (hz < _BASS_HZ, (hz >= _BASS_HZ) & (hz < _TREBLE_HZ), hz >= _TREBLE_HZ)
        self._loudness = tuple(_Loudness() for _ in range(4))
        self._past: deque[NDArray[np.float64]] = deque(maxlen=_BEFORE)
        self._rises: deque[float] = deque(maxlen=round(1 / HOP_S))
        self._onsets = 0
        self._since_onset = round(1 / HOP_S)
        self._tracker = BeatTracker(HOP_S)

    def feed(self, samples: Samples) -> None:
        """Take what comes next, of any length."""
        self._left = np.concatenate([self._left, samples]) if self._left.size else samples
        whole = len(self._left) // HOP * HOP
        for at in range(0, whole, HOP):
            self._hop(self._left[at : at + HOP])
        self._left = self._left[whole:]

    def _hop(self, samples: Samples) -> None:
        self._window = np.concatenate([self._window[HOP:], samples])
        magnitude = np.abs(np.fft.rfft(self._window * self._shape)) * self._scale
        power = magnitude**2 / 2
        level, bass, mid, treble = self._loudness
        loud = float(np.mean(samples.astype(np.float64) ** 2))
        level.feed(loud)
        for loudness, part in zip((bass, mid, treble), self._parts, strict=True):
            loudness.feed(float(power[part].sum()))
        begins = self._begins(magnitude, silent=loud < _SILENT)
        tracker = self._tracker
        tracker.feed(self._prominence())
        self.hops += 1
        self._since_onset = 0 if begins else self._since_onset + 1
        self._onsets += begins
        phase = tracker.phase if tracker.playing else 1.0
        self.heard = Heard(
            level.value,
            bass.value,
            mid.value,
            treble.value,
            onset=max(0.0, 1 - self._since_onset * HOP_S / PULSE_S),
            beat=1 - phase,
            onsets=self._onsets,
            beats=tracker.beats,
            # A beat that is foretold later than before does not take any of the way back.
            position=max(self.heard.position, tracker.beats + (phase if tracker.playing else 0.0)),
        )

    def _begins(self, magnitude: NDArray[np.floating], *, silent: bool) -> bool:
        """Note how much the spectrum rises, and return whether something begins: the hop before was the highest."""
        spectrum = np.log1p(_COMPRESSION * (self._bands @ magnitude))
        rise = (
            float(np.maximum(0, spectrum - self._past[0]).mean()) if len(self._past) == _BEFORE and not silent else 0.0
        )
        self._past.append(spectrum)
        self._rises.append(rise)
        if len(self._rises) < 3 or self._since_onset * HOP_S < LEAST_GAP_S:
            return False
        before, peak, now = self._rises[-3], self._rises[-2], self._rises[-1]
        usual = sorted(self._rises)[len(self._rises) // 2]
        return peak > before and peak >= now and peak > _ONSET_RATIO * usual + _ONSET_LEAST

    def _prominence(self) -> float:
        """Return how far the newest rise is above what is usual, which noise and tones are not."""
        mean = sum(self._rises) / len(self._rises)
        return max(0.0, self._rises[-1] - mean - _RISE_LEAST)


def _bands() -> NDArray[np.float64]:
    """Return weights `[band bin]` of bands that overlap, evenly spaced in pitch, none of them empty."""
    hz = np.fft.rfftfreq(WINDOW, 1 / RATE)
    edges = np.geomspace(_LOWEST_HZ, _HIGHEST_HZ, _BANDS + 2)
    bands = []
    for low, middle, high in zip(edges, edges[1:], edges[2:], strict=False):
        up, down = (hz - low) / (middle - low), (high - hz) / (high - middle)
        weights = np.clip(np.minimum(up, down), 0, None)
        if not weights.any():
            weights[np.argmin(abs(hz - middle))] = 1.0
        bands.append(weights / weights.sum())
    return np.array(bands)
