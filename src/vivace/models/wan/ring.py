"""The KV ring: keys and values of earlier frames, written in place, one slot a latent frame.

Keys are stored without rotary positions, which are applied when they are read: by the frame's number, or by its place
in the window. So positions change while keys stay where they are, and no stream runs out of them. A row is one sequence
of frames; a stream has one, or one for each row of its stream batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor

from vivace.memory.ring import Ring
from vivace.models.wan.attention import attend
from vivace.models.wan.network import WanConfig
from vivace.models.wan.rope import Grid, Rotary, Rotation

Positions = Literal["frame", "window"]
"""Position of a key: its frame's number, or its place in the window, anchors first, then the oldest."""


class KvBuffers:
    """Keys and values of one row, `[2 h s n d]` for each layer."""

    def __init__(
        self, cfg: WanConfig, slots: int, tokens: int, *, dtype: torch.dtype, device: torch.device | str
    ) -> None:
        """Allocate all of it."""
        shape = (2, cfg.heads, slots, tokens, cfg.head_dim)
        self.slots = slots
        self.layers = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(cfg.layers)]

    @property
    def nbytes(self) -> int:
        """Bytes of all layers."""
        return sum(layer.nbytes for layer in self.layers)

    def write(self, layer: int, slots: Sequence[int | None], k: Tensor, v: Tensor) -> None:
        """Write keys and values `[h n d]` of frames to their slots; a frame whose slot is None is dropped."""
        ring = self.layers[layer]
        keys, values = (part.unflatten(1, (len(slots), -1)).unbind(1) for part in (k, v))
        for slot, *frame in zip(slots, keys, values, strict=True):
            if slot is not None:
                ring[0, :, slot], ring[1, :, slot] = frame

    def read(self, layer: int, slots: int) -> tuple[Tensor, Tensor]:
        """Return a view of the keys and values of the first slots, `[h m d]` each."""
        keys, values = self.layers[layer][:, :, :slots].flatten(2, 3).unbind(0)
        return keys, values

    def copy_from(self, other: KvBuffers) -> None:
        """Take over the contents of other buffers of the same shape."""
        for mine, theirs in zip(self.layers, other.layers, strict=True):
            mine.copy_(theirs)


def ring_nbytes(cfg: WanConfig, slots: int, grid: Grid, dtype: torch.dtype) -> int:
    """Return the bytes of one row's buffers."""
    return 2 * cfg.layers * slots * grid.tokens * cfg.dim * dtype.itemsize


@dataclass(frozen=True, slots=True)
class RowCall:
    """One row in one call of the network: slots that its frames are written to, and the slots they attend to."""

    buffers: KvBuffers
    slots: tuple[int | None, ...]
    """Slot of each new frame; None is not written."""
    filled: int
    """Slots that are attended to, from the first on."""
    query: Rotation
    keys: Rotation
    seen: Tensor | None = None
    """Indices of the tokens in those slots that are attended to; None is all."""

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Write, then attend; all are `[h n d]`."""
        self.buffers.write(layer, self.slots, k, v)
        keys, values = self.buffers.read(layer, self.filled)
        keys = self.keys(keys)
        if self.seen is not None:
            keys, values = keys[:, self.seen], values[:, self.seen]
        return attend(self.query(q)[None], keys[None], values[None])[0]


@dataclass(frozen=True, slots=True)
class PartCall:
    """One row in a call of some of its tokens, which attend to the past and each other; nothing is written."""

    buffers: KvBuffers
    past: Tensor
    """Indices of the tokens of earlier frames."""
    filled: int
    query: Rotation
    """Rotation of the tokens in the call."""
    keys: Rotation
    """Rotation of the past."""

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend; all are `[h n d]`."""
        keys, values = self.buffers.read(layer, self.filled)
        keys = torch.cat([self.keys(keys[:, self.past]), self.query(k)], 1)
        values = torch.cat([values[:, self.past], v], 1)
        return attend(self.query(q)[None], keys[None], values[None])[0]


@dataclass(frozen=True, slots=True)
class RegionCall:
    """One row in a call of some tokens, the same in each frame, which are written among those that their slots hold."""

    buffers: KvBuffers
    slots: tuple[int, ...]
    """Slot of each new frame."""
    tokens: Tensor
    """Rising indices of the tokens of a frame that are in the call."""
    filled: int
    query: Rotation
    keys: Rotation

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Write, then attend to all that the slots hold; all are `[h n d]`."""
        ring = self.buffers.layers[layer]
        for slot, frame in zip(self.slots, torch.stack([k, v]).chunk(len(self.slots), 2), strict=True):
            ring[:, :, slot, self.tokens] = frame
        keys, values = self.buffers.read(layer, self.filled)
        return attend(self.query(q)[None], self.keys(keys)[None], values[None])[0]


class Row(Protocol):
    """One row in one call."""

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return the attention of the row; all are `[h n d]`."""


class RowsAttention:
    """Self-attention of a batch of rows, each over its own memory."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows

    def __call__(self, layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return the attention of all rows, see `network.Attention`."""
        rows = zip(self.rows, q, k, v, strict=True)
        return torch.stack([row(layer, *qkv) for row, *qkv in rows])


@dataclass(slots=True)
class RollingMemory:
    """The past of one row: anchors that stay, and a window that rolls.

    Every call on a chunk overwrites its slots, until `advance` counts the chunk and the next one follows it.
    """

    ring: Ring
    positions: Positions
    rotary: Rotary
    buffers: KvBuffers
    count: int = field(default=0, init=False)
    """Frames since the memory was last empty, or since its anchors were last replaced."""
    base: int = field(default=0, init=False)
    """Number of the frame that `count` begins with."""
    empty_anchors_count: bool = False
    """A fault of LongLive's code where chunks are shorter than the anchors, to reproduce its runs: anchors that are not
    written yet are attended to as zeros, and those after the first keep the keys and values of their first step."""
    _begun: int = field(default=0, init=False)
    """Frames that were ever written, for the fault."""

    def forget(self) -> None:
        """Empty the memory."""
        self.count = self.base = self._begun = 0

    def advance(self, frames: int) -> None:
        """Count the chunk that was written, so that the next one follows it."""
        self.count += frames

    def chunk(self, frames: int, *, hide: int = 0) -> RowCall:
        """Return a call that writes the next frames and attends to all that the memory then holds.

        Args:
            frames: of the chunk, at most those of the window.
            hide: tokens of the oldest frames in the window that are not attended to.
        """
        count = self.count + frames
        filled = min(count, self.ring.slots)
        numbers = range(self.count, count)
        slots = [self.ring.slot(number) for number in numbers]
        places = self._places(count)
        written: list[int | None] = [*slots]
        if self.empty_anchors_count:
            filled = max(filled, self.ring.anchors)
            stays = range(1, min(self._begun, self.ring.anchors))
            written = [None if number in stays else slot for number, slot in zip(numbers, slots, strict=True)]
        self._begun = max(self._begun, count)
        query, keys = self.rotary.at([places[slot] for slot in slots]), self.rotary.at(places[:filled])
        seen = self._without_oldest(count, hide) if hide else None
        return RowCall(self.buffers, tuple(written), filled, query, keys, seen)

    def part(self, frames: int, tokens: Tensor) -> PartCall:
        """Return a call of some tokens of the next frames, given by their rising indices in the chunk."""
        count = self.count + frames
        filled = min(count, self.ring.slots)
        slots = [self.ring.slot(number) for number in range(self.count, count)]
        places = self._places(count)
        past = self._tokens([slot for slot in range(filled) if slot not in slots])
        query = self.rotary.at([places[slot] for slot in slots])[tokens]
        return PartCall(self.buffers, past, filled, query, self.rotary.at(places[:filled])[past])

    def carry(self, frames: int, tokens: Tensor) -> None:
        """Give the next frames the keys and values that some tokens, by their indices, have in the last frame."""
        last = self.ring.slot(self.count - 1)
        slots = {self.ring.slot(number) for number in range(self.count, self.count + frames)} - {last}
        for layer in self.buffers.layers:
            for slot in slots:
                layer[:, :, slot, tokens] = layer[:, :, last, tokens]

    def region(self, frames: int, tokens: Tensor) -> RegionCall:
        """Return a call of some tokens of the next frames; the others have what `carry` gave them."""
        count = self.count + frames
        filled = min(count, self.ring.slots)
        slots = [self.ring.slot(number) for number in range(self.count, count)]
        places = self._places(count)
        query = self.rotary.at([places[slot] for slot in slots])[self.part_of(frames, tokens)]
        return RegionCall(self.buffers, tuple(slots), tokens, filled, query, self.rotary.at(places[:filled]))

    def part_of(self, frames: int, tokens: Tensor) -> Tensor:
        """Return the indices in a chunk of `frames` of some tokens of each."""
        starts = self.rotary.grid.tokens * torch.arange(frames, device=tokens.device)
        return (starts[:, None] + tokens).flatten()

    def recache(self, frames: int, *, keep_anchors: bool) -> RowCall:
        """Return a call that writes the last frames anew, for another prompt; all of them attend to each other.

        Args:
            frames: at most those that the ring holds.
            keep_anchors: true to leave anchors as they are; otherwise the oldest of these frames become the anchors,
                and the ring counts from them.
        """
        slots: tuple[int | None, ...]
        if keep_anchors:
            oldest = max(self.ring.anchors, self.count - self.ring.window)
            numbers = range(self.count - frames, self.count)
            slots = tuple(self.ring.slot(number) if number >= oldest else None for number in numbers)
            asked = [self.base + number for number in numbers]
        else:
            self.base, self.count = self.base + self.count - frames, frames
            slots = tuple(range(frames))
            asked = [self.base + number for number in range(frames)]
        filled = min(self.count, self.ring.slots)
        query = list(range(frames)) if self.positions == "window" else asked
        return RowCall(
            self.buffers, slots, filled, self.rotary.at(query), self.rotary.at(self._places(self.count)[:filled])
        )

    def _places(self, count: int) -> list[int]:
        """Return the position in time of each slot after `count` frames."""
        if self.positions == "window":
            return self.ring.positions(count)
        return [self.base + max(number, 0) for number in self.ring.held(count)]

    def _tokens(self, slots: Sequence[int]) -> Tensor:
        """Return the indices of all tokens of these slots."""
        tokens = self.rotary.grid.tokens
        return (torch.tensor(slots, dtype=torch.int64)[:, None] * tokens + torch.arange(tokens)).flatten()

    def _without_oldest(self, count: int, hide: int) -> Tensor:
        order = self.ring.positions(count)
        by_age = sorted(range(min(count, self.ring.slots)), key=order.__getitem__)
        anchors, window = by_age[: self.ring.anchors], by_age[self.ring.anchors :]
        return torch.cat([self._tokens(anchors), self._tokens(window)[hide:]])
