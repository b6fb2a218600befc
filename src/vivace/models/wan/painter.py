"""A step of the family: from frames of one or several streams to painted frames.

    frames ─▶ encode ─▶ denoise ─▶ context call ─▶ decode ─▶ frames

Streams whose chunks are alike are denoised in one batch, unless they have programs; each has a memory of its own. The
checkpoint decides how the source goes in: on channels beside the noise, noised to the first step's level, or into the
first row of a stream batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vivace.errors import StepError
from vivace.models.base import Chunk
from vivace.models.wan.components import Components
from vivace.models.wan.network import Attention, Pruning, TextCache, join_texts
from vivace.models.wan.ring import RollingMemory, RowsAttention
from vivace.models.wan.sampler import Sampler
from vivace.models.wan.stream_batch import StreamBatch
from vivace.models.wan.stream_state import WanStream
from vivace.models.wan.vae import denormalise
from vivace.runtime.torch.stages import StageTimer

PRUNED_STEPS = (1, 2)
"""Steps of a chunk in which LiveEdit's mask cache prunes tokens."""
SOURCE_DRAW = 63
"""Number of the draw that noises the source; smaller numbers noise between steps."""
MIN_TIMESTEP = 20.0
"""The least timestep that a weakly noised source is denoised from."""


@dataclass(slots=True)
class Job:
    """One chunk of one stream."""

    state: WanStream
    source: Tensor
    """Latents `[1 f c h w]` of the source, normalised where the transformer takes them so."""
    pictures: Tensor
    """Frames `uint8 [t h w 3]` of the source."""
    text: TextCache
    options: Mapping[str, Any]
    strength: float
    region: Tensor | None = None
    """Indices of the tokens of a latent frame that are computed, where the region cache leaves some out."""
    clean: Tensor | None = None
    """Denoised latents `[1 f c h w]`; None while a stream batch fills up."""

    @property
    def prunes(self) -> bool:
        """True where the mask cache is on, and the region cache is not."""
        return bool(self.options.get("mask_cache")) and not self.options.get("region_cache")

    @property
    def ring(self) -> RollingMemory:
        """Memory of a stream whose steps are taken in turn."""
        [memory] = self.state.memories
        assert isinstance(memory, RollingMemory)
        return memory

    @property
    def stays(self) -> Tensor:
        """True for each token of a latent frame that the region cache leaves out, `[n]` bool."""
        stays = torch.ones(self.ring.rotary.grid.tokens, dtype=torch.bool, device=self.source.device)
        stays[self.region] = False
        return stays

    @property
    def work(self) -> float | None:
        """Share of the tokens that is computed; None where none is left out."""
        return None if self.region is None else len(self.region) / self.ring.rotary.grid.tokens

    def carry(self, frames: int) -> Tensor:
        """Give tokens that stay their keys and values; return the indices of the others in a chunk of `frames`."""
        assert self.region is not None
        self.ring.carry(frames, self.stays.nonzero()[:, 0])
        return self.ring.part_of(frames, self.region)

    def keep(self, clean: Tensor) -> Tensor:
        """Return denoised latents `[1 f c h w]` with those of the last latent frame where tokens stay."""
        grid, last = self.ring.rotary.grid, self.state.clean[-1][:, :, : clean.shape[2]]
        height, width = clean.shape[-2] // grid.height, clean.shape[-1] // grid.width
        stays = self.stays.view(grid.height, grid.width)
        return torch.where(stays.repeat_interleave(height, 0).repeat_interleave(width, 1), last, clean)


class Painter:
    """Paints chunks with the weights of one model."""

    def __init__(
        self, components: Components, sampler: Sampler, timer: StageTimer, defaults: Mapping[str, Any]
    ) -> None:
        """Paint with `components`; `defaults` are the values of options that a chunk leaves out."""
        self._components, self._sampler, self._timer, self._defaults = components, sampler, timer, defaults
        self._checkpoint = components.checkpoint
        self._sampling = components.checkpoint.sampling
        self._on_channels = components.checkpoint.source == "channels"
        self._steps = sampler.schedule.steps(self._sampling.steps, warped=self._sampling.warped)
        self._sigmas = [float(sampler.schedule.sigma(step)) for step in self._steps]

    def paint(self, states: Sequence[WanStream], chunks: Sequence[Chunk]) -> list[tuple[Tensor | None, float | None]]:
        """Return the frames `uint8 [n h w 3]` of each stream, and the share of its tokens that was computed.

        There are no frames while a stream batch fills up, and no share where nothing is left out.

        Raises:
            StepError: the network gave numbers that are not finite.
        """
        jobs = [self._begin(state, chunk) for state, chunk in zip(states, chunks, strict=True)]
        batches: dict[object, list[Job]] = {}
        for job in jobs:
            if job.state.batch is not None:
                self._advance_rows(job, job.state.batch)
                continue
            alone = job.prunes or job.region is not None or job.state.program is not None
            alike = (tuple(job.source.shape), tuple(self._timesteps(job)), id(job) if alone else None)
            batches.setdefault(alike, []).append(job)
        for batch in batches.values():
            self._denoise(batch)
        return [(self._decode(job), job.work) for job in jobs]

    def _begin(self, state: WanStream, chunk: Chunk) -> Job:
        options = {**self._defaults, **chunk.options}
        pictures = torch.tensor(chunk.rgb, device=self._device)
        with self._timer("encode"):
            source = self._components.autoencoder.encode(pictures, state.codec)
        if not self._checkpoint.normalised_in:
            source = denormalise(source)
        job = Job(state, source, pictures, self._text(state, chunk.embeds, options), options, chunk.strength)
        if options.get("region_cache"):
            asked = state.prompt.computed, tuple(self._timesteps(job))
            tokens = state.region_cache.choose(chunk.rgb, asked)
            job.region = None if tokens is None else tokens.to(self._device)
        else:
            state.region_cache.forget()
        return job

    def _decode(self, job: Job) -> Tensor | None:
        if job.clean is None:
            return None
        if not bool(job.clean.isfinite().all()):
            raise StepError("the network returned numbers that are not finite, so the stream is reset")
        with self._timer("decode"):
            return self._components.autoencoder.decode(job.clean, job.state.codec)

    @property
    def _device(self) -> torch.device:
        return self._components.network.patch_embedding.weight.device

    # -- the prompt ----------------------------------------------------------------------------------------------------

    def _text(self, state: WanStream, embeds: np.ndarray, options: Mapping[str, Any]) -> TextCache:
        """Return keys and values of the prompt for this chunk; another prompt begins as `prompt_switch` says."""
        prompt, network = state.prompt, self._components.network
        if not prompt.is_another(embeds):
            return prompt.next_chunk(network)
        how = "switch" if prompt.embeds is None or not state.chunk else options["prompt_switch"]
        with self._timer("prompt"):
            prompt.set(embeds, self._device, fade_chunks=int(options["fade_chunks"]) if how == "fade" else 0)
            text = prompt.next_chunk(network)
            if how == "recache":
                self._recache(state, text)
        return text

    def _recache(self, state: WanStream, text: TextCache) -> None:
        """Recompute the ring under another prompt (KV-recache of LongLive, Yang et al., 2025), frames seeing all."""
        past, memory = torch.cat([*state.clean], 1), state.memories[0]
        assert isinstance(memory, RollingMemory)
        assert self._sampling.context is not None
        recached = memory.recache(past.shape[1], keep_anchors=self._sampling.anchors_at_a_switch == "keep")
        self._sampler.flow(past, self._sampling.context, text, RowsAttention([recached]))

    # -- steps in turn over a ring -------------------------------------------------------------------------------------

    def _timesteps(self, job: Job) -> list[float]:
        """Return the timesteps of a chunk: of a noised source, those with no more noise than its strength."""
        if self._on_channels:
            return [*self._steps]
        first = next((at for at, sigma in enumerate(self._sigmas) if sigma <= job.strength + 1e-6), -1)
        return [*self._steps[first:]]

    def _denoise(self, jobs: Sequence[Job]) -> None:
        """Denoise chunks of several streams that have the same shape and timesteps, and write them to their rings."""
        sampler, sampling, program = self._sampler, self._sampling, jobs[0].state.program
        steps, frames = self._timesteps(jobs[0]), jobs[0].source.shape[1]
        if jobs[0].region is not None:
            part = jobs[0].carry(frames)
            sampler = Sampler(partial(self._components.network, part=part), sampler.schedule)
        elif program is not None:
            sampler = Sampler(program, sampler.schedule)
        source = torch.cat([job.source for job in jobs])
        beside = source if self._on_channels else None
        text = join_texts([job.text for job in jobs])

        def draw(index: int) -> Tensor:
            return torch.cat([job.state.noise(index, job.source) for job in jobs])

        noise = draw(SOURCE_DRAW)
        noisy = noise if self._on_channels else sampler.schedule.noised(source, noise, steps[0])
        with self._timer("denoise"):
            clean = sampler.denoise(noisy, steps, text, lambda step: self._attend(jobs, step), draw, beside)
        if jobs[0].region is not None:
            clean = jobs[0].keep(clean)
        if sampling.context is not None:
            with self._timer("context"):
                sampler.flow(clean, sampling.context, text, _rings(jobs, frames), source=beside)
        for row, job in enumerate(jobs):
            job.clean = clean[row : row + 1]
            self._finish(job, frames)

    def _finish(self, job: Job, frames: int) -> None:
        """Advance a stream's memory past the chunk that was denoised."""
        state = job.state
        assert job.clean is not None
        if self._sampling.context is not None:
            inputs = torch.cat([job.clean, job.source], 2) if self._on_channels else job.clean
            state.remember(inputs, self._sampling.window)
        for memory in state.memories:
            memory.advance(frames)
        if job.prunes:
            state.mask_cache.select(job.clean[0], job.source[0], float(job.options["mask_share"]))
        else:
            state.mask_cache.forget()
        state.chunk += 1

    def _attend(self, jobs: Sequence[Job], step: int) -> tuple[Attention, Pruning | None]:
        frames, cache = jobs[0].source.shape[1], jobs[0].state.mask_cache
        if not jobs[0].prunes:
            return _rings(jobs, frames), None
        if cache.kept is None or step not in PRUNED_STEPS:
            return _rings(jobs, frames), cache.full_step()
        return RowsAttention([jobs[0].ring.part(frames, cache.kept)]), cache.pruned_step()

    # -- steps as rows of a stream batch -------------------------------------------------------------------------------

    def _advance_rows(self, job: Job, batch: StreamBatch) -> None:
        """Let a chunk enter the stream batch; the chunk that leaves it, if any, is the job's result."""
        state, source = job.state, job.source
        state.motion.start = job.strength
        batch.timesteps = self._row_timesteps(job.strength)
        pictures = (job.pictures.float() / 127.5 - 1).permute(0, 3, 1, 2)
        noise = state.noise(SOURCE_DRAW, source)
        draws = [state.noise(step, source) for step in range(len(self._steps) - 1)]
        with self._timer("denoise"):
            if not state.chunk:
                state.motion.observe(pictures)
                noisy = torch.lerp(source, noise, job.strength)
                job.clean = batch.begin(noisy, job.text, draws)[-1]
            else:
                scale, first = state.motion.follow(pictures)
                noisy = torch.lerp(source, noise, scale)
                job.clean = batch.advance(noisy, max(float(first), MIN_TIMESTEP), job.text, draws)[-1]
        state.chunk += 1

    def _row_timesteps(self, strength: float) -> list[float]:
        """Return the timesteps of the rows, lowered in proportion where the source is noised less than usual."""
        lowered = min(1.0, strength / self._sampling.noise_scale)
        return [max(step * lowered, MIN_TIMESTEP) for step in self._steps]


def _rings(jobs: Sequence[Job], frames: int) -> RowsAttention:
    """Return attention of the next `frames` latent frames of each stream over its own ring."""
    if (region := jobs[0].region) is not None:
        return RowsAttention([jobs[0].ring.region(frames, region)])
    return RowsAttention([memory.chunk(frames) for job in jobs for memory in job.state.memories])
