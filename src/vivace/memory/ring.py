"""Which frame lies in which slot of a ring that is written in place: anchors, which stay, and a window, which rolls."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ring:
    """The slots of a memory, anchors first.

    What is written is numbered from 0 on, since the memory was last empty: frames, latents or whatever a slot holds;
    several at once are several numbers. The first ones fill the anchors and stay; later ones take turns in the window,
    the oldest giving way. So one slot a number is written and nothing is moved, however long the stream is.

    Where everything lies follows from how many were written, `count`, which is all that a stream has to remember of
    its ring; at 0 it is empty again. A stream's buffers have `slots` of whatever size, so its bytes are known before.
    """

    anchors: int
    window: int
    """At least 1."""

    @property
    def slots(self) -> int:
        """Anchors and window."""
        return self.anchors + self.window

    def slot(self, number: int) -> int:
        """Return the slot that a number is written to."""
        return number if number < self.anchors else self.anchors + (number - self.anchors) % self.window

    def held(self, count: int) -> list[int]:
        """Return which number lies in each slot after `count` were written; -1 in an empty slot."""
        if count < self.slots:
            return [*range(count), *[-1] * (self.slots - count)]
        turned = (count - self.anchors) % self.window
        return [*range(self.anchors), *range(count - turned, count), *range(count - self.window, count - turned)]

    def ages(self, count: int, cap: int) -> list[int]:
        """Return how long ago each slot was written, for whoever writes next: 1 to `cap`; -1 for an empty slot."""
        return [-1 if number < 0 else min(count - number, cap) for number in self.held(count)]

    def positions(self, count: int) -> list[int]:
        """Return the place of each slot in the order of time, from 0 to `slots` - 1.

        Anchors are first; places of the window turn while everything stays where it is. An empty slot has the place of
        what will fill it.
        """
        turned = (count - self.anchors) % self.window if count > self.slots else 0
        split = self.slots - turned
        return [*range(self.anchors), *range(split, self.slots), *range(self.anchors, split)]
