"""Camera motion by phase correlation, so that brush strokes stick to the scene and not to the lens."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vivace.models.thumbnail import Thumbnail

LEAST_GAIN = 0.7
"""Largest remaining difference with a shift, as a share of that without it, for the shift to be accepted."""
LEAST_AGREEING = 0.7
"""Smallest share of the changed blocks that the shift must explain better."""
LEAST_BLOCKS = 0.5
"""Smallest share of all blocks that it must explain better: a white car on plain asphalt is all that changes, yet not
the camera."""
CLEARLY = 0.85
"""Share of its unshifted difference below which a block counts as better explained."""
BLOCKS = 6
"""Blocks per side."""
REACH = 1 / 6
"""Share of the picture beyond which the reference is renewed: too little of it remains to compare."""
REFERENCE_FRAMES = 45
"""Frames after which the reference is renewed at the latest: light and objects change."""

Luma = NDArray[np.float32]


class CameraMotion:
    """Estimator of global translation by phase correlation (Kuglin and Hines, 1975), causal.

    Each frame is compared with a reference some frames back, not with its predecessor: slow pans of a fraction of a px
    per frame are detected, and errors do not accumulate.
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
        """Return the complete state."""
        kept: dict[str, NDArray[Any]] = {"motion": np.array([*self._base, *self._offset, self._age], np.float64)}
        return kept if self._reference is None else kept | {"motion_reference": self._reference.copy()}

    def restore(self, kept: Mapping[str, NDArray[Any]]) -> None:
        """Restore what `save` returned."""
        self.reset()
        if "motion_reference" in kept:
            self._refer(kept["motion_reference"])
        down, right, down_now, right_now, age = kept["motion"].tolist()
        self._base, self._offset, self._age = (down, right), (down_now, right_now), int(age)

    def update(self, thumbnail: Thumbnail, cell: int) -> tuple[float, float]:
        """Return the position of the first frame's content in this picture, `(down, right)` px.

        If no single translation explains the picture, the last position is returned.

        Args:
            thumbnail: of the picture, `float32 [h w 3]`; its green channel, most of luma, is compared.
            cell: side of a thumbnail cell, px of the picture.
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
            # The edges of a picture do not match; fading them out keeps their seam from looking like a static object.
            self._window = np.outer(np.hanning(luma.shape[0]), np.hanning(luma.shape[1])).astype(np.float32)
        self._reference = luma
        self._spectrum = self._transform(luma)
        self._base = self._offset
        self._age = 0

    def _transform(self, luma: Luma) -> NDArray[np.complex128]:
        assert self._window is not None
        return np.fft.rfft2((luma - luma.mean()) * self._window)

    def _correlate(self, luma: Luma) -> tuple[float, float] | None:
        """Return the shift of `luma` against the reference in cells, `(down, right)`; None beyond a third of a side."""
        assert self._spectrum is not None
        cross = self._transform(luma) * self._spectrum.conj()
        size = np.abs(cross)
        # Whitened for a sharp peak, but not where there is only noise.
        correlation = np.fft.irfft2(cross / (size + 1e-3 * size.max() + 1e-12) * _low_pass(luma.shape), luma.shape)
        h, w = correlation.shape
        y, x = (int(i) for i in np.unravel_index(int(np.argmax(correlation)), correlation.shape))
        dy = y + _vertex(correlation[y - 1, x], correlation[y, x], correlation[(y + 1) % h, x])
        dx = x + _vertex(correlation[y, x - 1], correlation[y, x], correlation[y, (x + 1) % w])
        down, right = (dy - h if dy > h / 2 else dy), (dx - w if dx > w / 2 else dx)
        if abs(down) > h / 3 or abs(right) > w / 3:
            return None
        if max(abs(down), abs(right)) < 0.12:
            # Sensor noise moves the vertex this far; a static camera must stay at zero.
            return 0.0, 0.0
        return float(down), float(right)


def explains(luma: Luma, reference: Luma, shift: tuple[float, float]) -> bool:
    """Return whether `reference` shifted by `shift` cells matches `luma` better than unshifted, nearly everywhere."""
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
    # Blocks without difference favour neither.
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
    """Return the peak of the parabola through three samples, relative to the middle one."""
    bend = left - 2 * middle + right
    return 0.0 if abs(bend) < 1e-12 else float(np.clip(0.5 * (left - right) / bend, -0.5, 0.5))
