"""Laws of a ring: anchors stay, the window rolls, nothing moves; compared with a memory that is written to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivace.memory.ring import Ring

RINGS = st.builds(Ring, anchors=st.integers(0, 4), window=st.integers(1, 6))


def written(ring: Ring, count: int) -> list[int]:
    """Return the contents of a memory's slots after `count` numbers were written in order."""
    memory = [-1] * ring.slots
    for number in range(count):
        memory[ring.slot(number)] = number
    return memory


@given(RINGS, st.integers(0, 60))
def test_what_lies_where_is_what_was_written_there(ring: Ring, count: int) -> None:
    assert ring.held(count) == written(ring, count)


@given(RINGS, st.integers(0, 60))
def test_the_first_stay_and_the_window_holds_the_most_recent(ring: Ring, count: int) -> None:
    held = ring.held(count)
    numbers = list(range(count))
    anchors, later = numbers[: ring.anchors], numbers[ring.anchors :]
    assert [number for number in held[: ring.anchors] if number >= 0] == anchors
    assert sorted(number for number in held[ring.anchors :] if number >= 0) == later[-ring.window :]


@given(RINGS, st.integers(0, 60))
def test_positions_are_the_order_of_time(ring: Ring, count: int) -> None:
    held, positions = ring.held(count), ring.positions(count)
    assert sorted(positions) == list(range(ring.slots))
    in_order = [held[slot] for slot in sorted(range(ring.slots), key=positions.__getitem__) if held[slot] >= 0]
    assert in_order == sorted(in_order)
    # Empty slots come last: present frames keep their place until the window is full.
    assert sorted(positions[slot] for slot in range(ring.slots) if held[slot] >= 0) == list(range(len(in_order)))


@given(RINGS, st.integers(0, 60), st.integers(1, 9))
def test_ages_count_from_the_next_are_capped_and_mark_empty_slots(ring: Ring, count: int, cap: int) -> None:
    expected = [-1 if number < 0 else min(count - number, cap) for number in written(ring, count)]
    assert ring.ages(count, cap) == expected


@given(RINGS, st.integers(0, 30), st.integers(1, 4))
def test_several_at_once_are_several_numbers(ring: Ring, chunks: int, frames: int) -> None:
    memory = [-1] * ring.slots
    for chunk in range(chunks):
        for number in range(chunk * frames, (chunk + 1) * frames):
            memory[ring.slot(number)] = number
    assert ring.held(chunks * frames) == memory


@pytest.mark.parametrize("count", [10**6, 10**12 + 5])
def test_nothing_runs_out(count: int) -> None:
    ring = Ring(2, 3)
    assert ring.held(count)[:2] == [0, 1]
    assert sorted(ring.held(count)[2:]) == [count - 3, count - 2, count - 1]
    assert ring.slot(count) == ring.held(count + 1).index(count)
    assert ring.positions(count)[ring.slot(count - 1)] == ring.slots - 1
