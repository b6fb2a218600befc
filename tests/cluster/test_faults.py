"""Sessions opened and closed without end while workers are killed: none is lost without a reason, and none leaks."""

from __future__ import annotations

import asyncio
import gc
import random
from pathlib import Path

import pytest

import vivace.client
from cluster.local_cluster import LocalCluster, local_cluster
from patience import PATIENCE_S
from serve_rig import in_loop
from vivace.client import ClientSession, ServerError

NAMES = ("one", "two", "three")
CYCLES = 200
KILL_EVERY = 20


MOST_GROWTH = 0.05


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def resident_pages() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1])


async def steer(session: ClientSession, **controls: float) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                assert (await session.update(**controls)).accepted
                return
            except ServerError:
                await asyncio.sleep(0.01)


async def cycle(cluster: LocalCluster, client: vivace.client.Client, chance: random.Random, number: int) -> None:
    """Open a session, steer it, kill a worker under it now and then, steer it again, and close it."""
    session = await client.open(prompt="red", seed=number)
    await steer(session, strength=0.5)
    if number % KILL_EVERY == 0:
        await cluster.until(lambda: cluster.directory.registrar._directory.find(session.id) is not None)
        victim = chance.choice(NAMES)
        await cluster.kill(victim)
        await steer(session, strength=0.25)
        await cluster.start(victim, restarted=True)
    await steer(session, strength=0.125)
    where = cluster.session_on(session.id)
    assert where is not None
    record = cluster.workers[where].worker.record(session.id)
    assert record is not None
    assert (record.controls.prompt, record.controls.seed, record.controls.strength) == ("red", number, 0.125)
    assert session.ended is None, "no session has ended but by its client"
    await session.close()


@pytest.mark.slow
@in_loop
async def test_two_hundred_sessions_and_ten_killed_workers_leave_nothing_behind(tmp_path: Path) -> None:
    chance = random.Random(0)
    async with local_cluster(tmp_path, *NAMES) as cluster, vivace.client.connect(cluster.url) as client:
        for number in range(1, 2 * KILL_EVERY + 1):  # once round, so that what is kept for good is there
            await cycle(cluster, client, chance, number)
        gc.collect()
        files, tasks, pages = open_files(), len(asyncio.all_tasks()), resident_pages()
        for number in range(1, CYCLES + 1):
            await cycle(cluster, client, chance, number)
        directory = cluster.directory.registrar._directory
        await cluster.until(lambda: directory.session_count == 0)
        assert directory.lost() == []
        await cluster.until(lambda: not directory._reservations)
        assert not cluster.directory.registrar._checkpoint.load()
        for running in cluster.workers.values():
            await cluster.until(lambda running=running: not running.worker.manager.sessions())
        gc.collect()
        await cluster.until(lambda: len(asyncio.all_tasks()) <= tasks + 5)
        assert open_files() <= files + 10
        assert resident_pages() <= (1 + MOST_GROWTH) * pages
