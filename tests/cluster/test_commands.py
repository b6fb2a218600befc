"""`vivace cluster` asks a gateway, and `vivace serve --cluster` says what it cannot do before anything starts."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
from pathlib import Path

import pytest

import vivace.client
from cluster.local_cluster import local_cluster
from serve_rig import in_loop
from vivace.cli import main
from vivace.cluster.main import worker_settings
from vivace.serve.settings import ServeSettings


@in_loop
async def test_an_operator_looks_empties_and_moves(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def run(*command: str) -> str:
        code = await asyncio.to_thread(main, ["cluster", *command, "--url", cluster.url])
        done = capsys.readouterr()
        assert code == 0, done.err
        return done.out

    async with local_cluster(tmp_path, "one", "two") as cluster, vivace.client.connect(cluster.url) as client:
        session = await client.open(prompt="red")
        here = cluster.session_on(session.id)
        (there,) = {"one", "two"} - {here}
        assert f"{session.id} goes on at {there}" in await run("move", session.id)
        assert cluster.session_on(session.id) == there
        assert "sessions that go on elsewhere: 1, that stay: 0" in await run("drain", there)
        assert "drain" in await run("status")
        assert f"{there} takes sessions again" in await run("drain", there, "--off")
        assert "drain" not in await run("status")
        code = await asyncio.to_thread(main, ["cluster", "drain", "three", "--url", cluster.url])
        assert code == 3
        assert "there is no worker 'three' in this cluster; there are: one, two" in capsys.readouterr().err
        await session.close()


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--workers", "2"], "--workers is for a cluster; add --cluster"),
        (
            ["--cluster", "--workers", "8..2"],
            "a range such as 2..8, or 0 to start none; 1000 at most",
        ),
        (["--cluster", "--workers", "1001"], "or 0 to start none"),
        (["--cluster", "--region", "no where"], "is no label"),
        (["--cluster", "--workers", "many"], "many"),
        (["--cluster", "--osc", "9000"], "--osc steers the sessions of its own process"),
        (["--cluster", "--drive", "strength=loud"], "nothing that is heard is called 'loud'"),
    ],
)
def test_flags_of_a_cluster_that_cannot_be_are_refused(
    flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "--port", "0", *flags]) == 2
    assert said in capsys.readouterr().err


def test_a_port_that_is_taken_is_said_before_ray_starts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object) -> bool:
        raise AssertionError("Ray was started")

    monkeypatch.setattr("vivace.cluster.actors.connect", never)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["serve", "--cluster", "--port", str(port)]) == 2
    said = capsys.readouterr().err
    assert f"cannot listen on 127.0.0.1 port {port}" in said
    assert "--port" in said


def test_workers_find_the_files_of_their_gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    settings = ServeSettings(models=["mini", "own.toml"], recordings=Path("kept"), policy="list.toml", port=9000)
    found = worker_settings(settings)
    assert found.models == ["mini", str(tmp_path / "own.toml")]
    assert found.offered.keys() == settings.offered.keys()
    assert (found.recordings, found.policy, found.port) == (tmp_path / "kept", str(tmp_path / "list.toml"), 0)


def test_a_cluster_without_ray_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "ray" else find(name))
    assert main(["serve", "--port", "0", "--cluster"]) == 4
    assert "a cluster needs ray, which is not installed; install the extra `cluster`" in capsys.readouterr().err
