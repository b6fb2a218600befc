"""StreamDiffusionV2's memory of one row: anchors are replaced once they no longer resemble the newest frame.

Every layer chooses for itself the slot that is overwritten, so that slots hold different frames in different layers.
Positions are frame numbers up to a limit, then begin anew just behind the window.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from vivace.memory.queue import SlotQueue
from vivace.models.wan.attention import attend
from vivace.models.wan.ring import KvBuffers
from vivace.models.wan.rope import Rotary, Rotation

RESTART = 50
"""Position at which counting begins anew, since the model was trained on small ones."""


@dataclass(frozen=True, slots=True)
class AnchorRules:
    """Rules for anchors, and faults of the published code that recorded runs need."""

    slots: int = 6
    anchors: int = 3
    threshold: float | None = 0.2
    """Cosine similarity to the newest frame below which an anchor is overwritten, -1 to 1; None never."""
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
    """Position in time of each slot's frame."""
    order: list[int]
    """Number of each slot's frame since the memory was empty, -1 for an empty slot."""
    slots: list[int] = field(default_factory=list)
    """Slots of the present chunk."""

    def close_up(self) -> None:
        """Give the frames that stay positions just before the next frame, in order of age."""
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
        """Write to `buffers`; `uses` is the number of writes of a chunk, for the fault `place_each_step`."""
        self.rotary, self.buffers, self._rules = rotary, buffers, rules
        self._uses = uses if rules.place_each_step else 1
        self.start = 0
        """Position of the next frame."""
        self._written = 0
        self._layers = self._empty()

    @property
    def layers(self) -> list[_Layer]:
        """Slots by layer; for tests."""
        return self._layers

    def forget(self) -> None:
        """Empty the memory."""
        self.start = self._written = 0
        self._layers = self._empty()

    def copy_from(self, other: AnchorMemory) -> None:
        """Take over the contents of another memory."""
        self.buffers.copy_from(other.buffers)
        self.start, self._written = other.start, other._written
        self._layers = [layer.copy() for layer in other._layers]
        for layer in self._layers:
            layer.queue.uses = self._uses

    def advance(self, frames: int) -> None:
        """Count the chunk that was written, so that the next one follows it."""
        self.start += frames
        self._written += frames
        if self.start < RESTART:
            return
        self.start = self._rules.slots - 1
        if not self._rules.old_positions_stay:
            for layer in self._layers:
                layer.close_up()

    def chunk(self, frames: int, *, begins: bool = True) -> AnchorCall:
        """Return a call that writes the next frames and attends to all that the memory then holds.

        Args:
            frames: two at first, then one.
            begins: true for the first step of a chunk; later steps write to the same slots.
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
    """True where slots are chosen in this call."""
    _rotations: dict[tuple[int, ...], Rotation] = field(default_factory=dict)

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Choose slots, write, then attend; all are `[h n d]`."""
        memory = self.memory
        held = memory._layers[layer]
        if self.places:
            if self.frames == 1:
                self._check_anchors(layer, k, v)
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

    def _check_anchors(self, layer: int, k: Tensor, v: Tensor) -> None:
        """Queue the anchor that resembles the new frame least, if its similarity is below the threshold."""
        memory, rules = self.memory, self.memory._rules
        if rules.threshold is None:
            return
        held = memory._layers[layer]
        there = min(rules.anchors, held.queue.filled)
        keys, values = memory.buffers.read(layer, there)
        keys = self._rotation(tuple(held.positions[:there]))(keys)
        alike = (_similarity(self.query(k), keys, there) + _similarity(v, values, there)) / 2
        missing = rules.anchors - there if rules.empty_is_stale else 0
        alike = torch.cat([alike, alike.new_zeros(missing)])
        least, anchor = alike.min(0)
        if float(least) < rules.threshold:
            held.queue.stale(int(anchor))


def _similarity(new: Tensor, old: Tensor, frames: int) -> Tensor:
    """Return the cosine between the means over tokens of a frame and of each of `frames`, from `[h n d]`, `[h m d]`."""
    mean = new.float().mean(1).flatten()
    means = old.float().unflatten(1, (frames, -1)).mean(2).transpose(0, 1).flatten(1)
    return F.cosine_similarity(mean[None], means, dim=-1)
