"""The parts of a step are complete and right by the clock, and the two forms really take turns."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest

import live2diff_mirror
from fakes import FakeClock
from live2diff_tiny import tiny_model
from timing_fakes import AtHand, job_of
from vivace.bench.inputs.loops import render_loop
from vivace.bench.job import Found, Job, run_job
from vivace.bench.speed.benchmark import speed_metrics
from vivace.bench.speed.denoisers import Live2DiffDenoiser
from vivace.bench.speed.flops import unet_flops
from vivace.bench.speed.network import Runs, network, ratio, take_turns
from vivace.bench.speed.run import request_of
from vivace.bench.systems.plain import make_plain
from vivace.bench.systems.subject import Subject
from vivace.bench.systems.system import ModelSystem
from vivace.errors import UsageError
from vivace.models import LoadOptions
from vivace.models.live2diff.motion import ClipContext

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SIZE = (64, 64)
MODEL_STAGES = Live2DiffDenoiser.stages


def looked_into(**changes: object) -> Found:
    ours, plain = tiny_model(), tiny_model()
    make_plain(plain.components.unet)
    settings = {"size": SIZE, "frames": 20, "warmup_frames": 12, "budget_s": 5.0, **changes}
    job = replace(job_of(ModelSystem(ours), **settings), plain=AtHand(ModelSystem(plain), "plain eager"))
    return network(job, lambda *_: None)


def test_every_figure_is_there_finite_and_positive() -> None:
    found = looked_into()
    values = {value.metric: value for value in found.values}
    shares = [
        f"{name}_ms_p{share}"
        for name in ("model_step", *(f"model_{s}" for s in MODEL_STAGES))
        for share in (50, 95, 99)
    ]
    rates = [
        "anchor_step_ms",
        "latency_floor_ms",
        "unet_tflop",
        "unet_tflops",
        "matrix_tflops",
        "unet_matrix_share",
        "times_plain",
        "unet_times_plain",
    ]
    assert values.keys() == {*shares, *rates}
    assert values.keys() <= speed_metrics().keys()
    (plain,) = found.beside.values()
    assert {value.metric for value in plain.values} == set(shares)
    for value in [*found.values, *plain.values]:
        assert value.value is not None, value.metric
        assert math.isfinite(value.value), value.metric
        assert value.value > 0, value.metric
    assert values["unet_tflops"].value == pytest.approx(
        values["unet_tflop"].value / values["model_unet_ms_p50"].value * 1000
    )
    assert sum(values[f"model_{stage}_ms_p50"].value for stage in MODEL_STAGES) <= values["model_step_ms_p95"].value


def test_the_work_is_that_of_all_rows_at_the_size_measured() -> None:
    cfg = tiny_model().components.unet.cfg
    tokens = len(tiny_model().encode_prompt("red").embeds)
    for size, rows in (((64, 64), (8, 8)), ((96, 64), (8, 12))):
        (found,) = (v.value for v in looked_into(size=size, frames=4, budget_s=1.0).values if v.metric == "unet_tflop")
        assert found == unet_flops(cfg, (2, 4, *rows), (2, tokens, cfg.text_channels)) / 1e12


def test_the_two_forms_take_turns_on_the_same_pictures() -> None:
    clock, order = FakeClock(), []

    def runs(name: str, cost_s: float) -> Runs:
        model = tiny_model()
        step = model.step

        def stepped(states: object, chunks: object) -> object:
            order.append(name)
            clock.advance(cost_s)
            return step(states, chunks)  # type: ignore[arg-type]

        model.step = stepped  # type: ignore[method-assign, assignment]
        request = request_of(job_of(None, size=SIZE).settings)
        return Runs(ModelSystem(model), request, render_loop(SIZE, 4), clock)

    ours, plain = runs("ours", 0.5), runs("plain", 3.0)
    take_turns(ours, plain, 1000, 40.0, lambda done: None)  # 2 s per turn, and 5 s for both
    assert order == (["ours"] * 4 + ["plain"]) * 9
    found = ratio("times_plain", "case", plain.rounds, ours.rounds, "step")
    assert found.value == pytest.approx(6.0)
    assert found.blocks == pytest.approx([6.0] * 9)
    order.clear()
    take_turns(ours, plain, 1000, 1.0, lambda done: None)
    assert order == ["ours", "plain"] * 3
    order.clear()
    take_turns(ours, plain, 20, None, lambda done: None)
    assert order == (["ours"] * 2 + ["plain"] * 2) * 10


def test_what_has_no_plain_form_is_refused() -> None:
    with pytest.raises(UsageError, match="no plain form"):
        network(job_of(ModelSystem(tiny_model())), lambda *_: None)


def test_setting_anchors_is_among_the_steps_that_are_asked_for() -> None:
    model = tiny_model((25, 34, 43))
    request = request_of(job_of(None, size=SIZE).settings)
    runs = Runs(ModelSystem(model), request, render_loop(SIZE, 4), FakeClock())
    runs.warm_up(14, lambda done: None)
    clips: list[int] = []
    handle = model.components.unet.register_forward_pre_hook(
        lambda _, inputs: clips.append(len(inputs[0])) if isinstance(inputs[4], ClipContext) else None
    )
    runs.anchoring_ms(runs.lag + 2)
    handle.remove()
    assert clips == [8, 8, 8], "every row, once"


@pytest.mark.gpu
def test_on_a_gpu_its_memory_is_told_and_stages_are_timed_there(tmp_path: Path) -> None:
    live2diff_mirror.write(tmp_path)
    subject = Subject(str(tmp_path / "tiny.toml"), loading=LoadOptions(random_weights=True, device="cuda"))
    settings = job_of(None, size=SIZE, frames=20, warmup_frames=20, budget_s=9.0).settings
    job = Job("vivace.bench.speed.network:network", subject.spec(), settings, plain=subject.plain_spec())
    values = {value.metric: value.value for value in run_job(job, lambda *_: None).values}
    assert values["gpu_peak_reserved_mib"] >= values["gpu_peak_allocated_mib"] > 0
    assert all(value is not None and value > 0 for value in values.values())
    assert values["matrix_tflops"] > 1
