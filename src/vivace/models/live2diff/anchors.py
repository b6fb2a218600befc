"""The anchors of a stream: when they are set anew, and from what.

The network was trained with eight frames that see each other and that all later frames see. A live stream cannot wait
for eight frames, so its window grows from the first one on. When eight frames are there, they are denoised together and
take the place of what they had left one by one: from then on the stream holds what a warm-up would have left. The same
happens on request, by age, and once a new prompt or strength has settled, always with the last eight frames.

Setting the anchors goes row by row, one a call, so that every frame meets anchors made of the frames before it, and the
work of eight frames in every row is spread out. Instead of that work, the rolling half of the ring can be copied: free,
but its frames have seen only their past.
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
"""A change has settled when it has stood for so many frames: the window then holds nothing older."""

Predict = Callable[[Tensor, Tensor, Tensor, Tensor, ClipContext], Tensor]
"""Of the network: `x_t`, depth, timesteps, text, context to noise."""


class AnchorClock:
    """Tells when the anchors are due. Counts frames; knows no tensors."""

    def __init__(self) -> None:
        self.every = 0
        """Frames after which anchors are too old; 0 is never."""
        self.joint = True
        """Whether anchors are denoised together, or copied from the window."""
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
        """Set the anchors anew as soon as possible."""
        self._asked = True

    def due(self, number: int, look: Hashable) -> bool:
        """Take frame `number` of a scene, made under `look`; return whether its anchors shall be set before it.

        A True is taken for done: the next is counted from here.
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
    """Eight frames on their way through the rows together, leaving keys and values in the anchors of each."""

    latents: Tensor
    """`[8 4 h w]`: clean at first, then what the last row made of them."""
    depth: Tensor
    """`[8 4 h w]`"""
    text: Tensor
    """`[m d]`"""
    noise: Tensor
    """`[t 8 4 h w]`, or 1 for 8 where all frames share it."""
    schedule: LcmSchedule
    guidance: tuple[float, float] | None = None
    """Scale and delta."""
    negative: Tensor | None = None
    """`[m d]` of the row that predicts under the negative prompt, the last of the cache."""
    row: int = 0
    """The next row."""
    origin: Tensor | None = None

    @property
    def done(self) -> bool:
        """Whether all rows have been run."""
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
    """The rolling half of the ring on its way into the anchors, row by row."""

    number: int
    """Of the last frame that the window shall hold."""
    rows: int
    extra_row: bool = False
    """Whether the cache has a row for negative predictions, which goes with row 0."""
    row: int = 0

    @property
    def done(self) -> bool:
        """Whether all rows have been copied."""
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
