"""A feed over a simulated path, with a fake clock: it soon uses its capacity, and nothing waits for long."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from vivace.rtc.arrivals import REPORT_S, Arrivals
from vivace.rtc.encoding import BUFFER_S, full_bitrate
from vivace.rtc.feed import Feed
from vivace.rtc.rates import START_BPS

FULL_BPS = full_bitrate((1280, 720))
PACKET_BYTES = 1200
FPS = 30.0


@dataclass
class Line:
    """Simulated path of packets; times are the sender's clock."""

    rate_bps: Callable[[float], float] = lambda now_s: 1e9
    loss: float = 0.0
    jitter_s: float = 0.0
    delay_s: Callable[[float], float] = lambda now_s: 0.02
    queue_limit_s: float = 3.0
    clock: Callable[[float], float] = lambda now_s: now_s
    """Clock of the receiver."""
    random: random.Random = field(default_factory=lambda: random.Random(0))
    waits: list[tuple[float, float]] = field(default_factory=list)
    """Time of sending and waiting time of each packet, s."""
    free_s: float = 0.0

    def carry(self, now_s: float, size: int) -> float | None:
        """Return when a packet of `size` bytes arrives; None if it is lost."""
        queued_s = max(0.0, self.free_s - now_s)
        if queued_s > self.queue_limit_s or self.random.random() < self.loss:
            return None
        self.free_s = now_s + queued_s + 8 * size / self.rate_bps(now_s)
        self.waits.append((now_s, queued_s))
        return self.free_s + self.delay_s(now_s) + self.jitter_s * self.random.random()

    def longest_wait_s(self, from_s: float = 0.0) -> float:
        return max(wait_s for now_s, wait_s in self.waits if now_s >= from_s)


@dataclass
class Run:
    """Sent frames: time, bitrate and number of bytes of each, none while nothing was sent."""

    frames: list[tuple[float, int, int]]

    def bitrates(self, from_s: float = 0.0, until_s: float = 1e9) -> list[int]:
        return [bps for now_s, bps, _ in self.frames if from_s <= now_s < until_s]

    def mean_bps(self, from_s: float, until_s: float) -> float:
        return 8 * sum(size for now_s, _, size in self.frames if from_s <= now_s < until_s) / (until_s - from_s)

    def settled_s(self, bps: float) -> float:
        """Return the time from which on the bitrate was never below `bps`, s."""
        return max((now_s for now_s, frame_bps, _ in self.frames if frame_bps < bps), default=0.0)


def send(line: Line, seconds: float, *, busy: Callable[[float], float] = lambda now_s: 1.0) -> Run:
    """Send pictures that take at most `busy` of the full bitrate, as an encoder makes them: a keyframe is a buffer."""
    now_s = 0.0
    feed = Feed("H264", FULL_BPS, clock=lambda: now_s)
    arrivals = Arrivals()
    events: list[tuple[float, int, str, int | bytes]] = []
    order = number = 0

    def later(time_s: float, kind: str, what: int | bytes = 0) -> None:
        nonlocal order
        order += 1
        heapq.heappush(events, (time_s, order, kind, what))

    frames = []
    later(0.0, "frame")
    later(0.0, "report")
    rendition = None
    while events and (now_s := events[0][0]) < seconds:
        _, _, kind, what = heapq.heappop(events)
        if kind == "arrival":
            assert isinstance(what, int)
            arrivals.add(what, line.clock(now_s))
        elif kind == "report":
            later(now_s + REPORT_S, "report")
            if (fci := arrivals.report()) is not None:
                later(now_s + line.delay_s(now_s), "told", fci)
        elif kind == "told":
            assert isinstance(what, bytes)
            feed.take_arrivals(what)
        else:
            later(now_s + 1 / FPS, "frame")
            if not feed.settle(now_s):
                frames.append((now_s, feed.rates.bitrate_bps, 0))
                continue
            bps = min(feed.rates.bitrate_bps, FULL_BPS * busy(now_s))
            size = round(
                bps / 8 * (0.9 * BUFFER_S if feed.rendition != rendition else line.random.uniform(0.8, 1.2) / FPS)
            )
            rendition = feed.rendition
            frames.append((now_s, feed.rates.bitrate_bps, size))
            for at in range(0, size, PACKET_BYTES):
                number = (number + 1) & 0xFFFF
                part = min(PACKET_BYTES, size - at)
                feed.note_sent(number, part)
                if (arrival_s := line.carry(now_s, part)) is not None:
                    later(arrival_s, "arrival", number)
    return Run(frames)


@pytest.mark.parametrize("loss", [0.0, 0.02])
def test_a_wide_line_is_given_all_that_720p_needs_within_seconds(loss: float) -> None:
    run = send(Line(loss=loss), 30.0)
    assert run.bitrates()[-1] == FULL_BPS
    assert min(run.bitrates(3.0)) >= 2_000_000
    assert run.settled_s(FULL_BPS) < 8.0


@pytest.mark.parametrize("loss", [0.0, 0.02])
@pytest.mark.parametrize("rate_bps", [500_000, 1_000_000, 3_000_000])
def test_a_narrow_line_is_used_and_never_has_seconds_waiting(rate_bps: int, loss: float) -> None:
    line = Line(rate_bps=lambda now_s: rate_bps, loss=loss)
    run = send(line, 60.0)
    assert line.longest_wait_s() < 0.9 * BUFFER_S * START_BPS / rate_bps + 0.8, "the first keyframe and what finds out"
    assert line.longest_wait_s(from_s=6.0) < 1.0
    assert 0.4 * rate_bps < run.mean_bps(10.0, 60.0) < rate_bps
    paused = sum(size == 0 for _, _, size in run.frames)
    assert paused < 0.1 * len(run.frames)


def test_a_line_that_gets_narrow_and_wide_again_is_followed_both_ways() -> None:
    line = Line(rate_bps=lambda now_s: 1_000_000 if 10.0 <= now_s < 40.0 else 20_000_000)
    run = send(line, 120.0)
    assert run.bitrates(9.0, 10.0)[-1] == FULL_BPS
    assert max(run.bitrates(12.0, 40.0)) < 2_000_000
    assert line.longest_wait_s(from_s=20.0) < 1.0
    assert run.settled_s(FULL_BPS) < 80.0


def test_what_a_busy_machine_does_to_arrivals_is_no_congestion() -> None:
    line = Line(jitter_s=0.03, delay_s=lambda now_s: 0.02 + max(0.0, 0.2 - now_s % 1.5))
    assert send(line, 30.0).settled_s(FULL_BPS) < 15.0


@pytest.mark.parametrize("drift", [-1e-3, 1e-3])
def test_clocks_that_drift_apart_are_no_congestion(drift: float) -> None:
    run = send(Line(clock=lambda now_s: 5_000.0 + now_s * (1 + drift)), 120.0)
    assert run.settled_s(FULL_BPS) < 8.0


def test_a_way_that_becomes_longer_is_no_congestion_for_long() -> None:
    run = send(Line(delay_s=lambda now_s: 0.02 if now_s < 20.0 else 0.15), 60.0)
    assert min(run.bitrates(20.0)) >= 0.3 * FULL_BPS
    assert run.settled_s(FULL_BPS) < 40.0


def test_a_quiet_picture_is_not_given_more_until_it_takes_it() -> None:
    run = send(Line(), 30.0, busy=lambda now_s: 0.02 if now_s < 20.0 else 1.0)
    assert len(set(run.bitrates(0.0, 20.0))) == 1
    assert run.settled_s(FULL_BPS) < 28.0
