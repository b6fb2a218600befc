"""A step of the family: from the frames of one or several streams to painted ones.

Streams that are alike are denoised in one batch; each remembers by itself. What a checkpoint was trained on decides
which way a chunk goes: with the source beside the noise on channels, from the noised source, or row by row through a
stream batch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vivace.errors import StepError
from vivace.models.base import Chunk
from vivace.models.wan.components import Components
from vivace.models.wan.network import TextCache
from vivace.models.wan.ring import RollingMemory, RowsAttention
from vivace.models.wan.sampler import Sampler, Seen
from vivace.models.wan.stream_batch import StreamBatch
from vivace.models.wan.stream_state import WanStream, text_of
from vivace.models.wan.vae import spread_out
from vivace.runtime.torch.stages import StageTimer

THINNED_STEPS = (1, 2)
"""Steps of a chunk that LiveEdit's mask cache leaves tokens out of."""
MIXED_IN = 63
"""Number of the draw that a source is noised with; those before it are noised again with."""
LEAST_TIMESTEP = 20.0
"""From which a source that is hardly noised is denoised."""


@dataclass(slots=True)
class Work:
    """A chunk of one stream."""

    state: WanStream
    source: Tensor
    """Latents `[1 f c h w]`, as the transformer takes them."""
    pictures: Tensor
    """Frames `uint8 [t h w 3]` that they are of."""
    text: TextCache
    options: Mapping[str, Any]
    strength: float
    made: Tensor | None = field(default=None)
    """Latents that are ready, if any are."""


class Painting:
    """The way of the pixels."""

    def __init__(
        self, components: Components, sampler: Sampler, timer: StageTimer, defaults: Mapping[str, Any]
    ) -> None:
        """Paint with a model's weights; `defaults` are those of its options."""
        self._components, self._sampler, self._timer, self._defaults = components, sampler, timer, defaults
        self._checkpoint = components.checkpoint
        self._sampling = components.checkpoint.sampling
        self._steps = sampler.schedule.steps(self._sampling.steps, warped=self._sampling.warped)
        self._sigmas = [float(sampler.schedule.sigma(step)) for step in self._steps]

    def paint(self, states: Sequence[WanStream], chunks: Sequence[Chunk]) -> list[Tensor | None]:
        """Return the pictures `uint8 [n h w 3]` of each stream that are ready."""
        works = [self._begin(state, chunk) for state, chunk in zip(states, chunks, strict=True)]
        self._denoise(works)
        return [None if work.made is None else self._show(work) for work in works]

    def _begin(self, state: WanStream, chunk: Chunk) -> Work:
        options = {**self._defaults, **chunk.options}
        pictures = torch.tensor(chunk.rgb, device=self._components.network.patch_embedding.weight.device)
        with self._timer("encode"):
            source = self._components.autoencoder.encode(pictures, state.codec)
        if not self._checkpoint.normalised_in:
            source = spread_out(source)
        text = self._read(state, chunk.embeds, options)
        return Work(state, source, pictures, text, options, chunk.strength)

    # -- prompts -------------------------------------------------------------------------------------------------------

    def _read(self, state: WanStream, embeds: np.ndarray, options: Mapping[str, Any]) -> TextCache:
        """Return what cross-attention needs of the prompt at this chunk, which begins as the user wants."""
        words = state.words
        if words.embeds is None or (
            embeds is not words.embeds and not (embeds.shape == words.embeds.shape and (embeds == words.embeds).all())
        ):
            before, words.embeds = words.embeds, embeds
            with self._timer("prompt"):
                self._change(state, before, options)
        words.embeds = embeds
        if words.fading_from is not None:
            words.done += 1
            share = min(1.0, words.done / words.length)
            words.text = text_of(self._components.network, _between(words.fading_from, self._features(embeds), share))
            words.fading_from = None if share == 1 else words.fading_from
        if words.text is None:
            words.text = text_of(self._components.network, self._features(embeds))
        return words.text

    def _change(self, state: WanStream, before: np.ndarray | None, options: Mapping[str, Any]) -> None:
        words = state.words
        assert words.embeds is not None
        how = options["prompt_switch"]
        if before is not None and state.chunk and how == "fade":
            # Of a fade that goes on, what is between its ends now.
            now = self._features(before)
            if words.fading_from is not None:
                now = _between(words.fading_from, now, words.done / words.length)
            words.fading_from, words.done, words.length = now, 0, int(options["fade_chunks"])
            return
        words.fading_from = None
        words.text = text_of(self._components.network, self._features(words.embeds))
        if before is not None and state.clean and how == "recache":
            self._recache(state, words.text)

    def _recache(self, state: WanStream, text: TextCache) -> None:
        """Compute the past anew under another prompt (LongLive, Yang et al., 2025); all of it sees each other."""
        past, memory = torch.cat([*state.clean], 1), state.memories[0]
        assert isinstance(memory, RollingMemory)
        assert self._sampling.context is not None
        again = memory.again(past.shape[1], keep_anchors=self._sampling.anchors_at_a_switch == "keep")
        self._sampler.flow(past, self._sampling.context, text, (RowsAttention([again]), None))

    def _features(self, embeds: np.ndarray) -> Tensor:
        return torch.tensor(embeds, device=self._components.network.patch_embedding.weight.device)

    # -- chunks --------------------------------------------------------------------------------------------------------

    def _denoise(self, works: Sequence[Work]) -> None:
        together: dict[object, list[Work]] = {}
        for work in works:
            state = work.state
            if state.batch is not None:
                self._through_rows(work, state.batch)
                continue
            thins = self._thins(work)
            alike = (tuple(work.source.shape), tuple(self._turns(work)), id(work) if thins else None)
            together.setdefault(alike, []).append(work)
        for group in together.values():
            self._in_turn(group)

    def _turns(self, work: Work) -> list[float]:
        """Return the timesteps of a chunk: of a source that is noised, those at no more noise than its strength."""
        if self._checkpoint.source == "channels":
            return [*self._steps]
        first = next((at for at, sigma in enumerate(self._sigmas) if sigma <= work.strength + 1e-6), -1)
        return [*self._steps[first:]]

    def _in_turn(self, works: Sequence[Work]) -> None:
        """Denoise the chunks of streams that are alike, all steps in turn, and remember them."""
        sampler, sampling = self._sampler, self._sampling
        steps, frames = self._turns(works[0]), works[0].source.shape[1]
        source = torch.cat([work.source for work in works])
        beside = source if self._checkpoint.source == "channels" else None
        noise = torch.cat([work.state.noise(MIXED_IN, work.source) for work in works])
        x = noise if beside is not None else sampler.schedule.noised(source, noise, steps[0])
        text = _joined([work.text for work in works])

        def again(step: int) -> Tensor:
            return torch.cat([work.state.noise(step, work.source) for work in works])

        with self._timer("denoise"):
            made = sampler.denoise(x, steps, text, lambda step: self._seen(works, step), again, beside)
        if sampling.context is not None:
            with self._timer("remember"):
                sampler.flow(made, sampling.context, text, (self._rows(works, frames), None), beside)
        for row, work in enumerate(works):
            state = work.state
            work.made = made[row : row + 1]
            if sampling.context is not None:
                kept = work.made if beside is None else torch.cat([work.made, work.source], 2)
                state.remember(kept, sampling.window)
            for memory in state.memories:
                memory.keep(frames)
            if self._thins(work):
                state.mask_cache.see(work.made[0], work.source[0])
            else:
                state.mask_cache.forget()
            state.chunk += 1

    def _thins(self, work: Work) -> bool:
        """Tell whether the mask cache is on, and set it as the user wants."""
        if self._checkpoint.source != "channels" or not work.options["mask_cache"]:
            return False
        work.state.mask_cache.share = float(work.options["mask_share"])
        return True

    def _seen(self, works: Sequence[Work], step: int) -> Seen:
        frames, cache = works[0].source.shape[1], works[0].state.mask_cache
        if not self._thins(works[0]):
            return self._rows(works, frames), None
        [memory] = works[0].state.memories
        if cache.kept is not None and step in THINNED_STEPS:
            assert isinstance(memory, RollingMemory)
            return RowsAttention([memory.part(frames, cache.kept)]), cache.thin()
        return self._rows(works, frames), cache.refresh()

    def _rows(self, works: Sequence[Work], frames: int) -> RowsAttention:
        return RowsAttention([memory.chunk(frames) for work in works for memory in work.state.memories])

    def _through_rows(self, work: Work, batch: StreamBatch) -> None:
        """Let a chunk enter a stream batch; what leaves it is made."""
        state, source = work.state, work.source
        state.motion.start = work.strength
        batch.timesteps = self._row_timesteps(work.strength)
        pictures = (work.pictures.float() / 127.5 - 1).permute(0, 3, 1, 2)
        mixed_in = state.noise(MIXED_IN, source)
        draws = [state.noise(step, source) for step in range(len(self._steps) - 1)]
        with self._timer("denoise"):
            if not state.chunk:
                state.motion.see(pictures)
                noisy = work.strength * mixed_in + (1 - work.strength) * source
                work.made = batch.begin(noisy, work.text, draws)[-1]
            else:
                scale, first = state.motion.follow(pictures)
                noisy = scale * mixed_in + (1 - scale) * source
                work.made = batch.advance(noisy, max(float(first), LEAST_TIMESTEP), work.text, draws)[-1]
        state.chunk += 1

    def _row_timesteps(self, strength: float) -> list[float]:
        """Return the timesteps of the rows: the list's, and as much lower as a source is noised less than usual."""
        lowered = min(1.0, strength / self._sampling.noise_scale)
        return [max(step * lowered, LEAST_TIMESTEP) for step in self._steps]

    def _show(self, work: Work) -> Tensor:
        assert work.made is not None
        if not bool(work.made.isfinite().all()):
            raise StepError("the network gave numbers that are not finite; the stream begins anew")
        with self._timer("decode"):
            return self._components.autoencoder.decode(work.made, work.state.codec)


def _between(first: Tensor, second: Tensor, share: float) -> Tensor:
    """Return text features `[t d]` so far from the first towards the second, the shorter one filled up with zeros."""
    length = max(len(first), len(second))
    first, second = (F.pad(each, (0, 0, 0, length - len(each))) for each in (first, second))
    return torch.lerp(first, second, share)


def _joined(texts: Sequence[TextCache]) -> TextCache:
    """Return the prompts of several streams as one."""
    if len({id(text) for text in texts}) == 1:
        return texts[0]
    return [tuple(torch.cat(parts) for parts in zip(*layer, strict=True)) for layer in zip(*texts, strict=True)]
