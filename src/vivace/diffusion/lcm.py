"""Latent consistency sampling on the linear-beta schedule (Luo et al., Latent Consistency Models, 2023).

`x_t = sqrt(alpha_bar_t) * x0 + sqrt(1 - alpha_bar_t) * noise`, with the noise predicted by the network. A consistency
model maps `x_t` to the picture in one step; more steps renoise that picture to a lower timestep and map again.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

TRAIN_TIMESTEPS = 1000
ORIGINAL_STEPS = 50
"""Timesteps the model was distilled on, evenly spaced; `t_index` counts in this list, noisiest first."""
BETA_START = 0.00085
BETA_END = 0.012
"""Betas rise linearly, as in AnimateDiff, and not with their square root, as in Stable Diffusion itself."""
TIMESTEP_SCALING = 10.0
SIGMA_DATA = 0.5


@functools.cache
def alphas_cumprod() -> Tensor:
    """Return `alpha_bar [1000]`, float32, of the linear-beta schedule (Ho et al., DDPM, 2020)."""
    betas = torch.linspace(BETA_START, BETA_END, TRAIN_TIMESTEPS, dtype=torch.float32)
    return torch.cumprod(1.0 - betas, 0)


def lcm_timesteps(steps: int = ORIGINAL_STEPS) -> list[int]:
    """Return the timesteps of an LCM schedule of 1 to 50 steps, noisiest first: 999, 979, … for all 50.

    Raises:
        ValueError: a number of steps outside 1 to 50.
    """
    if not 1 <= steps <= ORIGINAL_STEPS:
        raise ValueError(f"an LCM schedule has 1 to {ORIGINAL_STEPS} steps, not {steps}")
    spacing = TRAIN_TIMESTEPS // ORIGINAL_STEPS
    distilled = [spacing * (ORIGINAL_STEPS - i) - 1 for i in range(ORIGINAL_STEPS)]
    return [distilled[i * ORIGINAL_STEPS // steps] for i in range(steps)]


@dataclass(frozen=True, slots=True)
class LcmSchedule:
    """Timesteps of the denoising rows, noisiest first, and the constants that belong to them; `[t]` each."""

    timesteps: Tensor
    """int64"""
    sqrt_alpha: Tensor
    """`sqrt(alpha_bar)`: the weight of the picture in `x_t`."""
    sqrt_beta: Tensor
    """`sqrt(1 - alpha_bar)`: the weight of the noise."""
    c_skip: Tensor
    """Boundary condition: the share of `x_t` itself in the prediction; next to nothing at the usual timesteps."""
    c_out: Tensor

    def __len__(self) -> int:
        return len(self.timesteps)

    def to(self, device: torch.device | str) -> LcmSchedule:
        """Return the schedule on a device."""
        parts = (self.timesteps, self.sqrt_alpha, self.sqrt_beta, self.c_skip, self.c_out)
        return LcmSchedule(*(value.to(device) for value in parts))


def schedule_at(timesteps: Sequence[int]) -> LcmSchedule:
    """Return the schedule of the given timesteps, which must fall.

    Raises:
        ValueError: no timestep, one outside 0 to 999, or not in falling order.
    """
    falling = all(later < earlier for earlier, later in itertools.pairwise(timesteps))
    if not timesteps or not falling or not all(0 <= t < TRAIN_TIMESTEPS for t in timesteps):
        raise ValueError(f"timesteps must fall within {TRAIN_TIMESTEPS - 1} to 0, not {list(timesteps)}")
    t = torch.tensor(list(timesteps), dtype=torch.int64)
    alpha = alphas_cumprod()[t]
    scaled = t * TIMESTEP_SCALING
    variance = scaled**2 + SIGMA_DATA**2
    return LcmSchedule(t, alpha.sqrt(), (1 - alpha).sqrt(), SIGMA_DATA**2 / variance, scaled / variance.sqrt())


def schedule_by_index(t_index: Sequence[int]) -> LcmSchedule:
    """Return the schedule of indices into the 50 distilled timesteps, as in `[30, 40]`, timesteps 399 and 199.

    Raises:
        ValueError: no index, one outside 0 to 49, or not in rising order.
    """
    if not t_index or not all(0 <= i < ORIGINAL_STEPS for i in t_index):
        raise ValueError(f"t_index must lie within 0 to {ORIGINAL_STEPS - 1}, not {list(t_index)}")
    timesteps = lcm_timesteps()
    return schedule_at([timesteps[i] for i in t_index])


def t_index_at(t_index: Sequence[int], strength: float) -> list[int]:
    """Return `t_index` moved to begin at another strength, which is `1 - t_index[0] / 50`; as many, spread likewise.

    Each index keeps its share of the way from the first to the cleanest timestep; the strength it came with gives back
    the very same indices.

    Raises:
        ValueError: a strength outside 0 to 1.
    """
    if not 0 <= strength <= 1:
        raise ValueError(f"strength must be within 0 to 1, not {strength}")
    steps, first = len(t_index), t_index[0]
    start = min(round(ORIGINAL_STEPS * (1 - strength)), ORIGINAL_STEPS - steps)
    moved: list[int] = []
    for step, index in enumerate(t_index):
        share = (index - first) / (ORIGINAL_STEPS - first)
        wanted = start + round(share * (ORIGINAL_STEPS - start))
        # Rising, with room for those to come.
        least = moved[-1] + 1 if moved else start
        moved.append(min(max(wanted, least), ORIGINAL_STEPS - steps + step))
    return moved


def _per_row(value: Tensor, like: Tensor) -> Tensor:
    """Shape `value [t]` so that it multiplies `like [t ...]` row by row."""
    return value.reshape(-1, *[1] * (like.ndim - 1))


def predict_x0(x_t: Tensor, noise: Tensor, schedule: LcmSchedule) -> Tensor:
    """Return the picture of every row, from `x_t [t ...]` and the predicted noise `[t ...]` (LCM, equation 9)."""
    a, b = _per_row(schedule.sqrt_alpha, x_t), _per_row(schedule.sqrt_beta, x_t)
    x0 = (x_t - b * noise) / a
    return _per_row(schedule.c_out, x_t) * x0 + _per_row(schedule.c_skip, x_t) * x_t


def add_noise(x0: Tensor, noise: Tensor, schedule: LcmSchedule) -> Tensor:
    """Noise `x0 [t ...]` to the timestep of each row with `noise [t ...]` of unit variance."""
    return _per_row(schedule.sqrt_alpha, x0) * x0 + _per_row(schedule.sqrt_beta, x0) * noise


def rows_of(schedule: LcmSchedule, start: int, stop: int) -> LcmSchedule:
    """Return rows `start` to `stop` (not included) of a schedule."""
    part = slice(start, stop)
    return LcmSchedule(
        schedule.timesteps[part],
        schedule.sqrt_alpha[part],
        schedule.sqrt_beta[part],
        schedule.c_skip[part],
        schedule.c_out[part],
    )
