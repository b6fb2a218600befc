"""Measures what a further viewer costs a server: CPU time of its process with few and with many viewers, in turn.

python tests/rtc/measure_viewers.py [--viewers 16] [--seconds 10] [--size 512x288]

The server is a process of its own with a model that costs nothing. Pictures come at 30 a second; viewers are ours, over
WHEP, and share the other core with what publishes, so that give it no more of them than that can decode.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import sys
import time
from contextlib import AsyncExitStack, suppress
from multiprocessing.connection import Connection
from pathlib import Path

import httpx2
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

import vivace.client
from vivace.client.rtc import RtcSession
from vivace.media.size import parse_size
from vivace.worlds import make_scene

FPS = 30
FRAMES = 90
TURNS = 3


def serve(size: tuple[int, int], pipe: Connection) -> None:
    """Serve until the pipe says something; tell the address."""
    from live_server import live_server
    from vivace.serve.rtc import make_peer_factory
    from vivace.serve.settings import ServeSettings

    settings = ServeSettings(models=["fake"], size=size, dynamic_size=None, port=0, slots=2, marks=frozenset())
    with live_server(settings, peers=make_peer_factory(settings)) as server:
        pipe.send(server.url)
        pipe.recv()


def cpu_s(pid: int) -> float:
    """Return the CPU time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def measure(url: str, pid: int, size: tuple[int, int], viewers: int, seconds: float) -> None:
    scene = make_scene("pan", size)
    frames = [scene.render(index / FPS) for index in range(FRAMES)]
    async with (
        vivace.client.connect(url) as client,
        httpx2.AsyncClient(timeout=30.0) as http,
        AsyncExitStack() as stack,
    ):
        session = await client.open(prompt="red")
        media = await stack.enter_async_context(session.media(play=False, fps=FPS))

        async def publish() -> None:
            index = 0
            while media.publish(frames[index % FRAMES]):
                index += 1
                await asyncio.sleep(1 / FPS)

        async def offer(sdp: str) -> str:
            headers = {"Content-Type": "application/sdp", "X-Session-Secret": session.info.secret}
            answer = await http.post(f"{url}/v1/sessions/{session.id}/whep", content=sdp, headers=headers)
            answer.raise_for_status()
            return answer.text

        async def watch(seen: list[int], number: int) -> None:
            async with RtcSession(offer, publish=False, fps=FPS) as viewer:
                async for _ in viewer.pictures():
                    seen[number] += 1

        publishing = asyncio.create_task(publish())

        async def share(count: int) -> tuple[float, float]:
            """Return the server's share of a core, and the median viewer's pictures a second."""
            seen = [0] * count
            watching = [asyncio.create_task(watch(seen, number)) for number in range(count)]
            while not all(seen):
                await asyncio.sleep(0.1)
            await asyncio.sleep(2.0)  # bitrates have risen
            before, pictures, began_s = cpu_s(pid), list(seen), time.monotonic()
            await asyncio.sleep(seconds)
            took_s = time.monotonic() - began_s
            found = (cpu_s(pid) - before) / took_s, float(np.median(np.subtract(seen, pictures)) / took_s)
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
            return found

        further = []
        for _ in range(TURNS):
            few, many = await share(1), await share(1 + viewers)
            further.append(100 * (many[0] - few[0]) / viewers)
            print(f"1 viewer: {few[0]:.3f} cores, {few[1]:.1f} fps; {1 + viewers}: {many[0]:.3f}, {many[1]:.1f} fps")
        print(f"a further viewer: {np.median(further):.2f} % of a core, of {np.round(further, 2)}")
        publishing.cancel()
        with suppress(asyncio.CancelledError):
            await publishing
        await session.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--viewers", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--size", default="512x288")
    options = parser.parse_args()
    size = parse_size(options.size)
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(size, theirs))
    server.start()
    assert server.pid is not None
    try:
        asyncio.run(measure(ours.recv(), server.pid, size, options.viewers, options.seconds))
    finally:
        ours.send("end")
        server.join(30)


if __name__ == "__main__":
    main()
