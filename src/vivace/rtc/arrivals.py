"""When packets arrived, told to who sent them: transport-wide congestion control (TWCC).

With it the sender, which alone knows when packets left and what else it could send, estimates what the line carries; a
browser does so by itself as soon as it is told. Written and read here is the FCI of the RTCP message (205, format 15)
of draft-holmer-rmcat-transport-wide-cc-extensions-01.
"""

from __future__ import annotations

import struct
from struct import pack, unpack_from

REPORT_S = 0.05
"""Between two reports."""
TICK_S = 0.25e-3
EPOCH_TICKS = 256
"""Unit of a report's reference time."""
PERIOD_S = 2**24 * EPOCH_TICKS * TICK_S
"""After which reference times begin anew: twelve days."""
MAX_COVERED = 2048
"""Packets in one report; of a wider gap the newer side is told."""

_MISSING, _SMALL, _LARGE = 0, 1, 2
_PER_VECTOR = 7
_MAX_RUN = 0x1FFF


def unwrap(number: int, near: int) -> int:
    """Return the count next to `near` of which `number` is the lower 16 bits."""
    return near + ((number - near + 0x8000) & 0xFFFF) - 0x8000


class Arrivals:
    """The packets that have come since the last report."""

    def __init__(self) -> None:
        self._times_s: dict[int, float] = {}
        self._next: int | None = None
        """The first packet that no report has covered, counted without wrapping."""
        self._reports = 0

    def add(self, number: int, now_s: float) -> None:
        """Note a packet with the transport-wide sequence number `number`, 16 bits; monotonic time."""
        near = number + 0x10000 if self._next is None else self._next
        self._times_s[unwrap(number, near)] = now_s

    def report(self) -> bytes | None:
        """Return the FCI that tells all packets up to the newest, those missing included; None if none have come."""
        if not self._times_s:
            return None
        newest = max(self._times_s)
        # A packet that came late has been told as missing: the report begins with it.
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
                break  # after a silence of 8 s: nothing is told of it and of what follows
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
    """Return the symbols as runs where they are long, and as vectors of seven elsewhere."""
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
    """Return what a chunk says of its packets."""
    if not chunk & 0x8000:
        return [chunk >> 13 & 0b11] * (chunk & _MAX_RUN)
    if not chunk & 0x4000:
        return [chunk >> place & 0b1 for place in range(13, -1, -1)]
    return [chunk >> place & 0b11 for place in range(12, -1, -2)]


def read_report(fci: bytes) -> list[tuple[int, float | None]]:
    """Return the packets that a report covers: sequence number, and time of arrival in s modulo `PERIOD_S` if it came.

    Raises:
        ValueError: it is cut short, or covers more than anybody sends between two reports.
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
