"""The arithmetic behind every published figure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tolerance import near
from vivace.bench.stats.values import intervals_ms, percentile_values, spread, stretches, theil_sen, trend

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


def test_theil_sen_is_the_slope_and_a_quarter_of_wild_points_cannot_move_it() -> None:
    x = list(range(40))
    y = [3.0 + 0.5 * place for place in x]
    assert theil_sen(x, y) == pytest.approx(0.5)
    wild = [1e6 if place % 5 == 0 else value for place, value in zip(x, y, strict=True)]
    assert theil_sen(x, wild) == pytest.approx(0.5, abs=0.2)


@given(st.floats(-5, 5), st.floats(-100, 100), st.integers(4, 400))
def test_a_straight_line_has_its_slope_in_every_pair(slope: float, start: float, count: int) -> None:
    x = [0.1 * place for place in range(count)]
    found = trend(x, [start + slope * place for place in x])
    # The parts are `start` and a share of it; the least of all numbers have no digits for a tenth of them.
    scale = abs(slope) + abs(start) + 1e-300
    assert near(found.slope, slope, scale)
    assert near(found.slopes, [slope] * len(found.slopes), scale)


def test_a_trend_of_nearly_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        trend([1, 2, 3], [1, 2, 3])
    with pytest.raises(ValueError, match="no slope"):
        theil_sen([1, 1], [1, 2])


def test_stretches_are_equal_and_long_enough_to_have_a_figure() -> None:
    assert [len(some) for some in stretches(range(105))] == [10] * 10
    assert [len(some) for some in stretches(range(35))] == [11] * 3
    assert stretches(range(19)) == []


def test_a_figure_comes_with_the_same_figure_of_every_stretch() -> None:
    values = percentile_values("ms", "case", [float(number) for number in range(1, 101)])
    assert [value.metric for value in values] == ["ms_p50", "ms_p95", "ms_p99"]
    assert [value.value for value in values] == [50.0, 95.0, 99.0]
    assert values[0].blocks == [5.0 + 10 * number for number in range(10)]
    assert percentile_values("ms", "case", []) == []
