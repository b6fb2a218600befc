"""Frames are released with their last packet, in order, complete, and never delayed indefinitely."""

from __future__ import annotations

import random

import pytest
from aiortc.rtp import RtpPacket
from hypothesis import given
from hypothesis import strategies as st

from fakes import FakeClock
from vivace.rtc.assemble import (
    ASK_AGAIN_S,
    PATIENCE_S,
    REQUEST_AGAIN_S,
    EncodedFrame,
    FrameAssembler,
    Requests,
    is_keyframe,
)

KEY = b"\x00\x00\x00\x01\x67sps\x00\x00\x00\x01\x65picture"
DELTA = b"\x00\x00\x00\x01\x41change"


def packets(
    frames: int, parts: int = 3, *, first: int = 65530, key_every: int = 1000, ssrc: int = 1
) -> list[RtpPacket]:
    made = []
    for frame in range(frames):
        for part in range(parts):
            packet = RtpPacket(
                payload_type=96,
                sequence_number=(first + frame * parts + part) & 0xFFFF,
                timestamp=1000 + frame * 3000,
                marker=int(part == parts - 1),
            )
            packet.ssrc = ssrc
            head = (KEY if frame % key_every == 0 else DELTA) if part == 0 else b""
            packet._data = head + bytes([frame % 256, part])  # type: ignore[attr-defined]
            made.append(packet)
    return made


class Bench:
    def __init__(self) -> None:
        self.clock = FakeClock()
        self.frames: list[EncodedFrame] = []
        self.assembler = FrameAssembler(self.frames.append, lambda _: "H264", clock=self.clock)

    def add(self, *some: RtpPacket) -> list[bool]:
        return [self.assembler.add(packet)[0] for packet in some]

    @property
    def numbers(self) -> list[int]:
        return [(frame.rtp_timestamp - 1000) // 3000 for frame in self.frames]


def test_a_frame_comes_with_its_own_last_packet() -> None:
    bench = Bench()
    for number, packet in enumerate(packets(4)):
        bench.add(packet)
        assert len(bench.frames) == (number + 1) // 3
    assert bench.frames[0].key
    assert not bench.frames[1].key
    assert bench.frames[1].data == DELTA + bytes([1, 0, 1, 1, 1, 2])


def test_without_marker_bits_a_frame_ends_where_the_next_begins() -> None:
    bench = Bench()
    some = packets(3)
    for packet in some:
        packet.marker = 0
    bench.add(*some)
    assert bench.numbers == [0, 1]


@given(st.randoms(use_true_random=False))
def test_any_order_within_a_few_packets_gives_the_same_frames(shuffle: random.Random) -> None:
    bench = Bench()
    some = packets(12)
    late = sorted(range(1, len(some)), key=lambda place: place + shuffle.uniform(0, 5))
    bench.add(some[0], *(some[place] for place in late))
    assert bench.numbers == list(range(12))


def test_what_one_missing_packet_held_up_comes_at_once_when_it_is_there() -> None:
    bench = Bench()
    some = packets(6)
    missing = some.pop(4)
    bench.add(*some)
    assert bench.numbers == [0]
    assert bench.add(missing) == [False]
    assert bench.numbers == [0, 1, 2, 3, 4, 5]


def test_a_packet_that_never_comes_is_given_up_and_a_keyframe_asked_for() -> None:
    bench = Bench()
    some = packets(30, key_every=20)
    del some[4]
    asked = []
    for packet in some:
        asked += bench.add(packet)
        bench.clock.advance(0.011)
    assert bench.numbers == [0, *range(20, 30)]
    assert asked.count(True) >= 1
    assert bench.assembler.lost >= 1


def test_nothing_is_given_up_before_its_time() -> None:
    bench = Bench()
    some = packets(6)
    missing = some.pop(4)
    bench.add(*some[:-1])
    bench.clock.advance(PATIENCE_S * 0.9)
    assert bench.add(some[-1], missing) == [False, False]
    assert bench.numbers == list(range(6))


def test_a_keyframe_is_asked_for_again_but_not_with_every_packet() -> None:
    bench = Bench()
    asked = []
    for packet in packets(30, key_every=1000)[3:]:  # the keyframe was before the start
        asked += bench.add(packet)
        bench.clock.advance(ASK_AGAIN_S / 10)
    assert not bench.frames
    assert 5 <= asked.count(True) <= 10


def test_a_decoder_that_lost_its_way_gets_nothing_before_the_next_keyframe() -> None:
    bench = Bench()
    some = packets(8, key_every=6)
    bench.add(*some[:6])
    bench.assembler.ask_for_keyframe()
    assert True in bench.add(*some[6:])
    assert bench.numbers == [0, 1, 6, 7]


def test_old_and_repeated_packets_are_ignored() -> None:
    bench = Bench()
    some = packets(4)
    bench.add(*some, *some)
    assert bench.numbers == [0, 1, 2, 3]


def test_a_sender_that_begins_anew_is_followed() -> None:
    bench = Bench()
    bench.add(*packets(2))
    bench.add(*packets(2, first=20_000))
    bench.add(*packets(2, first=20_006, ssrc=2))
    assert bench.numbers == [0, 1, 0, 1, 0, 1]


def test_memory_is_bounded_though_a_packet_is_missing() -> None:
    bench = Bench()
    some = packets(3000, key_every=50)
    del some[4]
    bench.add(*some)  # in no time at all
    assert len(bench.assembler._waiting) < 2100
    assert bench.numbers[-1] == 2999


def test_missing_packets_are_asked_for_again_while_they_are_of_use() -> None:
    bench = Bench()
    requests = Requests(bench.assembler, clock=bench.clock)
    some = packets(40)
    lost = some.pop(4)
    asked = []
    for number, packet in enumerate(some):
        if requests.add(packet):
            asked.append((number, set(requests.missing)))
        bench.add(packet)
        bench.clock.advance(REQUEST_AGAIN_S / 4)
    assert [number for number, _ in asked][:3] == [4, 8, 12]
    assert len(asked) <= PATIENCE_S / REQUEST_AGAIN_S + 1
    assert all(missing == {lost.sequence_number} for _, missing in asked)


@pytest.mark.parametrize(
    ("codec", "data", "key"),
    [
        ("H264", KEY, True),
        ("H264", b"\x00\x00\x00\x01\x09\xf0" + KEY, True),
        ("H264", DELTA, False),
        ("H264", KEY[1:], False),
        ("H264", b"\x00\x00\x00\x01\x65no parameters", False),
        ("H264", b"", False),
        ("VP8", b"\x10\x02\x00\x9d\x01\x2a\x40\x00", True),
        ("VP8", b"\x11\x02\x00\x9d\x01\x2a\x40\x00", False),
        ("VP8", b"\x10\x02\x00the rest of one", False),
        ("VP8", b"\x10", False),
    ],
)
def test_keyframes_are_known(codec: str, data: bytes, key: bool) -> None:
    assert is_keyframe(codec, data) == key
