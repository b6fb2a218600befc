"""The stream batch (Kodaira et al., 2023; for video StreamDiffusionV2): every step is a row, every call moves all rows.

A chunk enters at the noisiest row, moves down one row a call, and leaves the last row clean. Each row has a memory of
frames at its own noise level, so that this is another model than steps in turn. A row that no chunk has reached yet is
not computed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from vivace.models.wan.anchor_memory import AnchorMemory
from vivace.models.wan.network import TextCache
from vivace.models.wan.ring import RowsAttention
from vivace.models.wan.sampler import Sampler


@dataclass(slots=True)
class StreamBatch:
    """The rows of one stream, noisiest first."""

    sampler: Sampler
    timesteps: Sequence[float]
    """Timesteps of the rows."""
    memories: Sequence[AnchorMemory]
    idle_rows_run: bool = False
    """A fault of the published code: rows that no chunk has reached run on zeros, and remember them."""
    _inside: list[Tensor | None] = field(init=False)
    _entered: int = field(default=0, init=False)
    """Chunks that have entered, at most as many as there are rows."""

    def __post_init__(self) -> None:
        """Begin empty."""
        self._inside = [None] * len(self.timesteps)

    def forget(self) -> None:
        """Begin anew; chunks inside are lost."""
        self._inside, self._entered = [None] * len(self.timesteps), 0
        for memory in self.memories:
            memory.forget()

    def begin(self, noisy: Tensor, text: TextCache, draws: Sequence[Tensor]) -> list[Tensor]:
        """Return the clean latents that each step predicts for the first latents `[1 f c h w]` of a stream.

        Steps are taken in turn over one memory, which all rows then begin from.
        """
        x, frames, made = noisy, noisy.shape[1], []
        first = self.memories[0]
        for step, timestep in enumerate(self.timesteps):
            if step:
                x = self.sampler.schedule.noised(x, draws[step - 1], timestep)
            attention = RowsAttention([first.chunk(frames, begins=step == 0)])
            x = self.sampler.schedule.x0(self.sampler.flow(x, timestep, text, attention), x, timestep)
            made.append(x)
        first.advance(frames)
        for memory in self.memories[1:]:
            memory.copy_from(first)
        return made

    def advance(self, noisy: Tensor, timestep: float, text: TextCache, draws: Sequence[Tensor]) -> list[Tensor | None]:
        """Let a latent `[1 1 c h w]` enter and move all others down; return the clean latents, None of an idle row.

        Args:
            noisy: latent at the noise level that it is denoised from.
            timestep: of the first row, in place of its own.
            text: keys and values of the prompt.
            draws: noise for every row but the last.
        """
        self._inside[0] = noisy
        self._entered = min(self._entered + 1, len(self.timesteps))
        if self.idle_rows_run:
            self._inside = [torch.zeros_like(noisy) if x is None else x for x in self._inside]
        rows = [row for row, x in enumerate(self._inside) if x is not None]
        times = [timestep, *self.timesteps[1:]]
        x = torch.cat([x for x in self._inside if x is not None])
        now = torch.tensor([times[row] for row in rows])
        attention = RowsAttention([self.memories[row].chunk(1) for row in rows])
        clean_latents = self.sampler.schedule.x0(self.sampler.flow(x, now, text, attention), x, now)
        made: list[Tensor | None] = [None] * len(times)
        following: list[Tensor | None] = [None] * len(times)
        for at, row in enumerate(rows):
            made[row] = clean = clean_latents[at : at + 1]
            if row + 1 < len(times):
                following[row + 1] = self.sampler.schedule.noised(clean, draws[row], times[row + 1])
        self._inside = following
        for memory in self.memories[: self._entered]:
            memory.advance(1)
        return made
