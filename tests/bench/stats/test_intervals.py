import numpy as np
import pytest

from bench.documents import info, measure
from vivace.bench.document import Measurement
from vivace.bench.stats.intervals import compare_metric, summarise


def cases(rng, *, shift=0.0, count=6, blocks=8, noise=1.0):
    """Return cases of very different levels, each with its blocks."""
    return [measure("m", f"c{i}", list(10.0 * i + shift + rng.normal(0, noise, blocks))) for i in range(count)]


def test_the_value_is_the_mean_over_cases_not_over_blocks():
    (interval,) = summarise([measure("m", "a", [0.0, 0.0, 0.0, 0.0]), measure("m", "b", [1.0])])
    assert interval.value == 0.5
    assert interval.cases == 2


def test_what_a_metric_does_not_say_is_left_out_and_not_counted():
    nothing = Measurement(metric="m", case="b", value=None)
    (interval,) = summarise([measure("m", "a", [1.0, 2.0]), nothing])
    assert (interval.value, interval.cases) == (1.5, 1)
    assert summarise([nothing]) == []


def test_gaps_among_blocks_are_left_out():
    gap = Measurement(metric="m", case="a", value=1.5, blocks=[1.0, None, 2.0])
    assert summarise([gap]) == summarise([measure("m", "a", [1.0, 2.0])])


@pytest.mark.parametrize("blocks", [[], [3.0]])
def test_without_blocks_the_interval_is_the_value(blocks):
    (interval,) = summarise([Measurement(metric="m", case="a", value=3.0, blocks=blocks)])
    assert interval.low == interval.value == interval.high == 3.0


def test_the_same_seed_gives_the_same_interval_whatever_else_is_measured():
    own = cases(np.random.default_rng(0))
    other = [Measurement(metric="other", case="a", value=1.0, blocks=[0.5, 1.5])]
    assert summarise(own) == summarise([*other, *own])[1:]
    assert summarise(own, seed=1) != summarise(own)


def test_what_separates_the_cases_does_not_widen_the_interval():
    (interval,) = summarise(cases(np.random.default_rng(0)))
    # the mean of 48 values of unit noise: 1.96 / sqrt(48) to either side, though the levels span 50
    assert interval.half == pytest.approx(1.96 / np.sqrt(48), rel=0.3)


def test_the_interval_holds_the_true_value_as_often_as_it_says():
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(600):
        (interval,) = summarise(cases(rng, count=4, blocks=8), resamples=300)
        held += interval.low <= 15.0 <= interval.high
    assert 0.92 <= held / 600 <= 0.97


def test_an_interval_lies_around_a_value_that_is_not_the_mean_of_its_blocks():
    """Such as a percentile."""
    (interval,) = summarise([Measurement(metric="m", case="a", value=30.0, blocks=[10.0, 11.0, 12.0, 11.0])])
    assert 28.0 < interval.low < 30.0 < interval.high < 32.0


@pytest.mark.parametrize(
    ("direction", "shift", "verdict"),
    [
        ("higher", 0.5, "better"),
        ("higher", -0.5, "worse"),
        ("lower", 0.5, "worse"),
        ("lower", -0.5, "better"),
        ("higher", 0.0, "noise"),
    ],
)
def test_a_shift_is_called_by_its_direction(direction, shift, verdict):
    a = cases(np.random.default_rng(0), noise=0.3)
    b = cases(np.random.default_rng(1), shift=shift, noise=0.3)
    change = compare_metric(a, b, info("m", direction))
    assert change.verdict == verdict
    assert change.difference == pytest.approx(change.b - change.a)
    assert change.low <= change.difference <= change.high


def test_nearer_to_the_target_is_better_from_either_side():
    def at(value):
        return [measure("m", "a", [value - 0.01, value, value + 0.01, value])]

    described = info("m", "target")
    assert compare_metric(at(0.7), at(1.1), described).verdict == "better"
    assert compare_metric(at(1.3), at(0.9), described).verdict == "better"
    assert compare_metric(at(1.0), at(0.8), described).verdict == "worse"
    assert compare_metric(at(0.8), at(1.2), described).verdict == "noise"


def test_opposite_errors_do_not_cancel_to_the_target():
    def two(low, high):
        return [measure("m", "a", [low, low + 0.01]), measure("m", "b", [high, high + 0.01])]

    assert compare_metric(two(1.0, 1.0), two(0.5, 1.5), info("m", "target")).verdict == "worse"


def test_what_sits_on_its_target_is_no_better_than_what_sits_there_within_noise():
    """The source has no drift at all, and every system a little by measurement alone."""
    rng = np.random.default_rng(5)
    called = 0
    for _ in range(100):
        exact = [measure("m", f"c{i}", [0.0] * 8) for i in range(6)]
        noisy = [measure("m", f"c{i}", list(rng.normal(0, 1, 8))) for i in range(6)]
        called += compare_metric(noisy, exact, info("m", "target", target=0.0), resamples=300).verdict != "noise"
    assert called <= 10
    drifting = [measure("m", f"c{i}", list(rng.normal(1, 1, 8))) for i in range(6)]
    assert compare_metric(drifting, exact, info("m", "target", target=0.0)).verdict == "better"
    assert compare_metric(exact, drifting, info("m", "target", target=0.0)).verdict == "worse"


def test_noise_that_both_share_drops_out():
    hard = np.random.default_rng(0).normal(0, 5, 12)
    fine = np.random.default_rng(1).normal(0, 0.05, 12)
    a = [measure("m", "a", list(hard))]
    b = [measure("m", "a", list(hard + 0.2 + fine))]
    unpaired = [measure("m", "a", list(np.roll(hard, 5) + 0.2 + fine))]
    assert compare_metric(a, b, info("m")).verdict == "better"
    assert compare_metric(a, unpaired, info("m")).verdict == "noise"


def test_clips_cut_differently_are_compared_unpaired():
    a = [measure("m", "a", [1.0, 1.1, 0.9, 1.0])]
    b = [measure("m", "a", [2.0, 2.1, 1.9, 2.0, 2.0, 2.0])]
    assert compare_metric(a, b, info("m")).verdict == "better"


def test_cases_of_one_run_only_are_named_and_left_out():
    a = [measure("m", "a", [1.0, 1.1]), measure("m", "old", [100.0, 101.0])]
    b = [measure("m", "a", [1.0, 1.1]), measure("m", "new", [5.0, 6.0])]
    change = compare_metric(a, b, info("m"))
    assert (change.only_a, change.only_b, change.cases) == (("old",), ("new",), 1)
    assert change.verdict == "noise"
    assert compare_metric(a[1:], b[1:], info("m")) is None


def test_single_figures_are_not_judged():
    a, b = ([Measurement(metric="m", case="a", value=value)] for value in (1.0, 2.0))
    assert compare_metric(a, b, info("m")).verdict == "unsure"
    assert compare_metric(a, a, info("m")).verdict == "noise"


def test_what_repeats_to_a_millionth_is_the_same():
    a = [measure("m", "a", [1.0, 1.0, 1.0])]
    b = [measure("m", "a", [1.0 + 5e-7] * 3)]
    assert compare_metric(a, b, info("m")).verdict == "noise"


def test_one_case_can_be_compared_alone():
    a = [measure("m", "a", [1.0, 1.1]), measure("m", "b", [5.0, 5.1])]
    b = [measure("m", "a", [1.0, 1.1]), measure("m", "b", [9.0, 9.1])]
    assert compare_metric(a, b, info("m"), case="a").verdict == "noise"
    assert compare_metric(a, b, info("m"), case="b").verdict == "better"
    assert compare_metric(a, b, info("m"), case="c") is None
