from dataclasses import replace

import numpy as np
import pytest

import moving
from tolerance import near
from vivace.bench.metrics.motion import motion_explained, warp_error


def test_a_picture_carried_along_by_known_motion_has_no_warp_error():
    errors = warp_error(moving.footage())
    assert np.isnan(errors[0])
    assert near(errors[1:], 0, scale=1)


def test_noise_of_known_size_has_the_warp_error_of_its_size():
    # The difference of two normal variables of sigma is normal with sigma √2; its mean size is √(2/π) of that.
    sigma = 6.0
    errors = warp_error(moving.with_noise(moving.footage(), sigma))
    assert np.nanmean(errors) == pytest.approx(sigma * 2**0.5 * (2 / np.pi) ** 0.5 / 255, rel=0.03)


def test_warp_error_alone_rewards_a_blank_picture_and_motion_explained_does_not():
    blank = moving.blank(moving.footage())
    assert np.nanmax(warp_error(blank)) == 0
    assert np.nanmax(motion_explained(blank)) == 0


def test_a_picture_that_moves_as_the_world_is_explained():
    assert np.nanmean(motion_explained(moving.footage())) > 0.9
    assert np.nanmean(motion_explained(moving.footage(front=None))) > 0.97


def test_a_style_does_not_matter():
    assert np.nanmean(motion_explained(moving.painted(moving.footage()))) > 0.9


def test_a_frozen_picture_explains_nothing():
    explained = motion_explained(moving.frozen(moving.footage()))
    assert explained[1:] == pytest.approx(-1)


def test_boiling_noise_explains_nothing():
    clip = moving.footage(back=(2, 1))
    boiling = np.random.default_rng(0).integers(0, 256, clip.source.shape, dtype=np.uint8)
    assert np.nanmean(motion_explained(clip.with_output(boiling))) < 0.03


def test_motion_by_parts_of_a_pixel_is_explained_too():
    canvas = moving.texture(1)
    clip = moving.footage(8, front=None)
    import cv2

    source = np.stack(
        [cv2.warpAffine(canvas, np.float32([[1, 0, -50.3 + 0.7 * i], [0, 1, -40.0]]), (96, 96)) for i in range(8)]
    )
    flow = np.zeros_like(clip.flow_back)
    flow[..., 0] = -0.7
    clip = replace(clip, source=source, output=source, flow_back=flow)
    assert np.nanmean(motion_explained(clip)) > 0.85
    assert np.nanmean(warp_error(clip)) < 0.01


def test_a_still_source_says_nothing_about_motion():
    assert np.isnan(motion_explained(moving.footage(back=(0, 0), front=None))).all()


def test_a_pair_across_a_cut_is_left_out():
    clip = moving.footage(cut=5)
    for metric in (warp_error, motion_explained):
        assert list(np.flatnonzero(np.isnan(metric(clip)))) == [0, 5]
    assert near(np.nanmax(warp_error(clip)), 0, scale=1)


def test_frames_of_which_nothing_was_seen_before_are_left_out():
    clip = moving.unseen(moving.footage())
    assert np.isnan(warp_error(clip)).all()
    assert np.isnan(motion_explained(clip)).all()
