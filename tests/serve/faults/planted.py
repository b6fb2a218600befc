"""Faults inside a server: a failing model, a full disk. Servers around a fake model, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from unittest.mock import patch

import numpy as np

import vivace.client
from fakes import FakeModel
from http_fakes import settings_for
from live_server import LiveServer, live_server
from patience import PATIENCE_S
from serve.faults.visitor import sending
from vivace.client import Client
from vivace.client.control import ClientSession
from vivace.client.rtc import RtcSession
from vivace.errors import StepError
from vivace.messages import Recorded
from vivace.models.base import Chunk
from vivace.serve.recording import RecordingStore
from vivace.serve.rtc import make_peer_factory

SIZE = (64, 48)
DIM = 40
"""Brightness of the source, to which the fake model adds; above it would overflow."""


class Fuse:
    """Hook that fails steps of the sessions with the prompt "red" once it is lit."""

    def __init__(self, error: Callable[[], BaseException]) -> None:
        self._error = error
        self._left = 0

    def light(self, steps: int = 1_000_000) -> None:
        """Let the next `steps` steps fail."""
        self._left = steps

    def __call__(self, chunk: Chunk) -> None:
        if self._left and np.asarray(chunk.embeds)[0] > 0.5:
            self._left -= 1
            raise self._error()


@contextmanager
def serving(fuse: Fuse | None = None, folder: Path | None = None) -> Iterator[LiveServer]:
    settings = settings_for(folder, size=SIZE, slots=3)
    model = FakeModel(record=False, on_step=fuse)
    with live_server(settings, peers=make_peer_factory(settings), model=model) as server:
        yield server


@asynccontextmanager
async def watched(client: Client, prompt: str) -> AsyncIterator[tuple[ClientSession, RtcSession]]:
    """Yield a session of dim grey pictures, to which its prompt's colour is added."""
    async with (
        await client.open(prompt=prompt) as session,
        session.media() as media,
        sending(media, lambda _: np.full((SIZE[1], SIZE[0], 3), DIM, np.uint8)),
    ):
        yield session, media


async def tinted(media: RtcSession, prompt: str) -> None:
    """Wait for a picture to which the prompt's colour was added."""
    channel = ("red", "green", "blue").index(prompt)
    async with asyncio.timeout(PATIENCE_S):
        async for picture in media.pictures():
            means = picture.rgb.mean((0, 1))
            if means[channel] - np.delete(means, channel).max() > 40:
                return
    raise AssertionError("the connection ended first")


async def _failing_step(error: Callable[[], BaseException], told: str, *, one_is_forgiven: bool = True) -> None:
    fuse = Fuse(error)
    with serving(fuse) as server:
        async with vivace.client.connect(server.url) as client, watched(client, "blue") as (_, other):
            async with watched(client, "red") as (session, media):
                await tinted(media, "red")
                if one_is_forgiven:
                    fuse.light(1)
                    await tinted(media, "red")
                fuse.light()
                async with asyncio.timeout(PATIENCE_S):
                    async for _ in session.events():
                        pass
                assert session.ended is not None
                assert session.ended.reason == "failed"
                assert told in session.ended.message, session.ended
            await tinted(other, "blue")  # the others go on
            fuse.light(0)
            async with watched(client, "red") as (_, media):
                await tinted(media, "red")
        assert server.manager.snapshot().ended["failed"] == 1


async def step_raises() -> None:
    """A step that raises is forgiven once; if it continues, its session ends with the reason, and no other one."""
    await _failing_step(lambda: StepError("no more ink"), "no more ink")


async def step_has_a_bug() -> None:
    """The same holds for an unexpected kind of error."""
    await _failing_step(lambda: ZeroDivisionError("no such ink"), "in a row")


async def step_out_of_memory() -> None:
    """A step without enough memory ends its session at once; the message names a remedy."""
    await _failing_step(lambda: MemoryError(), "not free", one_is_forgiven=False)


async def full_disk(folder: Path) -> None:
    """A recording on a full disk ends with a message, and the session goes on."""
    path = folder / "20260101-000000-0123456789abcdef.mp4"
    path.symlink_to("/dev/full")
    with serving(folder=folder) as server, patch.object(RecordingStore, "new_path", lambda _: path):
        async with vivace.client.connect(server.url) as client, watched(client, "red") as (session, media):
            await tinted(media, "red")
            assert (await session.record(True)).on
            async with asyncio.timeout(PATIENCE_S):
                async for event in session.events():
                    if isinstance(event, Recorded) and not event.on:
                        break
            assert "space" in event.message.lower() or "full" in event.message.lower(), event
            assert str(folder) not in event.message
            await tinted(media, "red")
