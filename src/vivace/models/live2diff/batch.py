"""Stream batch: frames at every noise level in one call of the network (Kodaira et al., StreamDiffusion, 2023).

Row r of a call handles the frame that arrived r calls ago, at its r-th timestep. A frame enters as row 0, moves down
one row per call, and leaves from the last row `rows - 1` calls later. Each row has its own cache, so that a frame
attends to its neighbours at its own noise level.

A frame's settings move down with it: timesteps, noise, prompt, guidance, number in its scene. A change therefore takes
effect from exactly one frame on; every frame is denoised with the settings it entered with. A cut restarts one row
after the other without losing frames in the rows.

Weights and state are separate: one `StreamBatch` serves any number of `LiveState`, several of the same size in one
call. `enter` does the bookkeeping; `denoise` only computes on tensors in the state's buffers, so that it can be
recorded once and replayed. Latents are `[4 h w]` per frame, at an eighth of the picture's size.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from vivace.diffusion.lcm import LcmSchedule, add_noise, predict_x0, rows_of
from vivace.errors import ControlError
from vivace.models.live2diff.anchors import AnchorClip, AnchorCopy
from vivace.models.live2diff.controls import Guidance
from vivace.models.live2diff.guidance import guide, residual_noise
from vivace.models.live2diff.motion import Context, KvCache, StreamContext
from vivace.models.live2diff.noise import Noise, Shift, draw_noise
from vivace.models.live2diff.state import RECENT, FrameSettings, InsideFrame, LiveState, NoiseLevel, levels_of
from vivace.models.live2diff.unet import Live2DiffUNet
from vivace.models.live2diff.window import ANCHORS, SLOTS, RowWindow, Window, join_windows, scene_window

TOKENS = 77
"""Length of a prompt's embedding, tokens."""


class StreamBatch:
    """Network in the stream batch loop. Holds no state of a stream."""

    def __init__(self, unet: Live2DiffUNet) -> None:
        self.unet = unet

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self.unet.conv_in.weight.device

    # -- life of a stream
    # --------------------------------------------------------------------------------------------------

    def nbytes(
        self, schedule: LcmSchedule, height: int, width: int, *, guidance: Guidance = "none", tokens: int = TOKENS
    ) -> int:
        """Return the bytes `open` will allocate for latents of `height` x `width`."""
        shapes = self.unet.cache_shapes(len(schedule) + (guidance == "initialize"), height, width)
        dtype = self.unet.conv_in.weight.dtype
        with torch.device("meta"):
            cache = KvCache(tuple(torch.empty(shape, dtype=dtype) for shape in shapes))
            settings = FrameSettings(schedule, levels_of(schedule), Noise(torch.empty(len(schedule), 4, height, width)))
            text = (tokens, self.unet.cfg.text_channels)
            return LiveState.allocate(settings, guidance, cache, height, width, text).nbytes

    def open(
        self,
        schedule: LcmSchedule,
        height: int,
        width: int,
        *,
        seed: int = 0,
        guidance: Guidance = "none",
        tokens: int = TOKENS,
    ) -> LiveState:
        """Allocate a stream's state for latents of `height` x `width` and prompts of `tokens`."""
        rows = len(schedule)
        cache = self.unet.open_cache(rows + (guidance == "initialize"), height, width)
        noise = Noise(draw_noise(seed, rows, height, width).to(self.device))
        settings = FrameSettings(schedule, levels_of(schedule), noise)
        with self.device:
            text = (tokens, self.unet.cfg.text_channels)
            state = LiveState.allocate(settings, guidance, cache, height, width, text)
        self.reset(state)
        return state

    def set_schedule(self, state: LiveState, schedule: LcmSchedule) -> None:
        """Change the timesteps, and with them the strength, for coming frames.

        Raises:
            ControlError: another number of rows, which needs a new state.
        """
        if len(schedule) != state.rows:
            raise ControlError(f"this stream denoises in {state.rows} steps; open another one for {len(schedule)}")
        state.settings = replace(state.settings, schedule=schedule, levels=levels_of(schedule))

    def set_seed(self, state: LiveState, seed: int) -> None:
        """Draw other noise for coming frames."""
        noise = Noise(draw_noise(seed, *state.noise.shape[:1], *state.noise.shape[-2:]).to(self.device))
        state.settings = replace(state.settings, noise=noise)

    def set_guidance(self, state: LiveState, scale: float, delta: float, negative: Tensor | None = None) -> None:
        """Change guidance for coming frames; `negative [m d]` takes effect at once."""
        state.settings = replace(state.settings, guidance=(scale, delta))
        if negative is not None:
            state.negative.copy_(negative)
            state.text_version += 1

    def shift_noise(self, state: LiveState, shift: Shift) -> None:
        """Shift the noise of coming frames, in latents down and right of where it was drawn."""
        state.settings = replace(state.settings, shift=shift)

    def begin_scene(self, state: LiveState) -> None:
        """Forget the past for coming frames; frames in the rows continue unaffected.

        Anchors being rebuilt continue as well: they run ahead of the new scene, which attends to none of them.
        """
        state.next_number = 0
        state.clock.begin_scene()

    def reset(self, state: LiveState, *, seed: int | None = None) -> None:
        """Forget every frame, and draw other noise if a seed is given. No buffer is reallocated."""
        self.begin_scene(state)
        state.new_anchors = None
        state.cache.clear()
        for buffer in state.buffers:
            # The negative prompt belongs to no frame.
            if buffer is not state.negative:
                buffer.zero_()
        state.inside = deque([None] * state.rows, maxlen=state.rows)
        if seed is not None:
            self.set_seed(state, seed)

    # -- a call --------------------------------------------------------------------------------------------------------

    def enter(self, state: LiveState, text: Tensor | None = None) -> None:
        """Take in the frame whose latents and depth are in `entering`; `text [m d]` is the prompt if it has changed.

        Rebuilds the anchors of one row, if due, and fills the tables.
        """
        if text is not None:
            state.text[0] = text
            state.text_version += 1
        number = state.next_number
        if state.clock.due(number, self._look(state)):
            state.new_anchors = self._new_anchors(state, number)
        if state.new_anchors is not None:
            state.new_anchors.advance(self._predict, state.cache)
            if state.new_anchors.done:
                state.new_anchors = None
        state.recent[:, RECENT.slot(number)] = state.entering
        state.recent_shifts[RECENT.slot(number)] = state.settings.shift
        state.inside.appendleft(InsideFrame(number, state.settings))
        state.next_number += 1
        self._fill_tables(state)

    def denoise(self, states: Sequence[LiveState]) -> list[tuple[Tensor, Tensor]]:
        """Run the network on all rows; return predicted noise and pictures, `[t 4 h w]` each, of every stream.

        Reads and writes buffers of the states only: no bookkeeping, no synchronisation with the device.
        """
        for state in states:
            first = rows_of(_levels(state), 0, 1)
            state.latents[:1] = add_noise(state.entering[:1], state.noise[:1], first)
            state.depth[0] = state.entering[1]
        timesteps = torch.cat([_levels(state).timesteps for state in states])
        x_t = torch.cat([_extra(state.latents, state) for state in states])
        depth = torch.cat([_extra(state.depth, state) for state in states])
        text = torch.cat([_prompts(state) for state in states])
        context = StreamContext([state.cache for state in states], join_windows([_window(state) for state in states]))
        predicted = self._predict(x_t, depth, timesteps, text, context)
        results, start = [], 0
        for state in states:
            stop = start + len(state.levels)
            results.append(_move_down(state, predicted[start:stop]))
            start = stop
        return results

    # -- within --------------------------------------------------------------------------------------------------------

    def _predict(self, x_t: Tensor, depth: Tensor, timesteps: Tensor, text: Tensor, context: Context) -> Tensor:
        dtype = self.unet.conv_in.weight.dtype
        return self.unet(x_t.to(dtype), depth.to(dtype), timesteps, text.to(dtype), context).float()

    def _look(self, state: LiveState) -> Hashable:
        """Return the settings that anchors depend on; noise that moves with the scene counts as unchanged."""
        settings = state.settings
        return state.text_version, state.weights_version, settings.levels, settings.noise, settings.guidance

    def _clip(self, state: LiveState, latents: Tensor, depth: Tensor, text: Tensor, noise: Tensor) -> AnchorClip:
        guided = state.guidance != "none"
        return AnchorClip(
            latents,
            depth,
            text.clone(),
            noise,
            state.settings.schedule.to(self.device),
            state.settings.guidance if guided else None,
            state.negative if state.guidance == "initialize" else None,
        )

    def _new_anchors(self, state: LiveState, number: int) -> AnchorClip | AnchorCopy:
        if not state.clock.joint:
            return AnchorCopy(number - 1, state.rows, state.guidance == "initialize")
        order = [RECENT.slot(each) for each in range(number - ANCHORS, number)]
        latents, depth = state.recent[:, order]
        drawn, shifts = state.settings.noise, [state.recent_shifts[place] for place in order]
        if len(set(shifts)) == 1:
            noise = torch.stack([drawn.row(row, shifts[0])[None] for row in range(state.rows)])
        else:
            noise = torch.stack([torch.stack([drawn.row(row, shift) for shift in shifts]) for row in range(state.rows)])
        return self._clip(state, latents, depth, state.text[0], noise)

    def _windows(self, state: LiveState) -> list[RowWindow]:
        return [scene_window(None if one is None else one.number) for one in state.inside]

    def _fill_tables(self, state: LiveState) -> None:
        """Write the settings of all rows into the state's tables."""
        rows = state.rows
        settings = [state.settings if one is None else one.settings for one in state.inside]
        levels = []
        for row, own in enumerate(settings):
            below = own.levels[min(row + 1, rows - 1)]
            levels.append([*own.levels[row], below.sqrt_alpha, below.sqrt_beta, *own.guidance])
        tables = [[*map(int, visible), *positions, slot] for visible, positions, slot in self._windows(state)]
        if len(state.levels) > rows:
            levels.append(levels[0])
            tables.append(tables[0])
        state.levels.copy_(torch.tensor(levels, dtype=torch.float32))
        state.tables.copy_(torch.tensor(tables))
        for row in range(rows):
            # Row r's frame is noised as it moves in: for all but the first, at the end of this call.
            mover = settings[max(row - 1, 0)]
            state.noise[row] = mover.noise.row(row, mover.shift)


def _levels(state: LiveState) -> LcmSchedule:
    """Return the noise levels of the table's rows."""
    return LcmSchedule(*(state.levels[:, column] for column in range(len(NoiseLevel._fields))))


def _extra(rows: Tensor, state: LiveState) -> Tensor:
    """Return `[t ...]` with row 0 repeated at the end, if it is also predicted under the negative prompt."""
    return rows if len(state.levels) == state.rows else torch.cat([rows, rows[:1]])


def _prompts(state: LiveState) -> Tensor:
    return state.text if len(state.levels) == state.rows else torch.cat([state.text, state.negative[None]])


def _window(state: LiveState) -> Window:
    tables = state.tables
    return Window(tables[:, :SLOTS].bool(), tables[:, SLOTS : 2 * SLOTS], tables[:, 2 * SLOTS])


def _move_down(state: LiveState, predicted: Tensor) -> tuple[Tensor, Tensor]:
    """Turn predictions into pictures, noise those with rows to go, and move everything down by one row."""
    rows, x_t, noise = state.rows, state.latents, predicted[: state.rows]
    schedule = rows_of(_levels(state), 0, rows)
    sqrt_alpha, sqrt_beta, scale, delta = state.levels[:rows, len(NoiseLevel._fields) :, None, None, None].unbind(1)
    if state.guidance != "none":
        if state.guidance == "initialize":
            state.origin[:1] = predict_x0(x_t[:1], predicted[rows:], rows_of(schedule, 0, 1))
        else:
            state.origin[:1] = state.entering[:1]
        a, b = (column[:, None, None, None] for column in (schedule.sqrt_alpha, schedule.sqrt_beta))
        noise = guide(noise, residual_noise(x_t, state.origin, a, b), scale, delta)
    x0 = predict_x0(x_t, noise, schedule)
    state.finished.copy_(x0[-1])
    if rows > 1:
        state.latents[1:] = sqrt_alpha[:-1] * x0[:-1] + sqrt_beta[:-1] * state.noise[1:]
        for moved in (state.depth, state.origin, state.text):
            moved[1:] = moved[:-1].clone()
    return noise, x0
