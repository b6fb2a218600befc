"""The metrics on a rendered scene: their values for the right answer, and for wrong ones that look calm."""

from dataclasses import replace

import numpy as np
import pytest

import moving
from vivace.bench.inputs.clips import render, render_edited
from vivace.bench.metrics import METRICS
from vivace.bench.metrics.flow import dis_motion
from vivace.bench.metrics.footage import Footage
from vivace.bench.metrics.motion import motion_explained

SCENE = "walkers"
CALM = {"warp_error", "vbench_flicker", "flicker_ratio"}
"""Metrics of steadiness, for which a static picture is perfect, as their meaning says."""


@pytest.fixture(scope="module")
def clip():
    seen = render(SCENE, (128, 128), 24.0, 16, 0)
    edited = render_edited(SCENE, "recolour", (128, 128), 24.0, 16, 0)
    return Footage(
        seen.frames,
        seen.frames,
        24.0,
        seen.flow_back,
        seen.visible_back,
        seen.depth,
        seen.ids,
        seen.subject,
        reference=edited,
        exact=seen.frames,
    )


def value(metric, clip):
    found = metric.measure(clip)
    return float(np.nanmean(found)) if not np.isnan(found).all() else None


def of_footage():
    return [m for m in METRICS if "style" not in m.needs]


@pytest.mark.parametrize("metric", [m for m in of_footage() if m.key not in CALM], ids=lambda m: m.key)
@pytest.mark.parametrize("wrong", [moving.frozen, moving.blank], ids=["frozen", "blank"])
def test_a_calm_wrong_answer_is_not_as_good_as_the_right_one(metric, wrong, clip):
    right = clip.with_output(clip.reference) if metric.needs == ("reference",) else clip
    good, bad = value(metric, right), value(metric, wrong(clip))
    if bad is None:
        assert metric.key == "content_lag"  # there is nothing that could be late
    elif metric.direction == "target":
        assert abs(good - metric.target) < abs(bad - metric.target)
    elif metric.direction == "higher":
        assert good > bad
    else:
        assert good < bad


FAULTS = {
    "flicker_ratio": moving.flickering,
    "content_lag": lambda clip: moving.delayed(clip, 1),
    "motion_explained": moving.flickering,
}


@pytest.mark.parametrize("key", FAULTS)
def test_a_planted_fault_is_beyond_all_frames_of_the_sound_clip(key, clip):
    metric = next(m for m in METRICS if m.key == key)
    sound, faulty = metric.measure(clip), metric.measure(FAULTS[key](clip))
    far = np.nanmean(faulty)
    assert not np.nanmin(sound) <= far <= np.nanmax(sound)


def test_estimated_motion_says_about_what_the_truth_says(clip):
    flow, visible = dis_motion(clip.source)
    both = visible & clip.visible_back
    miss = np.linalg.norm(flow - clip.flow_back, axis=3)[both]
    assert np.median(miss) < 0.2
    estimated = replace(clip, flow_back=flow, visible_back=visible)
    assert np.nanmean(motion_explained(estimated)) == pytest.approx(np.nanmean(motion_explained(clip)), abs=0.25)
    assert np.nanmean(motion_explained(moving.frozen(estimated))) < -0.9
