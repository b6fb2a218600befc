import subprocess
import sys
from dataclasses import replace

import cv2
import numpy as np
import pytest

import moving
from tolerance import ROUNDING
from vivace.bench.metrics import METRICS, measure
from vivace.bench.metrics.drift import READINGS


@pytest.fixture(scope="module")
def whole():
    clip = moving.footage(10, cut=6, back=(0, 0))
    clip = replace(clip, mask=~clip.mask)  # the larger part: style is not judged inside small areas
    reference = clip.source.copy()
    reference[clip.mask] = 255 - reference[clip.mask]
    return replace(clip, reference=reference, exact=reference, style="ink")


def test_every_metric_has_its_own_key_and_says_how_to_read_it():
    readings = (*METRICS, *READINGS)
    assert len({r.key for r in readings}) == len(readings)
    for r in readings:
        assert r.title
        assert r.source
        assert r.meaning.endswith(".")
        assert (r.direction == "target") == (r.target is not None)
        assert r.low < r.high


def test_all_that_the_footage_allows_is_measured_within_its_range(whole):
    found = measure(moving.with_noise(whole, 5))
    assert list(found) == [m.key for m in METRICS]
    for metric in METRICS:
        values = found[metric.key]
        assert values.dtype == np.float64
        assert values.shape == (10,)
        known = values[~np.isnan(values)]
        assert len(known) > 0, metric.key
        slack = ROUNDING * np.abs(known).max()
        assert metric.low - slack <= known.min() <= known.max() <= metric.high + slack, metric.key


def test_the_same_footage_gives_the_same_numbers(whole):
    first, second = measure(whole), measure(whole)
    for key, values in first.items():
        np.testing.assert_array_equal(values, second[key])


def test_what_is_not_known_of_a_clip_is_not_measured(whole):
    bare = replace(
        whole,
        flow_back=None,
        visible_back=None,
        depth=None,
        ids=None,
        mask=None,
        reference=None,
        exact=None,
        style=None,
    )
    assert list(measure(bare)) == ["content_lag", "edge_agreement"]


def test_no_metric_changes_what_it_measures(whole):
    before = whole.source.copy(), whole.output.copy(), whole.flow_back.copy()
    measure(whole)
    for was, now in zip(before, (whole.source, whole.output, whole.flow_back), strict=True):
        assert np.array_equal(was, now)


@pytest.mark.parametrize("side", [1, 2, 7])
def test_absurdly_small_pictures_are_measured_without_harm(whole, side):
    small = replace(
        whole,
        style=None,
        **{
            name: getattr(whole, name)[:, :side, :side]
            for name in "source output flow_back visible_back depth ids mask reference exact".split()
        },
    )
    for values in measure(small).values():
        assert values.shape == (10,)


def test_footage_is_described_without_opencv():
    script = "import sys, vivace.bench.metrics.footage; sys.exit('cv2' in sys.modules or 'skimage' in sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_number_of_threads_does_not_change_a_number(whole):
    before = cv2.getNumThreads()
    try:
        found = []
        for threads in (1, 4):
            cv2.setNumThreads(threads)
            found.append(measure(moving.with_noise(whole, 5)))
    finally:
        cv2.setNumThreads(before)
    for key, values in found[0].items():
        np.testing.assert_allclose(values, found[1][key], rtol=0, atol=ROUNDING * np.nanmax(np.abs(values)))
