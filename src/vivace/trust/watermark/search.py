"""Find the pattern in evidence, whatever the picture's scale, turn and offset, and read its message.

Under a scale, evidence is summed over the tiles; their spectrum is compared with the pilot's at all offsets at once,
and at the likeliest places the message is read.

How sure: a score is a sum of as many terms as there are signs, divided by the root of the sum of their squares. Were
the picture made without knowledge of the signs, each term would be as likely above 0 as below, and a score of t or more
would come up with a probability of at most 3.18 times that of a normal variable, whatever the picture (Bentkus and
Dzindzalieta, "A tight Gaussian bound for weighted sums of Rademacher random variables", 2015). That times the number of
hypotheses bounds the probability that a picture is called marked and is not. It is called so in three ways, each of
which has a third of the probability:

* by the pilot, at any of the places that a search may come to, also those that it did not, since it looks more closely
  where the pilot is likelier;
* by pilot and message together, at any of these places and with any of 2^48 payloads, so that it does not matter how
  the message was guessed;
* by the message alone, with any payload, at the few places where it is read: only the pilot chose these, whose signs
  say nothing of the message's.

Of the first two a quarter is for pictures as they were marked, a quarter for parts of such pictures, a quarter for
crops of them, and a quarter for all else, so that what is likelier needs less.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from vivace.trust.watermark import code
from vivace.trust.watermark.pattern import CARRIERS, PILOTS, SAMPLES, TILE_PX, harmonics, phases

TOLERATED_FALSE_ALARM = 1e-6
_RING_ENDS = (PILOTS + CARRIERS) * np.arange(7) // 6
_RINGS = [slice(*ends) for ends in pairwise(_RING_ENDS)]
_RADEMACHER = 1 / (2 * math.erfc(1))
"""A sum of random signs, weighed so that its variance is 1, exceeds anything at most so often as a normal variable."""
_TURNS = tuple((quarters, exchanged) for exchanged in (False, True) for quarters in range(4))
_DRIFT_PX = 2.5
"""Between the pattern and the nearest of the hypotheses, at the edge of the picture, in px of the original."""
_ONE_THREAD = 1 << 18
"""Multiplications."""
_REFINED, _NEARER = 8, 9
"""Places looked at again, and scales around each: between two of the coarse ones, then between two of these.

At the best of them offsets are compared a quarter of a sample apart."""
_SPANS = (1.0, 1.0 / (_NEARER - 1))
"""Reach of the scales around a place, in half steps between the coarse ones."""
PARTS = tuple(
    (top, top + height, left, left + width)
    for height, width in ((1.0, 0.5), (0.5, 1.0), (0.5, 0.5))
    for top in ((0.0,) if height == 1 else (0.0, 0.25, 0.5))
    for left in ((0.0,) if width == 1 else (0.0, 0.25, 0.5))
)
"""Halves and quarters of a picture: top, bottom, left and right as shares of its sides."""
_OFFSETS, _APART = 12, 8
"""Offsets that are read in a picture as it was marked, and how far from one another, in quarters of a sample."""
_KINDS = 4
"""Kinds of places: as it was, a part of it, a crop, all else."""
_PLACES_READ = 1 + len(PARTS) + _OFFSETS + _REFINED
"""Most places where the message is read."""
_AS_IT_WAS = (0, False)
_LIKELY_PART = 2.0
"""Score of the pilot from which the message is read in a part of a picture; 0 on average without a watermark."""
_USUAL_DOUBT, _PART_DOUBT, _AS_IT_WAS_DOUBT = (5.6, 100), (3.0, 50), (3.0, 400)
"""Score of the pilot from which other messages are tried where the likeliest is none, and how many, by what a finding
needs there. The best place of a picture without a watermark has some 5.3."""
_AT_ONCE = 50
_DOUBT = 0.35
"""Standard deviation of what evidence is varied by for each, in its own."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Evidence for the scales of one band."""

    values: NDArray[np.float32]
    pitch_px: float
    """Distance between two values, px of the picture."""
    scales: tuple[float, float]
    """From the smallest to the largest."""


@dataclass(frozen=True, slots=True)
class Place:
    """Scale, turn and offset of the pattern."""

    scale: float
    """Px of the picture for each px of the original."""
    turn: tuple[int, bool]
    """Quarter turns, and whether rows and columns are exchanged before them."""
    offset: tuple[float, float] = (0.0, 0.0)
    """Offset of the tile, in samples, down and to the right."""
    score: float = -math.inf
    part: bool = False
    """True where only one of `PARTS` of the picture is looked at."""

    @property
    def as_it_was(self) -> bool:
        """True where the picture was neither scaled nor turned nor cropped at its upper left."""
        return (self.scale, self.turn, self.offset) == (1, _AS_IT_WAS, (0, 0))


@dataclass(frozen=True, slots=True)
class Reading:
    """Result of a search."""

    place: Place
    hypotheses: int
    """Number of places like this one that a search may come to."""
    message: int | None = None
    """A payload whose check holds; None if none was read."""
    together: float = -math.inf
    """Score of pilot and message together."""
    alone: float = -math.inf
    """Score of the message alone."""

    @property
    def false_alarm(self) -> float:
        """Bound of the probability that an unmarked picture scores as high anywhere, in any of the three ways."""
        payloads = 2.0**code.PAYLOAD_BITS
        ways = (
            _KINDS * self.hypotheses * _tail(self.place.score),
            _KINDS * self.hypotheses * payloads * _tail(self.together),
            _PLACES_READ * payloads * _tail(self.alone),
        )
        return min(1.0, len(ways) * min(ways))

    @property
    def payload(self) -> int | None:
        """Payload; None if it is not found, or cannot be read."""
        return self.message if self.false_alarm < TOLERATED_FALSE_ALARM else None


def search(bands: Sequence[Evidence], near: Place | None = None) -> Reading:
    """Return the likeliest place of the pattern, of all or about one, and what is read there.

    A picture that was neither scaled nor turned, as most are, is read first: there the message is read at the best
    offsets and in the parts where some of the pilot is. All scales and turns are searched if it is not found there.
    """
    usual = next(band for band in bands if band.scales[0] <= 1 <= band.scales[1])
    best = _read([*_parts(usual), *((place, usual) for place in _peaks(usual))], 0)
    if best.payload is not None:
        return best
    if near is None:
        found = [(place, band) for band in bands for scale in _scales(band) for place in _compare(band, scale, SAMPLES)]
    else:
        of_scale = next(band for band in bands if near.scale <= band.scales[1] or band is bands[-1])
        found = [(place, of_scale) for place in _compare(of_scale, near.scale, SAMPLES, [near.turn])]
    likely: list[tuple[Place, Evidence]] = []
    for place, band in sorted(found, key=lambda one: -one[0].score)[:_REFINED]:
        for span in _SPANS:
            nearer = [
                one
                for step in np.linspace(-span, span, _NEARER)
                for one in _compare(band, place.scale * (1 + step * _step(band)), SAMPLES, [place.turn])
            ]
            place = max(nearer, key=lambda one: one.score)
        likely += ((one, band) for one in _compare(band, place.scale, 4 * SAMPLES, [place.turn]))
    return min(best, _read(likely, len(found)), key=lambda one: one.false_alarm)


def _read(likely: Sequence[tuple[Place, Evidence]], searched: int) -> Reading:
    """Return the surest reading of some places, `searched` being the number of scales and turns they were chosen of."""
    found_there = [_found(band, place) for place, band in likely]
    messages = code.decode(np.stack([signs for _, signs in found_there]))
    readings = [
        Reading(place, _places_like(place, searched), *_message(values, bits[None]))
        for (place, _), (values, _), bits in zip(likely, found_there, messages, strict=True)
    ]
    best = min(readings, key=lambda one: one.false_alarm)
    if best.payload is not None:
        return best
    for (place, _), (values, signs) in zip(likely, found_there, strict=True):
        doubtful, guesses = _USUAL_DOUBT
        if place.as_it_was:
            doubtful, guesses = _PART_DOUBT if place.part else _AS_IT_WAS_DOUBT
        random = np.random.default_rng(0)
        for _ in range(guesses // _AT_ONCE if place.score > doubtful else 0):
            varied = signs + random.normal(0, _DOUBT * signs.std(), (_AT_ONCE, code.SIGNS))
            reading = Reading(place, _places_like(place, searched), *_message(values, code.decode(varied)))
            best = min(best, reading, key=lambda one: one.false_alarm)
            if best.payload is not None:
                return best
    return best


def _places_like(place: Place, searched: int) -> int:
    """Return to how many places of its kind a search may come that begins at `searched` scales and turns."""
    if place.as_it_was:
        return len(PARTS) if place.part else 1
    offsets = (4 * SAMPLES) ** 2
    cropped = place.scale == 1 and place.turn == _AS_IT_WAS
    return offsets if cropped else searched * _NEARER ** len(_SPANS) * offsets


def _parts(band: Evidence) -> Iterator[tuple[Place, Evidence]]:
    """Yield the parts of a picture as it was marked where the message may be, and their evidence alone.

    Where a small part was repainted, the rest of the picture is noise that the part by itself is without.
    """
    known = harmonics()
    for part in PARTS:
        top, bottom, left, right = (
            round(share * side) for share, side in zip(part, np.repeat(band.values.shape, 2), strict=True)
        )
        alone = replace(band, values=np.zeros_like(band.values))
        alone.values[top:bottom, left:right] = band.values[top:bottom, left:right]
        pilots = _harmonics(_tile_spectrum(alone, 1.0), [_AS_IT_WAS])[0, known.is_pilot]
        score = float((pilots.conj() * known.pilot).real.sum() / _norm(pilots))
        if score >= _LIKELY_PART:
            yield Place(1.0, _AS_IT_WAS, score=score, part=True), alone


def _peaks(band: Evidence) -> list[Place]:
    """Return the best offsets in a picture that was neither scaled nor turned, none close to another, and offset 0."""
    count = 4 * SAMPLES
    (scores,) = _scores(_tile_spectrum(band, 1.0), [_AS_IT_WAS], count)
    reach = np.arange(-_APART, _APART + 1)
    found = [Place(1.0, _AS_IT_WAS, (0.0, 0.0), float(scores[0, 0]))]
    scores[0, 0] = -math.inf
    for _ in range(_OFFSETS):
        down, right = np.unravel_index(int(scores.argmax()), scores.shape)
        offset = (int(down) * SAMPLES / count, int(right) * SAMPLES / count)
        found.append(Place(1.0, _AS_IT_WAS, offset, float(scores[down, right])))
        scores[np.ix_((down + reach) % count, (right + reach) % count)] = -math.inf
    return found


def _tail(score: float) -> float:
    """Return the bound of the probability of a score in a picture that knows nothing of the signs."""
    return _RADEMACHER / 2 * math.erfc(score / math.sqrt(2))


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
    scores = _scores(_tile_spectrum(band, scale), turns, offsets)
    best = scores.reshape(len(turns), -1).argmax(axis=1)
    found = []
    for turn, of_turn, at in zip(turns, scores, best.tolist(), strict=True):
        down, right = divmod(at, offsets)
        offset = (down * SAMPLES / offsets, right * SAMPLES / offsets)
        found.append(Place(scale, turn, offset, float(of_turn[down, right])))
    return found


def _scores(spectrum: NDArray[np.complex64], turns: Sequence[tuple[int, bool]], offsets: int) -> NDArray[np.float32]:
    """Return the pilot's score of each turn at each offset: `[turns offsets offsets]`."""
    known = harmonics()
    pilots = _harmonics(spectrum, turns)[:, known.is_pilot]
    pilots = pilots.conj() * (known.pilot / _norm(pilots)[:, None])
    terms = np.zeros((len(turns), offsets, offsets), np.complex64)
    terms[:, known.down[known.is_pilot], known.right[known.is_pilot]] = pilots
    return np.fft.fft2(terms).real.astype(np.float32, copy=False)


def _norm(values: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Return the standard deviation of sums of each row of values with random signs."""
    norm: NDArray[np.float64] = np.sqrt((values.real**2 + values.imag**2).sum(axis=-1) + 1e-9)
    return norm


def _tile_spectrum(band: Evidence, scale: float) -> NDArray[np.complex64]:
    """Return the harmonics of the tile, of evidence summed over all tiles: `[n, n]`, 0 first, as an FFT's."""
    height, width = band.values.shape
    down, right = (_waves(count, band.pitch_px / scale / TILE_PX) for count in (height, width))
    # A product this small gets one thread of OpenBLAS. Beside other work its threads wait for each other: twenty times
    # as long was measured.
    columns = max(_ONE_THREAD // (2 * len(down) * height), 1)
    parts = np.concatenate([down.real, down.imag])
    found = np.zeros((len(down), len(down)), np.complex64)
    for left in range(0, width, columns):
        both = parts @ band.values[:, left : left + columns]
        found += (both[: len(down)] + 1j * both[len(down) :]) @ right[:, left : left + columns].T
    return found


@lru_cache(maxsize=128)
def _waves(count: int, tiles: float) -> NDArray[np.complex64]:
    """Return the harmonics' waves over `count` values that are `tiles` apart: `[n count]`, 0 first, as an FFT's."""
    highest = int(harmonics().right.max())
    once = np.exp(-2j * np.pi * (np.arange(count) + 0.5) * tiles)
    # powers of one wave take less time than as many exponentials
    rising = np.cumprod(np.broadcast_to(once, (highest, count)), axis=0, dtype=np.complex128)
    return np.concatenate([np.ones((1, count)), rising, rising[::-1].conj()]).astype(np.complex64)


@cache
def _turned(turn: tuple[int, bool]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return where the pattern's harmonics are after a turn: cycles a tile, down and to the right."""
    down, right = harmonics().down, harmonics().right
    quarters, exchanged = turn
    if exchanged:
        down, right = right, down
    for _ in range(quarters):
        down, right = -right, down
    return down, right


def _harmonics(spectrum: NDArray[np.complex64], turns: Sequence[tuple[int, bool]]) -> NDArray[np.complex128]:
    """Return the pattern's harmonics of turned tiles, all rings equally loud, none very loud: `[turns 400]`."""
    values = np.stack([spectrum[_turned(turn)] for turn in turns]).astype(np.complex128)
    sizes = np.diff(_RING_ENDS)
    power = np.add.reduceat(values.real**2 + values.imag**2, _RING_ENDS[:-1], axis=1) / sizes
    values /= (np.sqrt(power / 2) + 1e-9).repeat(sizes, axis=1)
    values /= 1 + np.abs(values)
    return values


def _found(band: Evidence, place: Place) -> tuple[NDArray[np.complex128], NDArray[np.float64]]:
    """Return the pattern's harmonics at a place, and the evidence of the message's signs: `[400]`, `[576]`.

    Each sign is as trusted as the pilots of its ring are seen well.
    """
    known = harmonics()
    (values,) = _harmonics(_tile_spectrum(band, place.scale), [place.turn])
    values *= np.exp(2j * np.pi / SAMPLES * (known.down * place.offset[0] + known.right * place.offset[1]))
    pilots = np.zeros(len(values), np.complex128)
    pilots[known.is_pilot] = known.pilot
    trust = np.empty(len(values))
    for ring in _RINGS:
        power = float((np.abs(values[ring]) ** 2).mean() / 2)
        agreement = float((values[ring] * pilots[ring].conj()).real[known.is_pilot[ring]].mean() / 2)
        agreement = min(max(agreement, 0.05 * power**0.5), 0.95 * power**0.5)
        trust[ring] = agreement / (power - agreement**2 + 1e-9)
    carriers = (values * trust)[~known.is_pilot]
    signs = np.empty(code.SIGNS)
    signs[known.order] = np.concatenate([carriers.real, carriers.imag]) * known.scramble
    return values, signs


def _message(values: NDArray[np.complex128], messages: NDArray[np.uint8]) -> tuple[int | None, float, float]:
    """Return the best payload of messages `[n 64]`, its score with the pilot and alone; None where no check holds."""
    carries = ~harmonics().is_pilot
    best: tuple[int | None, float, float] = None, -math.inf, -math.inf
    for payload in {code.read_message(bits) for bits in messages}:
        if payload is None:
            continue
        agreement = (values * phases(payload).conj()).real
        together, alone = agreement.sum() / _norm(values), agreement[carries].sum() / _norm(values[carries])
        best = max(best, (payload, float(together), float(alone)), key=lambda one: one[1])
    return best
