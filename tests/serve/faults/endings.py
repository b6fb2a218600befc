"""Ends of a server: told to, or killed, while a session is live and recorded."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import av

from patience import PATIENCE_S
from serve.faults.process import Served
from serve.faults.visitor import live, see_painted
from vivace.client.api import ServerError
from vivace.messages import Recorded


def frames_in(path: Path) -> int:
    """Return the number of decodable pictures of a recording."""
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


async def _end(server: Served, number: signal.Signals) -> Path:
    """Signal a server that records; return the recording, once the process is gone."""
    async with live(server) as (session, media):
        begun = await session.record(True)
        await see_painted(media, 30)  # more than a fragment holds back
        server.process.send_signal(number)
        if number == signal.SIGTERM:
            told = [event async for event in session.events()]
            assert session.ended is not None, told
            assert session.ended.reason == "drain", session.ended
            closed = [event for event in told if isinstance(event, Recorded) and not event.on]
            assert [event.name for event in closed] == [begun.name], told
        async with asyncio.timeout(PATIENCE_S):
            while server.process.poll() is None:
                await asyncio.sleep(0.02)
    return server.recordings / begun.name


async def told_to_end(server: Served) -> None:
    """After SIGTERM sessions are told, recordings are complete, and the exit code is that of success."""
    recording = await _end(server, signal.SIGTERM)
    assert server.process.returncode == 0, server.log()
    assert frames_in(recording) > 20
    assert "Traceback" not in server.log(), server.log()


async def killed(server: Served) -> None:
    """The recording plays although the server was killed."""
    try:
        recording = await _end(server, signal.SIGKILL)
    except ServerError:  # leaving a session of a server that is gone
        (recording,) = server.recordings.iterdir()
    assert frames_in(recording) > 5
