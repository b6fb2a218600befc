"""A well-behaved client: opens a session, sends a scene, and checks the returned pictures."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import numpy as np

import vivace.client
from patience import PATIENCE_S
from serve.faults.process import SIZE, Served
from vivace.client.control import ClientSession
from vivace.client.rtc import RtcSession
from vivace.media.frame import Rgb

PROMPT = "blueprint"
"""Prompt that paints blue, for any source."""
FPS = 20


def scene(step: int, size: tuple[int, int] = SIZE) -> Rgb:
    """Return a warm picture with a moving bar."""
    rgb = np.full((size[1], size[0], 3), (200, 140, 60), np.uint8)
    left = 4 * step % (size[0] - 16)
    rgb[size[1] // 4 : -size[1] // 4, left : left + 16] = (60, 40, 20)
    return rgb


@asynccontextmanager
async def sending(media: RtcSession, picture: Callable[[int], Rgb] = scene) -> AsyncIterator[None]:
    """Send pictures, by their number, while the block runs."""

    async def send() -> None:
        step = 0
        while media.publish(picture(step)):
            step += 1
            await asyncio.sleep(1 / FPS)

    task = asyncio.create_task(send())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def see_painted(media: RtcSession, count: int = 3) -> None:
    """Wait for pictures that the prompt has turned blue."""
    painted = 0
    async with asyncio.timeout(PATIENCE_S):
        async for picture in media.pictures():
            red, _, blue = picture.rgb.mean((0, 1))
            painted += blue > red + 10
            if painted >= count:
                return
    raise AssertionError("the connection ended before a painted picture came")


@asynccontextmanager
async def live(server: Served, token: str | None = None) -> AsyncIterator[tuple[ClientSession, RtcSession]]:
    """Yield a painted session."""
    token = token or server.token("publish")
    async with (
        vivace.client.connect(server.url, token=token) as client,
        await client.open(prompt=PROMPT) as session,
    ):
        await session.wait_live(PATIENCE_S)
        async with session.media() as media, sending(media):
            await see_painted(media)
            yield session, media


async def visit(server: Served) -> None:
    """Be served, change the prompt, and leave."""
    async with live(server) as (session, media):
        assert (await session.update(prompt=PROMPT, strength=0.9, crossfade_s=0)).accepted
        await see_painted(media, 1)
    assert session.ended is not None
    assert session.ended.reason == "client", session.ended
