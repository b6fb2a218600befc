"""Figures of a live session: of takes whose figures are known, and through the real stream with a fake clock."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from fakes import FakeClock, FakeModel
from patience import PATIENCE_S
from timing_fakes import SIZE, Lockstep, Queueing, costly
from tolerance import ROUNDING, near
from vivace.bench.inputs.loops import Camera, render_loop
from vivace.bench.job import Found, Job, run_job
from vivace.bench.latency.benchmark import LatencyCase, LatencyOptions, latency_metrics, measure_latency
from vivace.bench.latency.run import Typist, effort_of
from vivace.bench.latency.run import play as play_script
from vivace.bench.latency.take import Script, Shown, Take, figures
from vivace.bench.stats.values import Value
from vivace.bench.systems.system import Request, StreamRunner, model_spec
from vivace.errors import UsageError

FPS = 25.0
PERIOD_S = 1 / FPS
PICTURES = render_loop(SIZE, 4)


def take_of(latency_s: list[float | None], **changes: object) -> Take:
    """Return a take in which picture `k` was shown `latency_s[k]` after it was due; None: never."""
    shown = [
        Shown(k, 10.0 + k * PERIOD_S, 10.0 + k * PERIOD_S + late_s)
        for k, late_s in enumerate(latency_s)
        if late_s is not None
    ]
    return replace(Take(FPS, len(latency_s), 9.5, 10.0, shown, drops={"late": 0}), **changes)


def figures_of(take: Take) -> dict[str, Value]:
    return {value.metric: value for value in figures("live", take)}


def values_of(take: Take) -> dict[str, float | None]:
    return {metric: value.value for metric, value in figures_of(take).items()}


def play(model: FakeModel, clock: FakeClock, frames: int = 150) -> Take:
    script = Script(Request(SIZE, FPS, "red"), PICTURES, frames)
    return play_script(Lockstep(model), script, lambda index: None, clock=clock, wait=clock.advance)


# Constructed takes


def test_a_steady_session_has_its_age_and_nothing_else() -> None:
    values = values_of(take_of([0.010] * 200))
    for share in (50, 95, 99):
        assert values[f"capture_to_present_ms_p{share}"] == pytest.approx(10.0)
    for metric in ("jitter_ms_std", "deadline_miss_share", "stalls_per_min", "dropped_share", "repeated_share"):
        assert near(values[metric], 0, scale=10.0), metric
    assert near(values["backlog_s_per_min"], 0, scale=60.0)
    assert values["shown_fps"] == pytest.approx(FPS)
    assert values["gap_ms_p99"] == pytest.approx(40.0)
    assert values["gap_periods_p95"] == pytest.approx(1.0)
    assert values["live_first_frame_s"] == pytest.approx(0.51)


def test_the_first_second_is_left_out() -> None:
    slow_start = [0.5] * 25 + [0.010] * 175
    assert values_of(take_of(slow_start))["capture_to_present_ms_p99"] == pytest.approx(10.0)


def test_a_picture_is_late_when_it_comes_after_the_next_was_due() -> None:
    late = [0.010] * 100 + [PERIOD_S + 0.001] * 25 + [PERIOD_S] * 75
    assert values_of(take_of(late))["deadline_miss_share"] == pytest.approx(25 / 175)


def test_a_picture_shown_alternately_early_and_late_is_jitter() -> None:
    values = values_of(take_of([0.010, 0.014] * 100))
    assert values["jitter_ms_std"] == pytest.approx(4.0, rel=0.01)
    assert values["stalls_per_min"] == 0.0


def test_a_stall_is_a_gap_of_more_than_two_periods() -> None:
    gone = [0.010] * 200
    for index in (100, 101, 150):  # a gap of three periods, and one of exactly two
        gone[index] = None
    take = take_of(gone)
    values = values_of(take)
    seconds = take.shown[-1].shown_s - 11.010
    assert values["stalls_per_min"] == pytest.approx(60 / seconds)
    assert values["dropped_share"] == pytest.approx(3 / 200)
    assert values["repeated_share"] == pytest.approx(3 / 175)


def test_jitter_around_the_end_of_a_period_repeats_nothing() -> None:
    values = values_of(take_of([PERIOD_S - 0.001, PERIOD_S + 0.001] * 100))
    assert values["repeated_share"] == 0.0


def test_a_growing_queue_has_a_slope_that_one_hiccup_does_not() -> None:
    growing = figures_of(take_of([0.010 + 0.002 * k for k in range(200)]))["backlog_s_per_min"]
    # 2 ms a picture, shown every 42 ms
    assert growing.value == pytest.approx(60 * 0.002 / 0.042, rel=0.02)
    assert min(growing.blocks) > 0
    hiccup = [0.010] * 200
    hiccup[120:125] = [0.2, 0.16, 0.12, 0.08, 0.04]
    assert near(values_of(take_of(hiccup))["backlog_s_per_min"], 0, scale=60.0)


def test_a_prompt_ends_at_the_first_picture_made_with_it() -> None:
    shown = [
        Shown(k, 10 + k * PERIOD_S, 10.01 + k * PERIOD_S, 0 if k < 50 else 1 if k < 100 else 3) for k in range(200)
    ]
    take = Take(FPS, 200, 9.0, 10.0, shown, switches=[(11.95, 1), (13.8, 2), (13.9, 3), (99.0, 4)])
    values = values_of(take)
    times_ms = [1000 * (10.01 + k * PERIOD_S - sent_s) for k, sent_s in ((50, 11.95), (100, 13.8), (100, 13.9))]
    assert values["prompt_to_pixel_ms_mean"] == pytest.approx(sum(times_ms) / 3)
    assert values["prompt_to_pixel_ms_max"] == pytest.approx(max(times_ms))


def test_a_session_that_shows_nothing_has_no_figures_and_drops_everything() -> None:
    values = values_of(take_of([None] * 100))
    assert values["dropped_share"] == 1.0
    assert values["live_first_frame_s"] is None
    assert values["jitter_ms_std"] is None


# Through the real stream


def test_capture_to_present_is_what_a_step_takes() -> None:
    clock = FakeClock()
    values = values_of(play(costly(clock, lambda n: 0.012), clock))
    assert values["capture_to_present_ms_p50"] == pytest.approx(12.0)
    assert values["capture_to_present_ms_p99"] == pytest.approx(12.0)
    assert values["deadline_miss_share"] == values["dropped_share"] == 0.0


def test_a_delay_of_one_frame_makes_pictures_one_period_older() -> None:
    clean, delayed = FakeClock(), FakeClock()
    before = figures_of(play(costly(clean, lambda n: 0.012), clean))["capture_to_present_ms_p50"]
    after = figures_of(play(costly(delayed, lambda n: 0.012, lag=1), delayed))["capture_to_present_ms_p50"]
    assert after.value == pytest.approx(before.value + 1000 * PERIOD_S)
    assert min(after.blocks) > max(before.blocks)


def test_a_model_that_stops_for_a_moment_is_counted_as_a_stall_with_its_drops() -> None:
    clock = FakeClock()
    take = play(costly(clock, lambda n: 0.2 if n == 80 else 0.012), clock)
    values = values_of(take)
    assert values["stalls_per_min"] > 0
    assert values["dropped_source_share"] == pytest.approx(4 / 150)
    assert values["dropped_share"] == pytest.approx(4 / 150)
    assert near(values["backlog_s_per_min"], 0, scale=60.0)


def test_a_model_slower_than_the_camera_drops_and_does_not_fall_behind() -> None:
    clock = FakeClock()
    values = values_of(play(costly(clock, lambda n: 0.1), clock))
    assert values["backlog_s_per_min"] == pytest.approx(0.0, abs=0.05)
    assert values["dropped_share"] > 0.5
    assert values["capture_to_present_ms_p99"] < 1000 * (0.1 + PERIOD_S) * (1 + ROUNDING)


def test_a_queue_without_bound_falls_behind() -> None:
    clock = FakeClock()
    queue = Queueing(clock, service_s=0.05)
    script = Script(Request(SIZE, FPS, "red"), PICTURES, 150)
    take = play_script(queue, script, lambda index: None, clock=clock, wait=queue.wait)
    backlog = figures_of(take)["backlog_s_per_min"]
    # 25 pictures arrive per second, and 20 leave
    assert backlog.value == pytest.approx(60 * (1 - 20 / 25), rel=0.05)
    assert min(backlog.blocks) > 0
    assert values_of(take)["dropped_share"] == 0.0


class Keyboard(StreamRunner):
    """Runner that accepts every prompt but "mud"; says when all were typed."""

    def __init__(self, prompts: int) -> None:
        self.left = prompts
        self.done = threading.Event()

    def change_prompt(self, text: str) -> int | None:
        self.left -= 1
        if self.left == 0:
            self.done.set()
        return None if text == "mud" else self.left


def test_a_prompt_that_was_refused_is_not_waited_for() -> None:
    keyboard = Keyboard(3)
    script = Script(Request(SIZE, FPS, "red"), PICTURES, 0, ("green", "mud", "blue"), prompt_every_s=0.0)
    with Typist(keyboard, script, FakeClock(5.0)) as typist:
        assert keyboard.done.wait(PATIENCE_S)
    assert typist.sent == [(5.0, 2), (5.0, 0)]


def test_the_effort_of_another_checkout_is_what_its_sessions_were_asked_for() -> None:
    assert effort_of(None) is None
    assert effort_of(SimpleNamespace(kept_token_ratio=0.75)) == 0.75
    assert effort_of(SimpleNamespace(work_share=None, kept_token_ratio=0.75)) is None
    assert effort_of(SimpleNamespace(work_share=0.5)) == 0.5


# The camera


def test_a_camera_loses_what_is_not_taken_in_its_period() -> None:
    clock = FakeClock(0.0)
    frames = iter(Camera(PICTURES, 10.0, 10, clock=clock, wait=clock.advance))
    assert [next(frames).index, next(frames).index] == [0, 1]
    clock.advance(0.35)  # 0.45 s: picture 4 is there, 2 and 3 are gone
    late = next(frames)
    assert (late.index, late.capture_time_s) == (4, pytest.approx(0.4))
    assert [frame.index for frame in frames] == [5, 6, 7, 8, 9]


# Requested options


def test_an_unknown_path_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="pigeon"):
        measure_latency(LatencyOptions(model_spec("mini"), path="pigeon"), lambda *_: None)


@pytest.mark.parametrize(
    "changes", [{"seconds": 1.0}, {"cases": ()}, {"cases": (LatencyCase((64, 64), 0.0),)}], ids=str
)
def test_what_says_nothing_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        measure_latency(LatencyOptions(model_spec("mini"), **changes), lambda *_: None)


def test_every_case_is_a_job_and_every_figure_is_explained() -> None:
    asked: list[Job] = []

    def run(job: Job, report: object) -> Found:
        asked.append(job)
        stages = {"denoise": {"p50": 1.0, "p95": 2.0, "p99": 3.0}}
        drops = {"source": 0, "late": 0, "unread": 0}
        take = take_of([0.01] * 100, switches=[(10.5, 0)], stages_ms=stages, drops=drops, effort=0.75)
        return Found("fake", figures(job.settings["case"], take))

    findings = measure_latency(LatencyOptions(model_spec("mini"), seconds=6.0), lambda *_: None, run=run)
    assert [job.settings["case"] for job in asked] == [
        "live/24fps/256x256",
        "live/30fps/512x288",
        "live/120fps/256x256",
    ]
    assert [job.settings["frames"] for job in asked] == [144, 180, 720]
    measured = {measurement.metric for measurement in findings.measurements}
    assert measured == {info.key for info in findings.metrics}
    assert {info.group for info in findings.metrics} == {"latency"}
    guide = (Path(__file__).parents[3] / "docs" / "bench.md").read_text("utf-8")
    for key in latency_metrics():
        stem, _, last = key.rpartition("_")
        assert key in guide or (stem in guide and f"`_{last}`" in guide) or stem.startswith("live_"), key


@pytest.mark.e2e
def test_a_live_session_of_the_embedded_model_has_every_figure_of_its_own() -> None:
    settings = {"case": "live", "size": (64, 64), "fps": 60.0, "frames": 90, "seed": 0}
    prompts = {"prompt": "ink drawing", "prompts": ["watercolour painting"], "prompt_every_s": 0.3}
    found = run_job(Job("vivace.bench.latency.run:live", model_spec("mini"), settings | prompts), lambda *_: None)
    values = {value.metric: value.value for value in found.values}
    assert values.keys() <= latency_metrics().keys()
    assert values["live_first_frame_s"] > 0
    assert values["dropped_share"] < 1
    assert "mini" in found.about
