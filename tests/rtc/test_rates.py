"""A viewer stands on the highest rung that its line carries."""

from __future__ import annotations

from itertools import pairwise

from vivace.rtc.rates import FAILED_WITHIN_S, FIRST_UP_AFTER_S, RUNGS, RateControl

FULL_BPS = 2_000_000


def control() -> RateControl:
    return RateControl(FULL_BPS, 0.0)


def watch(rates: RateControl, from_s: int, seconds: int, *, loss: float | None = 0.0) -> list[int]:
    rungs = []
    for second in range(from_s, from_s + seconds):
        rates.observe(float(second), sent_bps=rates.bitrate_bps, loss=loss)
        rungs.append(rates.rung)
    return rungs


def test_a_good_line_gets_everything() -> None:
    assert set(watch(control(), 0, 60)) == {0}


def test_a_silent_receiver_is_believed_to_be_well() -> None:
    assert set(watch(control(), 0, 60, loss=None)) == {0}


def test_loss_leads_down_to_the_lowest_rung_and_no_further() -> None:
    rates = control()
    assert watch(rates, 0, 10, loss=0.3) == [1, 2, 3, 4, 4, 4, 4, 4, 4, 4]
    assert rates.bitrate_bps == round(FULL_BPS * RUNGS[-1])


def test_an_estimate_below_what_is_sent_leads_down_until_it_fits() -> None:
    rates = control()
    rates.estimate_bps = 800_000
    assert watch(rates, 0, 4)[-1] == 2
    assert rates.bitrate_bps <= 800_000


def test_an_estimate_above_what_is_sent_says_nothing_against_more() -> None:
    rates = control()
    rates.estimate_bps = FULL_BPS * 10
    assert set(watch(rates, 0, 30)) == {0}


def test_a_quiet_picture_is_no_proof_of_a_full_line() -> None:
    rates = control()
    rates.estimate_bps = 300_000
    for second in range(30):
        rates.observe(float(second), sent_bps=50_000, loss=0.0)
    assert rates.rung == 0


def test_a_line_that_is_well_again_climbs_back() -> None:
    rates = control()
    watch(rates, 0, 3, loss=0.3)
    rungs = watch(rates, 3, 40)
    assert rungs[int(FIRST_UP_AFTER_S) - 2] == 3
    assert rungs[-1] == 0


def test_tries_that_fail_become_rarer() -> None:
    rates = control()
    tries = []
    for second in range(400):
        before = rates.rung
        rates.observe(float(second), sent_bps=rates.bitrate_bps, loss=0.3 if rates.rung == 0 else 0.0)
        if rates.rung < before:
            tries.append(second)
    waits = [after - before for before, after in pairwise(tries)]
    assert waits == sorted(waits)
    assert waits[-1] >= 3 * FAILED_WITHIN_S


def test_another_size_keeps_the_rung() -> None:
    rates = control()
    watch(rates, 0, 1, loss=0.3)
    rates.resize(FULL_BPS * 2)
    assert rates.bitrate_bps == round(FULL_BPS * 2 * RUNGS[1])
