"""The state of a stream: everything it remembers, in buffers that are allocated once and written in place."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor

from vivace.diffusion.lcm import LcmSchedule
from vivace.memory.ring import Ring
from vivace.models.live2diff.anchors import AnchorClip, AnchorClock, AnchorCopy
from vivace.models.live2diff.controls import Guidance
from vivace.models.live2diff.motion import KvCache
from vivace.models.live2diff.noise import Noise, Shift
from vivace.models.live2diff.window import ANCHORS, SLOTS

RECENT = Ring(0, ANCHORS)
"""The frames that new anchors are made of."""
NO_GUIDANCE = (1.0, 1.0)
_WINDOW_COLUMNS = 2 * SLOTS + 1


class NoiseLevel(NamedTuple):
    """One row of a schedule as plain numbers."""

    timestep: float
    sqrt_alpha: float
    sqrt_beta: float
    c_skip: float
    c_out: float


def levels_of(schedule: LcmSchedule) -> tuple[NoiseLevel, ...]:
    """Return the rows of a schedule as plain numbers."""
    columns = (schedule.timesteps, schedule.sqrt_alpha, schedule.sqrt_beta, schedule.c_skip, schedule.c_out)
    return tuple(NoiseLevel(*row) for row in zip(*(column.tolist() for column in columns), strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class FrameSettings:
    """What a frame is made with; moves down the rows with it."""

    schedule: LcmSchedule
    levels: tuple[NoiseLevel, ...]
    noise: Noise
    shift: Shift = (0, 0)
    """How far the noise has moved, in latents down and right."""
    guidance: tuple[float, float] = NO_GUIDANCE
    """Scale and delta."""


@dataclass(frozen=True, slots=True, eq=False)
class InsideFrame:
    """A frame inside."""

    number: int
    """In its scene, from 0."""
    settings: FrameSettings


@dataclass(slots=True)
class LiveState:
    """All that one stream remembers; allocated once, written in place.

    Latents and noise are float32 whatever the weights are: a step's small differences would drown in half precision.
    With guidance by a negative prompt there is one row more in the cache and in the tables than there are steps.
    """

    settings: FrameSettings
    """Of the frames to come."""
    guidance: Guidance
    entering: Tensor
    """`[2 4 h w]`: clean latents and depth latents of the next frame."""
    latents: Tensor
    """`[t 4 h w]`: noisy latents the rows take at the next call; row 0 is filled by the new frame."""
    depth: Tensor
    """`[t 4 h w]`: depth latents of the frames in the rows."""
    origin: Tensor
    """`[t 4 h w]`: where guidance leads away from; unused without it."""
    noise: Tensor
    """`[t 4 h w]`: with what the frame that moves into row r is noised."""
    text: Tensor
    """`[t m d]`: prompts of the frames in the rows."""
    negative: Tensor
    """`[m d]`"""
    finished: Tensor
    """`[4 h w]`: what left the last row."""
    levels: Tensor
    """`[r 9]`: timestep and constants of the row, constants of the row it moves into, guidance."""
    tables: Tensor
    """`[r 33]` int64: visible slots, positions, written slot."""
    recent: Tensor
    """`[2 8 4 h w]`: latents and depth of the last eight frames, in slots of `RECENT`."""
    cache: KvCache
    clock: AnchorClock = field(default_factory=AnchorClock)
    inside: deque[InsideFrame | None] = field(default_factory=deque)
    """The frames in the rows."""
    next_number: int = 0
    """Of the next frame in its scene."""
    weights_version: int = 0
    """Changes when the weights do, since anchors made with others are stale."""
    text_version: int = 0
    """Changes with the prompt."""
    new_anchors: AnchorClip | AnchorCopy | None = None
    """What is on its way into the anchors."""
    recent_shifts: list[Shift] = field(default_factory=lambda: [(0, 0)] * RECENT.slots)

    @classmethod
    def allocate(
        cls, settings: FrameSettings, guidance: Guidance, cache: KvCache, height: int, width: int, text: tuple[int, int]
    ) -> LiveState:
        """Return an empty state on the present device; `text` is the shape of a prompt's embedding."""
        rows = len(settings.levels)
        frames = (rows, 4, height, width)
        table_rows = rows + (guidance == "initialize")
        return cls(
            settings=settings,
            guidance=guidance,
            entering=torch.zeros(2, *frames[1:]),
            latents=torch.zeros(frames),
            depth=torch.zeros(frames),
            origin=torch.zeros(frames),
            noise=torch.zeros(frames),
            text=torch.zeros(rows, *text),
            negative=torch.zeros(text),
            finished=torch.zeros(frames[1:]),
            levels=torch.zeros(table_rows, len(NoiseLevel._fields) + 4),
            tables=torch.zeros(table_rows, _WINDOW_COLUMNS, dtype=torch.int64),
            recent=torch.zeros(2, RECENT.slots, *frames[1:]),
            cache=cache,
        )

    @property
    def rows(self) -> int:
        """Denoising rows."""
        return len(self.latents)

    @property
    def buffers(self) -> tuple[Tensor, ...]:
        """Everything but the cache."""
        frames = (self.entering, self.latents, self.depth, self.origin, self.noise, self.finished, self.recent)
        return (*frames, self.text, self.negative, self.levels, self.tables)

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers."""
        return self.cache.nbytes + self.settings.noise.values.nbytes + sum(buffer.nbytes for buffer in self.buffers)

    @property
    def ready(self) -> bool:
        """Whether the last row holds a frame."""
        return self.inside[-1] is not None
