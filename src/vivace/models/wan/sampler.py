"""The few-step sampler: a chunk of latents from noise to picture, step by step under one memory.

Each step predicts the picture, which is noised again for the next (consistency models, Song et al., 2023). What the
memory keeps of a chunk is one more call on the finished picture, whose flow nobody needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vivace.diffusion.shifted_flow import FlowSchedule
from vivace.models.wan.network import Attention, TextCache, Thinning, WanNetwork

Draw = Callable[[int], Tensor]
"""Returns the noise that is mixed in after a step, from 0, like the chunk."""
Seen = tuple[Attention, Thinning | None]


@dataclass(frozen=True, slots=True)
class Sampler:
    """A network with its schedule."""

    network: WanNetwork
    schedule: FlowSchedule

    def flow(
        self, x: Tensor, timestep: float | Tensor, text: TextCache, seen: Seen, source: Tensor | None = None
    ) -> Tensor:
        """Return the flow of latents `x [b f c h w]` at a timestep, or at `[b]` of them.

        `source` is alike, and goes in beside them.
        """
        times = torch.as_tensor(timestep, dtype=torch.float32, device=x.device)
        times = times.reshape(-1, 1).expand(x.shape[0], x.shape[1])
        both = x if source is None else torch.cat([x, source.to(x)], 2)
        flow: Tensor = self.network(both, times, text, *seen)
        return flow.to(x.dtype)

    def denoise(
        self,
        noise: Tensor,
        timesteps: Sequence[float],
        text: TextCache,
        see: Callable[[int], Seen],
        draw: Draw,
        source: Tensor | None = None,
    ) -> Tensor:
        """Return the picture `[b f c h w]` that noise becomes in these steps.

        Args:
            noise: latents at the first timestep.
            timesteps: of the steps, falling.
            text: of the prompt.
            see: returns what the network sees in a step, from 0.
            draw: noise after a step, asked for all steps but the last.
            source: latents beside the noisy ones, where the model takes both.
        """
        x = noise
        for step, timestep in enumerate(timesteps):
            if step:
                x = self.schedule.noised(x, draw(step - 1), timestep)
            x = self.schedule.x0(self.flow(x, timestep, text, see(step), source), x, timestep)
        return x
