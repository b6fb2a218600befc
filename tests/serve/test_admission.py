"""Slots from step times and memory, and the queue in front of them."""

from __future__ import annotations

import pytest

from vivace.serve.admission import HEADROOM, Admission, Demand
from vivace.serve.costs import REMEMBERED_STEPS, StepCosts
from vivace.serve.limits import RefusedError

SIZE = (20, 10)
ONE = Demand(100, SIZE)


def admission(step_ms=30.0, **changes):
    return Admission(
        **{"slots": None, "frame_ms": 100.0, "memory_limit_bytes": 1000, "queue_length": 2, **changes},
        costs=StepCosts(SIZE, step_ms),
    )


def times(area, nbytes=100):
    """Return a demand of this multiple of the default area."""
    return Demand(nbytes, (round(SIZE[0] * area), SIZE[1]))


@pytest.mark.parametrize(("step_ms", "slots"), [(30.0, 3), (45.0, 2), (90.0, 1), (500.0, 1), (0.0, 256)])
def test_slots_are_what_fits_into_the_time_of_a_frame(step_ms, slots):
    assert admission(step_ms=step_ms).slots == slots


def test_slots_follow_the_running_median_and_not_a_hiccup():
    desk = admission()
    desk.costs.observe(SIZE, 900.0)
    desk.costs.observe(SIZE, 31.0)
    assert desk.slots == 2
    for _ in range(200):
        desk.costs.observe(SIZE, 12.0)
    assert desk.slots == 7
    desk.costs.observe(SIZE, 900.0)
    assert desk.slots == 7


def test_a_step_of_a_larger_picture_counts_as_several():
    desk = admission()
    for _ in range(200):
        desk.costs.observe(times(4).size, 120.0)
    assert desk.slots == 3


def test_steps_at_lower_effort_can_show_a_machine_to_be_faster_but_not_slower():
    desk = admission(step_ms=90.0)
    for _ in range(200):
        desk.costs.observe(SIZE, 80.0, 0.5)
    assert desk.slots == 1
    for _ in range(200):
        desk.costs.observe(SIZE, 15.0, 0.5)
    assert desk.slots == 3


def test_a_machine_that_turns_out_slower_throws_nobody_out_and_lets_nobody_in():
    desk = admission()
    assert [desk.enter(name, ONE) for name in "abc"] == [True] * 3
    for _ in range(200):
        desk.costs.observe(SIZE, 90.0)
    assert (desk.slots, desk.live) == (1, 3)
    assert not desk.enter("d", ONE)
    desk.leave("a")
    assert desk.move_up() == []


def test_who_waits_moves_up_in_order_and_nobody_overtakes():
    desk = admission(slots=1, queue_length=3)
    assert desk.enter("a", ONE)
    assert [desk.enter(name, ONE) for name in "bcd"] == [False] * 3
    assert [desk.position(name) for name in "abcd"] == [None, 1, 2, 3]
    desk.leave("c")
    assert desk.position("d") == 2
    desk.leave("a")
    assert not desk.enter("e", ONE)  # b is before it
    assert desk.move_up() == ["b"]
    assert desk.queue() == ["d", "e"]


def test_a_full_queue_refuses_with_a_hint_when_to_come_back():
    desk = admission(slots=2)
    for name in "abcd":
        desk.enter(name, ONE)
    with pytest.raises(RefusedError, match=r"every slot is taken \(2\), .* full \(2\); try again later") as caught:
        desk.enter("e", ONE)
    assert (caught.value.code, caught.value.retry_after_s) == ("queue_full", 30.0)
    assert desk.retry_after_s(1) is None, "none has ended: there is nothing to tell it from"
    desk.leave("a", 20.0)
    desk.leave("b", 20.0)
    desk.move_up()
    for name in "ab":
        desk.enter(name, ONE)
    with pytest.raises(RefusedError, match="try again in about 30 s"):
        desk.enter("e", ONE)
    assert (desk.live, desk.waiting) == (2, 2)


def test_the_hint_follows_from_how_long_sessions_live():
    desk = admission(slots=2)
    for name in "ab":
        desk.enter(name, ONE)
        desk.leave(name, 8.0)
    assert desk.retry_after_s(1) == 4.0
    assert desk.retry_after_s(2) == 8.0
    assert desk.retry_after_s(1000) == 60.0


def test_memory_limits_like_time_does():
    desk = admission(memory_limit_bytes=250)
    assert [desk.enter(name, ONE) for name in "abc"] == [True, True, False]
    assert desk.state_bytes == 200
    with pytest.raises(RefusedError, match="choose a smaller one") as caught:
        desk.enter("d", times(1, 300))
    assert caught.value.code == "memory"


def test_a_large_session_takes_several_slots_but_one_alone_may_be_as_slow_as_it_likes():
    desk = admission()
    assert desk.enter("a", times(50))
    assert not desk.enter("b", ONE)
    desk.leave("a")
    assert desk.move_up() == ["b"]
    assert not desk.enter("c", times(2.5))
    assert desk.resize("b", times(2))
    assert not desk.enter("d", ONE)


def test_growing_needs_room_and_shrinking_never_does():
    desk = admission()
    for name in "ab":
        desk.enter(name, ONE)
    assert desk.resize("a", times(2))
    assert not desk.resize("a", times(3))
    assert not desk.resize("b", times(1, 901))
    for _ in range(200):
        desk.costs.observe(SIZE, 95.0)
    assert desk.resize("a", times(1.5))
    assert not desk.resize("nobody", ONE)


def test_a_size_costs_what_it_was_measured_to_and_others_follow_the_nearest():
    costs = StepCosts(SIZE, 10.0)
    assert costs.ms((40, 10)) == 20.0, "by its area"
    assert costs.ms((10, 10)) == 10.0, "a small one costs no less"
    for _ in range(5):
        costs.observe((40, 10), 35.0)
        costs.observe((10, 10), 6.0)
    assert (costs.ms((40, 10)), costs.ms((10, 10)), costs.step_ms) == (35.0, 6.0, 10.0)
    assert costs.ms((80, 10)) == 70.0
    for _ in range(REMEMBERED_STEPS):  # the machine has become slower since the default size was painted
        costs.observe((40, 10), 60.0)
    assert costs.step_ms == 30.0


def test_the_promise_is_what_everybody_gets_when_the_machine_is_full():
    desk = admission(step_ms=10.0)  # 90 ms of 100 for nine
    promised = desk.promised_fps(ONE)
    for index in range(9):
        assert desk.enter(str(index), ONE)
        assert desk.promised_fps(ONE) == pytest.approx(promised)
    assert not desk.enter("late", ONE)
    assert promised == pytest.approx(1e3 * HEADROOM / (9 * 10.0)) == pytest.approx(10.0)
    assert admission(step_ms=450.0).promised_fps(ONE) == pytest.approx(2.0), "alone, and slow"


def test_who_is_promised_fewer_frames_takes_less_of_the_time():
    desk = admission(step_ms=30.0)
    third = Demand(100, SIZE, rate=1 / 3)
    assert [desk.enter(str(index), third) for index in range(10)] == [True] * 9 + [False]
    assert desk.promised_fps(third) == pytest.approx(desk.promised_fps(ONE) / 3)


def test_who_waits_next_is_offered_the_largest_size_that_fits_and_none_where_none_helps():
    desk = admission(step_ms=30.0)
    assert desk.enter("a", times(1.5))
    assert not desk.enter("b", times(2))
    assert desk.offer([times(1.8), times(1.4), times(1)]) == times(1.4)
    assert desk.free == 0.0, "somebody waits"
    assert desk.resize("b", times(1.4))
    assert desk.move_up() == ["b"]
    assert desk.free == pytest.approx(0.1)
    assert admission(slots=1).free == 1.0
    full = admission(slots=1)
    full.enter("a", ONE)
    full.enter("b", times(2))
    assert full.offer([ONE]) is None, "slots by decree are of any size"
