"""The few-step schedule of flow-matching video models: a shifted table of noise levels, and moves between them.

`x_t = (1 - sigma) x_0 + sigma eps`, and the network predicts the flow `eps - x_0`. Noise levels come from a table of
1000 that is shifted towards noise, `s u / (1 + (s - 1) u)` with u falling from 1 in even steps (Esser et al., 2024); a
timestep is a noise level times 1000, and any number is read as the nearest one of the table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

TIMESTEPS = 1000


@dataclass(frozen=True, slots=True)
class FlowSchedule:
    """A table of noise levels."""

    shift: float
    """Above 1 spends more of the table on noisy pictures."""
    entries: int = TIMESTEPS
    sigmas: Tensor = field(init=False, repr=False, compare=False)
    """`[entries]` float32, falling from 1; 0 is not among them."""
    timesteps: Tensor = field(init=False, repr=False, compare=False)
    """`[entries]` float32, 1000 times as much."""

    def __post_init__(self) -> None:
        """Compute the table; raises ValueError for a shift that is not above 0."""
        if not (math.isfinite(self.shift) and self.shift > 0):
            raise ValueError(f"the shift of a schedule must be above 0, not {self.shift}")
        even = torch.linspace(1.0, 0.0, self.entries + 1, dtype=torch.float32)[:-1]
        sigmas = self.shift * even / (1 + (self.shift - 1) * even)
        object.__setattr__(self, "sigmas", sigmas)
        object.__setattr__(self, "timesteps", sigmas * TIMESTEPS)

    def index(self, timestep: Tensor) -> Tensor:
        """Return which entry each timestep is nearest to, the noisier one of two that are as near; int64."""
        apart = self.timesteps.double() - timestep.detach().cpu().double()[..., None]
        return apart.abs().argmin(-1)

    def sigma(self, timestep: Tensor | float) -> Tensor:
        """Return the noise level of each timestep, float32, on the CPU."""
        return self.sigmas[self.index(torch.as_tensor(timestep))]

    def steps(self, listed: Sequence[float], *, warped: bool) -> tuple[float, ...]:
        """Return the timesteps that a step list means, noisiest first.

        Warped, an entry counts places of the table from its end, 1000 being the first; otherwise it is the timestep
        itself. Which of the two a checkpoint was trained with cannot be seen on it.

        Raises:
            ValueError: an empty list, or an entry outside 0 to 1000.
        """
        if not listed or not all(0 <= entry <= TIMESTEPS for entry in listed):
            raise ValueError(f"a step list has timesteps from 0 to {TIMESTEPS}, not {list(listed)}")
        if not warped:
            return tuple(float(entry) for entry in listed)
        table = [*self.timesteps.tolist(), 0.0]
        return tuple(table[TIMESTEPS - int(entry)] for entry in listed)

    def x0(self, flow: Tensor, x: Tensor, timestep: Tensor | float) -> Tensor:
        """Return the picture that a predicted flow leads to; in float64, since it is a small difference of two."""
        return (x.double() - self._level(timestep, x).double() * flow.double()).to(x.dtype)

    def flow(self, x0: Tensor, x: Tensor, timestep: Tensor | float) -> Tensor:
        """Return the flow that leads from `x` to the picture `x0`."""
        return ((x.double() - x0.double()) / self._level(timestep, x).double()).to(x.dtype)

    def noised(self, x0: Tensor, noise: Tensor, timestep: Tensor | float) -> Tensor:
        """Return the picture at a timestep's noise level."""
        sigma = self._level(timestep, x0).to(x0.dtype)
        return (1 - sigma) * x0 + sigma * noise

    def euler(self, flow: Tensor, x: Tensor, timestep: Tensor | float) -> Tensor:
        """Return `x` one entry further down the table, and at no noise after the last."""
        at = self.index(torch.as_tensor(timestep))
        levels = torch.cat([self.sigmas, self.sigmas.new_zeros(1)])
        return x + flow * _beside(levels[at + 1] - levels[at], x)

    def training_weights(self) -> Tensor:
        """Return the weight of each entry in a training loss, of mean 1: a bell around the middle of the timesteps."""
        bell = torch.exp(-2 * ((self.timesteps - TIMESTEPS / 2) / TIMESTEPS) ** 2)
        above = bell - bell.min()
        return above * (self.entries / above.sum())

    def _level(self, timestep: Tensor | float, x: Tensor) -> Tensor:
        return _beside(self.sigma(timestep), x)


def _beside(numbers: Tensor, x: Tensor) -> Tensor:
    """Return numbers `[]`, `[b]` or `[b f]` with as many axes as `x [b f …]`, on its device."""
    return numbers.to(x.device).reshape(*numbers.shape, *[1] * (x.ndim - numbers.ndim))
