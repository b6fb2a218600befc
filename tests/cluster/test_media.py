"""Pictures in a cluster: straight to the worker that answered the offer, and to another one when that is killed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

import vivace.client
from cluster.local_cluster import local_cluster
from patience import PATIENCE_S
from serve_rig import in_loop
from vivace.client import ClientSession, ServerError
from vivace.client.rtc import RtcSession
from vivace.cluster import proxy

SIZE = (128, 96)
GREY = np.full((SIZE[1], SIZE[0], 3), 60, np.uint8)
RED, GREEN = 0, 1


@asynccontextmanager
async def connected(session: ClientSession) -> AsyncIterator[RtcSession]:
    """Publish a grey picture over and over."""

    async def send(media: RtcSession) -> None:
        while media.publish(GREY):
            await asyncio.sleep(1 / 30)

    async with session.media() as media:
        task = asyncio.create_task(send(media))
        try:
            yield media
        finally:
            task.cancel()
            await asyncio.wait([task])


async def first_tinted(media: RtcSession, channel: int) -> None:
    """Wait for a picture that is painted so; the fake model tints a picture by its prompt."""
    async with asyncio.timeout(PATIENCE_S):
        async for picture in media.pictures():
            means = picture.rgb.mean((0, 1))
            if means[channel] - np.delete(means, channel).max() > 40:
                return
    raise AssertionError("the connection ended first")


@in_loop
async def test_pictures_go_straight_to_the_worker_and_look_the_same_at_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[int] = []
    kept = proxy.passed_on

    def counted(answer: object) -> object:
        passed.append(int(answer.headers.get("content-length", 0)))  # type: ignore[attr-defined]
        return kept(answer)  # type: ignore[arg-type]

    monkeypatch.setattr("vivace.cluster.gateway.passed_on", counted)
    async with (
        local_cluster(tmp_path, "one", "two", size=SIZE) as cluster,
        vivace.client.connect(cluster.url) as client,
    ):
        session = await client.open(prompt="red")
        assert (await session.update(prompt="green", crossfade_s=0)).accepted
        first = cluster.session_on(session.id)
        assert first is not None
        async with connected(session) as media:
            await first_tinted(media, GREEN)
            directory = cluster.directory.registrar._directory
            await cluster.until(lambda: directory.find(session.id)[0].controls.prompt == "green")  # type: ignore[index]
            await cluster.kill(first)
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    async with connected(session) as media:
                        await first_tinted(media, GREEN)
                    break
                except ServerError:
                    await asyncio.sleep(0.05)
        assert cluster.session_on(session.id) == ({"one", "two"} - {first}).pop()
        assert sum(passed) < 64 * 1024, "descriptions of connections have passed the gateway, and no picture"
        await session.close()
