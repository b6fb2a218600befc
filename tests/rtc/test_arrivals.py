"""Reports of arrivals contain packets and times, in the bytes that the draft defines."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vivace.rtc.arrivals import MAX_COVERED, PERIOD_S, TICK_S, Arrivals, read_report, unwrap


def report(arrivals: Arrivals) -> list[tuple[int, float | None]]:
    fci = arrivals.report()
    assert fci is not None
    assert len(fci) % 4 == 0
    return read_report(fci)


def test_the_bytes_are_those_of_the_draft() -> None:
    arrivals = Arrivals()
    for number, time_s in ((5, 0.064), (6, 0.065), (9, 0.2), (8, 0.19)):
        arrivals.add(number, time_s)
    assert arrivals.report() == bytes.fromhex(
        "0005"  # the first packet
        "0005"  # number of packets
        "000001"  # 1 x 64 ms
        "00"  # the first report
        "d490"  # a vector of two bits each: small, small, missing, large, small
        "00"  # 0 ticks after 64 ms
        "04"  # 1 ms later
        "01f4"  # 125 ms later, more than a byte holds
        "28"  # 10 ms later
        "00"  # padding
    )
    arrivals.add(10, 0.3)
    assert arrivals.report() == bytes.fromhex("000a 0001 000004 01 d000 b0 00")


def test_long_runs_of_one_kind_take_two_bytes() -> None:
    arrivals = Arrivals()
    for number in (*range(100), *range(600, 700)):
        arrivals.add(number, 0.01)
    fci = arrivals.report()
    assert fci is not None
    assert len(fci) <= 8 + 3 * 2 + 200 + 3
    told = dict(read_report(fci))
    assert [number for number, arrival_s in told.items() if arrival_s is None] == list(range(100, 600))


def test_one_bit_vectors_of_other_senders_are_read() -> None:
    fci = bytes.fromhex("0001 0003 000000 00 a800 04 08 00 00")
    assert read_report(fci) == [(1, 4 * TICK_S), (2, None), (3, 12 * TICK_S)]


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(-2_000, 20_000)), min_size=1, max_size=200),
    st.integers(0, 0xFFFF),
    st.integers(0, 10**9),
)
def test_what_is_written_is_read(steps: list[tuple[int, int]], first: int, began_ticks: int) -> None:
    arrivals, number, ticks, came = Arrivals(), first, began_ticks, {}
    for ahead, later in steps:
        arrivals.add(number & 0xFFFF, max(0, ticks) * TICK_S)
        came[number & 0xFFFF] = max(0, ticks) * TICK_S
        number, ticks = number + ahead, ticks + later
        if number - first >= MAX_COVERED:
            break
    told = report(arrivals)
    assert [place for place, _ in told] == [(first + place) & 0xFFFF for place in range(len(told))]
    for place, arrival_s in told:
        if arrival_s is None:
            assert place not in came
        else:
            late_s = (arrival_s - came[place] + PERIOD_S / 2) % PERIOD_S - PERIOD_S / 2
            assert abs(late_s) <= 1.01 * TICK_S


def test_the_next_report_begins_where_the_last_ended_so_that_what_is_lost_between_them_is_told() -> None:
    arrivals = Arrivals()
    arrivals.add(0xFFFE, 1.0)
    report(arrivals)
    arrivals.add(1, 1.1)
    assert [(number, arrival_s is not None) for number, arrival_s in report(arrivals)] == [
        (0xFFFF, False),
        (0, False),
        (1, True),
    ]
    assert arrivals.report() is None


def test_a_packet_that_was_overtaken_by_its_report_is_told_with_the_next() -> None:
    arrivals = Arrivals()
    arrivals.add(10, 1.0)
    arrivals.add(12, 1.01)
    assert [arrival_s is not None for _, arrival_s in report(arrivals)] == [True, False, True]
    arrivals.add(11, 1.06)
    assert [number for number, arrival_s in report(arrivals) if arrival_s is not None] == [11]
    arrivals.add(13, 1.1)
    assert [number for number, _ in report(arrivals)] == [13]


def test_a_sender_that_jumps_ahead_costs_no_more_than_a_report() -> None:
    arrivals = Arrivals()
    arrivals.add(0, 1.0)
    report(arrivals)
    arrivals.add(30_000, 1.0)
    told = report(arrivals)
    assert [number for number, arrival_s in told if arrival_s is not None] == [30_000]
    assert len(told) <= MAX_COVERED


def test_a_silence_of_a_minute_ends_a_report_and_not_the_next() -> None:
    arrivals = Arrivals()
    arrivals.add(1, 1.0)
    arrivals.add(2, 61.0)
    assert [number for number, _ in report(arrivals)] == [1]
    arrivals.add(3, 61.1)
    assert [number for number, _ in report(arrivals)] == [3]


def test_a_damaged_report_is_refused_or_read_and_nothing_else() -> None:
    source = random.Random(0)
    arrivals = Arrivals()
    for number in range(0, 60, 3):
        arrivals.add(number, number / 10)
    whole = arrivals.report()
    assert whole is not None
    refused = 0
    for length in range(len(whole)):
        try:
            read_report(whole[:length])
        except ValueError:
            refused += 1
    assert refused >= len(whole) - 4
    for _ in range(2_000):
        try:
            told = read_report(source.randbytes(source.randrange(64)))
        except ValueError:
            continue
        assert len(told) <= MAX_COVERED


def test_a_few_bytes_that_stand_for_very_many_packets_are_refused() -> None:
    runs = b"\x1f\xff" * 8
    with pytest.raises(ValueError, match="65535 packets"):
        read_report(bytes.fromhex("0000 ffff 000000 00") + runs)


@pytest.mark.parametrize(("number", "near", "expected"), [(5, 3, 5), (0, 0xFFFF, 0x10000), (0xFFFF, 0x10000, 0xFFFF)])
def test_numbers_are_unwrapped_to_the_nearest(number: int, near: int, expected: int) -> None:
    assert unwrap(number, near) == expected
