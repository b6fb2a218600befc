"""The stream batch: frames at every noise level in one call of the network (Kodaira et al., StreamDiffusion, 2023).

Row r of a call handles the frame that came r calls ago, at the r-th timestep. A frame enters as row 0, moves down one
row a call, and leaves as the last row's picture, `rows - 1` calls later. Each row has its own cache, so that a frame
attends to its neighbours at its own noise level.

Warm-up takes the first eight frames through all timesteps together and leaves their keys and values in the sinks.
Weights and state are apart: one `StreamBatch` serves any number of `LiveState`, several of the same size in one call.
Latents are `[4 h w]` a frame, an eighth of the picture's size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vivace.diffusion.lcm import LcmSchedule, add_noise, join_schedules, predict_x0, rows_of
from vivace.errors import ControlError, StepError
from vivace.models.live2diff.motion import Clip, Context, KvCache, Live
from vivace.models.live2diff.unet import Live2DiffUNet
from vivace.models.live2diff.window import SINKS, join_windows, reference_window_at, window_at


@dataclass(slots=True)
class LiveState:
    """All that one stream remembers; allocated once, written in place.

    Latents and noise are float32 whatever the weights are: a step's small differences would drown in half precision.
    """

    schedule: LcmSchedule
    """Timesteps of the rows."""
    noise: Tensor
    """`[t 4 h w]`: what row r's frames are noised with, the same for every frame, so that texture stands still."""
    latents: Tensor
    """`[t 4 h w]`: noisy latents the rows take at the next call; row 0 is filled by the new frame."""
    depth: Tensor
    """`[t 4 h w]`: depth latents of the frames in the rows."""
    cache: KvCache
    follow_reference: bool = False
    """Use the reference's window schedule, which shows rows from the third on frames that never were."""
    calls: int = 0
    """Calls since the warm-up."""
    warm: bool = False

    @property
    def rows(self) -> int:
        """Denoising rows."""
        return len(self.latents)

    @property
    def nbytes(self) -> int:
        """Bytes of all buffers."""
        return self.cache.nbytes + self.noise.nbytes + self.latents.nbytes + self.depth.nbytes


@dataclass(frozen=True, slots=True)
class LatentFrame:
    """One new frame of a stream."""

    latents: Tensor
    """`[4 h w]` clean."""
    depth: Tensor
    """`[4 h w]`"""
    text: Tensor
    """`[m d]` embedding of the prompt, which may change from frame to frame."""
    noise: Tensor | None = None
    """`[t 4 h w]` to use in this call in place of the state's."""


class Denoised(NamedTuple):
    """What one call made of one stream's rows."""

    noise: Tensor
    """`[t 4 h w]` predicted."""
    x0: Tensor
    """`[t 4 h w]` predicted."""
    ready: bool
    """Whether the last row held a frame; false for the first `t - 1` calls."""

    @property
    def latents(self) -> Tensor | None:
        """The finished frame's `[4 h w]`, if there is one."""
        return self.x0[-1] if self.ready else None


def draw_noise(seed: int, rows: int, height: int, width: int) -> Tensor:
    """Return `[t 4 h w]` standard normal noise, the same on every device and in every process."""
    generator = torch.Generator("cpu").manual_seed(seed)
    return torch.randn((rows, 4, height, width), generator=generator)


class StreamBatch:
    """The network in the stream batch loop. Holds no state of a stream."""

    def __init__(self, unet: Live2DiffUNet) -> None:
        self.unet = unet

    def nbytes(self, schedule: LcmSchedule, height: int, width: int) -> int:
        """Return the bytes `open` will allocate for latents of `height` x `width`."""
        rows, dtype = len(schedule), self.unet.conv_in.weight.dtype
        cached = sum(math.prod(shape) for shape in self.unet.cache_shapes(rows, height, width))
        return dtype.itemsize * cached + torch.float32.itemsize * 3 * rows * 4 * height * width

    def open(self, schedule: LcmSchedule, height: int, width: int, *, seed: int = 0) -> LiveState:
        """Allocate a stream's state for latents of `height` x `width`; it must be warmed up before it is stepped."""
        device, rows = self.unet.conv_in.weight.device, len(schedule)
        noise = draw_noise(seed, rows, height, width).to(device)
        cache = self.unet.open_cache(rows, height, width)
        return LiveState(schedule.to(device), noise, torch.zeros_like(noise), torch.zeros_like(noise), cache)

    def set_schedule(self, state: LiveState, schedule: LcmSchedule) -> None:
        """Change the timesteps, and with them the strength, from the next call on; frames in the rows go on with it.

        Raises:
            ControlError: another number of rows, which takes a new state.
        """
        if len(schedule) != state.rows:
            raise ControlError(f"this stream denoises in {state.rows} steps; open another one for {len(schedule)}")
        state.schedule = schedule.to(state.latents.device)

    def reset(self, state: LiveState, *, seed: int | None = None) -> None:
        """Forget every frame, and draw other noise if a seed is given. Nothing is allocated anew."""
        state.cache.clear()
        state.latents.zero_()
        state.depth.zero_()
        state.calls, state.warm = 0, False
        if seed is not None:
            state.noise.copy_(draw_noise(seed, state.rows, *state.noise.shape[-2:]))

    @torch.inference_mode()
    def warm_up(
        self, state: LiveState, latents: Tensor, depth: Tensor, text: Tensor, *, noise: Tensor | None = None
    ) -> Tensor:
        """Forget the past, denoise 1 to 8 frames together and make them the sinks; return their `[f 4 h w]`.

        Fewer than eight are filled up with the last one, so that one frame is enough to begin. `latents`, `depth`:
        `[f 4 h w]`; `text [m d]`; `noise [t 8 4 h w]` or `[t 1 4 h w]` replaces the state's.
        """
        given = len(latents)
        if not 1 <= given <= SINKS:
            raise ValueError(f"warm-up takes 1 to {SINKS} frames, not {given}")
        self.reset(state)
        fill = [*range(given), *[given - 1] * (SINKS - given)]
        depth, text = depth[fill], text[None]
        noise = state.noise[:, None] if noise is None else noise
        x0 = latents[fill]
        for row in range(state.rows):
            level = rows_of(state.schedule, row, row + 1)
            x_t = add_noise(x0, noise[row].expand_as(x0), level)
            context = Clip(SINKS, cache=state.cache, row=row)
            x0 = predict_x0(x_t, self._predict(x_t, depth, level.timesteps, text, context), level)
        state.warm = True
        return x0[:given]

    @torch.inference_mode()
    def step(self, states: Sequence[LiveState], frames: Sequence[LatentFrame]) -> list[Denoised]:
        """Take one new frame of each stream; all streams have latents of one size.

        Raises:
            StepError: a stream was not warmed up.
        """
        if not all(state.warm for state in states):
            raise StepError("a stream was stepped before its warm-up; give it its first frames first")
        noises = []
        for state, frame in zip(states, frames, strict=True):
            noise = state.noise if frame.noise is None else frame.noise
            state.latents[0] = add_noise(frame.latents[None], noise[:1], rows_of(state.schedule, 0, 1))[0]
            state.depth[0] = frame.depth
            noises.append(noise)
        schedule = join_schedules([state.schedule for state in states])
        x_t = torch.cat([state.latents for state in states])
        depth = torch.cat([state.depth for state in states])
        text = torch.cat([f.text.expand(s.rows, -1, -1) for s, f in zip(states, frames, strict=True)])
        predicted = self._predict(x_t, depth, schedule.timesteps, text, self._context(states))
        x0 = predict_x0(x_t, predicted, schedule)

        results, start = [], 0
        for state, noise in zip(states, noises, strict=True):
            own = slice(start, start + state.rows)
            results.append(Denoised(predicted[own], x0[own], state.calls >= state.rows - 1))
            if state.rows > 1:
                lower = rows_of(state.schedule, 1, state.rows)
                state.latents[1:] = add_noise(x0[own][:-1], noise[1:], lower)
                state.depth[1:] = state.depth[:-1].clone()
            state.calls += 1
            start = own.stop
        return results

    def _predict(self, x_t: Tensor, depth: Tensor, timesteps: Tensor, text: Tensor, context: Context) -> Tensor:
        dtype = self.unet.conv_in.weight.dtype
        return self.unet(x_t.to(dtype), depth.to(dtype), timesteps, text.to(dtype), context).float()

    def _context(self, states: Sequence[LiveState]) -> Live:
        windows = [(reference_window_at if s.follow_reference else window_at)(s.calls, s.rows) for s in states]
        return Live([state.cache for state in states], join_windows(windows).to(self.unet.conv_in.weight.device))
