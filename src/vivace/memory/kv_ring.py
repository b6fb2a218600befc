"""Keys and values of past frames: anchors, which are permanent, and a rolling window, written in place."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class KvRing:
    """A fixed number of slots, each the pooled keys and values of one past frame.

    The first frames after a clear fill the anchors and stay; later frames take turns in the window, the oldest giving
    way. One slot is written per frame and nothing is moved, so a frame costs the same however long the stream is.
    Positions are not stored: a reader applies them by slot age, which is capped, so they never run out.

    Phases: empty ▸ anchors filling ▸ window filling ▸ steady. Use per frame: read `keys`, `values`, `ages()`; then
    `write()`.
    """

    def __init__(self, *, blocks: int, anchor_slots: int, window_slots: int, tokens: int, dim: int) -> None:
        self.anchor_slots = anchor_slots
        self.window_slots = window_slots
        shape = (1, blocks, anchor_slots + window_slots, tokens, dim)
        self.keys: NDArray[np.float32] = np.zeros(shape, np.float32)
        """`[1 n s p d]`; the same memory for the life of the ring."""
        self.values: NDArray[np.float32] = np.zeros(shape, np.float32)
        """`[1 n s p d]`"""
        self._written_at: NDArray[np.int64] = np.full(anchor_slots + window_slots, -1, np.int64)
        self._frame = 0

    @property
    def nbytes(self) -> int:
        """Bytes of all slots."""
        return self.keys.nbytes + self.values.nbytes + self._written_at.nbytes

    @property
    def filled(self) -> int:
        """Number of slots that hold a frame."""
        return int((self._written_at >= 0).sum())

    def ages(self, cap: int) -> NDArray[np.float32]:
        """Return `[1 s]` frames since each slot was written, at most `cap`; -1 for an empty slot."""
        age = np.minimum(self._frame - self._written_at, cap).astype(np.float32)
        age[self._written_at < 0] = -1
        return age[None]

    def write(self, keys: NDArray[np.float32], values: NDArray[np.float32]) -> int:
        """Store one frame's `[1 n p d]` keys and values and return the slot they went to."""
        slot = self._next_slot()
        self.keys[:, :, slot] = keys
        self.values[:, :, slot] = values
        self._written_at[slot] = self._frame
        self._frame += 1
        return slot

    def _next_slot(self) -> int:
        anchors = self._written_at[: self.anchor_slots]
        if (anchors < 0).any():
            return int(np.argmax(anchors < 0))
        window = self._written_at[self.anchor_slots :]
        # Empty slots are marked -1, which is older than any frame.
        return self.anchor_slots + int(np.argmin(window))

    def clear(self) -> None:
        """Forget all frames. Nothing is reallocated."""
        self._written_at[:] = -1
        # Attention skips empty slots by a finite bias, so stale numbers must not survive in them.
        self.keys[:] = 0
        self.values[:] = 0
