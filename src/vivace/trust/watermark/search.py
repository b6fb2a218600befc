"""Find the pilot in evidence, whatever the picture's scale, turn and offset, and read the message beside it.

Under a scale, evidence is summed over the tiles; their spectrum is compared with the pilot's at all offsets at once.
The score is a sum of as many terms as the pilot has signs, divided by the root of the sum of their squares. Were the
picture made without knowledge of the signs, each term would be as likely above 0 as below, and by Hoeffding's
inequality a score of t or more would come up with a probability of at most exp(-t^2 / 2), whatever the picture. That
times the number of hypotheses tried bounds the probability that a picture is called marked and is not.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vivace.trust.watermark import code
from vivace.trust.watermark.pattern import CARRIERS, PILOTS, SAMPLES, TILE_PX, harmonics

TOLERATED_FALSE_ALARM = 1e-6
_RINGS = [slice((PILOTS + CARRIERS) * ring // 6, (PILOTS + CARRIERS) * (ring + 1) // 6) for ring in range(6)]
_TURNS = tuple((quarters, exchanged) for exchanged in (False, True) for quarters in range(4))
_DRIFT_PX = 2.5
"""Between the pattern and the nearest of the hypotheses, at the edge of the picture, in px of the original."""
_ONE_THREAD = 1 << 18
"""Multiplications."""
_REFINED, _NEARER = 6, 9
"""Places looked at again, and scales around each: between two of the coarse ones, then between two of these."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence for the scales of one band."""

    values: NDArray[np.float32]
    pitch_px: float
    """How many px of the picture lie between two values."""
    scales: tuple[float, float]
    """From the smallest to the largest."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the pattern lies."""

    scale: float
    """Px of the picture for each px of the original."""
    turn: tuple[int, bool]
    """Quarter turns, and whether rows and columns are exchanged before them."""
    offset: tuple[float, float] = (0.0, 0.0)
    """Of the tile, in samples, down and to the right."""
    score: float = -math.inf


@dataclass(frozen=True, slots=True)
class Reading:
    """What the search has found."""

    place: Place
    hypotheses: int
    """Tried in all."""
    payload: int | None
    """None if it cannot be read."""

    @property
    def false_alarm(self) -> float:
        """Bound of the probability that an unmarked picture scores as high at any of the hypotheses."""
        return min(1.0, self.hypotheses * math.exp(-(max(self.place.score, 0.0) ** 2) / 2))


def search(bands: Sequence[Evidence], near: Place | None = None) -> Reading:
    """Return the likeliest place of the pattern, of all or about one, and what is read there."""
    if near is None:
        found = [(place, band) for band in bands for scale in _scales(band) for place in _compare(band, scale, SAMPLES)]
    else:
        of_scale = next(band for band in bands if near.scale <= band.scales[1] or band is bands[-1])
        found = [(place, of_scale) for place in _compare(of_scale, near.scale, SAMPLES, [near.turn])]
    hypotheses = len(found) * SAMPLES**2
    found.sort(key=lambda one: -one[0].score)
    found = found[:_REFINED]
    span = 1.0
    for offsets in (SAMPLES, 4 * SAMPLES):
        nearer = []
        for place, band in found:
            for step in np.linspace(-span, span, _NEARER):
                nearer += [
                    (one, band) for one in _compare(band, place.scale * (1 + step * _step(band)), offsets, [place.turn])
                ]
        hypotheses += len(nearer) * offsets**2
        found = [max(nearer, key=lambda one: one[0].score)]
        span /= _NEARER - 1
    place, band = found[0]
    reading = Reading(place, hypotheses, None)
    return replace(reading, payload=_read(band, place)) if reading.false_alarm < TOLERATED_FALSE_ALARM else reading


def _step(band: Evidence) -> float:
    """Return half the step between scales, as a share of them."""
    reach_px: float = max(band.values.shape) * band.pitch_px / band.scales[1] / 2
    return _DRIFT_PX / reach_px


def _scales(band: Evidence) -> Iterator[float]:
    smallest, largest = band.scales
    count = math.ceil(math.log(largest / smallest) / (2 * _step(band)))
    return iter((smallest * (largest / smallest) ** ((np.arange(count) + 0.5) / count)).tolist())


def _compare(band: Evidence, scale: float, offsets: int, turns: Sequence[tuple[int, bool]] = _TURNS) -> list[Place]:
    """Return the best offset of each turn."""
    known = harmonics()
    down, right = known.down[known.is_pilot], known.right[known.is_pilot]
    spectrum = _tile_spectrum(band, scale)
    found = []
    for turn in turns:
        pilots = _harmonics(spectrum, turn)[known.is_pilot]
        terms = np.zeros((offsets, offsets), np.complex128)
        terms[down, right] = pilots.conj() * known.pilot
        scores = np.fft.fft2(terms).real / math.sqrt((np.abs(pilots) ** 2).sum() + 1e-9)
        at = np.unravel_index(int(scores.argmax()), scores.shape)
        offset = (int(at[0]) * SAMPLES / offsets, int(at[1]) * SAMPLES / offsets)
        found.append(Place(scale, turn, offset, float(scores[at])))
    return found


def _tile_spectrum(band: Evidence, scale: float) -> NDArray[np.complex64]:
    """Return the harmonics of the tile, of evidence summed over all tiles: `[n, n]`, 0 first, as an FFT's."""
    highest = harmonics().right.max()
    cycles = np.fft.ifftshift(np.arange(-highest, highest + 1))

    def waves(count: int) -> NDArray[np.complex64]:
        at = (np.arange(count) + 0.5) * (band.pitch_px / scale / TILE_PX)
        made: NDArray[np.complex64] = np.exp(-2j * np.pi * np.outer(cycles, at)).astype(np.complex64)
        return made

    height, width = band.values.shape
    down, right = waves(height), waves(width)
    # A product this small gets one thread of OpenBLAS. Beside other work its threads wait for each other: twenty times
    # as long was measured.
    columns = max(_ONE_THREAD // (2 * len(cycles) * height), 1)
    parts = np.concatenate([down.real, down.imag])
    found = np.zeros((len(cycles), len(cycles)), np.complex64)
    for left in range(0, width, columns):
        real, imaginary = np.split(parts @ band.values[:, left : left + columns], 2)
        found += (real + 1j * imaginary) @ right[:, left : left + columns].T
    return found


def _harmonics(spectrum: NDArray[np.complex64], turn: tuple[int, bool]) -> NDArray[np.complex128]:
    """Return the pattern's harmonics of a turned tile, each ring of them as loud as the others, none very loud."""
    known = harmonics()
    down, right = known.down, known.right
    quarters, exchanged = turn
    if exchanged:
        down, right = right, down
    for _ in range(quarters):
        down, right = -right, down
    values = spectrum[down, right].astype(np.complex128)
    for ring in _RINGS:
        values[ring] /= math.sqrt((np.abs(values[ring]) ** 2).mean() / 2) + 1e-9
    squashed: NDArray[np.complex128] = values / (1 + np.abs(values))
    return squashed


def _read(band: Evidence, place: Place) -> int | None:
    """Return the payload, each sign as trusted as the pilots of its ring are seen well."""
    known = harmonics()
    values = _harmonics(_tile_spectrum(band, place.scale), place.turn)
    values *= np.exp(2j * np.pi / SAMPLES * (known.down * place.offset[0] + known.right * place.offset[1]))
    pilots = np.zeros(len(values), np.complex128)
    pilots[known.is_pilot] = known.pilot
    for ring in _RINGS:
        power = float((np.abs(values[ring]) ** 2).mean() / 2)
        agreement = float((values[ring] * pilots[ring].conj()).real[known.is_pilot[ring]].mean() / 2)
        agreement = min(max(agreement, 0.05 * power**0.5), 0.95 * power**0.5)
        values[ring] *= agreement / (power - agreement**2 + 1e-9)
    carriers = values[~known.is_pilot]
    signs = np.empty(code.SIGNS)
    signs[known.order] = np.concatenate([carriers.real, carriers.imag])
    return code.read_message(code.decode(signs))
