"""What a line does to the packets that are sent over it, seen from its sender: what arrives, what is lost, what waits.

A line that is given more than it carries lets packets wait in a queue before it loses them. A queue that comes and goes
is what a keyframe or a busy machine makes; one that stands (RFC 8289) means that too much is sent.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import inf

from vivace.rtc.arrivals import PERIOD_S

SPAN_S = 1.0
"""Packets sent within so long tell whether a queue stands, and how many are lost."""
RECENT_S = 0.3
"""What arrived within so long tells what a full line carries."""
LEAST_SPAN_S = 0.1
"""Bitrates are of no less."""
BASE_S = 15.0
"""The least delay of twice this, at most, is the line's own: clocks of two machines drift apart."""
MIN_PACKETS = 20
"""Of fewer, no share of lost ones is told."""
FORGOTTEN_S = 10.0
"""A packet nobody has told of for so long."""


@dataclass(frozen=True, slots=True)
class LineState:
    """What a line does now."""

    sent_bps: float
    loss: float | None
    """Share of packets lost, 0 to 1; None if the receiver has not said, or of too few."""
    received_bps: float | None = None
    """What arrived, which is what the line carries if it is given more; None if nobody says."""
    queue_s: float = 0.0
    """What the packet that came last waited."""
    standing_s: float = 0.0
    """What the luckiest packet of a second waited; 0 until a second has passed."""
    drained_in_s: float = 0.0
    """When all will have come that is on its way, if the line is full."""


@dataclass(slots=True)
class _Told:
    """What one report tells of the packets it is the first to tell of."""

    packets: int = 0
    size: int = 0
    came: int = 0
    came_size: int = 0
    first_sent_s: float = inf
    last_sent_s: float = -inf
    first_arrival_s: float = inf
    """Of arrivals, by the receiver's clock."""
    last_arrival_s: float = -inf
    least_delay_s: float = inf
    """From the sender's clock to the receiver's."""
    last_delay_s: float = inf


class SentPackets:
    """The packets sent lately, and what was told of them."""

    def __init__(self, now_s: float) -> None:
        self._sent: dict[int, tuple[float, int]] = {}
        """Time and size of those that have not come, by number."""
        self._missing: set[int] = set()
        """Those of them that were told of: they may have been overtaken."""
        self._told: deque[_Told] = deque()
        self._since_s = now_s
        """Packets sent before tell of another bitrate."""
        self._last_arrival_s = 0.0
        self._base: tuple[float, float] | None = None
        """The least delay of the last full interval and of the present one."""
        self._base_began_s = 0.0

    def sent(self, number: int, size: int, now_s: float) -> None:
        """Note a packet of `size` bytes and its transport-wide number, 16 bits; monotonic time."""
        self._sent.pop(number, None)
        self._missing.discard(number)
        self._sent[number] = now_s, size
        while now_s - self._sent[oldest := next(iter(self._sent))][0] > FORGOTTEN_S:
            del self._sent[oldest]
            self._missing.discard(oldest)

    def begin_anew(self, now_s: float) -> None:
        """Let only what is sent from `now_s` on tell of the line: what waited has gone, and less is sent."""
        self._since_s = now_s
        self._told.clear()
        self._base = None

    def told(self, report: list[tuple[int, float | None]]) -> LineState | None:
        """Take a report, as `read_report` gives it; return what the line does, None while nothing can be said."""
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
    """Return the bitrate of `size` bytes; what is over at once, as the first frame is, tells of none."""
    return 8 * size / max(LEAST_SPAN_S, span_s)
