"""How far the camera has moved, so that brush strokes stay on the world and not on the lens."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vivace.models.thumbnail import Thumbnail

LEAST_GAIN = 0.7
"""A shift is believed when it leaves at most this share of the difference that standing still leaves,"""
LEAST_AGREEING = 0.7
"""and when it explains this share of the blocks better in which anything changed,"""
LEAST_BLOCKS = 0.5
"""and this share of all blocks: a white car on blank asphalt is all that changes, and still not the camera."""
CLEARLY = 0.85
"""A block counts as better explained below this share of its difference."""
BLOCKS = 6
"""Blocks a side."""
REACH = 1 / 6
"""Past this share of the picture the reference is renewed: too little of it is left to compare."""
REFERENCE_FRAMES = 45
"""The reference is renewed at least this often: light and things change."""

Luma = NDArray[np.float32]


class CameraMotion:
    """Follows the translation of the whole picture by phase correlation (Kuglin and Hines, 1975), causally.

    Each frame is compared with a reference some frames back, not with its predecessor: slow pans of a fraction of a
    px a frame are seen, and errors do not add up from frame to frame.
    """

    def __init__(self) -> None:
        self._reference: Luma | None = None
        self._spectrum: NDArray[np.complex128] | None = None
        self._window: Luma | None = None
        self._base = (0.0, 0.0)
        self._offset = (0.0, 0.0)
        self._age = 0

    def reset(self) -> None:
        """Forget everything; the next frame is at (0, 0)."""
        self._reference = None
        self._base = self._offset = (0.0, 0.0)

    def save(self) -> dict[str, NDArray[Any]]:
        """Return all that is remembered."""
        kept: dict[str, NDArray[Any]] = {"motion": np.array([*self._base, *self._offset, self._age], np.float64)}
        return kept if self._reference is None else kept | {"motion_reference": self._reference.copy()}

    def restore(self, kept: Mapping[str, NDArray[Any]]) -> None:
        """Take what `save` gave."""
        self.reset()
        if "motion_reference" in kept:
            self._refer(kept["motion_reference"])
        down, right, down_now, right_now, age = kept["motion"].tolist()
        self._base, self._offset, self._age = (down, right), (down_now, right_now), int(age)

    def update(self, thumbnail: Thumbnail, cell: int) -> tuple[float, float]:
        """Return where the world of the first frame now is in the picture: `(down, right)` px.

        Where no single translation explains the picture, the last answer stands.

        Args:
            thumbnail: of the picture, `float32 [h w 3]`; its green, which is most of luma, is what is compared.
            cell: side of a cell of the thumbnail, px of the picture.
        """
        luma = np.ascontiguousarray(thumbnail[..., 1])
        if self._reference is None or self._reference.shape != luma.shape:
            self._refer(luma)
            return self._offset
        self._age += 1
        shift = self._correlate(luma)
        if shift is not None and shift != (0.0, 0.0) and not explains(luma, self._reference, shift):
            shift = None
        if shift is not None:
            self._offset = (self._base[0] + shift[0] * cell, self._base[1] + shift[1] * cell)
            far = max(abs(shift[0]) / luma.shape[0], abs(shift[1]) / luma.shape[1]) > REACH
        if shift is None or far or self._age >= REFERENCE_FRAMES:
            self._refer(luma)
        return self._offset

    def _refer(self, luma: Luma) -> None:
        if self._window is None or self._window.shape != luma.shape:
            # The edges of a picture do not meet; fading them out keeps their seam from looking like a still object.
            self._window = np.outer(np.hanning(luma.shape[0]), np.hanning(luma.shape[1])).astype(np.float32)
        self._reference = luma
        self._spectrum = self._transform(luma)
        self._base = self._offset
        self._age = 0

    def _transform(self, luma: Luma) -> NDArray[np.complex128]:
        assert self._window is not None
        return np.fft.rfft2((luma - luma.mean()) * self._window)

    def _correlate(self, luma: Luma) -> tuple[float, float] | None:
        """Return the shift of `luma` against the reference in cells, `(down, right)`; None beyond half the picture."""
        assert self._spectrum is not None
        cross = self._transform(luma) * self._spectrum.conj()
        size = np.abs(cross)
        # Whitened, so that the peak is sharp, but not where there is nothing but noise.
        correlation = np.fft.irfft2(cross / (size + 1e-3 * size.max() + 1e-12) * _low_pass(luma.shape), luma.shape)
        h, w = correlation.shape
        y, x = (int(i) for i in np.unravel_index(int(np.argmax(correlation)), correlation.shape))
        dy = y + _vertex(correlation[y - 1, x], correlation[y, x], correlation[(y + 1) % h, x])
        dx = x + _vertex(correlation[y, x - 1], correlation[y, x], correlation[y, (x + 1) % w])
        down, right = (dy - h if dy > h / 2 else dy), (dx - w if dx > w / 2 else dx)
        if abs(down) > h / 3 or abs(right) > w / 3:
            return None
        if max(abs(down), abs(right)) < 0.12:
            # Sensor noise moves the vertex this far; a still camera must be still.
            return 0.0, 0.0
        return float(down), float(right)


def explains(luma: Luma, reference: Luma, shift: tuple[float, float]) -> bool:
    """Tell whether `reference` moved by `shift` cells looks more like `luma` than where it was, nearly everywhere."""
    whole = (int(np.floor(shift[0])), int(np.floor(shift[1])))
    fy, fx = shift[0] - whole[0], shift[1] - whole[1]
    h, w = luma.shape
    top, left = max(0, whole[0] + 1), max(0, whole[1] + 1)
    bottom, right = min(h, h + whole[0]), min(w, w + whole[1])

    def moved(dy: int, dx: int) -> Luma:
        return reference[top - whole[0] - dy : bottom - whole[0] - dy, left - whole[1] - dx : right - whole[1] - dx]

    blended = (1 - fy) * ((1 - fx) * moved(0, 0) + fx * moved(0, 1)) + fy * ((1 - fx) * moved(1, 0) + fx * moved(1, 1))
    here = luma[top:bottom, left:right]
    with_shift = _block_means(np.abs(here - blended))
    standing = _block_means(np.abs(here - reference[top:bottom, left:right]))
    # Where nothing is to be seen, nothing speaks for either.
    speaks = np.maximum(with_shift, standing) > 1.0
    better = (with_shift < CLEARLY * standing) & speaks
    return bool(
        better.sum() >= max(LEAST_AGREEING * speaks.sum(), LEAST_BLOCKS * better.size)
        and with_shift.mean() <= LEAST_GAIN * standing.mean()
    )


def _block_means(x: Luma) -> Luma:
    h, w = x.shape[0] // BLOCKS, x.shape[1] // BLOCKS
    return np.asarray(x[: h * BLOCKS, : w * BLOCKS].reshape(BLOCKS, h, BLOCKS, w).mean(axis=(1, 3)), np.float32)


@lru_cache(maxsize=8)
def _low_pass(shape: tuple[int, ...]) -> NDArray[np.float64]:
    # The finest part of the spectrum is mostly noise and aliasing.
    fy, fx = np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
    gain: NDArray[np.float64] = np.exp(-(fy**2 + fx**2) / (2 * 0.16**2))
    return gain


def _vertex(left: float, middle: float, right: float) -> float:
    """Return where the parabola through three samples peaks, relative to the middle one."""
    bend = left - 2 * middle + right
    return 0.0 if abs(bend) < 1e-12 else float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5))
