from dataclasses import replace

import numpy as np
import pytest

import moving
from tolerance import near
from vivace.bench.metrics.region import METRICS, bleed, untouched_exact, untouched_psnr, untouched_ssim


def changed(clip, where, by):
    output = clip.source.astype(int)
    output[where] += by
    return clip.with_output(np.clip(output, 0, 255).astype(np.uint8))


def test_what_changes_in_the_mask_alone_leaves_the_rest_untouched():
    clip = moving.footage(4)
    clip = changed(clip, clip.mask, 60)
    assert untouched_psnr(clip) == pytest.approx(100)
    assert near(untouched_ssim(clip), 1)
    assert untouched_exact(clip) == pytest.approx(1)
    assert bleed(clip) == pytest.approx(0)


def test_a_known_change_outside_has_the_known_psnr_and_share():
    clip = moving.footage(4)
    clip = replace(clip, source=np.clip(clip.source, 0, 250))
    clip = changed(clip, ~clip.mask, 1)
    assert untouched_psnr(clip) == pytest.approx(10 * np.log10(255**2), abs=1e-4)
    assert untouched_exact(clip) == pytest.approx(0)
    assert bleed(clip) == pytest.approx(1 / 255)


def test_noise_of_known_size_has_the_known_psnr():
    clip = moving.with_noise(moving.footage(4), 5)
    # Rounding adds a twelfth of a square level.
    assert np.mean(untouched_psnr(clip)) == pytest.approx(10 * np.log10(255**2 / (25 + 1 / 12)), abs=0.1)


def test_a_shift_of_colour_outside_is_seen_by_all_but_the_luma_of_ssim():
    clip = moving.footage(4)
    shifted = changed(clip, ~clip.mask, np.array([3, 0, -3]))
    assert np.all(untouched_psnr(shifted) < 45)
    assert np.all(untouched_exact(shifted) < 0.01)
    assert np.all(untouched_ssim(shifted) > 0.99)


def test_ssim_falls_with_blur_and_ignores_windows_that_reach_into_the_mask():
    clip = moving.footage(4)
    assert np.all(untouched_ssim(moving.blurred(clip, 2)) < 0.9)


def test_bleeding_is_looked_for_in_the_band_beside_the_mask():
    clip = moving.footage(4)
    far = ~np.stack([np.asarray(moving_band(m, 6)) for m in clip.mask])
    assert bleed(changed(clip, far, 40)) == pytest.approx(0)
    beside = np.stack([moving_band(m, 1) for m in clip.mask]) & ~clip.mask
    assert np.all(bleed(changed(clip, beside, 40)) > 0.05)


def moving_band(mask, width):
    import cv2

    return cv2.dilate(mask.astype(np.uint8), np.ones((2 * width + 1,) * 2, np.uint8)) > 0


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.key)
def test_a_mask_that_covers_all_leaves_nothing_to_say(metric):
    clip = moving.footage(3)
    assert np.isnan(metric.measure(replace(clip, mask=np.ones_like(clip.mask)))).all()


def test_an_empty_mask_leaves_the_whole_picture_untouched():
    clip = moving.footage(3)
    clip = replace(clip, mask=np.zeros_like(clip.mask))
    assert untouched_psnr(clip) == pytest.approx(100)
    assert np.isnan(bleed(clip)).all()


def test_a_picture_smaller_than_the_window_of_ssim_has_none():
    clip = moving.footage(3)
    tiny = replace(clip, source=clip.source[:, :8, :8], output=clip.output[:, :8, :8], mask=clip.mask[:, :8, :8])
    assert np.isnan(untouched_ssim(tiny)).all()
