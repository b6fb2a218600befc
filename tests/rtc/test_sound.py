"""Sound has the time of its pictures, is passed on with them, and in order."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import pytest
from aiortc import RTCPeerConnection
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import RtcpSenderInfo, RtcpSrPacket, RtpPacket

from rtc_loopback import connected, plain, run
from sounds import opus, timed
from vivace.errors import UsageError
from vivace.media.live_sound import SoundPacket
from vivace.rtc import sound as module
from vivace.rtc.sound import Delay, SoundFeed, SoundReceiver

PACKET = 960


class Sender:
    """Sender of both streams with its own clocks, and of reports."""

    def __init__(
        self, *, ntp_s: float = 4e9, sound_ts: int = 2**32 - 2 * PACKET, video_ts: int = 77, sample_hz: float = 48_000
    ) -> None:
        self.ntp_s, self.sound_ts, self.video_ts, self.sample_hz = ntp_s, sound_ts, video_ts, sample_hz
        self.heard: list[SoundPacket] = []
        self.now_s = 0.0
        self.receiver = SoundReceiver(self.heard.append, clock=lambda: self.now_s)

    def sound(self, number: int, at_s: float, *, ssrc: int = 7) -> None:
        packet = RtpPacket(sequence_number=(65_530 + number) % 2**16)
        packet.timestamp = (self.sound_ts + PACKET * number) % 2**32
        packet.ssrc, packet._data = ssrc, bytes([number % 256])  # type: ignore[attr-defined]
        self.now_s = at_s
        self.receiver.add(packet)

    def picture(self, at_s: float, arrival_s: float) -> None:
        self.receiver.picture_came(round(self.video_ts + at_s * 90_000) % 2**32, arrival_s)

    def report(self, at_s: float) -> None:
        self.receiver._told(
            self.receiver._sound, self.ntp_s + at_s, round(self.sound_ts + at_s * self.sample_hz) % 2**32
        )
        self.receiver._told(self.receiver._video, self.ntp_s + at_s, round(self.video_ts + at_s * 90_000) % 2**32)


def test_without_reports_the_time_is_that_of_arrival() -> None:
    sender = Sender()
    for number in range(100):
        sender.sound(number, 50 + number * 0.02 + (0.004 if number % 2 else 0))
    assert [packet.data[0] for packet in sender.heard] == list(range(100))
    assert [packet.time_s for packet in sender.heard[40:]] == pytest.approx(
        [50.002 + number * 0.02 for number in range(40, 100)], abs=0.0025
    )


def test_with_reports_it_is_that_of_the_pictures_of_its_moment() -> None:
    """Pictures travel 150 ms, sound 30; the sender's clock has any offset, and time stamps wrap."""
    sender = Sender()
    for number in range(200):
        at_s = number * 0.02
        if number % 2 == 0:
            sender.picture(at_s, 10 + at_s + 0.15 + (0.05 if number % 20 == 0 else 0))
        if number in (30, 100):
            sender.report(at_s)
        sender.sound(number, 10 + at_s + 0.03)
    assert sender.heard[10].time_s == pytest.approx(10 + 10 * 0.02 + 0.03)
    assert [packet.time_s for packet in sender.heard[60:]] == pytest.approx(
        [10 + number * 0.02 + 0.15 for number in range(60, 200)], abs=0.001
    )


@pytest.mark.parametrize("off", [-2e-4, 2e-4])
def test_after_ten_minutes_a_sound_card_s_clock_has_moved_nothing(off: float) -> None:
    """Its 48 kHz are 0.02 % off, which is 120 ms by then; the sender's reports tell it, one every five seconds."""
    sender = Sender(sample_hz=48_000 * (1 + off))
    late_s = []
    for number in range(30_000):
        at_s = number * PACKET / sender.sample_hz
        if number % 2 == 0:
            sender.picture(at_s, 10 + at_s + 0.15)
        if number % 250 == 0:
            sender.report(at_s)
        sender.sound(number, 10 + at_s + 0.03)
        late_s.append(sender.heard[-1].time_s - (10 + at_s + 0.15))
    for minute in (late_s[500:3500], late_s[-3000:]):
        assert max(map(abs, minute)) < 0.002


def test_packets_are_put_in_order_and_lost_ones_are_not_waited_for() -> None:
    sender = Sender()
    for number in (0, 2, 1, 1, 3, 5, 6, 7, 8, 4, 9, 20, 21):
        sender.sound(number, number * 0.02)
    order = [packet.data[0] for packet in sender.heard]
    assert order[:4] == [0, 1, 2, 3]
    assert order == sorted(set(order))
    assert set(order) >= {0, 1, 2, 3, 5, 6, 7, 8, 9}
    assert sender.receiver.packets == len(order)
    assert sender.receiver.lost >= 1


def test_a_sender_that_begins_anew_is_followed() -> None:
    sender = Sender()
    for number in range(20):
        sender.sound(number, number * 0.02)
    sender.sound_ts, before = 123_456, len(sender.heard)
    for number in range(20):
        sender.sound(number, 100 + number * 0.02, ssrc=8)
    assert len(sender.heard) == before + 20
    assert sender.heard[-1].time_s == pytest.approx(100 + 19 * 0.02, abs=0.02)


def test_a_delay_follows_pictures_without_jumping() -> None:
    delay = Delay()
    delay.picture_took(0.1)
    assert delay.value_s == 0.1
    delay.picture_took(0.2)
    assert delay.value_s == pytest.approx(0.105)
    for _ in range(200):
        delay.picture_took(0.2)
    assert delay.value_s == pytest.approx(0.2, abs=1e-4)
    for _ in range(500):
        delay.picture_took(50.0)
    assert delay.value_s <= module.MAX_DELAY_S


def test_a_feed_sends_at_once_says_how_much_too_soon_and_keeps_few() -> None:
    async def scene() -> None:
        now_s = time.monotonic()
        clock_s = [now_s]
        feed = SoundFeed(lambda: 0.2, clock=lambda: clock_s[0])
        for packet in timed([b"x"] * 6, now_s):
            feed.put(packet)
        for number in range(6):
            sent: Any = await feed.recv()
            assert sent.pts == number * PACKET
            assert feed.ahead_s == pytest.approx(number * 0.02 - module.PLAYED_LATE_S), "nothing has been waited for"
        feed.put(SoundPacket(b"x", now_s + 1.0))
        clock_s[0] += 0.65
        await feed.recv()
        assert feed.ahead_s == pytest.approx(0.35 - module.PLAYED_LATE_S), (
            "that was due half a second before its time, and waited for a little"
        )
        for packet in timed([b"x"] * (module.MAX_QUEUED + 10), now_s):
            feed.put(packet)
        assert feed.dropped == 10
        feed.stop()
        with pytest.raises(MediaStreamError):
            await feed.recv()
        feed.put(SoundPacket(b"x", 0.0))

    run(scene)


def test_reports_of_sound_tell_the_time_of_its_pictures() -> None:
    async def scene() -> None:
        connection = RTCPeerConnection()
        sender = connection.addTransceiver("audio").sender
        sent: list[Any] = []

        async def keep(packets: list[Any]) -> None:
            sent.extend(packets)

        sender._send_rtcp = keep
        feed = SoundFeed()
        feed.connect(connection.getTransceivers()[0])
        feed.ahead_s = 0.25
        sender._RTCRtpSender__lsr = 7 << 16
        report = RtcpSrPacket(1, RtcpSenderInfo(ntp_timestamp=7 << 32, rtp_timestamp=5, packet_count=1, octet_count=1))
        await sender._send_rtcp([report])
        assert sent[0].sender_info.ntp_timestamp == (7 << 32) + (1 << 30)
        assert sender._RTCRtpSender__lsr == (7 << 16) + (1 << 14), "which the reply will name"
        await connection.close()

    run(scene)


def test_sound_goes_through_a_server_and_back_with_the_times_of_its_pictures() -> None:
    async def scene() -> None:
        heard: list[SoundPacket] = []
        async with connected(sound=True, on_sound=heard.append) as pair:
            packets = opus(3.0, (0.5,))
            began_s = time.monotonic()
            for packet in timed(packets, began_s):
                pair.client.publish_sound(packet)
            level = 0
            while len(heard) < len(packets):
                pair.client.publish(plain(level := (level + 1) % 256))
                await asyncio.sleep(0.03)
            assert [packet.data for packet in heard] == packets, "as it was encoded"
            assert [packet.data for packet in pair.session.heard] == packets
            steps = [b.time_s - a.time_s for a, b in itertools.pairwise(heard)]
            assert sum(steps) == pytest.approx((len(packets) - 1) * 0.02, abs=0.1)
            assert pair.session.sound.state == "on"
            stats = pair.peer.stats()
            assert (stats.sound_in, stats.sound_out) == (len(packets), len(packets))
            pair.session.sound.mute(True)
            pair.client.publish_sound(SoundPacket(packets[0], 0.0))
            while len(pair.session.heard) == len(packets):
                await asyncio.sleep(0.01)
            assert pair.session.sound.state == "muted"
            assert pair.peer.stats().sound_out == len(packets)
        assert not pair.session.sound._feeds, "nobody is left to be sent anything"

    run(scene)


def test_without_sound_nothing_is_offered_and_publishing_it_is_refused() -> None:
    async def scene() -> None:
        async with connected() as pair:
            assert pair.session.sound.state == "none"
            with pytest.raises(UsageError, match="sound=True"):
                pair.client.publish_sound(SoundPacket(b"x", 0.0))

    run(scene)
