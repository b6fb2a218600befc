"""The memory of the embedded model is written in place, one slot per frame."""

from __future__ import annotations

import numpy as np

from vivace.memory.ring import Ring
from vivace.models.mini.kv_ring import KvRing


def ring() -> KvRing:
    return KvRing(Ring(2, 3), blocks=1, tokens=2, dim=4)


def frame(number: int) -> np.ndarray:
    return np.full((1, 1, 2, 4), number, np.float32)


def test_writing_touches_one_slot_and_never_reallocates() -> None:
    r = ring()
    keys = r.keys
    for n in range(1, 12):
        before = r.keys.copy()
        r.write(frame(n), -frame(n))
        assert r.keys is keys
        changed = np.flatnonzero((r.keys != before).any(axis=(0, 1, 3, 4)))
        assert r.keys[0, 0, changed, 0, 0].tolist() == [n]
        np.testing.assert_array_equal(r.values, -r.keys)


def test_ages_are_those_of_the_slots() -> None:
    r = ring()
    assert r.ages(5).tolist() == [[-1] * 5]
    for n in range(4):
        r.write(frame(n), frame(n))
    assert r.ages(5).tolist() == [[4, 3, 2, 1, -1]]
    for n in range(4, 104):
        r.write(frame(n), frame(n))
    assert r.ages(5)[0, :2].tolist() == [5, 5]
    ages = 104 - r.keys[0, 0, 2:, 0, 0]
    np.testing.assert_array_equal(r.ages(5)[0, 2:], ages)


def test_clearing_leaves_no_stale_numbers() -> None:
    r = ring()
    for n in range(1, 10):
        r.write(frame(n), frame(n))
    r.clear()
    assert not r.keys.any()
    assert not r.values.any()
    assert r.ages(5).tolist() == [[-1] * 5]


def test_bytes_are_what_the_buffers_take() -> None:
    assert ring().nbytes == 2 * 5 * 2 * 4 * 4
