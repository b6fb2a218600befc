"""Path estimates from reports of arrivals."""

from __future__ import annotations

import pytest

from vivace.rtc.arrivals import PERIOD_S
from vivace.rtc.line import MIN_PACKETS, SPAN_S, SentPackets

SIZE = 1000


def send(packets: SentPackets, first: int, count: int, from_s: float = 0.0, every_s: float = 0.01) -> None:
    for number in range(first, first + count):
        packets.sent(number & 0xFFFF, SIZE, from_s + (number - first) * every_s)


def test_a_steady_line_shows_its_bitrate_and_nothing_else() -> None:
    packets = SentPackets(0.0)
    send(packets, 0, 100)
    state = packets.told([(n, 7.0 + n * 0.01) for n in range(100)])
    assert state is not None
    assert state.sent_bps == pytest.approx(8 * SIZE / 0.01, rel=0.05)
    assert state.received_bps == pytest.approx(8 * SIZE / 0.01, rel=0.05)
    assert (state.loss, state.drained_in_s) == (0.0, 0.0)
    assert state.queue_s == pytest.approx(0.0, abs=1e-9)


def test_nothing_is_said_before_something_has_come_and_no_loss_of_a_few_packets() -> None:
    packets = SentPackets(0.0)
    assert packets.told([]) is None
    send(packets, 0, MIN_PACKETS - 1)
    assert packets.told([(0, None), (1, None)]) is None
    state = packets.told([(2, 1.0)])
    assert state is not None
    assert state.loss is None


def test_a_packet_that_comes_after_it_was_told_as_missing_is_not_lost() -> None:
    packets = SentPackets(0.0)
    send(packets, 0, 40)
    state = packets.told([(n, None if n in (10, 11) else 1.0 + n * 0.01) for n in range(40)])
    assert state is not None
    assert state.loss == pytest.approx(2 / 40)
    state = packets.told([(10, 1.41)])
    assert state is not None
    assert state.loss == pytest.approx(1 / 40)
    assert packets.told([(10, 1.42)]) == state, "told twice"


def test_what_is_on_its_way_says_when_a_full_line_is_empty() -> None:
    packets = SentPackets(0.0)
    send(packets, 0, 60, every_s=0.001)
    state = packets.told([(n, 1.0 + n * 0.01) for n in range(30)])  # its capacity is a packet every 10 ms
    assert state is not None
    assert state.drained_in_s == pytest.approx(30 * 0.01, rel=0.05)
    assert state.queue_s == pytest.approx(29 * 0.009)


def test_after_a_new_beginning_only_what_is_sent_from_then_on_counts() -> None:
    packets = SentPackets(0.0)
    send(packets, 0, 50)
    packets.begin_anew(1.0)
    assert packets.told([(n, 9.0 + 0.1 * n if n % 2 else None) for n in range(50)]) is None, "sent before"
    send(packets, 50, 50, from_s=1.0)
    state = packets.told([(n, 14.0 + n * 0.01) for n in range(50, 100)])
    assert state is not None
    assert state.loss == 0.0
    assert state.queue_s == pytest.approx(0.0, abs=1e-9), "what a line without a queue takes is learned anew"


def test_a_queue_stands_once_no_packet_of_a_second_was_free_of_it() -> None:
    packets = SentPackets(0.0)
    standing = []
    for tenth in range(40):
        number = 10 * tenth
        send(packets, number, 10, from_s=tenth / 10)
        state = packets.told([(n, 5.0 + n * 0.01 + (0.2 if tenth >= 15 else 0.0)) for n in range(number, number + 10)])
        assert state is not None
        standing.append(state.standing_s)
    assert max(standing[:15]) == pytest.approx(0.0, abs=1e-9)
    begins = next(tenth for tenth, wait_s in enumerate(standing) if wait_s > 0.1)
    assert 15 + 10 * SPAN_S <= begins <= 15 + 10 * SPAN_S + 2


def test_the_receivers_clock_and_the_numbers_may_begin_anew() -> None:
    packets = SentPackets(0.0)
    first = 0xFFFF - 19
    send(packets, first, 40)
    state = packets.told([((first + n) & 0xFFFF, (PERIOD_S - 0.2 + n * 0.01) % PERIOD_S) for n in range(40)])
    assert state is not None
    assert state.queue_s == pytest.approx(0.0, abs=1e-6)
    assert state.received_bps == pytest.approx(8 * SIZE / 0.01, rel=0.05)


def test_what_nobody_tells_of_is_forgotten() -> None:
    packets = SentPackets(0.0)
    send(packets, 0, 3_000)
    assert len(packets._sent) <= 1_002
