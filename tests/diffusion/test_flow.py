"""Laws of flow matching on a straight path."""

from __future__ import annotations

import numpy as np
import pytest

from tolerance import near
from vivace.diffusion.flow import denoising_times, euler_step


def test_times_fall_evenly_from_one():
    assert denoising_times(1) == (1,)
    assert denoising_times(4) == (1, 0.75, 0.5, 0.25)


def test_no_steps_are_refused():
    with pytest.raises(ValueError, match="at least 1, not 0"):
        denoising_times(0)


def test_steps_with_the_true_picture_stay_on_the_straight_path():
    rng = np.random.default_rng(0)
    picture, noise = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    x_t = noise
    for t, t_next in ((1.0, 0.75), (0.75, 0.25)):
        x_t = euler_step(x_t, picture, t, t_next)
        assert near(x_t, t_next * noise + (1 - t_next) * picture)


def test_the_last_step_arrives_at_the_prediction():
    x_t, x = np.ones(3), np.arange(3.0)
    np.testing.assert_allclose(euler_step(x_t, x, 0.25, 0.0), x)
