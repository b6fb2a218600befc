"""The few-step sampler: a chunk of latents is denoised step by step.

Each step predicts the clean latents, which are noised again for the next one (consistency models, Song et al., 2023).
What the KV ring keeps of a chunk comes from one more call, on the clean latents; its flow is not used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from vivace.diffusion.shifted_flow import FlowSchedule
from vivace.models.wan.network import Attention, Pruning, TextCache


@dataclass(frozen=True, slots=True)
class Sampler:
    """A network with its schedule."""

    network: Callable[[Tensor, Tensor, TextCache, Attention, Pruning | None], Tensor]
    """The transformer, or a program of it."""
    schedule: FlowSchedule

    def flow(
        self,
        x: Tensor,
        timestep: float | Tensor,
        text: TextCache,
        attention: Attention,
        *,
        pruning: Pruning | None = None,
        source: Tensor | None = None,
    ) -> Tensor:
        """Return the flow of latents `x [b f c h w]` at a timestep, a number or `[b]`.

        `source` has the shape of `x`, and is concatenated to it on channels.
        """
        times = torch.as_tensor(timestep, dtype=torch.float32, device=x.device)
        times = times.reshape(-1, 1).expand(x.shape[0], x.shape[1])
        inputs = x if source is None else torch.cat([x, source.to(x)], 2)
        return self.network(inputs, times, text, attention, pruning).to(x.dtype)

    def denoise(
        self,
        noisy: Tensor,
        timesteps: Sequence[float],
        text: TextCache,
        attend: Callable[[int], tuple[Attention, Pruning | None]],
        draw: Callable[[int], Tensor],
        source: Tensor | None = None,
    ) -> Tensor:
        """Return the clean latents `[b f c h w]` of a chunk.

        Args:
            noisy: latents at the noise level of the first timestep.
            timesteps: falling.
            text: keys and values of the prompt.
            attend: returns the attention of a step, from 0, and the pruning of its tokens.
            draw: returns the noise that is mixed in after a step, from 0; not asked for the last one.
            source: latents beside the noisy ones, where the network takes both.
        """
        x = noisy
        for step, timestep in enumerate(timesteps):
            if step:
                x = self.schedule.noised(x, draw(step - 1), timestep)
            attention, pruning = attend(step)
            flow = self.flow(x, timestep, text, attention, pruning=pruning, source=source)
            x = self.schedule.x0(flow, x, timestep)
        return x
