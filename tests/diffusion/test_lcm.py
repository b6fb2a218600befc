"""Latent consistency sampling: laws of every schedule."""

from __future__ import annotations

import pytest
import torch

from tolerance import near
from vivace.diffusion.lcm import (
    add_noise,
    alphas_cumprod,
    lcm_timesteps,
    predict_x0,
    rows_of,
    schedule_at,
    schedule_by_index,
    t_index_at,
)


def test_the_distilled_timesteps_are_fifty_and_evenly_spaced() -> None:
    assert lcm_timesteps() == list(range(999, 0, -20))
    assert lcm_timesteps(4) == [999, 759, 499, 259]
    assert lcm_timesteps(1) == [999]


@pytest.mark.parametrize("steps", range(1, 51))
def test_every_number_of_steps_falls_from_the_noisiest(steps: int) -> None:
    timesteps = lcm_timesteps(steps)
    assert timesteps[0] == 999
    assert timesteps == sorted(set(timesteps), reverse=True)
    assert len(timesteps) == steps


def test_alphas_are_the_published_ones() -> None:
    """Square roots of alpha-bar at timesteps used by the published styles."""
    found = alphas_cumprod()[[499, 399, 279, 199, 159]].sqrt()
    assert found.tolist() == pytest.approx([0.4023, 0.5399, 0.7136, 0.8218, 0.8701], abs=5e-5)


def test_knowing_the_noise_gives_the_picture_back() -> None:
    schedule = schedule_by_index([0, 20, 49])
    generator = torch.Generator().manual_seed(0)
    x0, noise = torch.randn(2, 3, 4, 5, 5, generator=generator, dtype=torch.float64)
    found = predict_x0(add_noise(x0, noise, schedule), noise, schedule)
    assert torch.allclose(found, x0, atol=1e-4)


def test_variance_is_kept_at_every_timestep() -> None:
    schedule = schedule_at(lcm_timesteps())
    assert torch.allclose(schedule.sqrt_alpha**2 + schedule.sqrt_beta**2, torch.ones(50))
    assert near(schedule.c_out**2 + schedule.c_skip, torch.ones(50))


def test_rows_are_alone_what_they_are_together() -> None:
    schedule = schedule_at(lcm_timesteps(8)[-4:])
    parts = [rows_of(schedule, row, row + 1) for row in range(len(schedule))]
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(1))
    alone = torch.cat([add_noise(x[i, None], x[i, None], part) for i, part in enumerate(parts)])
    assert torch.equal(alone, add_noise(x, x, schedule))


@pytest.mark.parametrize("t_index", [[30, 40], [30, 36, 42], [25, 31, 37, 43], [35], [35, 40, 45]])
def test_steps_move_with_the_strength(t_index: list[int]) -> None:
    own = 1 - t_index[0] / 50
    assert t_index_at(t_index, own) == t_index
    for strength in [hundredth / 100 for hundredth in range(101)]:
        moved = t_index_at(t_index, strength)
        assert len(schedule_by_index(moved)) == len(t_index), "rising, and within the fifty"
        assert abs(moved[0] - 50 * (1 - strength)) <= max(0.5, len(t_index))
    assert t_index_at(t_index, 1.0)[0] == 0
    with pytest.raises(ValueError, match="strength"):
        t_index_at(t_index, 1.1)


@pytest.mark.parametrize("t_index", [[], [50], [-1], [40, 30], [30, 30]])
def test_wrong_indices_are_refused(t_index: list[int]) -> None:
    with pytest.raises(ValueError, match="must"):
        schedule_by_index(t_index)


def test_wrong_steps_are_refused() -> None:
    with pytest.raises(ValueError, match="1 to 50 steps, not 51"):
        lcm_timesteps(51)
