"""The arithmetic behind every figure we publish."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivace.bench.measure import intervals_ms, peak_resident_mib, resident_mib, spread, window_median

numbers = st.lists(st.floats(0, 1e6), min_size=1, max_size=300)


@given(numbers)
def test_percentiles_are_measured_values_in_order(values: list[float]) -> None:
    found = spread(values)
    assert found.p50 <= found.p95 <= found.p99
    assert {found.p50, found.p95, found.p99} <= set(values)


@given(numbers)
def test_at_most_one_in_twenty_lies_above_p95(values: list[float]) -> None:
    assert sum(value > spread(values).p95 for value in values) <= len(values) * 0.05


def test_percentiles_of_a_hundred_are_the_ranks() -> None:
    found = spread(range(1, 101))
    assert (found.p50, found.p95, found.p99) == (50, 95, 99)


def test_percentiles_of_nothing_are_refused() -> None:
    with pytest.raises(ValueError, match="no values"):
        spread([])


def test_intervals_are_milliseconds_between_neighbours() -> None:
    assert intervals_ms([1.0, 1.5, 1.75]) == [500.0, 250.0]
    assert intervals_ms([1.0]) == []


def test_a_window_near_the_end_stays_inside() -> None:
    values = list(range(100))
    assert window_median(values, 99, 10) == 94.5
    assert window_median(values, 0, 10) == 4.5
    assert window_median(values, 50, 10) == 49.5


def test_a_window_is_never_filled_up() -> None:
    with pytest.raises(ValueError, match="do not fill"):
        window_median([1.0, 2.0], 0, 3)


def test_peak_memory_is_at_least_what_is_resident() -> None:
    assert 0 < resident_mib() <= peak_resident_mib() + 1
