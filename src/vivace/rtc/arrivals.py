"""Packet arrival reports from receiver to sender: transport-wide congestion control (TWCC).

The sender knows when packets left and what else it could send, so it is the sender that estimates the capacity of the
path; browsers do so as soon as they get reports. This module writes and reads the FCI of the RTCP message (205, format
15) of draft-holmer-rmcat-transport-wide-cc-extensions-01.
"""

from __future__ import annotations

import struct
from struct import pack, unpack_from

REPORT_S = 0.05
"""Interval between reports, s."""
TICK_S = 0.25e-3
EPOCH_TICKS = 256
"""Unit of a report's reference time, in ticks."""
PERIOD_S = 2**24 * EPOCH_TICKS * TICK_S
"""Period after which reference times wrap around, s: twelve days."""
MAX_COVERED = 2048
"""Most packets in one report; of a wider gap only the newer side is reported."""

_MISSING, _SMALL, _LARGE = 0, 1, 2
_PER_VECTOR = 7
_MAX_RUN = 0x1FFF


def unwrap(number: int, near: int) -> int:
    """Return the integer nearest to `near` whose lower 16 bits are `number`."""
    return near + ((number - near + 0x8000) & 0xFFFF) - 0x8000


class Arrivals:
    """Packets that arrived since the last report."""

    def __init__(self) -> None:
        self._times_s: dict[int, float] = {}
        self._next: int | None = None
        """First packet that no report has covered, as an unwrapped sequence number."""
        self._reports = 0

    def add(self, number: int, now_s: float) -> None:
        """Record a packet by its 16-bit transport-wide sequence number; `now_s` is monotonic."""
        near = number + 0x10000 if self._next is None else self._next
        self._times_s[unwrap(number, near)] = now_s

    def report(self) -> bytes | None:
        """Return the FCI that covers all packets up to the newest, missing ones included; None if none arrived."""
        if not self._times_s:
            return None
        newest = max(self._times_s)
        # A packet that arrived late was reported as missing, so this report starts with it.
        first = min(self._times_s) if self._next is None else min(self._next, min(self._times_s))
        if newest - first >= MAX_COVERED:
            first = min(number for number in self._times_s if newest - number < MAX_COVERED)
        epoch = int(self._times_s[min(n for n in self._times_s if n >= first)] / TICK_S) // EPOCH_TICKS
        last_ticks = epoch * EPOCH_TICKS
        symbols: list[int] = []
        deltas = b""
        for number in range(first, newest + 1):
            time_s = self._times_s.get(number)
            if time_s is None:
                symbols.append(_MISSING)
                continue
            delta = int(time_s / TICK_S) - last_ticks
            if not -0x8000 <= delta < 0x8000:
                break  # after 8 s of silence: the gap and what follows are not reported
            last_ticks += delta
            small = 0 <= delta <= 0xFF
            symbols.append(_SMALL if small else _LARGE)
            deltas += pack("!B", delta) if small else pack("!h", delta)
        header = pack("!HHI", first & 0xFFFF, len(symbols), (epoch & 0xFFFFFF) << 8 | self._reports & 0xFF)
        self._times_s.clear()
        self._next, self._reports = max(newest + 1, self._next or 0), self._reports + 1
        body = header + _chunks(symbols) + deltas
        return body + bytes(-len(body) % 4)


def _chunks(symbols: list[int]) -> bytes:
    """Return the status symbols as run-length chunks where runs are long, and as vectors of seven elsewhere."""
    chunks, at = b"", 0
    while at < len(symbols):
        symbol, end = symbols[at], at
        while end < len(symbols) and symbols[end] == symbol and end - at < _MAX_RUN:
            end += 1
        if end - at > _PER_VECTOR:
            chunks += pack("!H", symbol << 13 | end - at)
            at = end
            continue
        vector = 0b11
        for symbol in (*symbols[at : at + _PER_VECTOR], *[_MISSING] * _PER_VECTOR)[:_PER_VECTOR]:
            vector = vector << 2 | symbol
        chunks += pack("!H", vector)
        at += _PER_VECTOR
    return chunks


def _symbols(chunk: int) -> list[int]:
    """Return the status symbols of a chunk."""
    if not chunk & 0x8000:
        return [chunk >> 13 & 0b11] * (chunk & _MAX_RUN)
    if not chunk & 0x4000:
        return [chunk >> place & 0b1 for place in range(13, -1, -1)]
    return [chunk >> place & 0b11 for place in range(12, -1, -2)]


def read_report(fci: bytes) -> list[tuple[int, float | None]]:
    """Return the packets that a report covers: sequence number, and arrival time or None if missing.

    Arrival times are in s, modulo `PERIOD_S`.

    Raises:
        ValueError: the report is truncated, or covers implausibly many packets.
    """
    try:
        first, count, times = unpack_from("!HHI", fci)
        if count > MAX_COVERED:
            raise ValueError(f"a transport-wide report covers {count} packets, more than {MAX_COVERED}")
        at = 8
        symbols: list[int] = []
        while len(symbols) < count:
            (chunk,) = unpack_from("!H", fci, at)
            at += 2
            symbols += _symbols(chunk)
        ticks = (times >> 8) * EPOCH_TICKS
        packets: list[tuple[int, float | None]] = []
        for place, symbol in enumerate(symbols[:count]):
            arrival_s = None
            if symbol in (_SMALL, _LARGE):
                layout, size = ("!B", 1) if symbol == _SMALL else ("!h", 2)
                ticks += unpack_from(layout, fci, at)[0]
                at += size
                arrival_s = ticks * TICK_S
            packets.append(((first + place) & 0xFFFF, arrival_s))
    except struct.error as error:
        raise ValueError(f"a transport-wide report of {len(fci)} bytes is cut short") from error
    return packets
