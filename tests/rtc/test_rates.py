"""A viewer gets the highest rung that its path carries."""

from __future__ import annotations

from itertools import pairwise

from vivace.rtc.encoding import MIN_BPS
from vivace.rtc.line import LineState
from vivace.rtc.rates import FAILED_WITHIN_S, PART_OF_CARRIED, START_BPS, STEP, UP_AFTER_S, RateControl, rung_bps

FULL_BPS = 1_500_000


def watch(
    rates: RateControl, from_s: int, seconds: int, *, loss: float | None = 0.0, received_bps: float | None = None
) -> list[int]:
    rungs = []
    for second in range(from_s, from_s + seconds):
        rates.observe(float(second), LineState(rates.bitrate_bps, loss, received_bps))
        rungs.append(rates.rung)
    return rungs


def test_a_good_line_gets_everything() -> None:
    assert set(watch(RateControl(FULL_BPS), 0, 60)) == {0}


def test_a_silent_receiver_is_believed_to_be_well() -> None:
    assert set(watch(RateControl(FULL_BPS), 0, 60, loss=None)) == {0}


def test_large_pictures_begin_with_what_a_line_is_trusted_with_and_get_everything_within_seconds() -> None:
    rates = RateControl(10_000_000)
    assert STEP * START_BPS < rates.bitrate_bps <= START_BPS
    assert watch(rates, 0, 6)[-1] == 0


def test_loss_leads_down_to_the_least_bitrate_and_no_further() -> None:
    rates = RateControl(FULL_BPS)
    assert watch(rates, 0, 10, loss=0.3) == [1, 2, 3, 4, 5, 5, 5, 5, 5, 5]
    assert rates.bitrate_bps == MIN_BPS


def test_a_little_loss_is_no_reason_to_send_less() -> None:
    rates = RateControl(10_000_000)
    assert watch(rates, 0, 10, loss=0.04)[-1] == 0


def test_a_full_line_is_given_less_than_it_carried_at_once() -> None:
    rates = RateControl(10_000_000)
    watch(rates, 0, 10)
    assert rates.observe(10.0, LineState(10_000_000, 0.0, received_bps=1_000_000, queue_s=0.5))
    assert STEP * PART_OF_CARRIED * 1_000_000 < rates.bitrate_bps <= PART_OF_CARRIED * 1_000_000
    assert rates.carried_bps == 1_000_000


def test_a_queue_that_stands_is_too_much_and_one_that_comes_and_goes_only_keeps_from_more() -> None:
    rates = RateControl(10_000_000)
    assert not rates.observe(0.0, LineState(rates.bitrate_bps, 0.0, 5e6, queue_s=0.3))
    before = rates.rung
    for tenth in range(1, 100):
        assert not rates.observe(tenth / 10, LineState(rates.bitrate_bps, 0.0, 5e6, queue_s=0.3 * (tenth % 5 == 0)))
    assert rates.rung == before
    assert rates.observe(10.0, LineState(rates.bitrate_bps, 0.0, 1e6, queue_s=0.2, standing_s=0.1))
    assert rates.rung > before


def test_an_estimate_below_what_is_sent_leads_down_until_it_fits() -> None:
    rates = RateControl(FULL_BPS)
    rates.estimate_bps = 600_000
    assert watch(rates, 0, 4)[-1] == 2
    assert rates.bitrate_bps <= 600_000


def test_an_estimate_above_what_is_sent_says_nothing_against_more() -> None:
    rates = RateControl(FULL_BPS)
    rates.estimate_bps = FULL_BPS * 10
    assert set(watch(rates, 0, 30)) == {0}


def test_a_quiet_picture_is_no_proof_of_a_full_line() -> None:
    rates = RateControl(FULL_BPS)
    rates.estimate_bps = 300_000
    for second in range(30):
        rates.observe(float(second), LineState(50_000, 0.0))
    assert rates.rung == 0


def test_a_quiet_picture_is_given_no_more_as_each_step_costs_a_keyframe() -> None:
    rates = RateControl(10_000_000)
    before = rates.rung
    for second in range(30):
        rates.observe(float(second), LineState(50_000, 0.0))
    assert rates.rung == before > 0


def test_a_line_that_is_well_again_climbs_back() -> None:
    rates = RateControl(FULL_BPS)
    watch(rates, 0, 3, loss=0.3)
    rungs = watch(rates, 3, 40)
    assert rungs[int(UP_AFTER_S) - 2] == 3
    assert rungs[-1] == 0


def test_a_line_that_carries_more_than_when_it_was_full_climbs_as_a_new_one() -> None:
    rates = RateControl(10_000_000)
    watch(rates, 0, 1, loss=0.3, received_bps=500_000)
    assert rates.bitrate_bps < 500_000
    assert watch(rates, 1, 8, received_bps=600_000)[-1] > 0
    assert watch(rates, 9, 8, received_bps=700_000)[-1] == 0


def test_tries_that_fail_become_rarer() -> None:
    rates = RateControl(FULL_BPS)
    tries = []
    for second in range(400):
        before = rates.rung
        rates.observe(float(second), LineState(rates.bitrate_bps, 0.3 if rates.rung == 0 else 0.0))
        if rates.rung < before:
            tries.append(second)
    waits = [after - before for before, after in pairwise(tries)]
    assert waits == sorted(waits)
    assert waits[-1] >= 3 * FAILED_WITHIN_S


def test_another_size_keeps_to_what_the_line_is_trusted_with() -> None:
    rates = RateControl(FULL_BPS)
    watch(rates, 0, 1, loss=0.3)
    trusted_bps = rates.bitrate_bps
    rates.resize(6 * FULL_BPS)
    assert STEP * trusted_bps < rates.bitrate_bps <= trusted_bps
    rates.resize(FULL_BPS)
    assert rates.bitrate_bps == trusted_bps


def test_rungs_end_at_the_least_bitrate_or_the_full_one_where_that_is_less() -> None:
    assert rung_bps(10_000_000, 40) == MIN_BPS
    assert rung_bps(MIN_BPS // 2, 3) == MIN_BPS // 2
