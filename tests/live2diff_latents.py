"""Latents through the stream batch, without pictures: complete clips, and the reference's window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vivace.models.live2diff.batch import StreamBatch
from vivace.models.live2diff.state import LiveState
from vivace.models.live2diff.window import ANCHORS, RowWindow, row_window


@dataclass(frozen=True, slots=True)
class LatentFrame:
    """New frame of a stream."""

    latents: Tensor
    """Clean latents, `[4 h w]`."""
    depth: Tensor
    """`[4 h w]`"""
    text: Tensor
    """Embedding of the prompt, `[m d]`, which may change from frame to frame."""
    noise: Tensor | None = None
    """Noise of this call, `[t 4 h w]`, whatever frames are in the rows."""


class Denoised(NamedTuple):
    """Result of one call for one stream's rows."""

    noise: Tensor
    """`[t 4 h w]` predicted."""
    x0: Tensor
    """`[t 4 h w]` predicted."""
    ready: bool
    """True if the last row held a frame; false for the first `t - 1` calls."""

    @property
    def latents(self) -> Tensor | None:
        """Latents of the finished frame, `[4 h w]`, if there is one."""
        return self.x0[-1] if self.ready else None


@torch.inference_mode()
def step(batch: StreamBatch, states: Sequence[LiveState], frames: Sequence[LatentFrame]) -> list[Denoised]:
    """Take one new frame of each stream; all streams have latents of one size."""
    for state, frame in zip(states, frames, strict=True):
        state.entering[0], state.entering[1] = frame.latents, frame.depth
        batch.enter(state, frame.text)
        if frame.noise is not None:
            state.noise.copy_(frame.noise)
    return [Denoised(*result, state.ready) for result, state in zip(batch.denoise(states), states, strict=True)]


@torch.inference_mode()
def warm_up(
    batch: StreamBatch, state: LiveState, latents: Tensor, depth: Tensor, text: Tensor, *, noise: Tensor | None = None
) -> Tensor:
    """Reset the memory, denoise eight frames together and make them the anchors; return their `[8 4 h w]`.

    `latents`, `depth`: `[8 4 h w]`; `text [m d]`; `noise [t 8 4 h w]` or `[t 1 4 h w]` replaces the state's.
    """
    assert len(latents) == ANCHORS
    batch.reset(state)
    noise = state.settings.noise.values[:, None] if noise is None else noise
    clip = batch._clip(state, latents, depth, text, noise)
    while not clip.done:
        clip.advance(batch._predict, state.cache)
    state.text[:] = text
    state.recent[0], state.recent[1] = latents, depth
    state.next_number = ANCHORS
    state.clock.due(ANCHORS, batch._look(state))
    return clip.latents


def clip_visibility(frames: int) -> Tensor:
    """Return `[f f]` bool, the mask of training: anchors see each other, later frames see the anchors and the past."""
    frame = torch.arange(frames)
    return (frame[None, :] <= frame[:, None]) | ((frame[None, :] < ANCHORS) & (frame[:, None] < ANCHORS))


def reference_windows(call: int, rows: int) -> list[RowWindow]:
    """Return the windows of the published reference implementation: the same for up to two rows.

    It counts every row but the first from call 1, so that row r >= 2 attends to r - 1 frames that never existed, until
    their slots are overwritten.
    """
    windows = []
    for row in range(rows):
        visible, positions, slot = row_window(call if row == 0 else call - 1)
        if row and call == 0:
            slot = ANCHORS + 1 if row == 1 else ANCHORS
        windows.append((visible, positions, slot))
    return windows


class ReferenceBatch(StreamBatch):
    """The stream batch with the reference's windows, for streams that were warmed up and never cut."""

    def _windows(self, state: LiveState) -> list[RowWindow]:
        return reference_windows(state.next_number - 1 - ANCHORS, state.rows)
