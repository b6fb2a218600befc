"""Ring buffer of the keys and values of past frames, written in place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vivace.memory.ring import Ring


class KvRing:
    """Slots of a ring, each with the pooled keys and values of one past frame.

    Positions are not stored: a reader applies them by slot age, which is capped, so that they stay within the trained
    range. Per frame: read `keys`, `values`, `ages()`; then `write()`.
    """

    def __init__(self, ring: Ring, *, blocks: int, tokens: int, dim: int) -> None:
        self._ring = ring
        shape = (1, blocks, ring.slots, tokens, dim)
        self.keys: NDArray[np.float32] = np.zeros(shape, np.float32)
        """Keys `[1 n s p d]`; the same array for the life of the ring."""
        self.values: NDArray[np.float32] = np.zeros(shape, np.float32)
        """Values `[1 n s p d]`; the same array for the life of the ring."""
        self.frames = 0
        """Frames written since the ring was last empty."""

    @property
    def nbytes(self) -> int:
        """Size of all slots, bytes."""
        return self.keys.nbytes + self.values.nbytes

    def ages(self, cap: int) -> NDArray[np.float32]:
        """Return the frames since each slot was written, `[1 s]`, at most `cap`; -1 for an empty slot."""
        return np.array([self._ring.ages(self.frames, cap)], np.float32)

    def write(self, keys: NDArray[np.float32], values: NDArray[np.float32]) -> None:
        """Store one frame's `[1 n p d]` keys and values."""
        slot = self._ring.slot(self.frames)
        self.keys[:, :, slot] = keys
        self.values[:, :, slot] = values
        self.frames += 1

    def clear(self) -> None:
        """Forget all frames. Nothing is reallocated."""
        self.frames = 0
        # Attention suppresses empty slots by a finite bias, so stale numbers must not remain in them.
        self.keys[:] = 0
        self.values[:] = 0
