"""The benchmark measures correctly, and a leak shows. Its figures for this machine are never judged here."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from fakes import FakeClock, FakeModel
from timing_fakes import SIZE, costly, job_of
from vivace.bench import job as jobs
from vivace.bench import suite
from vivace.bench.document import Interval, Measurement, read_document
from vivace.bench.inputs.loops import Cuttable, render_clip, render_loop, there_and_back
from vivace.bench.job import Found, Job, merged, run_job, to_found, to_job
from vivace.bench.speed import run as speed_run
from vivace.bench.speed.benchmark import (
    MIN_LONG_FRAMES,
    SpeedCase,
    SpeedOptions,
    heavy_options,
    measure_speed,
    speed_metrics,
)
from vivace.bench.speed.growth import cost_growth, cpu_growth, growth, memory_growth
from vivace.bench.stats.intervals import summarise
from vivace.bench.stats.values import Value
from vivace.bench.systems.subject import Subject
from vivace.bench.systems.system import ModelSystem, Request, model_spec, soft_mask
from vivace.cli import main
from vivace.errors import ControlError, DeviceError, StepError, UnknownModelError, UsageError
from vivace.media.open import open_source
from vivace.models import LoadOptions
from vivace.stream.pipeline import ScalingSource

SETTINGS = {
    "case": "64x64",
    "masked": False,
    "fps": 30.0,
    "prompt": "ink drawing",
    "seed": 0,
    "frames": 20,
    "warmup_frames": 30,
    "cold_frames": 30,
    "budget_s": None,
    "steps_alone": True,
}
GUIDE = Path(__file__).parents[3] / "docs" / "bench.md"


def ignore(*_: object) -> None:
    pass


def interval_of(value: Value) -> Interval:
    (found,) = summarise([Measurement(metric=value.metric, case=value.case, value=value.value, blocks=value.blocks)])
    return found


def growth_of(leak_s: float, load: Callable[[float], float] = lambda now_s: 1.0) -> dict[str, Value]:
    """Return the growth of a stream with steps of 10 ms, one in twenty of 30 ms, noise, and a leak per step.

    `load` is the factor by which other programs raise costs at a time.
    """
    clock = FakeClock()
    rng = np.random.default_rng(7)
    cost_s = 0.010 * (1 + 0.05 * rng.standard_normal(600)) + 0.020 * (rng.random(600) < 0.05)
    model = costly(clock, lambda step: load(clock()) * (float(cost_s[step]) + leak_s * step))
    found = growth(job_of(ModelSystem(model), long_frames=600), ignore, clock=clock, cpu=lambda: clock() * 1000)
    return {value.metric: value for value in found.values}


def test_a_slow_leak_in_step_time_is_outside_the_interval_of_a_clean_run() -> None:
    metric = "cost_growth_pct_per_1000"
    clean, leaking = interval_of(growth_of(0.0)[metric]), interval_of(growth_of(20e-6)[metric])
    assert clean.low < 0 < clean.high
    assert leaking.low > clean.high
    # 20 ms in 1000 frames, over the cheapest of 10 ms plus the leak of the first quarter
    assert leaking.value == pytest.approx(100 * 20 / (9.3 + 0.02 * 162), rel=0.05)


def test_a_neighbour_who_leaves_a_gap_now_and_then_is_no_growth() -> None:
    values = growth_of(0.0, lambda now_s: 3.0 if now_s > 104 and now_s % 0.5 > 0.1 else 1.0)
    assert interval_of(values["cost_growth_pct_per_1000"]).low < 3.0
    assert values["cost_growth_pct_per_1000"].value == pytest.approx(0.0, abs=10.0)
    assert values["cost_late_over_early"].value == pytest.approx(1.0, abs=0.05)


def test_growth_is_the_slope_of_the_quiet_cost_and_of_the_mean_cpu_time() -> None:
    costs = [(10.0 + 0.02 * frame) * (5.0 if frame % 3 else 1.0) for frame in range(1100)]
    slope, ratio = cost_growth("s", costs)
    assert slope.value == pytest.approx(100 * 20 / (10 + 0.02 * 225), rel=0.03)
    assert slope.blocks == pytest.approx([slope.value] * 10, rel=0.03)
    assert ratio.value == pytest.approx((10 + 0.02 * 975) / (10 + 0.02 * 225), rel=0.03)
    ahead = [(0.0, 25.0, 5.0)[frame % 3] + 0.02 * frame for frame in range(1000)]
    assert cpu_growth("s", ahead).value == pytest.approx(100 * 20 / (10 + 0.02 * 212), rel=0.05)
    assert cost_growth("s", [10.0] * 1000)[0].value == 0.0


def test_a_leak_of_memory_has_its_slope() -> None:
    clean = [300.0 + 0.01 * (number % 3) for number in range(50)]
    leaking = [mib + 0.1 * number for number, mib in enumerate(clean)]
    slopes = [memory_growth("s", mib) for mib in (clean, leaking)]
    assert slopes[0].value == pytest.approx(0.0, abs=0.1)
    assert slopes[1].value == pytest.approx(5.0, abs=0.1)  # 0.1 MiB every 20 frames
    assert interval_of(slopes[1]).low > interval_of(slopes[0]).high


def paced(tmp_path: Path, **counters: object) -> tuple[dict[str, Value], Found]:
    clock = FakeClock()
    render_clip(tmp_path / "clip.mp4", SIZE, 50)
    job = job_of(ModelSystem(costly(clock, lambda step: 0.010)), clip=str(tmp_path / "clip.mp4"), frames=20)
    found = speed_run.pace(job, ignore, clock=clock, counters=dict(counters))
    return {value.metric: value for value in found.values}, found


def test_pace_gives_every_figure_of_a_size_and_energy_by_its_counter(tmp_path: Path) -> None:
    joules = iter(range(0, 10_000, 6))
    values, found = paced(tmp_path, cpu_ms_per_frame=lambda: 0.0, energy_j_per_frame=lambda: float(next(joules)))
    growth = {"cost_growth_pct_per_1000", "cpu_growth_pct_per_1000", "cost_late_over_early"}
    network = {key for key in speed_metrics() if key.startswith(("model_", "unet_", "denoise_")) and "step" not in key}
    gpu = {"gpu_peak_allocated_mib", "gpu_peak_reserved_mib", "gpu_energy_j_per_frame"}
    compiled = {"start_compile_s", "start_record_s"}
    elsewhere = {*growth, *network, *gpu, *compiled, "anchor_step_ms", "times_plain", "matrix_tflops", "sessions_held"}
    elsewhere |= {"memory_growth_mib_per_1000", "overhead_ms_per_frame"}
    elsewhere |= {"latency_floor_ms", "weights_and_ring_mib", "peak_over_weights_and_ring"}
    assert values.keys() == speed_metrics().keys() - elsewhere
    assert values["energy_j_per_frame"].value == pytest.approx(3.0)  # 6 J in stretches of 2 frames
    assert len(values["energy_j_per_frame"].blocks) == 10
    assert values["model_step_ms_p99"].value == pytest.approx(10.0)
    assert values["stage_denoise_ms_p99"].value == pytest.approx(10.0, rel=0.02)
    assert not found.not_run


def test_a_system_that_leaves_frames_out_gets_no_figures(tmp_path: Path) -> None:
    render_clip(tmp_path / "clip.mp4", SIZE, 35)
    job = job_of(ModelSystem(FakeModel()), clip=str(tmp_path / "clip.mp4"), frames=20)
    with pytest.raises(StepError, match="35 of 50 frames"):
        speed_run.pace(job, ignore, counters={"cpu_ms_per_frame": lambda: 0.0})


def test_frames_that_take_too_long_are_not_all_waited_for(tmp_path: Path) -> None:
    clock = FakeClock()
    render_clip(tmp_path / "clip.mp4", SIZE, 80)
    settings = {
        "clip": str(tmp_path / "clip.mp4"),
        "frames": 75,
        "warmup_frames": 5,
        "cold_frames": 2,
        "steps_alone": False,
    }
    system = ModelSystem(costly(clock, lambda step: 1.0))
    job = job_of(system, budget_s=12.0, **settings)
    found = speed_run.pace(job, ignore, clock=clock, counters={"cpu_ms_per_frame": lambda: clock() * 500.0})
    values = {value.metric: value for value in found.values}
    assert 9 <= len(found.series["frame_ms/64x48"]) <= 20  # some are still inside when it is enough
    assert values["cpu_ms_per_frame"].value == pytest.approx(500.0, rel=0.5)  # read while some are inside
    assert "model_step_ms_p50" not in values


def test_a_job_and_a_result_survive_the_way_through_json() -> None:
    system = model_spec("mini", 2, runtime="eager", options=LoadOptions(style="felted", loras={"a": 0.5}))
    for plain in (None, model_spec("mini")):
        job = Job("module:function", system, {"size": [64, 48], "prompt": "ink"}, 1.5, plain)
        assert to_job(json.dumps(asdict(job))) == job
    found = Found("mini", [Value("fps", "64x48", None, [1.0, 2.0])], {"energy": "no meter"}, {"frame_ms/64x48": [1.5]})
    found.beside["plain"] = Found("mini, plainly", [Value("fps", "64x48", 1.0)])
    assert to_found(json.loads(json.dumps(asdict(found)))) == found


@pytest.mark.parametrize(
    ("model", "size", "error"), [("nimi", (64, 64), UnknownModelError), ("mini", (65, 65), ControlError)]
)
def test_an_error_in_the_measuring_process_is_raised_here(
    model: str, size: tuple[int, int], error: type[Exception], tmp_path: Path
) -> None:
    render_clip(tmp_path / "clip.mp4", SIZE, 3)
    settings = {**SETTINGS, "size": size}
    job = Job("vivace.bench.speed.run:pace", model_spec(model), {**settings, "clip": str(tmp_path / "clip.mp4")})
    with pytest.raises(error):
        run_job(job, ignore)


def test_only_the_first_case_gets_the_long_run_and_the_sessions() -> None:
    asked: list[tuple[str, object]] = []

    def run(job: Job, report: object) -> Found:
        asked.append((job.task.partition(":")[2], job.settings["size"]))
        return Found("fake", [Value("fps", "case", 1.0)])

    plan = SpeedOptions(model_spec("mini"), (SpeedCase((64, 48)), SpeedCase((80, 64))), frames=20)
    findings = measure_speed(plan, ignore, run=run)
    assert asked == [("pace", (64, 48)), ("growth", (64, 48)), ("serve", (64, 48)), ("pace", (80, 64))]
    assert [info.key for info in findings.metrics] == ["fps"]


def test_a_case_has_its_own_source_and_mask_and_is_named_by_them() -> None:
    seen: list[tuple[object, ...]] = []

    def run(job: Job, report: object) -> Found:
        with open_source(job.settings["clip"]) as source:
            pictures = source.info.size
        seen.append((job.settings["case"], job.settings["size"], pictures, job.settings["masked"]))
        assert job.settings["steps_alone"] is (job.settings["case"] == "64x48")
        return Found("fake", [Value("fps", job.settings["case"], 1.0)])

    cases = (SpeedCase((64, 48)), SpeedCase((64, 48), source=(96, 80), masked=True))
    measure_speed(SpeedOptions(model_spec("mini"), cases, 20, long_frames=None, session_fps=()), ignore, run=run)
    assert seen == [
        ("64x48", (64, 48), (64, 48), False),
        ("64x48 masked of 96x80", (64, 48), (96, 80), True),
    ]


def test_a_masked_case_mixes_every_pixel_and_a_source_of_another_size_is_fitted(tmp_path: Path) -> None:
    model = FakeModel(record=True)
    render_clip(tmp_path / "clip.mp4", (96, 80), 4)
    request = Request(SIZE, 30.0, "red", mask=soft_mask(SIZE))
    with closing(ModelSystem(model).open(request)) as runner, open_source(tmp_path / "clip.mp4") as source:
        frames = list(runner.run(source, live=False))
    mask = soft_mask(SIZE)
    assert mask.shape == (SIZE[1], SIZE[0])
    assert 0 < mask.min() < mask.max() < 255
    assert [frame.size for frame in frames] == [SIZE] * 4
    assert {chunk.rgb.shape for chunk in model.chunks} == {(1, SIZE[1], SIZE[0], 3)}
    assert frames[0].source_rgb is not None
    changed = np.abs(frames[0].rgb.astype(int) - frames[0].source_rgb).mean(axis=(0, 2))
    assert changed[:8].mean() < 0.2 * changed[-8:].mean()


def test_the_clip_that_is_timed_is_scaled_where_it_is_decoded_as_that_of_a_user_is(tmp_path: Path) -> None:
    render_clip(tmp_path / "clip.mp4", (96, 80), 4)
    with Cuttable(open_source(tmp_path / "clip.mp4")) as clip:
        assert isinstance(clip, ScalingSource)
        clip.deliver_at(SIZE)
        sizes = [frame.size for frame in clip]
    assert sizes[1:] == [SIZE] * 3  # the first was decoded when the clip was opened


def test_two_versions_take_turns_and_stand_side_by_side() -> None:
    order: list[str] = []

    def run(job: Job, report: object) -> Found:
        order.append(job.system.name)
        return Found(job.system.name, [Value("fps", "64x48", float(len(order)))])

    other = replace(model_spec("mini"), name="old", code="elsewhere")
    plan = SpeedOptions(model_spec("mini"), (SpeedCase((64, 48)),), 20, None, (), against=other, turns=3)
    findings = measure_speed(plan, ignore, run=run)
    assert order == ["old", "mini"] * 3
    (own,), (old,) = findings.measurements, findings.beside["old"].measurements
    assert (old.value, own.value) == (3.0, 4.0)  # medians of 1 3 5 and of 2 4 6
    assert own.blocks == [2.0, 4.0, 6.0]
    assert [info.key for info in findings.beside["old"].metrics] == ["fps"]


def test_takes_become_one_with_the_blocks_of_all() -> None:
    takes = [
        Found("mini", [Value("fps", "a", 1.0, [1.0, 2.0])], {}, {"frame_ms/a": [1.0]}),
        Found(
            "mini", [Value("fps", "a", 4.0, [3.0]), Value("fps", "b", None)], {"energy": "no"}, {"frame_ms/a": [2.0]}
        ),
    ]
    whole = merged(takes)
    assert whole.values == [Value("fps", "a", 2.5, [1.0, 2.0, 3.0]), Value("fps", "b", None)]
    assert whole.series == {"frame_ms/a": [1.0, 2.0]}
    assert whole.not_run == {"energy": "no"}


def test_another_checkout_is_measured_with_this_benchmark(tmp_path: Path) -> None:
    package = tmp_path / "vivace"
    package.mkdir()
    (package / "__init__.py").write_text("")
    kinds = ["VivaceError(Exception): exit_code = 1"]
    kinds += [f"{kind}(VivaceError): pass" for kind in ("ControlError", "DeviceError", "StepError", "UsageError")]
    (package / "errors.py").write_text("\n".join(f"class {kind}" for kind in kinds))
    (package / "thing.py").write_text(
        "import vivace.bench.job as jobs\n"
        "def task(job, report):\n"
        "    return jobs.Found('made there', not_run={'bench': jobs.__file__})\n"
    )
    system = replace(model_spec("mini"), code=str(tmp_path))
    found = run_job(Job("vivace.thing:task", system, {}), ignore)
    assert found.about == "made there"
    assert found.not_run == {"bench": jobs.__file__}


def test_a_folder_without_vivace_is_no_checkout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "speed", "--against", str(tmp_path)]) == 2
    assert "no src/vivace in there" in capsys.readouterr().err
    assert main(["bench", "latency", "--command", "cat", "--against", str(tmp_path)]) == 2
    assert "--against" in capsys.readouterr().err


@pytest.mark.parametrize("changes", [{"frames": 3}, {"long_frames": MIN_LONG_FRAMES - 1}, {"cases": ()}], ids=str)
def test_what_says_nothing_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        measure_speed(SpeedOptions(model_spec("mini"), **changes), ignore)


@pytest.mark.parametrize("tokens", [["--frames", "3"], ["--long", str(MIN_LONG_FRAMES - 1)], ["--size", "12"]])
def test_too_little_to_measure_is_refused(tokens: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "speed", *tokens]) == 2
    assert tokens[1] in capsys.readouterr().err


@pytest.mark.parametrize(
    ("tokens", "named"),
    [
        (["--command", "cat", "--precision", "f16"], "--command"),
        (["--model", "live2diff", "--random-weights", "--frames", "3"], "--frames"),
        (["--model", "live2diff", "--random-weights", "--steps", "0"], "steps"),
        (["--model", "nimi"], "nimi"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_is_loaded(
    tokens: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "speed", *tokens]) != 0
    err = capsys.readouterr().err
    assert named in err
    assert "starting" not in err


def test_of_a_large_model_only_what_minutes_allow_is_measured_unless_asked_for() -> None:
    asked: list[tuple[str, object]] = []

    def run(job: Job, report: object) -> Found:
        asked.append((job.task.partition(":")[2], job.plain and job.plain.name))
        return Found("fake", [Value("fps", "case", 1.0)])

    subject = Subject("live2diff", loading=LoadOptions(random_weights=True))
    plan = heavy_options(SpeedOptions(subject.spec(), frames=20), subject.plain_spec())
    findings = measure_speed(replace(plan, cases=(SpeedCase((64, 48)),)), ignore, run=run)
    assert asked == [("pace", "plain eager"), ("network", "plain eager")]
    assert {entry.what for entry in findings.not_run} == {"cost growth", "sessions"}
    asked.clear()
    plan = replace(plan, cases=(SpeedCase((64, 48)),), long_frames=MIN_LONG_FRAMES, session_fps=(10.0,))
    assert not measure_speed(plan, ignore, run=run).not_run
    assert [task for task, _ in asked] == ["pace", "network", "growth", "serve"]


def test_what_was_measured_is_kept_when_the_rest_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(job: Job, report: object) -> Found:
        if job.task.endswith("network"):
            raise DeviceError("the measuring process ended with exit code 9 before it was done")
        return Found("fake", [Value("fps", "64x48", 12.0)])

    monkeypatch.setattr(suite, "measure_speed", partial(measure_speed, run=run))
    subject = Subject("live2diff", loading=LoadOptions(random_weights=True))
    plan = heavy_options(SpeedOptions(subject.spec()), subject.plain_spec())
    plan = replace(plan, cases=(SpeedCase((64, 48)),), frames=20)
    with pytest.raises(DeviceError, match="exit code 9"):
        suite.bench_command("speed", subject, tmp_path, 0, speed=plan)
    (row,) = read_document(tmp_path / "speed.json").rows
    assert [(m.metric, m.value) for m in row.measurements] == [("fps", 12.0)]
    # If it cannot be kept, the reason that stopped the rest is still reported.
    (tmp_path / "file").touch()
    capsys.readouterr()
    with pytest.raises(DeviceError, match="exit code 9"):
        suite.bench_command("speed", subject, tmp_path / "file", 0, speed=plan)
    assert "is lost" in " ".join(capsys.readouterr().err.split())


def test_a_loop_has_no_cut_and_a_clip_the_frames_and_size_that_are_measured(tmp_path: Path) -> None:
    assert [there_and_back(index, 4) for index in range(9)] == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert [there_and_back(index, 1) for index in range(3)] == [0, 0, 0]
    assert np.array_equal(render_loop(SIZE, 2), render_loop(SIZE, 3)[:2])
    render_clip(tmp_path / "clip.mp4", SIZE, 5)
    with open_source(tmp_path / "clip.mp4") as source:
        frames = list(source)
    assert len(frames) == 5
    assert frames[0].size == SIZE


def test_every_metric_is_explained() -> None:
    guide = GUIDE.read_text("utf-8")
    for key in speed_metrics():
        stem, _, last = key.rpartition("_")
        assert key in guide or (stem in guide and f"`_{last}`" in guide) or stem.startswith("stage_"), key


@pytest.mark.e2e
def test_the_embedded_model_gets_every_figure_that_needs_no_special_machine(tmp_path: Path) -> None:
    render_clip(tmp_path / "clip.mp4", (64, 64), 50)
    settings = {**SETTINGS, "size": (64, 64)}
    job = Job("vivace.bench.speed.run:pace", model_spec("mini"), {**settings, "clip": str(tmp_path / "clip.mp4")})
    found = run_job(job, ignore)
    values = {value.metric: value.value for value in found.values}
    assert values.keys() <= speed_metrics().keys()
    for metric in ("fps", "first_frame_cold_s", "first_frame_warm_s", "cpu_ms_per_frame", "model_step_ms_p99"):
        assert values[metric] > 0, metric
    if sys.platform == "linux":
        assert 0 < values["overhead_ms_per_frame"] < values["cpu_ms_per_frame"]
    assert values["peak_resident_mib"] >= values["resident_mib"] > 0
    assert len(found.series["frame_ms/64x64"]) == 19
