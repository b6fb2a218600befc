import json

import numpy as np
import pytest

from vivace.models.base import RuntimeInfo
from vivace.stream.latency import Histogram, Meter, Painting
from vivace.stream.stats import Stats


def stats_of(meter: Meter) -> Stats:
    return meter.stats(
        model="fake",
        runtime=RuntimeInfo("fake", "CPU", "u8"),
        size=(64, 32),
        prompt="red",
        budget_ms=33.3,
        decisions=(),
    )


def test_percentiles_are_right_to_two_percent():
    times_ms = np.random.default_rng(0).lognormal(2.5, 0.8, 5000)
    histogram = Histogram()
    for time_ms in times_ms:
        histogram.add(float(time_ms))
    for share in (0.5, 0.95, 0.99):
        assert histogram.percentile(share) == pytest.approx(
            np.quantile(times_ms, share, method="inverted_cdf"), rel=0.02
        )


def test_one_time_is_all_its_percentiles():
    histogram = Histogram()
    histogram.add(12.345)
    assert histogram.summary(50, 95, 99) == {"p50": 12.345, "p95": 12.345, "p99": 12.345}


def test_absurd_times_are_counted_too():
    histogram = Histogram()
    for time_ms in (-5.0, 0.0, 1e-9, 1e12):
        histogram.add(time_ms)
    assert histogram.percentile(0.5) == 0.0
    assert histogram.percentile(1.0) == pytest.approx(3_600_000, rel=0.02)


def test_no_time_has_no_percentile():
    assert Histogram().summary(50) == {"p50": None}


def test_the_document_has_the_agreed_keys_and_is_json():
    document = json.loads(json.dumps(stats_of(Meter()).to_dict()))
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
    meter = Meter()
    for _ in range(5):
        meter.received()
    meter.received(lost=2)
    meter.dropped("late", 3)
    meter.dropped("unread")
    for _ in range(2):
        meter.shown(0, 1.0)
    stats = stats_of(meter)
    assert stats.drops == {"source": 2, "late": 3, "unread": 1}
    assert stats.frames_in == 8 == stats.frames_out + stats.dropped


def test_the_rate_counts_runs_and_not_the_pauses_between_them():
    meter = Meter()
    meter.begin(0.0)
    for frame in range(11):
        meter.shown(0, 1.0 + frame * 0.1)
    meter.begin(1000.0)
    for frame in range(11):
        meter.shown(0, 1001.0 + frame * 0.1)
    stats = stats_of(meter)
    assert stats.fps == pytest.approx(10.0)
    assert stats.recent_fps == pytest.approx(10.0)
    assert stats.time_to_first_frame_ms == pytest.approx(1000.0)


def test_prompt_to_pixel_ends_with_the_first_frame_made_with_the_prompt():
    meter = Meter()
    meter.prompt_taken(3, 10.0)
    meter.shown(2, 10.01)
    assert stats_of(meter).prompt_to_pixel_ms["p50"] is None
    meter.shown(3, 10.05)
    meter.shown(3, 10.09)
    assert stats_of(meter).prompt_to_pixel_ms["p50"] == pytest.approx(50.0)


def test_the_kept_ratio_is_the_mean_effort_of_painted_frames():
    meter = Meter()
    meter.painted(Painting(1.0, 10.0, 1.0, 3, 1.0, 1.0))
    meter.painted(Painting(1.0, 5.0, 1.0, 1, 0.5, 0.25))
    meter.painted(Painting(1.0, None, 0.0, 7))
    stats = stats_of(meter)
    assert stats.work_share == pytest.approx(0.8125)
    assert stats.effort_frames == {1.0: 3, 0.5: 1}
    assert stats.frames_untouched == 7
