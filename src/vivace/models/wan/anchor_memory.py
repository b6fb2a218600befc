"""StreamDiffusionV2's memory of one row: anchors are replaced once they no longer resemble what is seen.

Every layer decides for itself which slot gives way, so that what lies where differs between layers. Positions are
numbers since the begin, up to a limit; then they begin anew just behind the window.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from vivace.memory.queue import SlotQueue
from vivace.models.wan.network import attend
from vivace.models.wan.ring import KvBuffers
from vivace.models.wan.rope import Rotary, Rotation

RESTART = 50
"""Number at which counting begins anew: far beyond what the model was trained on positions are not to grow."""


@dataclass(frozen=True, slots=True)
class AnchorRules:
    """How anchors are kept, and which faults of the published code are reproduced."""

    slots: int = 6
    anchors: int = 3
    threshold: float | None = 0.2
    """An anchor less similar than this to the newest frame gives way, -1 to 1; None never."""
    empty_is_stale: bool = False
    """A fault: an anchor that is not there yet counts as one that has nothing in common with the newest frame."""
    place_each_step: bool = False
    """A fault where steps are taken in turn: a chunk's later steps may go to another slot than its first."""
    old_positions_stay: bool = False
    """A fault: when counting begins anew, what is in the window stays where it was, in the future of what comes."""


@dataclass(slots=True)
class _Layer:
    queue: SlotQueue
    positions: list[int]
    """Of each slot."""
    order: list[int]
    """When each slot was written last."""
    slots: list[int] = field(default_factory=list)
    """That the present chunk is written to."""

    def close_up(self) -> None:
        """Have what stays beside the next frame lie just before it, in order of age."""
        first = self.queue.queue[0]
        stays = sorted((slot for slot in range(len(self.order)) if slot != first), key=self.order.__getitem__)
        for position, slot in enumerate(stays):
            self.positions[slot] = position
        self.positions[first] = sum(self.order[slot] < self.order[first] for slot in stays)

    def copy(self) -> _Layer:
        return _Layer(self.queue.copy(), [*self.positions], [*self.order], [*self.slots])


class AnchorMemory:
    """The past of one row."""

    def __init__(self, rotary: Rotary, buffers: KvBuffers, rules: AnchorRules, uses: int = 1) -> None:
        """Remember in these buffers; `uses` is how often a chunk is written, with the fault `place_each_step`."""
        self.rotary, self.buffers, self._rules = rotary, buffers, rules
        self._uses = uses if rules.place_each_step else 1
        self.start = 0
        """Number of the next frame."""
        self._written = 0
        self._layers = self._empty()

    @property
    def layers(self) -> list[_Layer]:
        """What lies where, by layer; for tests."""
        return self._layers

    def forget(self) -> None:
        """Be empty again."""
        self.start = self._written = 0
        self._layers = self._empty()

    def copy_from(self, other: AnchorMemory) -> None:
        """Remember what another does."""
        self.buffers.copy_from(other.buffers)
        self.start, self._written = other.start, other._written
        self._layers = [layer.copy() for layer in other._layers]
        for layer in self._layers:
            layer.queue.uses = self._uses

    def keep(self, frames: int) -> None:
        """Count frames that were written."""
        self.start += frames
        self._written += frames
        if self.start < RESTART:
            return
        self.start = self._rules.slots - 1
        if not self._rules.old_positions_stay:
            for layer in self._layers:
                layer.close_up()

    def chunk(self, frames: int, *, begins: bool = True) -> AnchorCall:
        """Return a call that writes the next frames and sees them with what is remembered.

        Args:
            frames: two at first, then one.
            begins: whether it is the first step of a chunk; later ones are written where the first was.
        """
        positions = range(self.start, self.start + frames)
        return AnchorCall(self, frames, self.rotary.at(positions), begins or self._rules.place_each_step)

    def _empty(self) -> list[_Layer]:
        rules = self._rules
        return [
            _Layer(SlotQueue(rules.slots, rules.anchors, self._uses), [0] * rules.slots, [-1] * rules.slots)
            for _ in self.buffers.layers
        ]


@dataclass(slots=True)
class AnchorCall:
    """One row in one call of the network."""

    memory: AnchorMemory
    frames: int
    query: Rotation
    places: bool
    """Whether slots are chosen now."""
    _rotations: dict[tuple[int, ...], Rotation] = field(default_factory=dict)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Choose slots, write, then attend; all are `[n h d]`."""
        memory = self.memory
        held = memory._layers[layer]
        if self.places:
            if self.frames == 1:
                self._look_at_anchors(layer, k, v)
            held.slots = held.queue.place(memory.start, self.frames)
        for at, slot in enumerate(held.slots):
            held.positions[slot] = memory.start + at
            held.order[slot] = memory._written + at
        memory.buffers.write(layer, held.slots, k, v)
        filled = held.queue.filled
        keys, values = memory.buffers.read(layer, filled)
        keys = self._rotation(tuple(held.positions[:filled]))(keys)
        return attend(self.query(q)[None], keys[None], values[None])[0]

    def _rotation(self, positions: tuple[int, ...]) -> Rotation:
        if positions not in self._rotations:
            self._rotations[positions] = self.memory.rotary.at(positions)
        return self._rotations[positions]

    def _look_at_anchors(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Have the anchor give way that resembles the new frame least, if it does too little."""
        memory, rules = self.memory, self.memory._rules
        if rules.threshold is None:
            return
        held = memory._layers[layer]
        there = min(rules.anchors, held.queue.filled)
        keys, values = memory.buffers.read(layer, there)
        keys = self._rotation(tuple(held.positions[:there]))(keys)
        alike = (_likeness(self.query(k), keys, there) + _likeness(v, values, there)) / 2
        missing = rules.anchors - there if rules.empty_is_stale else 0
        alike = torch.cat([alike, alike.new_zeros(missing)])
        least, anchor = alike.min(0)
        if float(least) < rules.threshold:
            held.queue.stale(int(anchor))


def _likeness(new: Tensor, old: Tensor, frames: int) -> Tensor:
    """Return the cosine between the means over tokens of a frame and of each of `frames`, from `[n h d]`, `[m h d]`."""
    mean = new.float().mean(0).flatten()
    means = old.float().unflatten(0, (frames, -1)).mean(1).flatten(1)
    return F.cosine_similarity(mean[None], means, dim=-1)
