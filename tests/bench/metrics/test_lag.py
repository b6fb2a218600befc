import numpy as np
import pytest

import moving
from vivace.bench.metrics.lag import content_lag


def lag(clip):
    return float(np.nanmean(content_lag(clip)))


@pytest.mark.parametrize("frames", range(6))
def test_a_delay_of_whole_frames_is_found(frames):
    assert lag(moving.delayed(moving.footage(20), frames)) == pytest.approx(frames, abs=0.05)


@pytest.mark.parametrize("frames", [0, 1, 3])
def test_a_delay_is_found_in_another_style(frames):
    assert lag(moving.painted(moving.delayed(moving.footage(20), frames))) == pytest.approx(frames, abs=0.2)


def test_a_mean_of_two_frames_is_half_a_frame_late():
    clip = moving.footage(20, back=(1, 1), front=None)
    late = moving.delayed(clip, 1).output
    mean = ((clip.source.astype(int) + late) // 2).astype(np.uint8)
    assert lag(clip.with_output(mean)) == pytest.approx(0.5, abs=0.1)


def test_a_small_mover_before_a_still_camera_is_enough():
    clip = moving.footage(20, back=(0, 0), front=(-2, 1), frame_in_front=20)
    assert lag(moving.delayed(clip, 2)) == pytest.approx(2, abs=0.1)


def test_noise_does_not_hide_a_delay():
    assert lag(moving.with_noise(moving.delayed(moving.footage(20), 1), 12)) == pytest.approx(1, abs=0.1)


def test_a_delay_is_found_across_a_cut():
    clip = moving.footage(20, cut=10)
    assert lag(clip) == pytest.approx(0, abs=0.05)
    assert lag(moving.delayed(clip, 1)) == pytest.approx(1, abs=0.05)


def test_a_source_that_does_not_move_says_nothing():
    assert np.isnan(content_lag(moving.footage(20, back=(0, 0), front=None))).all()


def test_blank_and_boiling_outputs_follow_nothing():
    clip = moving.footage(20)
    assert np.isnan(content_lag(moving.blank(clip))).all()


def test_a_frozen_picture_is_never_in_time():
    lags = content_lag(moving.frozen(moving.footage(30, back=(1, 1))))
    assert np.isnan(lags).sum() > 8
    assert np.nanmin(lags) > 5


def test_a_clip_too_short_to_tell_says_nothing():
    assert np.isnan(content_lag(moving.footage(8))).all()
