"""Directory and placement: where sessions go, what is lost with a worker, and who may come in."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from fakes import FakeClock
from patience import PATIENCE_S
from vivace.cluster.checkpoint import Checkpoint
from vivace.cluster.directory import (
    DISTRUST_S,
    KEEP_LOST_S,
    RESERVED_S,
    SILENCE_S,
    Directory,
    DirectoryFullError,
    UnknownWorkerError,
    WorkerRefusedError,
)
from vivace.cluster.placement import LATELY
from vivace.cluster.records import Hello, ModelLoad, Place, Report, Want
from vivace.cluster.registrar import open_registrar
from vivace.messages import Controls
from vivace.serve.limits import RefusedError
from vivace.serve.record import SessionRecord

MINI = Want(model="mini")


class Cluster:
    """A directory and workers that say what they are told to."""

    def __init__(self, **changes: Any) -> None:
        self.clock = FakeClock()
        self.directory = Directory("1.0", self.clock, **changes)

    def join(self, name: str, *, incarnation: str = "a", version: str = "1.0", region: str = "", **load: Any) -> None:
        restarted = load.pop("restarted", False)
        hello = Hello(
            name=name,
            incarnation=incarnation,
            version=version,
            url=f"http://{name}",
            region=region,
            restarted=restarted,
        )
        self.directory.register(hello)
        self.report(name, incarnation=incarnation, **load)

    def report(
        self, name: str, *, incarnation: str = "a", changed: Any = (), ended: Any = (), **load: Any
    ) -> list[str]:
        mini = ModelLoad(**{"loaded": True, "slots": 4, "free": 4.0, **load})
        return self.directory.report(
            Report(name=name, incarnation=incarnation, models={"mini": mini}, changed=list(changed), ended=list(ended))
        )

    def open(self, want: Want = MINI, client: str = "ada") -> tuple[str, SessionRecord]:
        """Place a session that comes at once; return its worker and record."""
        place = self.directory.place(want)
        record = SessionRecord.new(client, "mini", Controls(prompt="red", seed=3), None)
        self.directory.opened(place, record)
        return place.worker, record


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_sessions_spread_and_each_place_counts_before_the_worker_has_said_so(cluster: Cluster) -> None:
    for name in ("one", "two"):
        cluster.join(name)
    opened = [cluster.open() for _ in range(8)]
    assert sorted(worker for worker, _ in opened) == ["one"] * 4 + ["two"] * 4
    cluster.report("one", free=4.0)  # made before they came
    assert cluster.directory._placement.choose("mini", 1.0) is None
    cluster.report("one", free=1.0, changed=[record for worker, record in opened if worker == "one"])
    assert cluster.directory._placement.choose("mini", 1.0) == "one"
    cluster.report("one", free=0.0, waiting=2)
    assert cluster.directory.place(MINI).worker == "two", "where the queue is shorter"


def test_a_model_that_is_loaded_goes_before_room_and_room_before_the_region(cluster: Cluster) -> None:
    cluster.join("cold", loaded=False, slots=0, free=0.0, region="here")
    cluster.join("warm", free=1.0, region="there")
    here = Want(model="mini", region="here")
    assert cluster.directory.place(here).worker == "warm"
    assert cluster.directory.place(here).worker == "cold", "it has room, once the model is loaded"
    cluster.join("near", free=2.0, region="here")
    cluster.join("far", free=4.0, region="there")
    assert cluster.directory.place(here).worker == "near"


def test_a_large_session_finds_a_place_where_small_ones_were_packed(cluster: Cluster) -> None:
    for index in range(4):
        cluster.join(f"w{index}")
    large = Want(model="mini", area=4.0)
    assert cluster.open(large)[0]
    worker, waits = cluster.open()
    load = ModelLoad(loaded=True, slots=4, free=3.0)
    cluster.directory.report(
        Report(name=worker, incarnation="a", models={"mini": load}, changed=[waits], waiting=[waits.id])
    )
    for _ in range(LATELY):  # to look for a better place is no session that comes
        assert cluster.directory.better_off() == [waits.id]
    placed = [cluster.open()[0] for _ in range(7)]
    assert len(set(placed)) < 4, "one is kept empty"
    first = cluster.directory.place(large)
    assert first.worker not in placed


def test_what_a_large_output_takes_is_what_workers_measured(cluster: Cluster) -> None:
    cluster.join("w", free=4.0, growth=0.5)
    assert [cluster.directory.place(Want(model="mini", area=4.0)).worker for _ in range(2)] == ["w", "w"]
    cluster.directory.expire()
    assert cluster.directory._placement.choose("mini", 0.5) is None, "two of weight two"


def test_a_place_nobody_comes_to_is_free_again(cluster: Cluster) -> None:
    cluster.join("w", slots=1, free=1.0)
    kept = cluster.directory.place(MINI)
    assert cluster.directory._placement.choose("mini", 1.0) is None
    cluster.directory.release(kept)
    assert cluster.directory._placement.choose("mini", 1.0) == "w"
    cluster.directory.place(MINI)
    cluster.clock.advance(RESERVED_S)
    cluster.directory.heard(["w"])
    cluster.directory.expire()
    assert cluster.directory._placement.choose("mini", 1.0) == "w"


def test_sessions_of_a_worker_that_falls_silent_wait_for_their_clients_and_are_somebody_elses_then(
    cluster: Cluster,
) -> None:
    cluster.join("one")
    _, record = cluster.open()
    cluster.join("two")
    cluster.clock.advance(SILENCE_S)
    cluster.directory.heard(["two"])
    assert cluster.directory.expire() == ["one"]
    assert cluster.directory.find(record.id) == (record, None)
    with pytest.raises(UnknownWorkerError):
        cluster.report("one")
    place = cluster.directory.place(MINI)
    assert place.worker == "two"
    cluster.directory.opened(place, record)
    assert cluster.directory.find(record.id) == (record, "two")
    cluster.join("one", changed=[record])  # it was only cut off
    assert cluster.report("one", changed=[record]) == [record.id], "it is told to let go of it"
    assert cluster.directory.find(record.id) == (record, "two")


def test_a_lost_session_nobody_comes_back_for_is_forgotten(cluster: Cluster) -> None:
    cluster.join("one")
    _, record = cluster.open()
    assert cluster.directory.lose("one", "another") is False, "that was the process before"
    assert cluster.directory.lose("one", "a") is True
    cluster.clock.advance(KEEP_LOST_S)
    cluster.directory.expire()
    assert cluster.directory.find(record.id) is None
    assert cluster.directory.session_count == 0
    assert not cluster.directory._clients


def test_a_cut_off_worker_that_comes_back_in_time_has_its_sessions_again(cluster: Cluster) -> None:
    cluster.join("one")
    _, record = cluster.open()
    cluster.directory.lose("one", "a")
    cluster.join("one")
    assert cluster.report("one", changed=[record]) == []
    assert cluster.directory.find(record.id) == (record, "one")
    cluster.report("one", ended=[record.id])
    assert cluster.directory.find(record.id) is None


def test_another_version_and_a_name_that_is_taken_are_refused_and_cost_the_others_nothing(cluster: Cluster) -> None:
    cluster.join("one")
    with pytest.raises(
        WorkerRefusedError, match=r"worker old runs Vivace 0\.9, and this cluster 1\.0; install the same"
    ):
        cluster.join("old", version="0.9")
    with pytest.raises(WorkerRefusedError, match="there is a worker one already, at http://one"):
        cluster.join("one", incarnation="b")
    assert [worker.name for worker in cluster.directory.workers()] == ["one"]
    _, record = cluster.open()
    cluster.join("one", incarnation="b", restarted=True)
    assert cluster.directory.find(record.id) == (record, None), "its process is another"


def test_a_worker_that_refuses_what_it_offered_is_left_alone_for_a_while(cluster: Cluster) -> None:
    cluster.join("liar", slots=200, free=200.0)
    cluster.join("honest", slots=2, free=1.0)
    first = cluster.directory.place(MINI)
    assert first.worker == "liar"
    cluster.directory.release(first)
    cluster.directory.distrust("liar")
    assert cluster.directory.place(Want(model="mini", avoid=frozenset({"liar"}))).worker == "honest"
    cluster.clock.advance(DISTRUST_S)
    cluster.directory.heard(["liar", "honest"])
    cluster.directory.expire()
    assert cluster.directory.place(MINI).worker == "liar"


@pytest.mark.parametrize(
    "load", [{"slots": -1}, {"slots": 100_000}, {"free": float("nan")}, {"free": -1.0}, {"free": 1e9}, {"more": 1}]
)
def test_a_capacity_that_cannot_be_is_no_report(cluster: Cluster, load: dict[str, Any]) -> None:
    cluster.join("w", free=1.0)
    with pytest.raises(ValidationError):
        cluster.report("w", **load)
    assert cluster.directory.place(MINI).worker == "w"


def test_a_full_directory_refuses_what_is_new_and_keeps_what_it_has() -> None:
    cluster = Cluster(max_workers=1, max_sessions=1, max_sessions_per_client=1)
    cluster.join("one")
    with pytest.raises(DirectoryFullError, match="1 workers, all that it can keep track of"):
        cluster.join("two")
    _, record = cluster.open()
    with pytest.raises(DirectoryFullError, match="1 sessions"):
        cluster.open(client="bob")
    assert cluster.directory.find(record.id) == (record, "one")
    cluster = Cluster(max_sessions_per_client=1)
    cluster.join("one")
    cluster.open(Want(model="mini", client="ada"))
    with pytest.raises(RefusedError, match="this client has 1 sessions") as caught:
        cluster.directory.place(Want(model="mini", client="ada"))
    assert caught.value.code == "too_many_sessions"


def test_a_drained_worker_gets_nothing_new_and_an_empty_cluster_says_so(cluster: Cluster) -> None:
    cluster.join("one")
    _, record = cluster.open()
    cluster.directory.drain("one")
    with pytest.raises(RefusedError, match="no worker takes sessions of mini now; try again") as caught:
        cluster.directory.place(MINI)
    assert caught.value.code == "no_worker"
    assert [each.id for each in cluster.directory.sessions_of("one")] == [record.id]
    cluster.join("two")
    cluster.directory.move(record.id, "two")
    assert (cluster.directory.sessions_of("one"), cluster.directory.sessions_of("two")) == ([], [record])
    assert cluster.report("one", changed=[record]) == [record.id]
    cluster.directory.drain("one", on=False)
    assert {cluster.directory.place(MINI).worker for _ in range(5)} == {"one", "two"}
    with pytest.raises(UnknownWorkerError, match="there is no worker 'three' in this cluster; there are: one, two"):
        cluster.directory.drain("three")


def test_a_directory_that_was_restarted_knows_its_sessions_and_gets_their_workers_from_reports() -> None:
    cluster, again = Cluster(), Cluster()
    cluster.join("one")
    records = [cluster.open()[1] for _ in range(2)]
    again.directory.remember(records)
    assert not again.directory.settled, "their workers may only have to say so"
    assert again.directory.lost() == records
    again.join("one", changed=records[:1])
    assert again.directory.find(records[0].id) == (records[0], "one")
    assert again.directory.find(records[1].id) == (records[1], None)
    again.clock.advance(SILENCE_S)
    assert again.directory.settled


def test_what_a_worker_has_told_of_a_session_is_kept_when_its_gateway_comes_later(tmp_path: Path) -> None:
    def nobody(name: str) -> Any:
        raise AssertionError(name)

    registrar = open_registrar(
        "1.0", FakeClock(), tmp_path / "d.sqlite", nobody, default_model="mini", max_sessions_per_client=9
    )
    mini = ModelLoad(loaded=True, slots=4, free=4.0)
    registrar.register(Hello(name="w", incarnation="a", version="1.0", url="http://w"))
    registrar.report(Report(name="w", incarnation="a", models={"mini": mini}))
    place = registrar.place(MINI)
    assert isinstance(place, Place)
    record = SessionRecord.new("ada", "mini", Controls(prompt="red"), None)
    steered = record.model_copy(update={"controls": Controls(prompt="red", seed=7)})
    registrar.report(Report(name="w", incarnation="a", models={"mini": mini}, changed=[steered]))
    registrar.opened(place, record)
    assert [each.controls.seed for each in registrar._checkpoint.load()] == [7]
    registrar.unreachable(place)
    late = SessionRecord.new("bob", "mini", Controls(), None)
    registrar.opened(place, late)
    assert [each.id for each in registrar._checkpoint.load()] == [record.id], "none of a worker that is lost"


def test_a_sessions_id_is_no_flag_of_a_command() -> None:
    ids = {SessionRecord.new("ada", None, Controls(), None).id for _ in range(500)}
    assert len(ids) == 500
    assert all(each.isalnum() and len(each) == 12 for each in ids)


class SlowDisk:
    """A file's connection that writes nothing before it may."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.may_write = threading.Event()
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        assert self.may_write.wait(PATIENCE_S)
        return getattr(self._connection, name)


def test_a_slow_disk_makes_nobody_wait_and_has_it_all_in_the_end(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "d.sqlite")
    disk = SlowDisk(checkpoint._connection)
    checkpoint._connection = disk  # type: ignore[assignment]
    records = [SessionRecord.new("ada", "mini", Controls(seed=seed), None) for seed in range(3)]
    checkpoint.save(records)
    for seed in range(100):  # all of it returns while nothing can be written
        checkpoint.save([records[0].model_copy(update={"controls": Controls(seed=seed)})])
    checkpoint.save((), [records[1].id])
    disk.may_write.set()
    kept = {each.id: each.controls.seed for each in checkpoint.load()}
    assert kept == {records[0].id: 99, records[2].id: 2}
