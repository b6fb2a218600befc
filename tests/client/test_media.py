"""Pictures through a whole server: HTTP for the offer, WebRTC for the rest, over real sockets of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

import vivace.client
from http_fakes import SDP_HEADERS, settings_for
from live_server import LiveServer, live_server
from patience import PATIENCE_S
from vivace.client import Client
from vivace.client.rtc import RtcSession
from vivace.media.frame import Rgb
from vivace.serve.rtc import make_peer_factory

SIZE = (128, 96)
RED, GREEN, BLUE = range(3)


@pytest.fixture(scope="module")
def server() -> Iterator[LiveServer]:
    settings = settings_for(size=SIZE, slots=4)
    with live_server(settings, peers=make_peer_factory(settings)) as made:
        yield made


def plain(level: int) -> Rgb:
    return np.full((SIZE[1], SIZE[0], 3), level, np.uint8)


@asynccontextmanager
async def publishing(media: RtcSession, rgb: Rgb) -> AsyncIterator[None]:
    """Send a picture repeatedly while the block runs."""

    async def send() -> None:
        while media.publish(rgb):
            await asyncio.sleep(1 / 30)

    task = asyncio.create_task(send())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def first_tinted(media: RtcSession, channel: int) -> None:
    """Wait for a picture in which that channel dominates, as the fake model paints; the source is grey."""
    async with asyncio.timeout(PATIENCE_S):
        async for picture in media.pictures():
            means = picture.rgb.mean((0, 1))
            if means[channel] - np.delete(means, channel).max() > 40:
                return
    raise AssertionError("the connection ended first")


def whip(client: Client, path: str, told: dict[str, str], *, publish: bool) -> RtcSession:
    async def exchange(sdp: str) -> str:
        answer = await client.request("POST", path, content=sdp, headers=SDP_HEADERS)
        told["location"] = answer.headers["location"]
        return answer.text

    return RtcSession(exchange, publish=publish, play=not publish)


def test_two_sessions_never_see_each_other_and_a_prompt_shows(server: LiveServer) -> None:
    async def use() -> None:
        async with (
            vivace.client.connect(server.url) as client,
            await client.open(prompt="red") as one,
            await client.open(prompt="blue") as other,
            one.media() as red,
            other.media() as blue,
            publishing(red, plain(60)),
            publishing(blue, plain(40)),
        ):
            await first_tinted(red, RED)
            await first_tinted(blue, BLUE)
            assert (await one.update(prompt="green", crossfade_s=0)).accepted
            await first_tinted(red, GREEN)
            await first_tinted(blue, BLUE)

    asyncio.run(use())
    assert not server.manager.sessions()


def test_what_is_published_by_whip_is_watched_by_whep(server: LiveServer) -> None:
    async def use() -> None:
        sent: dict[str, str] = {}
        seen: dict[str, str] = {}
        async with vivace.client.connect(server.url) as client:
            async with whip(client, "/whip?prompt=red", sent, publish=True) as publisher:
                (session,) = server.manager.sessions()
                async with (
                    publishing(publisher, plain(60)),
                    whip(client, f"/v1/sessions/{session.id}/whep", seen, publish=False) as viewer,
                ):
                    await first_tinted(viewer, RED)
                    await client.request("DELETE", seen["location"])
                await client.request("DELETE", sent["location"])
            assert not server.manager.sessions()

    asyncio.run(use())


def test_a_whip_session_ends_when_its_publisher_goes_without_a_word(server: LiveServer) -> None:
    async def use() -> None:
        sent: dict[str, str] = {}
        async with vivace.client.connect(server.url) as client:
            async with whip(client, "/whip?prompt=red", sent, publish=True):
                assert len(server.manager.sessions()) == 1
            async with asyncio.timeout(PATIENCE_S):
                while server.manager.sessions():
                    await asyncio.sleep(0.05)

    asyncio.run(use())
