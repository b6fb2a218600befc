from dataclasses import replace

import numpy as np
import pytest

import moving
from tolerance import near
from vivace.bench.metrics.edit import METRICS, edit_collateral, edit_gain, edit_ssim


def asked(count=4):
    """Return a clip whose square should be repainted."""
    clip = moving.footage(count)
    reference = clip.source.copy()
    reference[clip.mask] = 255 - reference[clip.mask] // 2
    return replace(clip, reference=reference)


def test_no_edit_gains_nothing_and_the_exact_edit_everything():
    clip = asked()
    assert np.all(edit_gain(clip) == 0)
    done = clip.with_output(clip.reference)
    assert np.all(edit_gain(done) == 1)
    assert near(edit_ssim(done), 1)
    assert np.all(edit_collateral(done) == 0)


def test_half_an_edit_is_half_the_gain():
    clip = asked()
    half = ((clip.source.astype(int) + clip.reference) // 2).astype(np.uint8)
    assert edit_gain(clip.with_output(half)) == pytest.approx(0.5, abs=0.01)


def test_the_wrong_way_is_below_nothing():
    clip = asked()
    wrong = np.clip(2 * clip.source.astype(int) - clip.reference, 0, 255).astype(np.uint8)
    assert np.all(edit_gain(clip.with_output(wrong)) < -0.3)


def test_a_wrong_structure_has_no_likeness():
    clip = asked()
    assert np.all(edit_ssim(clip) < 0.3)
    assert np.mean(edit_ssim(moving.frozen(clip.with_output(clip.reference)))[2:]) < 0.5


def test_what_changes_beside_the_edit_is_collateral_of_its_size():
    clip = asked()
    output = np.where(clip.mask[..., None], clip.reference, np.maximum(clip.source, 4) - 4).astype(np.uint8)
    assert edit_collateral(clip.with_output(output)) == pytest.approx(4 / 255, rel=0.02)
    assert np.all(edit_gain(clip.with_output(output)) == 1)


@pytest.mark.parametrize("metric", METRICS, ids=lambda m: m.key)
def test_frames_the_edit_does_not_change_say_nothing_about_it(metric):
    clip = asked()
    values = metric.measure(replace(clip, reference=clip.source))
    if metric.key == "edit_collateral":
        assert np.all(values == 0)
    else:
        assert np.isnan(values).all()


def test_an_edit_of_everything_has_nothing_beside_it():
    clip = moving.footage(3)
    clip = replace(clip, reference=255 - np.minimum(clip.source, 100))
    assert np.isnan(edit_collateral(clip)).all()
    assert np.all(edit_gain(clip) == 0)
