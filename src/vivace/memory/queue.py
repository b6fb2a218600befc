"""Slot replacement by queue, where anchors may expire early, as in StreamDiffusionV2 (Feng et al., 2025).

Slots fill in order; then the slot at the head of the queue is overwritten and moves to its tail. The first slots are
anchors, which are not in the queue until one is marked stale.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class SlotQueue:
    """Replacement order of the slots of one memory."""

    slots: int
    anchors: int
    uses: int = 1
    """Consecutive writes a slot gets before the next one is replaced."""
    queue: deque[int] = field(default_factory=deque)
    """Slots in order of replacement; a slot may be in it several times."""
    filled: int = 0
    """Number of filled slots, which are the first ones."""
    _left: int = field(init=False)

    def __post_init__(self) -> None:
        """Start with all uses of the first slot."""
        self._left = self.uses

    def stale(self, anchor: int) -> None:
        """Make an anchor the next slot to be replaced."""
        self.queue.appendleft(anchor)

    def place(self, start: int, count: int = 1) -> list[int]:
        """Return the slots for `count` writes, the first of which is number `start` since the memory was empty."""
        if start + count > self.slots or self.filled == self.slots:
            return [self._next()] * count
        self.filled = max(self.filled, start + count)
        last = start + 2 * count - 1
        if self.anchors <= last < self.slots and (not self.queue or self.queue[-1] != last):
            self.queue.append(last)
        return list(range(start, start + count))

    def copy(self) -> SlotQueue:
        """Return a copy."""
        other = SlotQueue(self.slots, self.anchors, self.uses, deque(self.queue), self.filled)
        other._left = self._left
        return other

    def _next(self) -> int:
        slot = self.queue[0]
        if self._left > 1:
            self._left -= 1
            return slot
        self.queue.popleft()
        if slot >= self.anchors:
            self.queue.append(slot)
        self._left = self.uses
        return slot
