"""Number of workers: more when sessions wait, fewer when they would not be missed."""

from __future__ import annotations

from fakes import FakeClock
from vivace.cluster.records import ModelLoad, WorkerState
from vivace.cluster.scaling import IDLE_S, START_S, Bounds, Scaling


def worker(name: str, *, free: float = 0.0, waiting: int = 0, sessions: int = 4, draining: bool = False) -> WorkerState:
    load = ModelLoad(loaded=True, slots=4, free=free, waiting=waiting)
    return WorkerState(
        name=name, url=f"http://{name}", region="", node="", version="1.0", models={"mini": load}, sessions=sessions,
        draining=draining, silent_s=0.0,
    )  # fmt: skip


def test_as_many_workers_are_asked_for_as_those_who_wait_need_and_each_once() -> None:
    clock = FakeClock()
    scaling = Scaling(Bounds(1, 4), clock)
    assert scaling.missing([]) == ["w0"]
    assert scaling.missing([]) == [], "it is on its way"
    assert scaling.missing([worker("w0", waiting=5)]) == ["w1", "w2"]
    assert scaling.missing([worker("w0", waiting=9)]) == ["w3"]
    assert scaling.missing([worker("w0", waiting=99)]) == [], "no more than the most"
    full = [worker("w0", waiting=9), worker("w1"), worker("w2"), worker("w3")]
    assert scaling.missing(full) == []
    assert scaling.missing(full[:3]) == ["w3"], "its process ended, and is missed"
    clock.advance(START_S)
    assert scaling.missing(full[:3]) == ["w3"], "no machine was to be had; it is asked for again"


def test_a_worker_is_let_go_when_it_was_not_needed_for_a_while_and_never_the_last() -> None:
    clock = FakeClock()
    scaling = Scaling(Bounds(1, 4), clock)
    quiet = [worker("w0", free=2.0, sessions=2), worker("w1", free=4.0, sessions=0), worker("w2", free=4.0, sessions=0)]
    assert scaling.superfluous(quiet) is None
    clock.advance(IDLE_S / 2)
    assert scaling.superfluous([worker("w0", waiting=1), *quiet[1:]]) is None, "somebody waits: it begins anew"
    clock.advance(IDLE_S / 2)
    assert scaling.superfluous(quiet) is None
    clock.advance(IDLE_S)
    assert scaling.superfluous(quiet) == "w1"
    left = [worker("w0", free=1.0), worker("w1", free=4.0, sessions=0, draining=True), quiet[2]]
    assert scaling.superfluous(left) is None
    clock.advance(IDLE_S)
    assert scaling.superfluous(left) is None, "5 free of 8: without one, less than half of a worker would be left"
    assert scaling.superfluous([worker("w0", free=4.0, sessions=0)]) is None
    clock.advance(IDLE_S)
    assert scaling.superfluous([worker("w0", free=4.0, sessions=0)]) is None
