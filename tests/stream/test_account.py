import dataclasses
import json
from fractions import Fraction

import numpy as np
import pytest

from fakes import FakeClock
from vivace.media.frame import Frame
from vivace.models.base import RuntimeInfo
from vivace.stream.account import SERVED_STAGES, Account, Painting
from vivace.stream.histogram import Histogram, merged
from vivace.stream.stats import Stats


def stats_of(account: Account) -> Stats:
    return account.stats(
        model="fake",
        runtime=RuntimeInfo("fake", "CPU", "u8"),
        size=(64, 32),
        prompt="red",
        budget_ms=33.3,
        decisions=(),
    )


def frame_of(control_index: int) -> Frame:
    return Frame(np.zeros((1, 1, 3), np.uint8), 0, 0, Fraction(1), 0.0, control_index=control_index)


def test_percentiles_are_right_to_two_percent():
    times_ms = np.random.default_rng(0).lognormal(2.5, 0.8, 5000)
    histogram = Histogram(times_ms)
    for share in (0.5, 0.95, 0.99):
        assert histogram.percentile(share) == pytest.approx(
            np.quantile(times_ms, share, method="inverted_cdf"), rel=0.02
        )


def test_one_time_is_all_its_percentiles():
    assert Histogram([12.345]).summary(50, 95, 99) == {"p50": 12.345, "p95": 12.345, "p99": 12.345}


def test_absurd_times_are_counted_too():
    histogram = Histogram([-5.0, 0.0, 1e-9, 1e12])
    assert histogram.percentile(0.5) == 0.0
    assert histogram.percentile(1.0) == pytest.approx(3_600_000, rel=0.02)


def test_times_of_two_are_counted_as_if_they_were_of_one():
    first, second = (np.random.default_rng(seed).lognormal(2.5, 0.8, 500) for seed in (0, 1))
    both = merged([{"denoise": Histogram(first)}, {"denoise": Histogram(second), "encode": Histogram([1.0])}])
    whole = Histogram([*first, *second])
    assert both["denoise"].summary(1, 50, 95, 100) == whole.summary(1, 50, 95, 100)
    assert both["denoise"].count == 1000
    assert both["denoise"].sum_ms == pytest.approx(whole.sum_ms)
    assert both["encode"].count == 1


def test_counts_up_to_an_edge_are_right_to_one_percent_of_it():
    times_ms = np.random.default_rng(0).lognormal(2.5, 0.8, 5000)
    edges_ms = (0.0, 1.0, 10.0, 33.4, 1e9)
    for edge_ms, count in zip(edges_ms, Histogram(times_ms).counts_up_to(edges_ms), strict=True):
        assert (times_ms <= edge_ms * 0.99).sum() <= count <= (times_ms <= edge_ms * 1.01).sum()


def test_a_served_frame_is_accounted_for_stage_by_stage_and_ends_where_it_was_sent():
    clock = FakeClock(10.0)
    account = Account(SERVED_STAGES, clock)
    marks = {"receive": 10.01, "wait": 10.03, "prepare": 10.031, "denoise": 10.051, "refine": 10.052}
    frame = Frame(np.zeros((1, 1, 3), np.uint8), 7, 0, Fraction(1), 10.0, marks)
    account.left(frame, 10.052)
    took = {stage: times.percentile(0.5) for stage, times in account.lately().stages.items()}
    assert took.pop("encode") is None
    assert took == {stage: pytest.approx(ms) for stage, ms in zip(
        ("receive", "wait", "prepare", "denoise", "refine", "server"), (10, 20, 1, 20, 1, 52), strict=True
    )}  # fmt: skip
    account.sent(frame, 10.06)
    account.left(frame, 10.07)  # since sending is reported, latency ends there alone
    account.sent(frame, 10.08)
    totals = account.totals()
    assert (totals["server"].count, totals["encode"].count, totals["receive"].count) == (3, 2, 2)
    assert (account.frame_index, account.age_ms) == (7, pytest.approx(70))
    clock.advance(60)
    assert account.lately().stages["server"].count == 0
    assert account.totals()["server"].count == 3


def test_no_time_has_no_percentile():
    assert Histogram().summary(50) == {"p50": None}


def test_the_document_has_the_agreed_keys_and_is_json():
    document = json.loads(json.dumps(stats_of(Account()).to_dict()))
    agreed = {
        "model", "runtime", "device", "size", "frames_in", "frames_out", "dropped", "fps", "latency_ms", "stages_ms",
        "time_to_first_frame_ms", "work_share", "peak_memory_mib",
    }  # fmt: skip
    assert agreed <= set(document)
    assert list(document["stages_ms"]) == ["capture", "prepare", "denoise", "refine", "encode"]
    assert set(document["latency_ms"]) == {"p50", "p95", "p99"}
    assert {"p50", "p95"} <= set(document["stages_ms"]["denoise"])
    assert document["size"] == [64, 32]
    assert document["peak_memory_mib"] > 1


def test_drops_are_counted_by_reason_and_frames_add_up():
    account = Account()
    for _ in range(5):
        account.received()
    account.received(lost=2)
    account.dropped("late", 3)
    account.dropped("unread")
    for _ in range(2):
        account.shown(frame_of(0), 1.0)
    stats = stats_of(account)
    assert stats.drops == {"source": 2, "late": 3, "unread": 1}
    assert stats.frames_in == 8 == stats.frames_out + stats.dropped


def test_the_rate_counts_runs_and_not_the_pauses_between_them():
    account = Account()
    account.begin(0.0)
    for frame in range(11):
        account.shown(frame_of(0), 1.0 + frame * 0.1)
    account.begin(1000.0)
    for frame in range(11):
        account.shown(frame_of(0), 1001.0 + frame * 0.1)
    stats = stats_of(account)
    assert stats.fps == pytest.approx(10.0)
    assert stats.recent_fps == pytest.approx(10.0)
    assert stats.time_to_first_frame_ms == pytest.approx(1000.0)


def test_frames_that_a_step_gives_at_once_have_no_rate_among_them():
    account = Account()
    account.begin(0.0)
    for step in range(3):
        assert stats_of(account).fps is None or step == 2
        for frame in range(12):
            made = dataclasses.replace(frame_of(0), marks={"refine": float(step)})
            account.shown(made, 1.0 + step + frame * 1e-4)
    stats = stats_of(account)
    assert stats.fps == pytest.approx(12.0)
    assert stats.recent_fps == pytest.approx(12.0, rel=0.5)


def test_prompt_to_pixel_ends_with_the_first_frame_made_with_the_prompt():
    account = Account()
    account.prompt_taken(3, 10.0)
    account.shown(frame_of(2), 10.01)
    assert stats_of(account).prompt_to_pixel_ms["p50"] is None
    account.shown(frame_of(3), 10.05)
    account.shown(frame_of(3), 10.09)
    assert stats_of(account).prompt_to_pixel_ms["p50"] == pytest.approx(50.0)


def test_the_kept_ratio_is_the_mean_effort_of_painted_frames():
    account = Account()
    account.painted(Painting(1.0, 10.0, 1.0, 3, 1.0, 1.0))
    account.painted(Painting(1.0, 5.0, 1.0, 1, 0.5, 0.25))
    account.painted(Painting(1.0, None, 0.0, 7))
    stats = stats_of(account)
    assert stats.work_share == pytest.approx(0.8125)
    assert stats.effort_frames == {1.0: 3, 0.5: 1}
    assert stats.frames_untouched == 7
