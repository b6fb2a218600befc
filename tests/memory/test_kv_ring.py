"""Laws of the KV ring: anchors stay, the window rolls, nothing moves."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from vivace.memory.kv_ring import KvRing


def ring(anchors: int = 2, window: int = 3) -> KvRing:
    return KvRing(blocks=1, anchor_slots=anchors, window_slots=window, tokens=2, dim=4)


def frame(number: int) -> np.ndarray:
    return np.full((1, 1, 2, 4), number, np.float32)


def held(r: KvRing) -> list[int]:
    return [int(v) for v in r.keys[0, 0, :, 0, 0]]


def test_the_first_frames_become_anchors_and_stay_while_the_window_rolls():
    r = ring()
    for n in range(1, 20):
        r.write(frame(n), frame(n))
    assert held(r)[:2] == [1, 2]
    assert sorted(held(r)[2:]) == [17, 18, 19]


def test_writing_touches_one_slot_and_never_reallocates():
    r = ring()
    keys = r.keys
    for n in range(1, 12):
        before = r.keys.copy()
        slot = r.write(frame(n), frame(n))
        assert r.keys is keys
        changed = np.flatnonzero((r.keys != before).any(axis=(0, 1, 3, 4)))
        assert changed.tolist() == [slot]


def test_ages_count_frames_are_capped_and_mark_empty_slots():
    r = ring()
    assert r.ages(5).tolist() == [[-1] * 5]
    for n in range(4):
        r.write(frame(n), frame(n))
    assert r.ages(5).tolist() == [[4, 3, 2, 1, -1]]
    for n in range(100):
        r.write(frame(n), frame(n))
    assert r.ages(5)[0, :2].tolist() == [5, 5]


@given(st.integers(0, 60), st.integers(0, 3), st.integers(1, 5))
def test_the_window_always_holds_the_most_recent_frames(count: int, anchors: int, window: int):
    r = ring(anchors, window)
    for n in range(count):
        r.write(frame(n + 1), frame(n + 1))
    after_anchors = list(range(anchors + 1, count + 1))
    assert sorted(v for v in held(r)[anchors:] if v) == after_anchors[-window:]
    assert r.filled == min(count, anchors + window)


def test_clearing_leaves_no_stale_numbers():
    r = ring()
    for n in range(1, 10):
        r.write(frame(n), frame(n))
    r.clear()
    assert not r.keys.any()
    assert not r.values.any()
    assert r.filled == 0


def test_bytes_are_what_the_buffers_take():
    r = ring()
    assert r.nbytes == 2 * 5 * 2 * 4 * 4 + 5 * 8
