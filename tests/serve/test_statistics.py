"""Statistics of a session as sent to its client."""

from __future__ import annotations

import pytest

from fakes import FakeClock
from vivace import messages
from vivace.serve.statistics import NetworkReport, limiting, session_stats
from vivace.stream.account import SERVED_STAGES, Account


def stats_of(account: Account) -> messages.Stats:
    return session_stats(account, NetworkReport(), time_s=1.0, effort=1.0, size=(64, 64), recording=None)


FINE = NetworkReport(rtt_ms=20.0, loss=0.0, bitrate_kbps=800.0)


@pytest.mark.parametrize(
    ("fps_in", "fps_out", "late", "effort", "network", "limit", "says"),
    [
        (30.0, 30.0, 0.0, 1.0, FINE, "none", "Nothing"),
        (30.0, 29.0, 0.02, 1.0, FINE, "none", "Nothing"),
        (30.0, 12.0, 0.6, 1.0, FINE, "device", "paints 12 of 30"),
        (30.0, 30.0, 0.0, 0.5, FINE, "device", "50% of the full work"),
        (12.0, 12.0, 0.0, 1.0, FINE, "camera", "Only 12 pictures"),
        (None, None, 0.0, None, FINE, "camera", "No pictures"),
        (30.0, 30.0, 0.0, 1.0, NetworkReport(loss=0.1), "network", "loses 10%"),
        (30.0, 30.0, 0.0, 1.0, NetworkReport(rtt_ms=400.0), "network", "400 ms"),
        (
            30.0,
            30.0,
            0.0,
            1.0,
            NetworkReport(bitrate_kbps=250.0, wanted_kbps=900.0, available_kbps=300.0),
            "network",
            "300 kbit/s",
        ),
        (30.0, 10.0, 0.66, 1.0, NetworkReport(loss=0.03), "device", "paints 10 of 30"),
        (30.0, 28.0, 0.12, 1.0, NetworkReport(loss=0.2), "network", "loses 20%"),
    ],
)
def test_what_limits_most_is_named(fps_in, fps_out, late, effort, network, limit, says):
    named, text = limiting(fps_in, fps_out, late, effort, network)
    assert named == limit
    assert says in text


def test_a_stopped_camera_shows_in_seconds():
    clock = FakeClock()
    account = Account(SERVED_STAGES, clock)
    for _ in range(90):
        clock.advance(1 / 30)
        account.received()
    assert stats_of(account).fps_in == pytest.approx(30, rel=0.02)
    clock.advance(1.0)
    assert stats_of(account).fps_in < 22
    clock.advance(3.0)
    stats = stats_of(account)
    assert (stats.fps_in, stats.limit) == (None, "camera")


def test_drops_count_from_the_beginning_and_limits_only_lately():
    clock = FakeClock()
    account = Account(SERVED_STAGES, clock)
    for _ in range(60):
        clock.advance(1 / 30)
        account.received()
        account.dropped("late")
    assert stats_of(account).limit == "device"
    for _ in range(120):
        clock.advance(1 / 30)
        account.received()
    stats = stats_of(account)
    assert (stats.drops, stats.limit) == ({"late": 60}, "none")
