"""State of a stream: its complete memory, in buffers that are allocated once and written in place."""

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
"""Slots of the recent frames from which anchors are rebuilt."""
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
    """Settings of a frame, which move down the rows with it."""

    schedule: LcmSchedule
    levels: tuple[NoiseLevel, ...]
    noise: Noise
    shift: Shift = (0, 0)
    """Shift of the noise, in latents down and right."""
    guidance: tuple[float, float] = NO_GUIDANCE
    """Guidance scale and delta."""


@dataclass(frozen=True, slots=True, eq=False)
class InsideFrame:
    """Frame in a row."""

    number: int
    """Number in its scene, from 0."""
    settings: FrameSettings


@dataclass(slots=True)
class LiveState:
    """Complete memory of one stream; allocated once, written in place.

    Latents and noise are float32 whatever the type of the weights: half precision would lose a step's small
    differences. With a negative prompt, the cache and the tables have one row more than there are steps.
    """

    settings: FrameSettings
    """Settings of coming frames."""
    guidance: Guidance
    entering: Tensor
    """Clean latents and depth latents of the next frame, `[2 4 h w]`."""
    latents: Tensor
    """Noisy latents that the rows take at the next call, `[t 4 h w]`; row 0 is filled by the new frame."""
    depth: Tensor
    """Depth latents of the frames in the rows, `[t 4 h w]`."""
    origin: Tensor
    """Origins of guidance, `[t 4 h w]`; unused without guidance."""
    noise: Tensor
    """Noise for the frame that moves into each row, `[t 4 h w]`."""
    text: Tensor
    """Prompts of the frames in the rows, `[t m d]`."""
    negative: Tensor
    """Negative prompt embedding `[m d]`."""
    finished: Tensor
    """Output of the last row, `[4 h w]`."""
    levels: Tensor
    """Timestep and constants of each row, constants of the row its frame moves into, and guidance, `[r 9]`."""
    tables: Tensor
    """Visible slots, positions and written slot of each row, `[r 33]` int64."""
    recent: Tensor
    """Latents and depth of the last eight frames, in slots of `RECENT`, `[2 8 4 h w]`."""
    cache: KvCache
    clock: AnchorClock = field(default_factory=AnchorClock)
    inside: deque[InsideFrame | None] = field(default_factory=deque)
    """Frames in the rows, the newest first; None is an empty row."""
    next_number: int = 0
    """Number of the next frame in its scene."""
    weights_version: int = 0
    """Version of the weights; anchors made with others are stale."""
    text_version: int = 0
    """Version of the prompt."""
    new_anchors: AnchorClip | AnchorCopy | None = None
    """Rebuild of the anchors in progress."""
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
        """Number of denoising rows."""
        return len(self.latents)

    @property
    def buffers(self) -> tuple[Tensor, ...]:
        """All buffers but the cache."""
        frames = (self.entering, self.latents, self.depth, self.origin, self.noise, self.finished, self.recent)
        return (*frames, self.text, self.negative, self.levels, self.tables)

    @property
    def nbytes(self) -> int:
        """Size of all buffers, bytes."""
        return self.cache.nbytes + self.settings.noise.values.nbytes + sum(buffer.nbytes for buffer in self.buffers)

    @property
    def ready(self) -> bool:
        """True if the last row holds a frame."""
        return self.inside[-1] is not None
