"""Measures a cluster of two workers in Ray, with fake models: what the gateway adds, what a death costs, growth.

python tests/cluster/measure_cluster.py [starts] [kills] [gateway] [growth] [--pairs 100] [--sessions 4]

`growth` has a model whose steps take a set time without computing, and counts the sessions that one worker and two let
in by measured admission, and the frames a second that each session gets: it shows placement and transport.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import numpy as np

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

import vivace.client  # noqa: E402
from cluster.test_media import GREEN, SIZE, connected, first_tinted  # noqa: E402
from cluster.test_ray import NAMES, gateway, load, placed, steer  # noqa: E402
from fakes import FakeModel  # noqa: E402
from vivace.client import ClientSession, ServerError  # noqa: E402
from vivace.client.rtc import RtcSession  # noqa: E402
from vivace.cluster import actors  # noqa: E402
from vivace.cluster.worker import LoadModel  # noqa: E402
from vivace.serve.settings import ServeSettings  # noqa: E402

SETTINGS = ServeSettings(
    models=["fake"], size=SIZE, dynamic_size=None, slots=8, port=0, grace_s=60.0, marks=frozenset()
)
MEASURED = SETTINGS.model_copy(update={"slots": None, "queue_length": 0, "max_sessions_per_client": 50})
STEP_S = 0.02
PARTS = ("starts", "kills", "gateway", "growth")


def load_timed(_name: str) -> FakeModel:
    """Load a model whose steps take a set time."""
    return FakeModel(record=False, on_step=lambda _: time.sleep(STEP_S))


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


async def gateway_killed(times: int) -> None:
    """End the gateway under a session, start another one at its address, and wait for control; count lost pictures."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    back_s, gaps_s = [], []
    async with AsyncExitStack() as first:
        url = await first.enter_async_context(gateway(port))
        async with vivace.client.connect(url) as client:
            session = await client.open(prompt="green")
            async with connected(session) as media:
                await first_tinted(media, GREEN)
                for _ in range(times):
                    arrivals: list[float] = []
                    listening = asyncio.create_task(_note(media, arrivals))
                    await first.aclose()
                    began_s = time.perf_counter()
                    await first.enter_async_context(gateway(port))
                    await steer(session, crossfade_s=0.0)
                    back_s.append(time.perf_counter() - began_s)
                    listening.cancel()
                    gaps_s.append(float(np.max(np.diff(arrivals), initial=0.0)))
            await session.close()
    show("gateway ended, until control is back", back_s)
    show("longest time between two pictures meanwhile", gaps_s)


async def _note(media: RtcSession, arrivals: list[float]) -> None:
    async for picture in media.pictures():
        arrivals.append(picture.arrival_s)


async def let_in(client: vivace.client.Client, seconds: float = 8.0) -> list[float]:
    """Open sessions until one is refused; return the frames a second that each gets when all are painted."""
    async with AsyncExitStack() as stack:
        arrivals: list[list[float]] = []
        while True:
            try:
                session = await client.open(prompt="green")
            except ServerError:
                break
            stack.push_async_callback(session.close)
            media = await stack.enter_async_context(connected(session))
            await first_tinted(media, GREEN)
            arrivals.append([])
            noting = asyncio.create_task(_note(media, arrivals[-1]))
            stack.callback(noting.cancel)
            await asyncio.sleep(1.0)  # room is measured anew
        began_s = time.monotonic()
        await asyncio.sleep(seconds)
        return [sum(each >= began_s for each in times) / seconds for times in arrivals]


async def growth(url: str) -> None:
    """Count what one worker and two let in."""
    async with vivace.client.connect(url) as client:
        await client.request("POST", f"/v1/cluster/workers/{NAMES[1]}/drain", json={"move": False})
        one = await let_in(client)
        await client.request("POST", f"/v1/cluster/workers/{NAMES[1]}/drain", json={"on": False})
        two = await let_in(client)
    for name, rates in (("one worker", one), ("two workers", two)):
        print(
            f"{name}: {len(rates)} sessions, {min(rates, default=0):.1f} to {max(rates, default=0):.1f} fps", flush=True
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=100)
    parser.add_argument("--sessions", type=int, default=4)
    parser.add_argument("parts", nargs="*", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(TESTS), os.environ.get("PYTHONPATH", "")])
    if untimed := [part for part in options.parts if part != "growth"]:
        with cluster(SETTINGS, load):
            asyncio.run(measure(untimed, options.pairs, options.sessions))
    if "growth" in options.parts:
        with cluster(MEASURED, load_timed):
            asyncio.run(measure(["growth"], options.pairs, options.sessions))


@contextmanager
def cluster(settings: ServeSettings, load_model: LoadModel) -> Iterator[None]:
    """Run a directory and two workers in a Ray of their own."""
    actors.connect(None, len(NAMES))
    try:
        with tempfile.TemporaryDirectory() as folder:
            actors.start_directory(actors.DirectoryOptions(Path(folder) / "directory.sqlite", "fake", 100))
            actors.Fleet(settings, host="127.0.0.1", load_model=load_model).start(NAMES)
            yield
            actors.stop_workers()
    finally:
        actors.disconnect()


async def measure(parts: Sequence[str], pairs: int, sessions: int) -> None:
    """Run parts, one after another."""
    if "gateway" in parts:
        await gateway_killed(5)
    async with gateway() as url:
        if "starts" in parts:
            await starts(url, pairs)
        if "kills" in parts:
            await kills(url, sessions)
        if "growth" in parts:
            await growth(url)


if __name__ == "__main__":
    main()
