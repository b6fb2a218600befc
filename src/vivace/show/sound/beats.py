"""Beat tracker, causal: it tells each beat as it comes.

After A. Stark, M. Davies and M. Plumbley, *Real-time beat-synchronous analysis of musical audio* (DAFx 2009): a score
that is high where onsets have come in step with earlier ones, with which the next beat is foretold when half of the way
to it is over. The period comes from the autocorrelation of the last seconds of onsets.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

ALPHA = 0.9
"""Weight of the score one beat ago; the rest is that of the present onset."""
TIGHTNESS = 5.0
"""Weight of keeping to the period; the paper's."""
SLOWEST_BPM, FASTEST_BPM = 60.0, 200.0
LIKELY_BPM = 115.0
SPREAD_OCTAVES = 0.6
"""Standard deviation of tempos around the likely one."""
HEARD_S = 6.0
"""Length of the past from which the period is estimated, s."""
RETOLD_S = 0.5
"""Time from one estimate of the period to the next, s."""
SETTLED_S = 2.5
"""Sound that is needed before the first beat, s."""
CLEAR = 0.25
"""Least autocorrelation, of 1, at the period; below it there is no beat in what is heard."""
SILENT_S = 2.0
"""Time without an onset after which there are no beats, s."""


class BeatTracker:
    """Takes the strength of onsets hop by hop, and tells beats."""

    def __init__(self, hop_s: float) -> None:
        """Expect a value every `hop_s` seconds."""
        self.beats = 0
        """Number of beats so far."""
        self._hop_s = hop_s
        self._shortest = round(60 / FASTEST_BPM / hop_s)
        self._longest = round(60 / SLOWEST_BPM / hop_s)
        self._period = round(60 / LIKELY_BPM / hop_s)
        self._onsets: NDArray[np.float64] = np.zeros(round(HEARD_S / hop_s))
        self._score: NDArray[np.float64] = np.zeros(3 * self._longest)
        self._heard = 0
        self._quiet = 0
        """Hops since the last onset."""
        self._clear = False
        self._since = 0
        """Hops since the last beat."""
        self._until = self._period
        """Hops until the next one."""
        self._lags = np.arange(self._shortest, self._longest + 1)
        octaves = np.log2(self._lags * hop_s * LIKELY_BPM / 60)
        self._prior = np.exp(-0.5 * (octaves / SPREAD_OCTAVES) ** 2)

    @property
    def playing(self) -> bool:
        """True while the sound has a clear beat."""
        return self._clear and self._quiet * self._hop_s < SILENT_S and self._heard * self._hop_s >= SETTLED_S

    @property
    def phase(self) -> float:
        """Position between the last beat, 0, and the next, 1."""
        return min(1.0, self._since / max(1, self._since + self._until))

    @property
    def bpm(self) -> float:
        """Tempo, beats a minute."""
        return 60 / (self._period * self._hop_s)

    def feed(self, onset: float) -> bool:
        """Take the next hop's onset strength, 0 and up, and return whether a beat falls on it."""
        self._heard += 1
        self._quiet = 0 if onset > 0 else self._quiet + 1
        self._onsets[:-1] = self._onsets[1:]
        self._onsets[-1] = onset
        score = (1 - ALPHA) * onset + ALPHA * self._best_before(self._score)
        self._score[:-1] = self._score[1:]
        self._score[-1] = score
        if self._heard % round(RETOLD_S / self._hop_s) == 0:
            self._tell_period()
        self._since += 1
        self._until -= 1
        if self._since == max(1, self._period // 2):
            self._until = self._foretold()
        if self._until > 0:
            return False
        self._since, self._until = 0, self._period
        if not self.playing:
            return False
        self.beats += 1
        return True

    def _best_before(self, score: NDArray[np.float64]) -> float:
        """Return the best score that a beat next to come could follow, weighted by how well it is in step."""
        period = self._period
        back = np.arange(max(1, period // 2), 2 * period + 1)
        weights = np.exp(-0.5 * (TIGHTNESS * np.log(back / period)) ** 2)
        return float((weights * score[-back]).max())

    def _foretold(self) -> int:
        """Return in how many hops the next beat is due: where the score is going to be best, with no onset more."""
        period = self._period
        ahead = np.concatenate([self._score, np.zeros(period)])
        known = len(self._score)
        for step in range(period):
            ahead[known + step] = self._best_before(ahead[: known + step])
        steps = np.arange(1, period + 1)
        middle = period - period // 2
        expected = np.exp(-0.5 * ((steps - middle) / (period / 2)) ** 2)
        return int(steps[np.argmax(ahead[known:] * expected)])

    def _tell_period(self) -> None:
        heard = self._onsets[-min(self._heard, len(self._onsets)) :]
        centred = heard - heard.mean()
        spectrum = np.fft.rfft(centred, 2 * len(centred))
        correlation = np.fft.irfft(spectrum * np.conj(spectrum))[: len(centred)]
        if correlation[0] <= 0 or len(centred) < 2 * self._longest:
            return
        lags = np.arange(len(centred))
        correlation = correlation / correlation[0] * len(centred) / np.maximum(len(centred) - lags, self._longest)
        comb = np.zeros(len(self._lags))
        for multiple in (1, 2, 3, 4):
            reach = multiple - 1
            at = np.clip(self._lags * multiple, reach, len(correlation) - 1 - reach)
            around = sum(correlation[at + shift] for shift in range(-reach, reach + 1)) / (2 * reach + 1)
            comb += np.where(self._lags * multiple + reach < len(correlation), around, 0.0)
        # What it was is likelier, so that a fill does not throw it over.
        octaves = np.log2(self._lags / self._period)
        kept = 0.7 + 0.3 * np.exp(-0.5 * (octaves / 0.05) ** 2)
        best = int(np.argmax(comb * self._prior * kept))
        self._period = int(self._lags[best])
        near = correlation[max(0, self._period - 2) : self._period + 3]
        self.clarity = float(near.max())
        """Autocorrelation at the period, of 1."""
        self._clear = self.clarity >= CLEAR
