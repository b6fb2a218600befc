"""Slot rules of a ring buffer written in place: permanent anchors, and a rolling window."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ring:
    """Slots of a memory, anchors first.

    Writes are numbered from 0 since the memory was last empty: frames, latents or whatever a slot holds; several at
    once have several numbers. The first ones fill the anchors and stay; later ones cycle through the window, replacing
    the oldest. One slot is written per number and nothing is moved, however long the stream is.

    The layout follows from the number of writes, `count`, which is all the state a stream keeps for its ring; 0 is an
    empty ring. A stream's buffers have `slots` entries, so their size is known in advance.
    """

    anchors: int
    window: int
    """Slots in the rolling window, at least 1."""

    @property
    def slots(self) -> int:
        """Total slots: anchors and window."""
        return self.anchors + self.window

    def slot(self, number: int) -> int:
        """Return the slot that a number is written to."""
        return number if number < self.anchors else self.anchors + (number - self.anchors) % self.window

    def held(self, count: int) -> list[int]:
        """Return the number held by each slot after `count` writes; -1 for an empty slot."""
        if count < self.slots:
            return [*range(count), *[-1] * (self.slots - count)]
        turned = (count - self.anchors) % self.window
        return [*range(self.anchors), *range(count - turned, count), *range(count - self.window, count - turned)]

    def ages(self, count: int, cap: int) -> list[int]:
        """Return the age of each slot at the next write, 1 to `cap` writes; -1 for an empty slot."""
        return [-1 if number < 0 else min(count - number, cap) for number in self.held(count)]

    def positions(self, count: int) -> list[int]:
        """Return the temporal position of each slot, 0 to `slots` - 1, oldest first.

        Anchors come first; the window's positions rotate while its contents stay in place. An empty slot has the
        position of the number that will fill it.
        """
        turned = (count - self.anchors) % self.window if count > self.slots else 0
        split = self.slots - turned
        return [*range(self.anchors), *range(split, self.slots), *range(self.anchors, split)]
