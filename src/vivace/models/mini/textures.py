"""Texture basis of a stream: noise, bands and strokes on a torus, and printer's screens.

The texture noise of a style *is* the noise field `z` that sampling starts from, so that a one-step model need not
average over unknown textures (DESIGN, noise-coupled teachers). Everything here is a deterministic function of the seed,
computed once when a stream opens. All fields are periodic, so moving them with the camera is a cyclic shift, exact at
any distance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.float32]

BAND_SIGMAS_PX = (1.5, 6.0, 6.0, 20.0, 20.0)
"""Gaussian scales of the bands, px of the working size: grain, two for washes and blooms, two for stroke direction."""
STROKE_COUNT = 8
"""Orientations of the stroke basis, 22.5 degrees apart: any direction is a blend of two neighbours."""
FLOWS: tuple[tuple[int, float], ...] = ((3, 1.1), (4, 1.6))
"""Free brush work where no edge defines a direction: strokes along a smooth random direction, as (band that is the
angle, radians per deviation). The first turns gently, like oil; the second swirls."""
STROKE_FIELDS = STROKE_COUNT + len(FLOWS)
STROKE_SHARPNESS = 24
"""Exponent of the cosine weights of neighbouring directions: narrow enough that strokes do not blur into each other."""
STROKE_SIGMAS_PX = (7.0, 1.0)
"""Gaussian extent of a stroke along and across its direction, px."""
SCREEN_COUNT = 6
"""Number of screens: ordered dither, halftone dots, and two crossed hatchings as sine and cosine."""
SCREEN_PERIOD_PX = 16
"""Period of all screens, px of the working size."""

_BAYER = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]], np.float32) / 16 - 0.47
PIXEL_PX = 4
"""Side of one cell of the ordered dither, px of the working size."""


@dataclass(frozen=True, slots=True)
class Textures:
    """Texture fields of one torus, each with zero mean and (flows: about) unit variance."""

    noise: Field
    """White Gaussian noise `[3 h w]`: `x_t` at t = 1."""
    bands: Field
    """Low-passed noise `[5 h w]`, see `BAND_SIGMAS_PX`."""
    strokes: Field
    """Noise smeared along 8 directions, angle k * pi / 8 from the x axis, then the two `FLOWS`, `[10 h w]`."""

    @property
    def nbytes(self) -> int:
        """Size of all fields, bytes."""
        return self.noise.nbytes + self.bands.nbytes + self.strokes.nbytes

    def window(self, top: int, left: int, height: int, width: int) -> Textures:
        """Return the part of the torus below and right of `(top, left)`, wrapping around."""
        rows = (top + np.arange(height)) % self.noise.shape[1]
        columns = (left + np.arange(width)) % self.noise.shape[2]
        return Textures(*(field[:, rows][:, :, columns] for field in (self.noise, self.bands, self.strokes)))


def make_textures(height: int, width: int, seed: int) -> Textures:
    """Return the texture fields of a torus of `height` x `width` px, deterministic in `seed`."""
    noise = np.random.default_rng(seed).standard_normal((3, height, width), np.float32)
    spectrum = np.fft.rfft2(noise)
    fy = np.fft.fftfreq(height)[:, None]
    fx = np.fft.rfftfreq(width)[None, :]

    def filtered(channel: int, gain: NDArray[np.float64]) -> Field:
        field: NDArray[np.float64] = np.fft.irfft2(spectrum[channel] * gain, s=(height, width))
        field -= field.mean()
        return np.asarray(field / (field.std() + 1e-9), np.float32)

    def gaussian_gain(along: float, across: float, angle: float) -> NDArray[np.float64]:
        # The Fourier transform of a Gaussian of deviation s is exp(-2 (pi s f)^2).
        u = fx * np.cos(angle) + fy * np.sin(angle)
        v = -fx * np.sin(angle) + fy * np.cos(angle)
        gain: NDArray[np.float64] = np.exp(-2 * np.pi**2 * ((along * u) ** 2 + (across * v) ** 2))
        return gain

    # Bands of one scale take different noise channels, so that they are independent.
    bands = np.stack([filtered((i + 1) % 3, gaussian_gain(s, s, 0.0)) for i, s in enumerate(BAND_SIGMAS_PX)])
    angles = np.arange(STROKE_COUNT) * np.pi / STROKE_COUNT
    strokes = np.stack([filtered(0, gaussian_gain(*STROKE_SIGMAS_PX, a)) for a in angles])
    flows = [brush(strokes, bands[band] * turn) for band, turn in FLOWS]
    return Textures(noise, bands, np.concatenate([strokes, np.stack(flows)]))


def brush(strokes: Field, angle: Field) -> Field:
    """Return stroke texture `[h w]` along `angle [h w]`: neighbours of `strokes [8 h w]`, blended at unit variance."""
    directions = np.arange(STROKE_COUNT, dtype=np.float32)[:, None, None] * (np.pi / STROKE_COUNT)
    weights = np.abs(np.cos(angle - directions)) ** STROKE_SHARPNESS
    return np.asarray((weights * strokes).sum(0) / np.sqrt((weights**2).sum(0) + 1e-6), np.float32)


def screens(height: int, width: int, scale_y: float = 1.0, scale_x: float = 1.0) -> Field:
    """Return the screens `[6 h w]` of an image whose px are `1 / scale` of a px of the working size.

    Channels: ordered dither threshold (cells of 4 px), halftone (45 degrees, period 8 px), sine and cosine of the two
    diagonal hatchings (period 16 / 3 px along each axis).
    """
    y = ((np.arange(height, dtype=np.float32) + 0.5) / scale_y)[:, None]
    x = ((np.arange(width, dtype=np.float32) + 0.5) / scale_x)[None, :]
    dither = _BAYER[(y // PIXEL_PX).astype(int) % 4, (x // PIXEL_PX).astype(int) % 4]
    u, v = (x + y) * (2 * np.pi / 8), (x - y) * (2 * np.pi / 8)
    dots = 0.5 * (np.cos(u) + np.cos(v))
    a, b = (x + y) * (2 * np.pi * 3 / 16), (x - y) * (2 * np.pi * 3 / 16)
    return np.stack([dither * 2, dots, np.sin(a), np.cos(a), np.sin(b), np.cos(b)]).astype(np.float32)
