import numpy as np
import pytest

import moving
from tolerance import near
from vivace.bench.metrics.drift import BLOCKS, LOOKS, READINGS, drift, follow, look, looks

FPS, PERIOD, COUNT = 4.0, 16, 480


@pytest.fixture(scope="module")
def loop():
    """Return two minutes at 4 fps of the same four seconds."""
    clip = moving.footage(PERIOD)
    return [clip.source[i % PERIOD] for i in range(COUNT)]


@pytest.fixture(scope="module")
def source(loop):
    return np.tile(looks(loop[:PERIOD]), (COUNT // PERIOD, 1))


def minutes():
    return np.arange(COUNT) / FPS / 60


def slopes(source, output, period=PERIOD):
    return {key: found.percent_per_min for key, found in drift(source, output, FPS, period).items()}


def test_the_keys_are_those_of_the_readings(source):
    assert list(drift(source, source, FPS, PERIOD)) == [reading.key for reading in READINGS]


def test_the_source_does_not_drift_from_itself(source):
    found = drift(source, source, FPS, PERIOD)
    for slope in found.values():
        assert slope.percent_per_min == 0
        assert slope.blocks == [0] * BLOCKS


@pytest.mark.parametrize("period", [PERIOD, None])
def test_one_percent_a_minute_is_seen(loop, source, period):
    rng = np.random.default_rng(0)
    gain = 1 + 0.01 * minutes()
    dithered = (
        np.clip(f * g + rng.random(f.shape, np.float32), 0, 255).astype(np.uint8)
        for f, g in zip(loop, gain, strict=True)
    )
    found = drift(source, looks(dithered), FPS, period)
    brightness = found["drift_brightness"]
    assert brightness.percent_per_min == pytest.approx(1, abs=0.05)
    assert min(brightness.blocks) > 0.8
    assert found["drift_contrast"].percent_per_min == pytest.approx(1, abs=0.15)
    assert found["drift_sharpness"].percent_per_min == pytest.approx(0, abs=0.2)


@pytest.mark.parametrize("number", range(len(LOOKS)))
def test_each_look_drifts_alone(source, number):
    output = source.copy()
    output[:, number] *= 1 - 0.05 * minutes()
    found = list(slopes(source, output).values())
    # Relative to the level in the middle of the two minutes, so slightly more than 5 % of the first value.
    assert found[number] == pytest.approx(-5 / 0.95, rel=0.1)
    assert [value for i, value in enumerate(found) if i != number] == [0, 0, 0]


def test_a_style_that_is_steady_does_not_drift(source):
    assert near(list(slopes(source, source * (0.5, 2.0, 0.3, 1.4)).values()), [0] * 4, scale=100)


def test_noise_and_odd_frames_are_no_drift(source):
    rng = np.random.default_rng(1)
    output = source * (1 + 0.01 * rng.standard_normal(source.shape))
    output[100:108] *= 3
    assert np.abs(list(slopes(source, output).values())).max() < 0.3


def test_a_source_that_drifts_itself_is_not_the_systems_drift(source):
    fading = source * (1 - 0.2 * minutes())[:, None]
    assert list(slopes(fading, fading).values()) == [0] * 4


def test_a_stretch_too_short_for_a_slope_has_none(source):
    short = drift(source[: 2 * PERIOD], source[: 2 * PERIOD], FPS, PERIOD)
    assert all(np.isnan(slope.percent_per_min) and slope.blocks == [] for slope in short.values())


def test_looks_of_known_pictures():
    grey = np.full((8, 8, 3), 100, np.uint8)
    assert look(grey) == pytest.approx([100, 0, 0, 0], abs=1e-4)
    halves = grey.copy()
    halves[:, 4:] = 200
    assert look(halves)[:3] == pytest.approx([150, 50, 0], abs=1e-4)
    red = np.zeros((8, 8, 3), np.uint8)
    red[..., 0] = 255
    assert look(red)[2] == 255
    assert look(moving.texture(0))[3] > look(moving.blurred(moving.footage(1)).output[0])[3]


def test_the_points_of_a_drift_show_how_it_grew(source):
    gain = (1 + 0.01 * minutes())[:, None]
    grown = source * np.where(np.arange(4) == 0, gain, 1.0)
    points = follow(source, grown, FPS, PERIOD)
    brightness = points.percent()["drift_brightness"]
    assert len(points.times_min) == len(brightness) == COUNT // PERIOD
    assert brightness[-1] - brightness[0] == pytest.approx(points.times_min[-1], rel=0.02)
    assert near(points.percent()["drift_saturation"], 0, scale=100)


def test_a_stretch_too_short_for_a_point_has_none(source):
    assert follow(source[:3], source[:3], FPS, PERIOD).percent()["drift_contrast"].shape == (0,)
