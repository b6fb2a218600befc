"""Measures a cluster of two workers in Ray, with a fake model: what the gateway adds, and how soon sessions are back.

python tests/cluster/measure_cluster.py [--pairs 100] [--sessions 4]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

import vivace.client  # noqa: E402
from cluster.test_media import GREEN, SIZE, connected, first_tinted  # noqa: E402
from cluster.test_ray import NAMES, gateway, load, placed, steer  # noqa: E402
from vivace.client import ClientSession, ServerError  # noqa: E402
from vivace.cluster import actors  # noqa: E402
from vivace.serve.settings import ServeSettings  # noqa: E402

SETTINGS = ServeSettings(models=["fake"], size=SIZE, slots=8, port=0, grace_s=60.0, marks=frozenset())


def show(what: str, times_s: list[float]) -> None:
    p50, p95 = (1e3 * float(np.percentile(times_s, share)) for share in (50, 95))
    print(f"{what}: p50 {p50:.1f} ms, p95 {p95:.1f} ms, {len(times_s)} times", flush=True)


async def start_once(client: vivace.client.Client) -> float:
    """Return the time from the request to the control channel's first word."""
    began_s = time.perf_counter()
    session = await client.open(prompt="red")
    await session.ping()
    took_s = time.perf_counter() - began_s
    await session.close()
    return took_s


async def starts(url: str, pairs: int) -> None:
    """Start sessions directly and through the gateway in turn."""
    async with vivace.client.connect(url) as through:
        workers = (await through.request("GET", "/v1/cluster")).json()["workers"]
        async with vivace.client.connect(workers[0]["url"]) as direct:
            took: dict[str, list[float]] = {"direct": [], "through the gateway": []}
            for _ in range(pairs):
                took["direct"].append(await start_once(direct))
                took["through the gateway"].append(await start_once(through))
    for name, times_s in took.items():
        show(f"start of a session, {name}", times_s)
    more = np.subtract(took["through the gateway"], took["direct"])
    print(f"the gateway adds, by pairs: p50 {1e3 * np.median(more):.1f} ms", flush=True)


async def until_painted(session: ClientSession) -> float:
    """Return the time until pictures are painted as before, over a new connection."""
    began_s = time.perf_counter()
    while True:
        try:
            async with connected(session) as media:
                await first_tinted(media, GREEN)
                return time.perf_counter() - began_s
        except ServerError:
            await asyncio.sleep(0.05)


async def kills(url: str, count: int) -> None:
    """Kill a worker under sessions that are painted."""
    async with vivace.client.connect(url) as client:
        sessions = [await client.open(prompt="green") for _ in range(count)]
        for session in sessions:
            await until_painted(session)
            await steer(session, crossfade_s=0.0)
        where = await placed(client)
        victim = where[sessions[0].id]
        os.kill(await asyncio.to_thread(actors.process_of, actors.worker_actor(victim)), signal.SIGKILL)
        hit = [session for session in sessions if where[session.id] == victim]
        show(f"{len(hit)} sessions painted again", await asyncio.gather(*map(until_painted, hit)))
        for session in sessions:
            await session.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--sessions", type=int, default=4)
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    actors.connect(None, len(NAMES))
    with tempfile.TemporaryDirectory() as folder:
        actors.start_directory(actors.DirectoryOptions(Path(folder) / "directory.sqlite", "fake", 100))
        actors.Fleet(SETTINGS, host="127.0.0.1", load_model=load).start(NAMES)

        async def measure() -> None:
            async with gateway() as url:
                await starts(url, options.pairs)
                await kills(url, options.sessions)

        asyncio.run(measure())
        actors.stop_workers()
        actors.disconnect()


if __name__ == "__main__":
    main()
