"""A cluster of two workers in Ray, in processes of its own: placement, and what survives when each is killed."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn

import vivace.client
from fakes import SIZE, FakeModel
from patience import PATIENCE_S
from serve_rig import in_loop
from vivace.client import ClientSession, ServerError
from vivace.cluster import actors
from vivace.cluster.gateway import create_gateway
from vivace.errors import BackendUnavailableError, DeviceError, UsageError
from vivace.serve.main import uvicorn_config
from vivace.serve.settings import ServeSettings

TESTS = Path(__file__).parents[1]
NAMES = ["w0", "w1"]
SETTINGS = ServeSettings(
    models=["fake"], size=SIZE, dynamic_size=None, slots=4, port=0, drain_s=0.1, grace_s=60.0, marks=frozenset()
)


def load(_name: str) -> FakeModel:
    return FakeModel(record=False)


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Start Ray with a directory and two workers; return the directory's file."""
    path = tmp_path_factory.mktemp("cluster") / "directory.sqlite"
    paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("RAY_ADDRESS", raising=False)
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))  # workers import the fake model
        assert actors.connect(None, len(NAMES)) is True
        try:
            actors.start_directory(actors.DirectoryOptions(path, "fake", 20))
            actors.Fleet(SETTINGS, host="127.0.0.1", load_model=load).start(NAMES)
            yield path
        finally:
            actors.stop_workers()
            actors.disconnect()


@asynccontextmanager
async def gateway(port: int = 0) -> AsyncIterator[str]:
    """Run a gateway, and return its address once both workers take sessions."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        directory = actors.RayDirectory()
        server = uvicorn.Server(uvicorn_config(create_gateway(SETTINGS, directory), SETTINGS))
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            await until_ready(directory)
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


async def until_ready(directory: actors.RayDirectory) -> None:
    """Wait until both workers take sessions: processes may have to be started for it."""
    end_s = time.monotonic() + 3 * PATIENCE_S
    while sum(bool(state.models) for state in await directory.workers()) < len(NAMES):
        assert time.monotonic() < end_s, await directory.workers()
        await asyncio.sleep(0.1)


async def placed(client: vivace.client.Client) -> dict[str, str]:
    """Return the worker of each session, as soon as the directory answers."""
    async with asyncio.timeout(2 * PATIENCE_S):
        while True:
            try:
                listed = (await client.request("GET", "/v1/sessions")).json()["sessions"]
                return {each["id"]: each["worker"] for each in listed}
            except ServerError:
                await asyncio.sleep(0.1)


async def steer(session: ClientSession, **controls: Any) -> None:
    """Change controls, over and over where the channel is lost meanwhile."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            try:
                assert (await session.update(**controls)).accepted
                return
            except ServerError:
                await asyncio.sleep(0.05)


@in_loop
async def test_sessions_outlive_their_worker_their_gateway_and_the_directory(state: Path) -> None:
    async with gateway() as url, vivace.client.connect(url) as client:
        sessions = [await client.open(prompt="red", seed=index) for index in range(4)]
        for session in sessions:
            await steer(session, strength=0.25)
        before = await placed(client)
        assert sorted(before.values()) == ["w0", "w0", "w1", "w1"]

        os.kill(await asyncio.to_thread(actors.process_of, actors.DIRECTORY), signal.SIGKILL)
        await steer(sessions[0], strength=0.5)
        await placed(client)
        await until_ready(actors.RayDirectory())
        assert await placed(client) == before, "the directory is another process, and knows what it knew"

        victim = before[sessions[0].id]
        os.kill(await asyncio.to_thread(actors.process_of, actors.worker_actor(victim)), signal.SIGKILL)
        for session in sessions:
            await steer(session, crossfade_s=1.0)
            assert session.ended is None
        after = await placed(client)
        assert after[sessions[0].id] != victim
        kept = {each: worker for each, worker in before.items() if worker != victim}
        assert {each: after[each] for each in kept} == kept, "the others' have not moved"
        await until_ready(actors.RayDirectory())

        async with gateway() as other, vivace.client.connect(other) as second:
            assert await placed(second) == await placed(client), "a second gateway is as good as the first"
            moved = await second.request("POST", f"/v1/cluster/sessions/{sessions[0].id}/move", json={"to": victim})
            assert moved.json() == {"worker": victim}
        await steer(sessions[0], strength=0.125)
        for session in sessions:
            await session.close()


def test_a_ray_that_is_too_old_or_not_there_is_said_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BackendUnavailableError, match=r"Ray 2\.9\.1 is too old for a cluster, which needs 2\.60; pip"):
        actors.check_ray("2.9.1")
    actors.check_ray("2.60.0")
    actors.check_ray("3.0.0")

    def refuse(**_: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr(actors.ray, "init", refuse)
    with pytest.raises(DeviceError, match=r"no Ray answers at 203.0.113.9:6379 \(Could not .*ray start --head"):
        actors.connect("203.0.113.9:6379", 1)


def test_a_gateway_of_another_version_leaves_the_cluster_alone(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(actors, "VERSION", "0.0.9")
    with pytest.raises(UsageError, match=r"the cluster runs Vivace .*, and this gateway 0\.0\.9; install the same"):
        actors.start_directory(actors.DirectoryOptions(state, "fake", 20))
