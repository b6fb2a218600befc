"""The KV ring compared with the plainest form: all keys ever made, and the rule of their visibility."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tolerance import near
from vivace.memory.queue import SlotQueue
from vivace.memory.ring import Ring
from vivace.models.wan.anchor_memory import RESTART, AnchorMemory, AnchorRules
from vivace.models.wan.attention import attend
from vivace.models.wan.network import WanConfig
from vivace.models.wan.ring import KvBuffers, Positions, RollingMemory, ring_nbytes
from vivace.models.wan.rope import Grid, Rotary

CFG = WanConfig(dim=24, heads=2, layers=1)
GRID = Grid(2, 3)


def numbers(frames: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, CFG.heads, frames * GRID.tokens, CFG.head_dim, generator=generator)


def open_memory(anchors: int, window: int, positions: Positions) -> RollingMemory:
    rotary = Rotary(CFG.head_dim, GRID)
    buffers = KvBuffers(CFG, anchors + window, GRID.tokens, dtype=torch.float32, device="cpu")
    return RollingMemory(Ring(anchors, window), positions, rotary, buffers)


def plain(past: list[Tensor], chunk: Tensor, anchors: int, window: int, positions: Positions) -> Tensor:
    """Return the attention of a chunk over all that was ever remembered: tensors `[3 h n d]` of each frame."""
    own = list(chunk.unflatten(2, (-1, GRID.tokens)).unbind(2))
    frames = past + own
    numbers = list(range(len(frames)))
    if len(frames) > anchors + window:
        numbers = numbers[:anchors] + numbers[len(frames) - window :]
    places = numbers if positions == "frame" else list(range(len(numbers)))
    rotary = Rotary(CFG.head_dim, GRID)
    keys = rotary.at(places)(torch.cat([frames[number][1] for number in numbers], 1))
    values = torch.cat([frames[number][2] for number in numbers], 1)
    queries = rotary.at(places[-len(own) :])(chunk[0])
    return attend(queries[None], keys[None], values[None])[0]


@pytest.mark.parametrize("positions", ["frame", "window"])
@pytest.mark.parametrize(("anchors", "window", "chunk"), [(0, 6, 3), (3, 3, 3), (1, 4, 3), (2, 5, 1), (0, 1, 1)])
def test_rolling_equals_recomputing_from_all_that_was(
    anchors: int, window: int, chunk: int, positions: Positions
) -> None:
    memory = open_memory(anchors, window, positions)
    past: list[Tensor] = []
    for number in range(12):
        for step in range(2):  # a chunk is written once per step
            qkv = numbers(chunk, 10 * number + step)
            found = memory.chunk(chunk)(0, *qkv)
        assert near(found, plain(past, qkv, anchors, window, positions)), number
        memory.advance(chunk)
        past += list(qkv.unflatten(2, (-1, GRID.tokens)).unbind(2))


def test_positions_have_no_end() -> None:
    """Far beyond any table, frames see each other as at the beginning, given the same distance."""
    memory = open_memory(0, 6, "frame")
    first = [memory_step(memory, seed) for seed in (1, 2)]
    memory.forget()
    for seed in range(398):
        memory_step(memory, seed)
    assert memory.count > 1100
    late = [memory_step(memory, seed) for seed in (1, 2)]
    # For the second chunk, the first is the whole past in both.
    assert near(late[1], first[1])


def memory_step(memory: RollingMemory, seed: int) -> Tensor:
    found = memory.chunk(3)(0, *numbers(3, seed))
    memory.advance(3)
    return found


def test_memory_is_written_in_place_and_does_not_grow() -> None:
    memory = open_memory(3, 9, "window")
    layer = memory.buffers.layers[0]
    address = layer.data_ptr()
    for seed in range(50):
        memory_step(memory, seed)
    assert memory.buffers.layers[0] is layer
    assert layer.data_ptr() == address
    assert memory.buffers.nbytes == ring_nbytes(CFG, 12, GRID, torch.float32)


def test_part_of_a_chunk_sees_the_past_and_itself() -> None:
    memory = open_memory(1, 5, "frame")
    for seed in range(4):
        memory_step(memory, seed)
    before = memory.buffers.layers[0].clone()
    qkv, kept = numbers(3, 9), torch.tensor([0, 4, 7, 17])
    found = memory.part(3, kept)(0, *qkv[:, :, kept])
    assert torch.equal(memory.buffers.layers[0], before)
    history = torch.cat([numbers(3, seed) for seed in range(4)], 2).unflatten(2, (-1, GRID.tokens))
    seen = [0, 10, 11]  # the anchor, and what the window holds beside the chunk
    rotary = Rotary(CFG.head_dim, GRID)
    own = rotary.at([12, 13, 14])[kept]
    keys = torch.cat([rotary.at(seen)(history[1][:, seen].flatten(1, 2)), own(qkv[1][:, kept])], 1)
    values = torch.cat([history[2][:, seen].flatten(1, 2), qkv[2][:, kept]], 1)
    assert near(found, attend(own(qkv[0][:, kept])[None], keys[None], values[None])[0])


# -- anchors that give way ---------------------------------------------------------------------------------------------


def anchor_memory(**rules: object) -> AnchorMemory:
    told = AnchorRules(**{"slots": 6, "anchors": 3, "threshold": None} | rules)  # type: ignore[arg-type]
    buffers = KvBuffers(CFG, told.slots, GRID.tokens, dtype=torch.float32, device="cpu")
    return AnchorMemory(Rotary(CFG.head_dim, GRID), buffers, told, uses=2)


def anchor_step(memory: AnchorMemory, frames: int, seed: int, steps: int = 1) -> Tensor:
    for step in range(steps):
        found = memory.chunk(frames, begins=step == 0)(0, *numbers(frames, seed + 1000 * step))
    memory.advance(frames)
    return found


def test_a_chunk_keeps_its_slot_through_all_its_steps() -> None:
    memory = anchor_memory()
    anchor_step(memory, 2, 0, steps=2)
    for seed in range(1, 12):
        memory.chunk(1)(0, *numbers(1, seed))
        slots = [*memory.layers[0].slots]
        memory.chunk(1, begins=False)(0, *numbers(1, seed + 1000))
        assert memory.layers[0].slots == slots
        newest = memory.buffers.layers[0][0, :, slots[0]]
        assert torch.equal(newest, numbers(1, seed + 1000)[1])
        memory.advance(1)


def test_anchors_that_are_not_there_are_not_stale() -> None:
    memory = anchor_memory(threshold=-1.0)
    anchor_step(memory, 2, 0)
    for seed in range(1, 20):
        anchor_step(memory, 1, seed)
    assert min(memory.layers[0].order[3:]) > max(memory.layers[0].order[:3])


def test_an_anchor_unlike_what_is_seen_gives_way() -> None:
    memory = anchor_memory(threshold=1.0)
    anchor_step(memory, 2, 0)
    for seed in range(1, 20):
        anchor_step(memory, 1, seed)
    assert memory.layers[0].order[0] >= 6


def test_counting_anew_leaves_nothing_in_the_future() -> None:
    memory = anchor_memory()
    anchor_step(memory, 2, 0)
    restarts = 0
    for seed in range(1, 3 * RESTART):
        before = memory.start
        memory.chunk(1)(0, *numbers(1, seed))
        held = memory.layers[0]
        by_age = sorted(range(held.queue.filled), key=held.order.__getitem__)
        positions = [held.positions[slot] for slot in by_age]
        assert positions == sorted({*positions}), "each has its own, and the older the smaller"
        assert positions[-1] == before
        memory.advance(1)
        restarts += memory.start <= before
    assert restarts == 3


def test_the_queue_goes_around_the_window() -> None:
    """The target of the second write stays as well, as in the published code: two at first queue the fourth slot."""
    queue = SlotQueue(5, 2)
    assert queue.place(0, 2) == [0, 1]
    assert [queue.place(start)[0] for start in range(2, 12)] == [2, 3, 4, 3, 4, 3, 4, 3, 4, 3]
