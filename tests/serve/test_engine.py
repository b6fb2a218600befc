"""The engine: who is painted next, the effect of a failing session on others, and the time at which a queue is free."""

from __future__ import annotations

import threading
from fractions import Fraction

import pytest

from fakes import FakeClock, picture
from patience import PATIENCE_S
from vivace.errors import SessionClosedError
from vivace.media.frame import Frame
from vivace.serve.engine import Engine, SessionQueue


def frame(index=0):
    return Frame(picture(0), index, index, Fraction(1, 25), 100.0)


def queue(budget_s=0.04, paint=lambda frame: None, failed=lambda error: None):
    return SessionQueue(paint, failed, budget_s)


@pytest.fixture
def engine():
    engine = Engine("fake")
    yield engine
    assert engine.stop()


def simulate(
    fps: list[float], step_s: float, seconds: float, weights: list[float] | None = None
) -> tuple[list[int], list[float]]:
    """Serve sessions of these frame rates with steps of this duration.

    Return the number of steps of each, and the mean age of its newest frame at that time, ms.
    """
    clock = FakeClock(0.0)
    engine = Engine("fake", clock)
    queues = [queue() for _ in fps]
    for each, weight in zip(queues, weights or [1.0] * len(fps), strict=True):
        each.weight = weight
        engine.add(each)
    served, waited_s, came_s = [0] * len(fps), [0.0] * len(fps), [0.0] * len(fps)
    arrivals = sorted((index / rate, which) for which, rate in enumerate(fps) for index in range(int(seconds * rate)))
    while arrivals:
        while arrivals and arrivals[0][0] <= clock() + 1e-9:
            due_s, which = arrivals.pop(0)
            engine._clock = lambda due_s=due_s: due_s  # the frame came at its own time, during a step
            engine.offer(queues[which], frame())
            engine._clock, came_s[which] = clock, due_s
        if not any(each.frames for each in queues):
            clock.advance(max(0.0, arrivals[0][0] - clock()) if arrivals else 0.0)
            continue
        chosen, _ = engine._next()
        which = queues.index(chosen)
        served[which] += 1
        waited_s[which] += clock() - came_s[which]
        clock.advance(step_s)
        engine._step_over()
    return served, [1e3 * total_s / count for total_s, count in zip(waited_s, served, strict=True)]


def test_the_frame_that_came_first_is_painted_first(engine):
    painted, gate, began = [], threading.Event(), threading.Event()

    def hold(_frame):
        began.set()
        assert gate.wait(PATIENCE_S)

    first = queue(paint=hold)
    others = [queue(paint=lambda _frame, name=name: painted.append(name)) for name in "abc"]
    for each in (first, *others):
        engine.add(each)
    engine.start()
    engine.offer(first, frame())
    assert began.wait(PATIENCE_S)
    for which in (2, 0, 1):
        engine.offer(others[which], frame())
    done = threading.Event()
    last = queue(paint=lambda _frame: done.set(), budget_s=10.0)
    engine.add(last)
    engine.offer(last, frame())
    gate.set()
    assert done.wait(PATIENCE_S)
    assert painted == ["c", "a", "b"]


def test_a_session_with_room_for_all_gets_every_frame():
    assert simulate([15, 25], 0.01, 4)[0] == [60, 100]


@pytest.mark.parametrize("step_s", [0.02, 0.03, 0.05])
def test_who_sends_120_frames_a_second_cannot_starve_who_sends_15(step_s):
    (modest, greedy), _ = simulate([15, 120], step_s, 4)
    fair = min(60, 4 / step_s / 2)
    assert modest >= 0.9 * fair
    assert greedy >= 0.5 * (4 / step_s - modest)  # nor is it starved itself


@pytest.mark.parametrize("fps", [[15, 120], [10, 120, 120], [8, 60, 60, 60]])
def test_a_modest_session_waits_for_the_step_in_progress_and_hardly_more(fps):
    step_s = 0.02
    _, waited_ms = simulate([fps[0] * 0.97, *fps[1:]], step_s, 8)  # without a common beat
    assert waited_ms[0] < 1e3 * step_s


@pytest.mark.parametrize("fps", [[30, 30, 30], [30, 30, 120], [20, 60, 120]])
def test_sessions_that_want_too_much_get_equal_shares(fps):
    counts, _ = simulate(fps, 0.03, 6)
    assert max(counts) - min(counts) <= 0.2 * max(counts)


def test_who_was_promised_twice_the_frames_is_served_twice_as_often_and_takes_nothing_while_there_is_time():
    counts, _ = simulate([60, 60, 60], 0.03, 12, [2.0, 1.0, 1.0])
    assert counts[0] == pytest.approx(2 * counts[1], rel=0.2)
    assert counts[1] == pytest.approx(counts[2], rel=0.2)
    assert simulate([15, 25], 0.01, 4, [0.5, 1.0])[0] == [60, 100]


def test_the_newest_frame_wins_and_keeps_the_place_in_the_queue():
    clock = FakeClock(0.0)
    engine = Engine("fake", clock)
    one, two = queue(), queue()
    engine.add(one)
    engine.add(two)
    old = frame(0)
    assert engine.offer(one, old) is None
    clock.advance(0.01)
    engine.offer(two, frame(0))
    clock.advance(0.01)
    assert engine.offer(one, frame(1)) is old
    chosen, newest = engine._next()
    assert (chosen, newest.index) == (one, 1)


def test_a_session_that_fails_is_told_and_the_others_go_on(engine):
    errors, painted = [], threading.Event()

    def fail(_frame):
        raise MemoryError("no room")

    broken = queue(paint=fail, failed=errors.append)
    healthy = queue(paint=lambda _frame: painted.set())
    for each in (broken, healthy):
        engine.add(each)
    engine.start()
    engine.offer(broken, frame())
    engine.offer(healthy, frame())
    assert painted.wait(PATIENCE_S)
    assert [str(error) for error in errors] == ["no room"]
    assert engine.alive


def test_the_engine_survives_an_end_that_fails(engine, caplog):
    painted = threading.Event()

    def fail(_thing):
        raise ValueError("worse")

    broken, healthy = queue(paint=fail, failed=fail), queue(paint=lambda _frame: painted.set())
    for each in (broken, healthy):
        engine.add(each)
    engine.start()
    engine.offer(broken, frame())
    engine.offer(healthy, frame())
    assert painted.wait(PATIENCE_S)
    assert "ending a session failed" in caplog.text
    caplog.clear()
    engine.leave(healthy, lambda: fail(None))  # at once, in the thread of the caller
    assert "ending a session failed" in caplog.text


def test_a_seat_is_freed_after_its_step_and_never_under_it(engine):
    began, gate, freed = threading.Event(), threading.Event(), threading.Event()
    order = []

    def paint(_frame):
        began.set()
        assert gate.wait(PATIENCE_S)
        order.append("painted")

    here = queue(paint=paint)
    engine.add(here)
    engine.start()
    engine.offer(here, frame())
    assert began.wait(PATIENCE_S)
    engine.leave(here, lambda: (order.append("freed"), freed.set()))
    engine.leave(here, lambda: order.append("freed twice"))
    assert order == []
    gate.set()
    assert freed.wait(PATIENCE_S)
    assert order == ["painted", "freed"]
    engine.offer(here, frame())
    assert not here.frames


def shared(fps: list[float], seconds: float = 4.0) -> float:
    """Return the time available per frame, ms, after these sessions have sent for this duration."""
    clock = FakeClock(0.0)
    engine = Engine("fake", clock)
    queues = [queue() for _ in fps]
    for each in queues:
        engine.add(each)
    arrivals = sorted((index / rate, which) for which, rate in enumerate(fps) for index in range(int(seconds * rate)))
    for due_s, which in arrivals:
        clock.advance(due_s - clock())
        engine.offer(queues[which], frame())
    return engine.share_s() * 1e3


@pytest.mark.parametrize(
    ("fps", "share_ms"), [([15], 66.7), ([30], 40), ([30, 30], 20), ([15, 15, 15], 22.2), ([15, 120], 25)]
)
def test_there_is_time_for_the_frames_that_come_and_a_greedy_session_counts_up_to_its_budget(fps, share_ms):
    assert shared(fps) == pytest.approx(share_ms, rel=0.05)


def test_only_sessions_that_send_share():
    clock = FakeClock()
    engine = Engine("fake", clock)
    one, two = queue(), queue()
    for each in (one, two):
        engine.add(each)
    assert engine.share_s() == float("inf")
    for _ in range(100):
        clock.advance(0.04)
        engine.offer(one, frame())
        engine.offer(two, frame())
    assert engine.share_s() == pytest.approx(0.02, rel=0.05)
    for _ in range(50):
        clock.advance(0.04)
        engine.offer(one, frame())
    assert engine.share_s() == pytest.approx(0.04, rel=0.05)


def test_as_many_frames_wait_as_a_step_takes_and_the_oldest_give_way(engine):
    painted, done = [], threading.Event()

    def paint(given):
        painted.append(given.index)
        if given.index == 5:
            done.set()

    place = SessionQueue(paint, lambda error: None, 0.04, keep=4)
    engine.add(place)
    displaced = [engine.offer(place, frame(index)) for index in range(6)]
    assert [None if each is None else each.index for each in displaced] == [None, None, None, None, 0, 1]
    engine.start()
    assert done.wait(PATIENCE_S)
    assert painted == [2, 3, 4, 5]


def test_what_can_wait_is_done_when_no_frame_does(engine):
    done, gate, began = [], threading.Event(), threading.Event()

    def hold(_frame):
        began.set()
        assert gate.wait(PATIENCE_S)

    held, other = queue(paint=hold), queue(paint=lambda _frame: done.append("frame"))
    for each in (held, other):
        engine.add(each)
    engine.start()
    engine.offer(held, frame())
    assert began.wait(PATIENCE_S)
    idle = engine.when_idle(lambda: done.append("idle"))
    cancelled = engine.when_idle(lambda: done.append("cancelled"))
    failing = engine.when_idle(lambda: 1 / 0)
    engine.offer(other, frame())
    assert cancelled.cancel()
    gate.set()
    idle.result(PATIENCE_S)
    assert done == ["frame", "idle"]
    with pytest.raises(ZeroDivisionError):
        failing.result(PATIENCE_S)
    assert engine.alive


def test_what_an_engine_no_longer_does_is_told():
    engine = Engine("fake")
    waiting = engine.when_idle(lambda: None)
    assert engine.stop()
    for future in (waiting, engine.when_idle(lambda: None)):
        with pytest.raises(SessionClosedError):
            future.result(PATIENCE_S)
