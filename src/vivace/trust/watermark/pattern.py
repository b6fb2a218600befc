"""The pattern that is added: a sum of harmonics of a tile of 256 px, whose phases carry a pilot and the message.

The tile is repeated over the picture from its upper left corner: a crop moves it and loses nothing of it. Periods run
from 19.7 to 12.5 px: longer ones drown in the picture, shorter ones do not survive a codec at half the size. Each
harmonic has one of four phases, two signs. 112 of them, evenly spread over the band, are the pilot, the same for all
payloads, by which scale, turn and offset are found; 288 carry the 576 signs of the message (`code.py`), in a random
order and times random signs, so that those of each payload are as random as the pilot's.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from vivace.trust.watermark import code

TILE_PX = 256
SAMPLES = 64
"""Samples along each side of a tile, at which offsets are computed and searched."""
PILOTS, CARRIERS = 112, code.SIGNS // 2
_LOWEST = 13.0
"""Lowest frequency of the band, cycles a tile."""
_KEY = b"vivace watermark 1"


@dataclass(frozen=True, slots=True, eq=False)
class Harmonics:
    """The harmonics of the tile, from the lowest on: cycles a tile, downwards and to the right."""

    down: NDArray[np.intp]
    right: NDArray[np.intp]
    is_pilot: NDArray[np.bool_]
    pilot: NDArray[np.complex128]
    """Factors of the pilots: 1 or -1 in the real and in the imaginary part."""
    order: NDArray[np.intp]
    """Indices of the message's signs that the others carry: in all real parts, then in all imaginary ones."""
    scramble: NDArray[np.int8]
    """Signs that those of the message are multiplied with."""


@cache
def harmonics() -> Harmonics:
    """Return what of the pattern does not depend on the payload."""
    half = SAMPLES // 2
    down, right = (axis.reshape(-1) for axis in np.mgrid[0:half, 1 - half : half])
    radius = np.hypot(down, right)
    # a real tile has each harmonic twice, as k and -k: one of both is enough
    kept = np.flatnonzero(((down > 0) | (right > 0)) & (radius >= _LOWEST))
    kept = kept[np.lexsort((right[kept], down[kept], radius[kept]))][: PILOTS + CARRIERS]
    is_pilot = np.zeros(len(kept), np.bool_)
    is_pilot[(np.arange(PILOTS) * len(kept) + len(kept) // 2) // PILOTS] = True
    # random numbers by a hash: the same on every machine and with every version of a library
    signs = _random_signs(b" pilot", 2 * PILOTS)
    ranks = np.frombuffer(hashlib.shake_256(_KEY + b" order").digest(8 * code.SIGNS), "<u8")
    return Harmonics(
        down[kept],
        right[kept],
        is_pilot,
        signs[:PILOTS] + 1j * signs[PILOTS:],
        np.argsort(ranks),
        _random_signs(b" scramble", code.SIGNS).astype(np.int8),
    )


def _random_signs(of: bytes, count: int) -> NDArray[np.float64]:
    bits = np.unpackbits(np.frombuffer(hashlib.shake_256(_KEY + of).digest(-(-count // 8)), np.uint8))
    signs: NDArray[np.float64] = 1.0 - 2.0 * bits[:count].astype(np.float64)
    return signs


def phases(payload: int) -> NDArray[np.complex128]:
    """Return the factor of each harmonic, 1 or -1 in both parts: `complex [400]`."""
    known = harmonics()
    signs = code.encode(code.message_bits(payload))[known.order] * known.scramble
    made = np.empty(PILOTS + CARRIERS, np.complex128)
    made[known.is_pilot] = known.pilot
    made[~known.is_pilot] = signs[:CARRIERS] + 1j * signs[CARRIERS:]
    return made


def tile(payload: int) -> NDArray[np.float64]:
    """Return the pattern of a payload: `float64 [256 256]`, one value a px, with a root mean square of 1."""
    known = harmonics()
    spectrum = np.zeros((TILE_PX, TILE_PX), np.complex128)
    spectrum[known.down, known.right] = phases(payload)
    pattern = np.fft.ifft2(spectrum).real
    scaled: NDArray[np.float64] = pattern / pattern.std()
    return scaled
