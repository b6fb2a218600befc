"""Times of stages: right by the given clock, cleared once taken, free without a reader."""

from __future__ import annotations

import pytest
import torch

from vivace.runtime.torch.stages import StageTimer


class Ticks:
    """Clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s

    def pass_ms(self, ms: float) -> None:
        self.now_s += ms / 1000.0


def test_passes_are_told_by_stage_in_order() -> None:
    clock = Ticks()
    timer = StageTimer(clock=clock)
    timer.enabled = True
    for ms in (2.0, 3.0):
        with timer("encode"):
            clock.pass_ms(ms)
        clock.pass_ms(100.0)  # between stages
        with timer("unet"):
            clock.pass_ms(10 * ms)
    taken = timer.take()
    assert list(taken) == ["encode", "unet"]
    assert taken["encode"] == pytest.approx([2.0, 3.0])
    assert taken["unet"] == pytest.approx([20.0, 30.0])


def test_what_was_taken_is_forgotten() -> None:
    timer = StageTimer()
    timer.enabled = True
    with timer("unet"):
        pass
    assert len(timer.take()["unet"]) == 1
    assert timer.take() == {}


def test_nothing_is_kept_or_allocated_when_off() -> None:
    timer = StageTimer()
    assert timer("unet") is timer("depth")
    with timer("unet"):
        pass
    assert timer.take() == {}


def test_stages_may_lie_within_each_other() -> None:
    clock = Ticks()
    timer = StageTimer(clock=clock)
    timer.enabled = True
    with timer("step"):
        with timer("unet"):
            clock.pass_ms(5.0)
        clock.pass_ms(1.0)
    taken = timer.take()
    assert taken["unet"] == pytest.approx([5.0])
    assert taken["step"] == pytest.approx([6.0])


def test_a_stage_that_failed_is_not_counted() -> None:
    timer = StageTimer()
    timer.enabled = True
    with pytest.raises(ZeroDivisionError), timer("unet"):
        raise ZeroDivisionError
    assert timer.take() == {}


@pytest.mark.gpu
def test_a_stage_on_a_gpu_is_timed_where_it_runs() -> None:
    timer = StageTimer("cuda")
    timer.enabled = True
    x = torch.randn(4096, 4096, device="cuda")
    with timer("one"):
        x @ x
    with timer("ten"):
        for _ in range(10):
            x @ x
    taken = timer.take()
    assert taken["ten"][0] > 3 * taken["one"][0] > 0
