from dataclasses import replace

import numpy as np
import pytest

import moving
from vivace.bench.metrics.flicker import flicker_ratio, vbench_flicker


def test_the_source_itself_flickers_as_the_source():
    assert flicker_ratio(moving.footage())[2:] == pytest.approx(1)


def test_two_percent_are_seen():
    assert np.nanmin(flicker_ratio(moving.flickering(moving.footage(), 0.02))) > 5


def test_more_flicker_is_more():
    clip = moving.footage()
    small, large = (np.nanmean(flicker_ratio(moving.flickering(clip, share))) for share in (0.02, 0.04))
    assert large == pytest.approx(2 * small, rel=0.1)


def test_flicker_of_a_known_size_has_the_known_ratio():
    # A grey picture of 100 that alternates by ±2 levels changes by ∓4: |R - R'| / 2 = 4, over the floor of 0.25.
    clip = moving.footage(front=None)
    grey = np.full_like(clip.source, 100)
    steps = 100 + 2 * (-1) ** np.arange(len(grey))
    output = np.broadcast_to(steps[:, None, None, None], grey.shape).astype(np.uint8)
    assert flicker_ratio(replace(clip, source=grey, output=output))[2:] == pytest.approx(4.25 / 0.25)


def test_light_that_changes_in_the_source_too_is_no_flicker():
    clip = moving.footage()
    fade = moving.scaled(clip.source, np.linspace(1, 0.6, len(clip.source)))
    assert flicker_ratio(replace(clip, source=fade, output=fade))[2:] == pytest.approx(1)
    # … nor does light that changes evenly in the output alone
    alone = np.nanmean(flicker_ratio(clip.with_output(fade)))
    assert alone < 0.25 * np.nanmean(flicker_ratio(moving.flickering(clip, 0.02)))


def test_flicker_is_seen_under_a_light_that_changes():
    clip = moving.footage(24)
    fade = np.linspace(1, 0.5, 24)
    source = moving.scaled(clip.source, fade)
    output = moving.scaled(clip.source, fade * (1 + 0.02 * (-1.0) ** np.arange(24)))
    assert np.nanmean(flicker_ratio(replace(clip, source=source, output=output))) > 4


def test_a_picture_steadier_than_its_source_is_below_one():
    clip = moving.with_noise(moving.footage(), 6)
    noisy = replace(clip, source=clip.output)
    assert np.nanmean(flicker_ratio(moving.blank(noisy))) < 0.7


def test_frames_at_a_cut_are_left_out():
    ratio = flicker_ratio(moving.flickering(moving.footage(cut=5), 0.0))
    assert list(np.flatnonzero(np.isnan(ratio))) == [0, 1, 5, 6]
    assert ratio[2] == pytest.approx(1)


def test_a_clip_of_which_nothing_is_seen_twice_says_nothing():
    assert np.isnan(flicker_ratio(moving.unseen(moving.footage()))).all()


def test_vbench_flicker_is_one_less_the_mean_change_on_static_clips_alone():
    still = moving.footage(front=None, back=(0, 0))
    output = still.source // 2
    output[::2] += 5
    assert vbench_flicker(still.with_output(output))[1:] == pytest.approx(1 - 5 / 255)
    assert np.isnan(vbench_flicker(moving.footage(back=(1, 0)))).all()
