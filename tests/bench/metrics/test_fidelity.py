from dataclasses import replace

import numpy as np
import pytest

import moving
from vivace.bench.metrics.fidelity import fidelity_psnr, fidelity_rel_rmse, fidelity_temporal


@pytest.fixture
def clip():
    plain = moving.footage(4)
    return replace(plain, exact=np.clip(plain.source, 0, 250), output=np.clip(plain.source, 0, 250))


def test_the_exact_run_is_faithful_to_itself(clip):
    assert np.all(fidelity_psnr(clip) == 100)
    assert np.all(fidelity_rel_rmse(clip) == 0)
    assert np.all(fidelity_temporal(clip)[1:] == 0)
    assert np.isnan(fidelity_temporal(clip)[0])


def test_a_known_offset_has_the_known_error_and_no_temporal_error(clip):
    off = clip.with_output(clip.exact + 2)
    assert fidelity_psnr(off) == pytest.approx(10 * np.log10(255**2 / 4), abs=1e-4)
    assert fidelity_rel_rmse(off) == pytest.approx([2 / (f.std() + 1) for f in clip.exact])
    assert np.all(fidelity_temporal(off)[1:] == 0)


def test_an_alternating_offset_is_a_temporal_error_of_its_size(clip):
    output = clip.exact.copy()
    output[::2] += 3
    assert fidelity_temporal(clip.with_output(output))[1:] == pytest.approx(3 / 255)


def test_a_plain_grey_picture_is_as_far_off_as_the_picture_varies(clip):
    grey = clip.with_output(np.broadcast_to(clip.exact.mean(axis=(1, 2, 3), keepdims=True), clip.exact.shape))
    assert fidelity_rel_rmse(grey) == pytest.approx(1, abs=0.05)


def test_a_frozen_run_is_caught(clip):
    frozen = moving.frozen(clip)
    assert np.all(fidelity_psnr(frozen)[1:] < 30)
    assert np.all(fidelity_temporal(frozen)[1:] > 0.01)
