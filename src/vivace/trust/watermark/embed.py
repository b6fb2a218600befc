"""Add the pattern to what was repainted, as the last thing that happens to a frame: whole numbers, a strip at a time.

The pattern is as strong as its surroundings hide it: 0.46 levels (root mean square) where the picture is flat, up to
1.6 where it is busy, by cells of 8x8 px. All three channels change by the same number, so that colours stay.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from vivace.checks import brief
from vivace.errors import ControlError
from vivace.media.frame import Frame, Rgb
from vivace.trust.watermark import code
from vivace.trust.watermark.pattern import TILE_PX, tile

CELL_PX = 8
_STRIP_PX = 32
_PATTERN_RMS = 3.65
_FLAT_GAIN, _BUSIEST_GAIN = 2, 7
_SHIFT = 4
"""A level is 16: a gain of 2 on a pattern of 3.65 is 0.46 levels. Product and rounding stay within eight bits."""
_MOST = 4
"""Levels that a px changes by."""
_PEAK = (_MOST << _SHIFT) // _BUSIEST_GAIN
_PER_VARIANCE = 1.5
_OF_NOISE = 0.3
"""Variance, in levels squared, that a camera's noise of one level has left in means of four px."""


class WatermarkEmbedder:
    """Mark the frames of one stream with a payload of 48 bits: a finisher.

    Pixels that are as in `source_rgb` stay exact, unless `everywhere` is set. What is within 4 levels of black or white
    stays, too.

    Raises:
        ControlError: the payload has more than 48 bits.
    """

    def __init__(self, payload: int, *, everywhere: bool = False):
        given: object = payload
        if not isinstance(given, int) or not 0 <= given < 1 << code.PAYLOAD_BITS:
            raise ControlError(
                f"the watermark's payload is {brief(given)}; give a whole number below 2^{code.PAYLOAD_BITS}"
            )
        self.payload = payload
        self.everywhere = everywhere
        pattern = np.clip(np.rint(tile(payload) * _PATTERN_RMS), -_PEAK, _PEAK).astype(np.int8)
        self._tile = pattern.repeat(3, axis=1)
        self._rows = np.empty((0, 0), np.int8)

    def __call__(self, frame: Frame) -> Frame:
        """Return the frame with the watermark; one that shows its source as it is, as it is."""
        if not (frame.painted or self.everywhere):
            return frame
        source = None if self.everywhere else frame.source_rgb
        return replace(frame, rgb=self.mark(frame.rgb, source))

    def mark(self, rgb: Rgb, source: Rgb | None = None) -> Rgb:
        """Return a picture with the watermark in each px that is not as in `source`, `uint8 [h w 3]` of its size."""
        height, width = rgb.shape[:2]
        row_bytes = 3 * width
        if self._rows.shape[1] != row_bytes:
            self._rows = np.tile(self._tile, (1, -(-width // TILE_PX)))[:, :row_bytes]
            self._changes = np.empty(_STRIP_PX * row_bytes, np.int8)
        gains = _gains(rgb[..., 1]).repeat(3 * CELL_PX, axis=1)[:, :row_bytes]
        marked = np.empty_like(rgb, order="C")
        before, after = rgb.reshape(-1), marked.reshape(-1)
        for top in range(0, height, _STRIP_PX):
            rows = min(_STRIP_PX, height - top)
            part = slice(top * row_bytes, (top + rows) * row_bytes)
            change = self._changes[: rows * row_bytes]
            _scale(self._rows[top % TILE_PX :][:rows], gains[top // CELL_PX :], change.reshape(rows, row_bytes))
            change += 1 << _SHIFT - 1
            change >>= _SHIFT
            # Byte by byte: where one channel of three stays as it was, nobody sees that.
            kept = np.subtract(before[part], _MOST) <= 0xFF - 2 * _MOST
            if source is not None:
                kept &= before[part] != source.reshape(-1)[part]
            change *= kept.view(np.int8)
            np.add(before[part], change.view(np.uint8), out=after[part])
        return marked


def _scale(pattern: NDArray[np.int8], gains: NDArray[np.int8], out: NDArray[np.int8]) -> None:
    """Write the pattern of some rows, times the gain of the cells they lie in."""
    cells, rest = divmod(len(pattern), CELL_PX)
    whole = cells * CELL_PX
    shape = (cells, CELL_PX, pattern.shape[1])
    np.multiply(pattern[:whole].reshape(shape), gains[:cells, None], out=out[:whole].reshape(shape))
    if rest:
        np.multiply(pattern[whole:], gains[cells], out=out[whole:])


def _gains(green: NDArray[np.uint8]) -> NDArray[np.int8]:
    """Return `int8 [cells down, cells across]`, by how busy each cell is in the pattern's band.

    That is the variance of means over 4x4 px, of every other row and column, without their slope: neither fine noise
    nor shading hides anything of the pattern.
    """
    missing = -green.shape[0] % CELL_PX, -green.shape[1] % CELL_PX
    if any(missing):
        green = np.pad(green, ((0, missing[0]), (0, missing[1])), mode="edge")
    samples = green[1::2, ::2].astype(np.float32)
    rows = samples[0::2] + samples[1::2]
    means = np.pad((rows[:, 0::2] + rows[:, 1::2]) / 4, 1, mode="edge")
    bends = np.square(means[1:-1, :-2] - 2 * means[1:-1, 1:-1] + means[1:-1, 2:])
    bends += np.square(means[:-2, 1:-1] - 2 * means[1:-1, 1:-1] + means[2:, 1:-1])
    # of white noise a second difference has six times the variance; two directions, four means a cell
    bends = bends[0::2] + bends[1::2]
    variance = (bends[:, 0::2] + bends[:, 1::2]) / (6 * 2 * 4)
    level = (1 << _SHIFT) / _PATTERN_RMS
    gains = np.sqrt(np.maximum(variance - _OF_NOISE, 0) * (_PER_VARIANCE * level**2) + _FLAT_GAIN**2)
    limited: NDArray[np.int8] = np.minimum(np.rint(gains), _BUSIEST_GAIN).astype(np.int8)
    return limited
