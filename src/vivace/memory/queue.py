"""Which slot gives way next where some may have to give way early: a queue, as StreamDiffusionV2 (Feng et al., 2025).

Slots fill from the first on; then the one at the head of the queue is written and goes to its tail. The first slots are
anchors, which are not in the queue until one is said to be stale.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class SlotQueue:
    """The slots of one memory."""

    slots: int
    anchors: int
    uses: int = 1
    """How many writes in a row a slot gets before the next one gives way."""
    queue: deque[int] = field(default_factory=deque)
    """The next to give way first; the same slot may be in it several times."""
    filled: int = 0
    """Slots that hold something, the first ones."""
    _left: int = field(init=False)

    def __post_init__(self) -> None:
        """Begin with all uses of the first slot to give way."""
        self._left = self.uses

    def stale(self, anchor: int) -> None:
        """Have an anchor give way next."""
        self.queue.appendleft(anchor)

    def place(self, start: int, count: int = 1) -> list[int]:
        """Return the slots that the next ones go to, which are number `start` and those after it since the begin."""
        if start + count > self.slots or self.filled == self.slots:
            return [self._next()] * count
        self.filled = max(self.filled, start + count)
        last = start + 2 * count - 1
        if self.anchors <= last < self.slots and (not self.queue or self.queue[-1] != last):
            self.queue.append(last)
        return list(range(start, start + count))

    def copy(self) -> SlotQueue:
        """Return one in the same state."""
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
