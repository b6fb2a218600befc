"""One encode for all viewers of the same format; a viewer's troubles are its own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import av
import numpy as np
import pytest
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from fakes import FakeClock
from rtc_loopback import run
from vivace.media.mailbox import AsyncLatest
from vivace.rtc.broadcast import FPS_OVER, KEYFRAMES, Broadcast
from vivace.rtc.encoding import BUFFER_S, CLOCK_HZ, rtp_time
from vivace.rtc.feed import CALM_S, KEYFRAME_TRAVELS_S, MAX_WAITING, Feed
from vivace.rtc.line import LineState
from vivace.rtc.rates import START_BPS


@dataclass(frozen=True)
class Picture:
    rgb: NDArray[np.uint8]
    index: int
    tag: int | None = None
    control_index: int = 0


class Studio:
    """A broadcast and the pictures it sends, one at a time."""

    def __init__(self, taken_s: Callable[[Picture], float | None] = lambda _picture: None) -> None:
        self.clock = FakeClock()
        self.opened = 0
        self.index = 0
        self.sent: list[int] = []
        self.broadcast: Broadcast[Picture] = Broadcast(
            self._subscribe,
            on_sent=lambda picture: self.sent.append(picture.index),
            taken_s=taken_s,
            clock=self.clock,
        )

    def _subscribe(self) -> AsyncLatest[Picture]:
        self.opened += 1
        self.pictures: AsyncLatest[Picture] = AsyncLatest()
        return self.pictures

    async def show(self, size: tuple[int, int] = (64, 48), fps: float = 30.0) -> None:
        """Send a picture and wait until it is encoded; the next comes at `fps`."""
        await asyncio.sleep(0)
        rgb = np.random.default_rng(self.index).integers(0, 255, (size[1], size[0], 3), dtype=np.uint8)
        assert self.pictures.put(Picture(rgb, self.index))
        while self.index not in self.sent:
            await asyncio.sleep(0.001)
        self.index += 1
        self.clock.advance(1 / fps)


async def keys(feed: Feed, count: int) -> list[bool]:
    return [bool((await feed.recv()).is_keyframe) for _ in range(count)]


def test_viewers_of_one_codec_share_their_packets() -> None:
    async def scene() -> None:
        studio = Studio()
        feeds = [studio.broadcast.attach("VP8") for _ in range(3)]
        for _ in range(3):
            await studio.show()
            first, *others = [await feed.recv() for feed in feeds]
            assert all(packet is first for packet in others)
        assert studio.broadcast.encoded == studio.broadcast.pictures == 3
        await studio.broadcast.close()

    run(scene)


def test_receivers_are_told_the_time_of_capture_or_of_sending_in_rising_order() -> None:
    async def scene() -> None:
        taken_s = [None, 1.0, 60.0, 2_000.0]
        studio = Studio(lambda picture: taken_s[picture.index])
        feed = studio.broadcast.attach("VP8")
        studio.clock.advance(1_000.0 - studio.clock())
        told, ahead_s = [], []
        for _ in taken_s:
            await studio.show(fps=1.0)
            told.append((await feed.recv()).pts)
            ahead_s.append(feed.ahead_s)
        sent = rtp_time(1_000.0)
        wanted = [sent, sent + 1, sent + 2, rtp_time(2_000.0)]
        assert told == wanted
        assert ahead_s == pytest.approx([pts / CLOCK_HZ - 1_001.0 - place for place, pts in enumerate(wanted)])
        await studio.broadcast.close()

    run(scene)


def test_viewers_of_two_codecs_take_two_encodes_and_the_second_ends_with_its_last_viewer() -> None:
    async def scene() -> None:
        studio = Studio()
        one, other = studio.broadcast.attach("VP8"), studio.broadcast.attach("H264")
        await studio.show()
        assert studio.broadcast.encoded == 2
        assert await keys(one, 1) == await keys(other, 1) == [True]
        await studio.broadcast.detach(other)
        await studio.show()
        assert studio.broadcast.encoded == 3
        await studio.broadcast.close()

    run(scene)


def test_who_joins_late_begins_with_a_keyframe() -> None:
    async def scene() -> None:
        studio = Studio()
        early = studio.broadcast.attach("H264")
        await studio.show()
        await studio.show()
        late = studio.broadcast.attach("H264")
        await studio.show()
        assert await keys(early, 3) == [True, False, True]
        assert await keys(late, 1) == [True]
        await studio.broadcast.close()

    run(scene)


def test_a_storm_of_requests_makes_few_keyframes() -> None:
    async def scene() -> None:
        studio = Studio()
        feeds = [studio.broadcast.attach("H264") for _ in range(8)]
        feed = feeds[0]
        found = []
        for index in range(25):
            feeds[index % 8].ask_for_keyframe()
            await studio.show()
            if feed._packets:
                found += await keys(feed, 1)
        assert found.count(True) == KEYFRAMES
        studio.clock.advance(1.0)
        feed.ask_for_keyframe()
        await studio.show()
        assert await keys(feed, 1) == [True]
        await studio.broadcast.close()

    run(scene)


def test_a_viewer_on_a_bad_line_gets_an_encode_of_its_own_and_the_others_keep_theirs() -> None:
    async def scene() -> None:
        studio = Studio()
        good, bad = studio.broadcast.attach("H264"), studio.broadcast.attach("H264")
        await studio.show()
        bad.rates.rung = 3
        await studio.show()
        await studio.show()
        assert await keys(good, 3) == [True, False, False]
        assert await keys(bad, 3) == [True, True, False]
        assert studio.broadcast.encoded == 1 + 2 + 2
        await studio.broadcast.close()

    run(scene)


def test_a_viewer_that_takes_nothing_holds_little_and_goes_on_with_a_keyframe() -> None:
    async def scene() -> None:
        studio = Studio()
        feed = studio.broadcast.attach("H264")
        for _ in range(3 * MAX_WAITING):
            await studio.show()
            assert len(feed._packets) <= MAX_WAITING
        assert feed.dropped >= MAX_WAITING
        assert (await keys(feed, 1)) == [True]
        await studio.broadcast.close()

    run(scene)


def test_nothing_is_encoded_for_nobody_and_a_new_viewer_starts_it_again() -> None:
    async def scene() -> None:
        studio = Studio()
        assert studio.opened == 0
        feed = studio.broadcast.attach("VP8")
        await studio.show()
        await studio.broadcast.detach(feed)
        assert not studio.pictures.put(Picture(np.zeros((48, 64, 3), np.uint8), 99))
        again = studio.broadcast.attach("VP8")
        await studio.show()
        assert await keys(again, 1) == [True]
        assert studio.opened == 2
        await studio.broadcast.close()

    run(scene)


def test_another_size_begins_with_a_keyframe() -> None:
    async def scene() -> None:
        studio = Studio()
        feed = studio.broadcast.attach("H264")
        await studio.show()
        await studio.show((96, 64))
        assert await keys(feed, 2) == [True, True]
        await studio.broadcast.close()

    run(scene)


def test_the_end_of_the_pictures_is_the_end_of_the_feeds() -> None:
    async def scene() -> None:
        studio = Studio()
        feed = studio.broadcast.attach("H264")
        await studio.show()
        await feed.recv()
        waiting = asyncio.create_task(feed.recv())
        await asyncio.sleep(0)
        studio.pictures.close()
        with pytest.raises(MediaStreamError):
            await waiting
        assert feed.readyState == "ended"
        await studio.broadcast.close()

    run(scene)


def test_pictures_that_come_slowly_get_the_bitrate_all_the_same() -> None:
    async def scene() -> None:
        studio, fps = Studio(), 8.0
        feed = studio.broadcast.attach("H264")
        sizes = []
        for _ in range(2 * FPS_OVER + 24):
            await studio.show((160, 120), fps)
            sizes.append((await feed.recv()).size)
        bps = 8 * sum(sizes[-24:]) / (24 / fps)
        assert 0.7 * feed.rates.bitrate_bps < bps < 1.2 * feed.rates.bitrate_bps
        await studio.broadcast.close()

    run(scene)


def test_the_first_keyframe_of_large_pictures_is_no_larger_than_a_line_is_trusted_with() -> None:
    async def scene() -> None:
        studio = Studio()
        feed = studio.broadcast.attach("H264")
        await studio.show((1280, 720))
        await studio.show((1280, 720))
        first, second = await feed.recv(), await feed.recv()
        assert first.is_keyframe
        assert not second.is_keyframe
        assert 8 * first.size < 1.5 * BUFFER_S * START_BPS
        await studio.broadcast.close()

    run(scene)


def test_a_full_line_is_given_nothing_until_what_waits_has_gone_and_then_a_keyframe() -> None:
    async def scene() -> None:
        studio = Studio()
        full, other = studio.broadcast.attach("H264"), studio.broadcast.attach("H264")
        await studio.show()
        assert await keys(full, 1) == await keys(other, 1) == [True]
        full.observe(LineState(600_000, 0.0, received_bps=300_000, queue_s=0.5, drained_in_s=0.3))
        for _ in range(8):
            await studio.show()
            assert await keys(other, 1) == [False]
        assert not full._packets
        for _ in range(3):
            await studio.show()
        assert await keys(full, 1) == [True]
        assert await keys(other, 3) == [False, False, False]
        assert full.rendition != other.rendition
        await studio.broadcast.close()

    run(scene)


def test_a_viewer_that_asks_without_end_is_granted_ever_fewer_keyframes_until_it_has_been_calm() -> None:
    async def scene() -> None:
        studio = Studio()
        bad, good = studio.broadcast.attach("H264"), studio.broadcast.attach("H264")
        found = []
        for _ in range(300):
            bad.ask_for_keyframe()
            await studio.show()
            await bad.recv()
            found += await keys(good, 1)
        assert 4 <= found.count(True) <= 7, "the first, and after 0.3, 0.6, 1.2, 2.4 and 4.8 s"
        studio.clock.advance(CALM_S)
        for wanted in (True, False):
            bad.ask_for_keyframe()
            await studio.show()
            assert await keys(good, 1) == [wanted]
        await studio.broadcast.close()

    run(scene)


def test_64_viewers_of_two_sizes_take_two_encodes_a_picture_and_a_late_one_begins_at_once() -> None:
    async def scene() -> None:
        studio = Studio()
        feeds = [studio.broadcast.attach("H264", half=index % 2 == 1) for index in range(63)]
        for _ in range(3):
            await studio.show((64, 50))
        late = studio.broadcast.attach("H264", half=True)
        await studio.show((64, 50))
        assert (studio.broadcast.pictures, studio.broadcast.encoded) == (4, 8)
        assert len({id(feed._packets[0][0]) for feed in feeds}) == 2, "all of a size have the same packets"
        assert await keys(late, 1) == [True]
        sizes = set()
        for feed in feeds[:2]:
            decoder = av.CodecContext.create("h264", "r")
            (picture,) = [*decoder.decode(await feed.recv()), *decoder.decode(None)]
            sizes.add((picture.width, picture.height))
        assert sizes == {(64, 50), (32, 24)}
        assert feeds[1].rates.full_bps <= feeds[0].rates.full_bps
        await studio.broadcast.close()

    run(scene)


def test_a_keyframe_that_is_on_its_way_is_not_made_again() -> None:
    async def scene() -> None:
        studio = Studio()
        feed = studio.broadcast.attach("H264")
        await studio.show()
        feed.ask_for_keyframe()
        await studio.show()
        assert await keys(feed, 2) == [True, False]
        studio.clock.advance(KEYFRAME_TRAVELS_S)
        feed.ask_for_keyframe()
        await studio.show()
        assert await keys(feed, 1) == [True]
        await studio.broadcast.close()

    run(scene)


def test_whatever_ends_a_broadcast_ends_it_for_its_viewers(caplog: pytest.LogCaptureFixture) -> None:
    """Otherwise an unexplained still picture would remain."""

    async def scene() -> None:
        studio = Studio()
        feed = studio.broadcast.attach("VP8")
        await asyncio.sleep(0)
        studio.pictures.put(Picture(np.zeros((48, 64, 3), np.float32), 0))  # type: ignore[arg-type]
        with pytest.raises(MediaStreamError):
            await feed.recv()
        assert isinstance(studio.broadcast.error, ValueError)
        assert "ValueError" in caplog.text
        assert not studio.broadcast.viewers

    run(scene)
