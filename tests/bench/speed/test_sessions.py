"""Number of sessions that can be served, by a clock that stands still between steps."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fakes import FakeClock, FakeModel
from timing_fakes import SIZE, job_of
from vivace.bench.inputs.loops import render_loop
from vivace.bench.speed import run as speed_run
from vivace.bench.speed.sessions import ModelServer, Pace, Session, search, sessions_held, share_in_time
from vivace.bench.systems.system import ModelSystem, Request
from vivace.errors import CapacityError

REQUEST = Request(SIZE, 30.0, "red")


class Server:
    """Server whose steps take a fixed time per session; every `hiccup_every`-th step takes three times as long."""

    def __init__(self, clock: FakeClock, cost_s: float, hiccup_every: int | None = None, room: int = 1000) -> None:
        self.clock = clock
        self.cost_s = cost_s
        self.hiccup_every = hiccup_every
        self.room = room
        self.steps = 0

    def step(self, sessions: int, number: int) -> None:
        if sessions > self.room:
            raise CapacityError("no memory")
        self.steps += 1
        hiccup = self.hiccup_every is not None and self.steps % self.hiccup_every == 0
        self.clock.advance(sessions * self.cost_s * (3 if hiccup else 1))


def held(server: Server, fps: float) -> int:
    clock = server.clock
    return sessions_held(FakeModel(), REQUEST, fps, 10.0, clock=clock, sleep=clock.advance, server=server)


@pytest.mark.parametrize(("fps", "count"), [(15.0, 6), (24.0, 4), (100.0, 1), (120.0, 0)])
def test_as_many_are_held_as_fit_into_a_period(fps: float, count: int) -> None:
    assert held(Server(FakeClock(), 0.010), fps) == count


def test_one_late_picture_in_fifty_is_one_too_many() -> None:
    assert held(Server(FakeClock(), 0.010, hiccup_every=50), 15.0) == 2  # three times 2 still fits
    assert held(Server(FakeClock(), 0.010, hiccup_every=500), 15.0) == 6


def test_memory_is_a_limit_too() -> None:
    assert held(Server(FakeClock(), 0.010, room=3), 15.0) == 3


def test_a_picture_whose_period_is_over_is_skipped_and_late() -> None:
    clock = FakeClock()
    server = Server(clock, 0.025)
    pace = Pace(0.010, 1000)
    assert share_in_time(server, 1, pace, clock=clock, sleep=clock.advance) < 0.99
    slow_once = Server(clock, 0.005, hiccup_every=None)
    slow_once.hiccup_every = 200
    slow_once.cost_s = 0.0099
    # every 200th step takes 30 ms: late itself, and two more pictures pass meanwhile
    share = share_in_time(slow_once, 1, Pace(0.010, 199), clock=clock, sleep=clock.advance)
    assert share == pytest.approx(1 - 2 / 199)


@given(st.integers(0, 40), st.integers(1, 60), st.integers(1, 40))
def test_the_search_finds_the_last_that_holds(last: int, guess: int, limit: int) -> None:
    asked: list[int] = []

    def holds(number: int) -> bool:
        asked.append(number)
        return number <= last

    assert search(holds, guess=guess, limit=limit) == min(last, limit)
    assert len(asked) == len(set(asked)) <= 14


def test_sessions_of_a_model_are_stepped_together_and_share_nothing() -> None:
    model = FakeModel(chunk_frames=2)
    server = ModelServer(model, REQUEST)
    server.step(3, 0)
    server.step(2, 1)
    assert len(model.opened) == 3
    assert len(model.chunks) == 5
    session = Session(model, REQUEST, render_loop(SIZE, 3))
    assert session.chunk(1).rgb.shape == (2, SIZE[1], SIZE[0], 3)


def test_without_a_model_the_count_is_said_to_be_missing() -> None:
    job = job_of(ModelSystem(FakeModel(), paints=False), session_fps=[15.0], session_s=1.0, session_searches=1)
    found = speed_run.serve(job, lambda done, total: None)
    assert found.values == []
    assert "no model" in found.not_run["sessions"]
