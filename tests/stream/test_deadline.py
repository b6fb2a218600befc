from itertools import pairwise

import numpy as np
import pytest

from vivace.stream.deadline import DeadlineController

EFFORTS = (1.0, 0.75, 0.5)


class Machine:
    """Device on which a frame costs `full_ms` at full effort, with time that passes frame by frame."""

    def __init__(self, controller: DeadlineController, interval_s: float = 1 / 30) -> None:
        self.controller = controller
        self.interval_s = interval_s
        self.now_s = 0.0
        self.index = 0
        self.efforts: list[float] = []

    def run(self, seconds: float, full_ms: float) -> None:
        for _ in range(round(seconds / self.interval_s)):
            self.efforts.append(self.controller.effort)
            self.now_s += self.interval_s
            self.controller.observe(full_ms * self.efforts[-1], time_s=self.now_s, frame_index=self.index)
            self.index += 1


@pytest.fixture
def controller() -> DeadlineController:
    return DeadlineController(EFFORTS, budget_ms=33.0)


def test_full_effort_while_there_is_room(controller):
    Machine(controller).run(10, full_ms=29)
    assert controller.effort == 1.0
    assert controller.decisions == ()


def test_a_frame_that_takes_nearly_all_the_time_is_too_dear(controller):
    Machine(controller).run(1, full_ms=32)  # of 33: anything slightly late makes the next one wait
    assert controller.effort == 0.75


def test_less_is_spent_within_a_few_frames(controller):
    machine = Machine(controller)
    machine.run(0.5, full_ms=40)
    assert machine.efforts.index(0.75) <= 6


def test_it_stops_at_the_least_effort(controller):
    Machine(controller).run(5, full_ms=500)
    assert controller.effort == 0.5


def test_hiccups_change_nothing(controller):
    machine = Machine(controller)
    for _ in range(20):
        machine.run(0.2, full_ms=20)
        controller.observe(400.0, time_s=machine.now_s)
    assert controller.decisions == ()


def test_it_recovers_slowly_when_there_is_room_again(controller):
    machine = Machine(controller)
    machine.run(1, full_ms=60)
    assert controller.effort == 0.5
    fell = machine.index
    machine.run(1, full_ms=10)
    assert controller.effort == 0.5
    machine.run(10, full_ms=10)
    assert controller.effort == 1.0
    assert [(d.before, d.after) for d in controller.decisions][-2:] == [(0.5, 0.75), (0.75, 1.0)]
    assert all(d.reason for d in controller.decisions)
    assert controller.decisions[-1].frame_index > fell


def test_after_a_busy_moment_effort_is_told_by_what_it_cost_when_the_machine_was_free():
    # As measured on two cores: the costs of full and least effort, 20 and 16 ms, are closer than 1.0 and 0.36.
    controller = DeadlineController((1.0, 0.64, 0.36), budget_ms=1e3 / 30)
    cost_ms = {1.0: 20.0, 0.64: 18.0, 0.36: 16.0}
    now_s = 0.0
    for share in (1.0, 2.5, 1.2):  # alone, beside a load of more than half, beside a small one
        for _ in range(300):
            now_s += 1 / 30
            controller.observe(share * cost_ms[controller.effort], time_s=now_s)
    assert controller.effort == 1.0
    assert min(decision.after for decision in controller.decisions) == 0.36


def test_one_slow_frame_among_good_ones_does_not_keep_effort_down(controller):
    machine = Machine(controller)
    machine.run(1, full_ms=60)
    assert controller.effort == 0.5
    for _ in range(60):
        machine.run(0.2, full_ms=15)
        controller.observe(28.0, time_s=machine.now_s)
    assert controller.effort == 1.0


@pytest.mark.parametrize("full_ms", [34, 36, 40, 43, 46, 55, 62, 70])
def test_it_settles_under_a_constant_load(controller, full_ms):
    machine = Machine(controller)
    machine.run(120, full_ms=full_ms)
    before = len(controller.decisions)
    machine.run(600, full_ms=full_ms)
    # Ten minutes: at most one reverted trial per minute.
    assert len(controller.decisions) - before <= 20


def test_a_rise_taken_back_makes_it_more_patient(controller):
    machine = Machine(controller)

    def cost(effort: float) -> float:
        return 60.0 if effort == 1.0 else 10.0  # the cost of full effort cannot be predicted from below

    rises = []
    for _ in range(9000):
        effort = controller.effort
        machine.now_s += machine.interval_s
        controller.observe(cost(effort), time_s=machine.now_s)
        if controller.effort > effort:
            rises.append(machine.now_s)
    waits = [round(b - a, 3) for a, b in pairwise(rises)]
    assert waits == sorted(waits)
    assert waits[-1] > 4 * waits[0]


def test_without_a_budget_nothing_is_saved():
    controller = DeadlineController(EFFORTS, budget_ms=None)
    Machine(controller).run(5, full_ms=500)
    assert controller.effort == 1.0


def test_decisions_are_kept_in_constant_memory(controller):
    machine = Machine(controller)
    for _ in range(200):
        machine.run(1, full_ms=200)
        machine.run(20, full_ms=5)
    assert len(controller.decisions) == DeadlineController.KEPT_DECISIONS


def test_efforts_that_do_not_fall_are_a_mistake():
    with pytest.raises(ValueError, match="fall"):
        DeadlineController((0.5, 1.0), 33.0)


# Larger areas


AREAS = (6.25, 3.5, 2.0)


class Output:
    """Machine whose frames cost `base_ms` at the natural area, and which gets another area ready in `ready_s`."""

    def __init__(self, *, ready_s: float = 0.1, power: float = 0.8, noise: float = 0.0) -> None:
        self.controller = DeadlineController((*AREAS, *EFFORTS), budget_ms=33.0)
        self.ready_s = ready_s
        self.power = power
        self.noise = np.random.default_rng(4).normal(0.0, noise, 100_000)
        self.now_s = 0.0
        self.index = 0
        self.area = 1.0
        self.asked: tuple[float, float] | None = None
        self.history: list[tuple[float, float]] = []
        """Time and new value of each change of the area."""

    def run(self, seconds: float, base_ms: float, fps: float = 30.0) -> None:
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.now_s += 1 / fps
            self.index += 1
            cost_ms = base_ms * self.area**self.power * (0.4 + 0.6 * self.controller.effort)
            cost_ms *= 1 + self.noise[self.index % len(self.noise)]
            self.controller.observe(cost_ms, time_s=self.now_s, frame_index=self.index)
            wanted = self.controller.area
            if self.asked is not None and self.now_s >= self.asked[1]:
                if self.asked[0] == wanted != self.area:
                    self.area = wanted
                    self.history.append((self.now_s, wanted))
                    self.controller.area_set(wanted, time_s=self.now_s, frame_index=self.index)
                self.asked = None
            if self.asked is None and wanted != self.area:
                self.asked = wanted, self.now_s + self.ready_s


def test_the_area_begins_natural_and_grows_step_by_step_while_there_is_time():
    output = Output()
    assert (output.controller.area, output.controller.effort) == (1.0, 1.0)
    output.run(1.5, base_ms=4)
    assert output.area == 1.0
    output.run(20, base_ms=4)
    assert [area for _, area in output.history] == [2.0, 3.5, 6.25]
    assert output.controller.effort == 1.0
    assert [decision.after for decision in output.controller.decisions] == [2.0, 3.5, 6.25]


@pytest.mark.parametrize("base_ms", [4, 8, 14, 20])
@pytest.mark.parametrize("power", [0.8, 1.0, 1.3])
def test_the_area_settles_at_constant_load_and_hardly_ever_changes_after_that(base_ms, power):
    output = Output(power=power, noise=0.04)
    output.run(60, base_ms)
    before = len(output.history)
    output.run(300, base_ms)
    assert len(output.history) - before <= 10  # five minutes: at most one reverted trial per minute
    last_ms = base_ms * output.area**power
    assert last_ms <= 33.0 or output.area == 1.0


def test_it_does_not_grow_into_what_would_be_too_slow():
    output = Output(power=1.0)
    output.run(60, base_ms=14)  # twice that is within the budget, but too close to it
    assert output.history == []


@pytest.mark.parametrize("fps", [15.0, 30.0, 60.0])
def test_the_area_comes_down_within_a_second_when_frames_take_too_long(fps):
    output = Output(ready_s=0.1)
    output.run(30, base_ms=4, fps=fps)
    assert output.area == 6.25
    began_s = output.now_s
    output.run(1.0, base_ms=12, fps=fps)
    assert output.area < 6.25
    output.run(3.0, base_ms=12, fps=fps)
    assert output.area == 2.0
    assert output.history[-1][0] - began_s < 2.0
    output.run(5.0, base_ms=60, fps=fps)
    assert (output.area, output.controller.effort) == (1.0, 0.5)


def test_a_larger_area_that_takes_long_to_get_ready_is_given_up_when_time_is_short_meanwhile():
    output = Output(ready_s=4.0)
    output.run(2.5, base_ms=4)
    assert output.controller.area == 2.0
    output.run(1.0, base_ms=50)  # compiling takes the time, for example
    assert output.controller.area == 1.0
    assert output.controller.effort < 1.0
    output.run(60, base_ms=4)
    assert output.area == 6.25


def test_an_area_that_cannot_be_had_is_asked_for_again_once_a_minute():
    output = Output()
    asked = []
    for _ in range(30 * 300):
        output.now_s += 1 / 30
        output.controller.observe(4.0, time_s=output.now_s)
        if output.controller.area > 1.0:
            asked.append(output.now_s)
            output.controller.area_refused(time_s=output.now_s)
        assert output.controller.area == output.controller.effort == 1.0
    assert asked[0] < 4
    assert min(b - a for a, b in pairwise(asked)) >= 60
    output.run(80, base_ms=4)  # now it can
    assert output.area == 6.25


def test_an_area_nobody_asked_for_changes_nothing():
    output = Output()
    output.controller.area_set(6.25, time_s=1.0)
    assert (output.controller.area, output.controller.effort) == (1.0, 1.0)
    output.run(30, base_ms=4)
    assert output.area == 6.25
