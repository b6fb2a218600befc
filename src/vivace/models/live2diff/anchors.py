"""Anchors of a stream: when they are rebuilt, and from which frames.

The network was trained with eight frames that attend to each other and that all later frames attend to. A live stream
cannot wait for eight frames, so its window grows from the first one on. Once there are eight frames, they are denoised
together and replace what they had left one by one: from then on the memory equals that of a warm-up. The same happens
on request, by age, and once a new prompt or strength has settled, always with the last eight frames.

Anchors are rebuilt row by row, one row per call, so that every frame attends to anchors of earlier frames only, and the
work of eight frames in every row is spread out. Alternatively the rolling half of the ring is copied: free of cost, but
those frames have attended only to their past.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass

import torch
from torch import Tensor

from vivace.diffusion.lcm import LcmSchedule, add_noise, predict_x0, rows_of
from vivace.models.live2diff.guidance import guide, residual_noise
from vivace.models.live2diff.motion import ClipContext, KvCache
from vivace.models.live2diff.window import ANCHORS, ROLLING, SLOTS, rolling_slots

SETTLED_FRAMES = ROLLING
"""Frames after which a change has settled: the window then holds nothing older."""

Predict = Callable[[Tensor, Tensor, Tensor, Tensor, ClipContext], Tensor]
"""The network as a function of `x_t`, depth, timesteps, text and context that returns predicted noise."""


class AnchorClock:
    """Schedule of anchor rebuilds. Counts frames, uses no tensors."""

    def __init__(self) -> None:
        self.every = 0
        """Frames after which anchors are rebuilt; 0 is never."""
        self.joint = True
        """True if anchors are denoised together, false if they are copied from the window."""
        self._asked = False
        self._set_at: int | None = None
        self._look: Hashable = None
        self._calm_frames = 0
        self._stale = False

    def begin_scene(self) -> None:
        """Forget the past; the next frame is number 0."""
        self._asked = self._stale = False
        self._set_at = None
        self._calm_frames = 0

    def ask(self) -> None:
        """Request a rebuild as soon as possible."""
        self._asked = True

    def due(self, number: int, look: Hashable) -> bool:
        """Return whether to rebuild the anchors before frame `number` of a scene, which is made under `look`.

        True counts as done: the next rebuild is scheduled from here.
        """
        if look != self._look:
            self._stale = self._look is not None and number > 0
            self._look, self._calm_frames = look, 0
        else:
            self._calm_frames += 1
        if number < (ANCHORS if self.joint else SLOTS):
            return False
        first = self._set_at is None and self.joint
        old = self.every > 0 and number - (self._set_at or 0) >= self.every
        settled = self._stale and self._calm_frames >= SETTLED_FRAMES
        if not (first or old or settled or self._asked):
            return False
        self._asked = self._stale = False
        self._set_at = number
        return True


@dataclass(slots=True)
class AnchorClip:
    """Eight frames that pass the rows together and leave their keys and values in each row's anchors."""

    latents: Tensor
    """Latents `[8 4 h w]`: clean at first, then the output of the last row run."""
    depth: Tensor
    """Depth latents `[8 4 h w]`."""
    text: Tensor
    """Prompt embedding `[m d]`."""
    noise: Tensor
    """Noise `[t 8 4 h w]`, or `[t 1 4 h w]` if shared by all frames."""
    schedule: LcmSchedule
    guidance: tuple[float, float] | None = None
    """Guidance scale and delta."""
    negative: Tensor | None = None
    """Negative prompt embedding `[m d]`; its predictions use the last row of the cache."""
    row: int = 0
    """Next row to run."""
    origin: Tensor | None = None

    @property
    def done(self) -> bool:
        """True once all rows have been run."""
        return self.row == len(self.schedule)

    def advance(self, predict: Predict, cache: KvCache) -> None:
        """Run the next row."""
        level = rows_of(self.schedule, self.row, self.row + 1)
        x_t = add_noise(self.latents, self.noise[self.row].expand_as(self.latents), level)
        if self.guidance is not None and self.origin is None:
            self.origin = self.latents
            if self.negative is not None:
                last = ClipContext(ANCHORS, cache=cache, row=len(self.schedule))
                predicted = predict(x_t, self.depth, level.timesteps, self.negative[None], last)
                self.origin = predict_x0(x_t, predicted, level)
        context = ClipContext(ANCHORS, cache=cache, row=self.row)
        predicted = predict(x_t, self.depth, level.timesteps, self.text[None], context)
        if self.guidance is not None and self.origin is not None:
            residual = residual_noise(x_t, self.origin, level.sqrt_alpha, level.sqrt_beta)
            scale, delta = (torch.tensor(value, device=x_t.device) for value in self.guidance)
            predicted = guide(predicted, residual, scale, delta)
        self.latents = predict_x0(x_t, predicted, level)
        self.row += 1


@dataclass(slots=True)
class AnchorCopy:
    """Copy of the rolling half of the ring into the anchors, row by row."""

    number: int
    """Number of the last frame in the copied window."""
    rows: int
    extra_row: bool = False
    """True if the cache has a row for negative predictions, which is copied with row 0."""
    row: int = 0

    @property
    def done(self) -> bool:
        """True once all rows have been copied."""
        return self.row == self.rows

    def advance(self, predict: Predict, cache: KvCache) -> None:
        """Copy the next row."""
        del predict
        rows = [self.row, self.rows] if self.extra_row and self.row == 0 else [self.row]
        slots = rolling_slots(self.number)
        for layer in cache.layers:
            for row in rows:
                layer[row, :, :, :ANCHORS] = layer[row][:, :, slots]
        self.row += 1
