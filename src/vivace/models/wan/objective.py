"""The training objective: flow matching under the causal attention that the model runs with.

Each chunk of a clip is noised to a level of its own and attends to the clean chunks before it (teacher forcing), as it
does while a stream runs. A model whose steps are rows of a stream batch has one level for the clip instead, and attends
to chunks at that level, as its rows do.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vivace.diffusion.shifted_flow import FlowSchedule
from vivace.models.wan.network import WanNetwork
from vivace.models.wan.profile import Sampling
from vivace.models.wan.rope import Rotary
from vivace.models.wan.views import ClipAttention, block_causal, chunk_lengths, teacher_forcing


def flow_loss(
    network: WanNetwork,
    sampling: Sampling,
    clean: Tensor,
    embeds: Tensor,
    generator: torch.Generator,
    source: Tensor | None = None,
) -> Tensor:
    """Return the flow matching loss of a clip, weighted by noise level as Wan was trained.

    Args:
        network: the transformer.
        sampling: of the checkpoint.
        clean: normalised latents `[1 f c h w]`, a whole number of chunks.
        embeds: text features `[1 t d]`.
        generator: of the CPU, so that the same is drawn on every device.
        source: latents `[1 f c h w]` beside the noise, where the network takes both.

    Raises:
        ValueError: latents that make no whole number of chunks.
    """
    schedule, frames = FlowSchedule(sampling.shift), clean.shape[1]
    chunks = chunk_lengths(frames, sampling.chunk, first=sampling.first_chunk)
    levels = torch.randint(schedule.entries, (len(chunks),), generator=generator)
    if sampling.stream_batch:
        levels = levels[:1].expand(len(chunks))
    entries = levels.repeat_interleave(torch.tensor(chunks))[None]
    noise = torch.randn(clean.shape, generator=generator).to(clean.device)
    timesteps = schedule.timesteps[entries].to(clean.device)
    noisy = schedule.noised(clean, noise, timesteps)
    if sampling.stream_batch:
        x, times, positions, views = noisy, timesteps, [*range(frames)], block_causal(chunks)
    else:
        x = torch.cat([clean, noisy], 1)
        times = torch.cat([torch.full_like(timesteps, sampling.context or 0.0), timesteps], 1)
        positions, views = [*range(frames), *range(frames)], teacher_forcing(chunks)
    if source is not None:
        x = torch.cat([x, source.repeat(1, x.shape[1] // frames, 1, 1, 1)], 2)
    rotary = Rotary(network.cfg.head_dim, network.grid(*clean.shape[-2:]), clean.device)
    flow = network(x, times, network.encode_text(embeds), ClipAttention(rotary, positions, views))
    error = (flow[:, -frames:].float() - (noise - clean)).square().mean((2, 3, 4))
    return (schedule.training_weights()[entries].to(error) * error).mean()
