"""State of the network path to a receiver, seen from the sender: throughput, loss, queueing delay.

A path that gets more than its capacity queues packets before it loses them. A queue that comes and goes is due to a
keyframe or a busy machine; a standing queue (RFC 8289) means congestion.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf

from vivace.rtc.arrivals import PERIOD_S

SPAN_S = 1.0
"""Window of sending times over which loss and standing queue are measured, s."""
RECENT_S = 0.3
"""Window of arrivals over which throughput is measured, s."""
LEAST_SPAN_S = 0.1
"""Shortest span that bitrates are computed over, s."""
BASE_S = 15.0
"""Interval of the minimum filter for the path's base delay, s. The minimum covers one to two intervals, since the
clocks of two machines drift apart."""
MIN_PACKETS = 20
"""Fewest packets for which a loss rate is reported."""
FORGOTTEN_S = 10.0
"""Time after which an unreported packet is forgotten, s."""


@dataclass(frozen=True, slots=True)
class LineState:
    """State of a network path."""

    sent_bps: float
    loss: float | None
    """Share of packets lost, 0 to 1; None if not reported, or of too few packets."""
    received_bps: float | None = None
    """Throughput, bit/s, which is the capacity if the path is congested; None if not reported."""
    queue_s: float = 0.0
    """Queueing delay of the newest packet, s."""
    standing_s: float = 0.0
    """Standing queue: the smallest queueing delay within a second, s; 0 until a second has passed."""
    drained_in_s: float = 0.0
    """Time until all packets in flight have arrived, if the path is congested, s."""


@dataclass(slots=True)
class _Told:
    """Totals of one report over the packets that it is the first to mention."""

    packets: int = 0
    size: int = 0
    came: int = 0
    came_size: int = 0
    first_sent_s: float = inf
    last_sent_s: float = -inf
    first_arrival_s: float = inf
    """First arrival on the receiver's clock, s."""
    last_arrival_s: float = -inf
    least_delay_s: float = inf
    """Smallest difference between arrival and sending time, each on its own clock, s."""
    last_delay_s: float = inf


class SentPackets:
    """Recently sent packets and the reports on them."""

    def __init__(self, now_s: float) -> None:
        self._sent: dict[int, tuple[float, int]] = {}
        """Time (s) and size (bytes) of packets not reported as arrived, by number."""
        self._missing: set[int] = set()
        """Numbers of those reported as missing; they may only be reordered."""
        self._told: deque[_Told] = deque()
        self._since_s = now_s
        """Start of the present bitrate, s; packets sent earlier are ignored."""
        self._last_arrival_s = 0.0
        self._base: tuple[float, float] | None = None
        """Minimum delay of the last full interval and of the present one, s."""
        self._base_began_s = 0.0

    def sent(self, number: int, size: int, now_s: float) -> None:
        """Record a packet of `size` bytes and its 16-bit transport-wide number; `now_s` is monotonic."""
        self._sent.pop(number, None)
        self._missing.discard(number)
        self._sent[number] = now_s, size
        while now_s - self._sent[oldest := next(iter(self._sent))][0] > FORGOTTEN_S:
            del self._sent[oldest]
            self._missing.discard(oldest)

    def begin_anew(self, now_s: float) -> None:
        """Ignore packets sent before `now_s`: the queue has drained, and the bitrate is lower."""
        self._since_s = now_s
        self._told.clear()
        self._base = None

    def told(self, report: list[tuple[int, float | None]]) -> LineState | None:
        """Process a report in the form of `read_report`; return the state of the path, None while it is unknown."""
        told = _Told()
        for number, arrival_s in report:
            if number not in self._sent:
                continue
            sent_s, size = self._sent[number]
            if arrival_s is not None:
                del self._sent[number]
            if sent_s >= self._since_s:
                self._take(told, number, sent_s, size, arrival_s)
        if told.packets or told.came:
            self._told.append(told)
        while self._told and self._told[-1].last_sent_s - self._told[0].first_sent_s > SPAN_S + LEAST_SPAN_S:
            self._told.popleft()
        return self._state()

    def _take(self, told: _Told, number: int, sent_s: float, size: int, arrival_s: float | None) -> None:
        told.first_sent_s, told.last_sent_s = min(told.first_sent_s, sent_s), max(told.last_sent_s, sent_s)
        if number not in self._missing:
            told.packets += 1
            told.size += size
        if arrival_s is None:
            self._missing.add(number)
            return
        self._missing.discard(number)
        arrival_s += PERIOD_S * round((self._last_arrival_s - arrival_s) / PERIOD_S)
        self._last_arrival_s = arrival_s
        delay_s = arrival_s - sent_s
        self._learn_base(sent_s, delay_s)
        told.came += 1
        told.came_size += size
        told.first_arrival_s = min(told.first_arrival_s, arrival_s)
        told.least_delay_s = min(told.least_delay_s, delay_s)
        if arrival_s >= told.last_arrival_s:
            told.last_arrival_s, told.last_delay_s = arrival_s, delay_s

    def _learn_base(self, sent_s: float, delay_s: float) -> None:
        if self._base is None:
            self._base, self._base_began_s = (delay_s, delay_s), sent_s
        elif sent_s - self._base_began_s > BASE_S:
            self._base, self._base_began_s = (self._base[1], delay_s), sent_s
        else:
            self._base = self._base[0], min(self._base[1], delay_s)

    def _state(self) -> LineState | None:
        came = [told for told in self._told if told.came]
        if not came or self._base is None:
            return None
        base_s, newest_s = min(self._base), self._told[-1].last_sent_s
        packets = sum(told.packets for told in self._told)
        last_arrival_s = max(told.last_arrival_s for told in came)
        recent = [told for told in came if last_arrival_s - told.first_arrival_s <= RECENT_S] or came[-1:]
        received_bps = _bps(
            sum(told.came_size for told in recent), last_arrival_s - min(told.first_arrival_s for told in recent)
        )
        on_its_way = sum(size for number, (_, size) in self._sent.items() if number not in self._missing)
        return LineState(
            sent_bps=_bps(sum(told.size for told in self._told), newest_s - self._told[0].first_sent_s),
            loss=None if packets < MIN_PACKETS else max(0.0, 1 - sum(told.came for told in came) / packets),
            received_bps=received_bps,
            queue_s=came[-1].last_delay_s - base_s,
            standing_s=(
                min(told.least_delay_s for told in came) - base_s if newest_s - self._since_s >= SPAN_S else 0.0
            ),
            drained_in_s=8 * on_its_way / received_bps,
        )


def _bps(size: int, span_s: float) -> float:
    """Return the bitrate of `size` bytes; very short spans, such as that of the first frame, are extended."""
    return 8 * size / max(LEAST_SPAN_S, span_s)
