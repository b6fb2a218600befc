"""Interface of the Live2Diff family to a stream."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vivace.diffusion.lcm import ORIGINAL_STEPS, LcmSchedule, schedule_by_index, t_index_at
from vivace.models.base import Chunk, Keep, ModelSpec, Prompt, RuntimeInfo, StepResult
from vivace.models.capacity import memory_for
from vivace.models.live2diff.batch import StreamBatch
from vivace.models.live2diff.components import Components
from vivace.models.live2diff.controls import options_of
from vivace.models.live2diff.noise import shift_of
from vivace.models.live2diff.stream_state import StreamState, latent_size, picture_nbytes
from vivace.models.live2diff.window import ANCHORS
from vivace.models.thumbnail import cell_px, thumbnail_of
from vivace.models.user_loras import LoraWeights
from vivace.runtime.torch.device import TorchDevice
from vivace.runtime.torch.graphs import Mode
from vivace.runtime.torch.stages import StageTimer

SIZE_MULTIPLE_PX = 8
MIN_SIDE_PX, MAX_SIDE_PX = 64, 2048


class Live2DiffModel:
    """One set of weights that serves any number of streams.

    `encode_prompt`, `encode_control`, `open` and `nbytes` are thread-safe; `step` and `reset` must be called in the
    device's turn. On a CPU all work is done in the device's thread.
    """

    def __init__(self, components: Components, device: TorchDevice, *, info: RuntimeInfo, mode: Mode = "eager") -> None:
        """Serve `components`, which are on `device`; `mode` is the execution mode of their steps."""
        self.components = components
        self.device = device
        self.runtime = info
        self._batch = StreamBatch(components.unet)
        self._mode = mode
        self._loras = LoraWeights(components.loras)
        self._tokens = len(self._encode_negative("").embeds)
        self.timer = StageTimer(device.torch)
        """Timer of the stages `encode`, `depth`, `unet` and `decode`."""
        self.spec = self._describe()

    def _describe(self) -> ModelSpec:
        style = self.components.style
        steps = len(style.t_index)
        return ModelSpec(
            name=style.name,
            family="live2diff",
            summary=style.summary,
            licence=style.licence,
            size_multiple=SIZE_MULTIPLE_PX,
            min_size=(MIN_SIDE_PX, MIN_SIDE_PX),
            max_size=(MAX_SIDE_PX, MAX_SIDE_PX),
            default_area_px=512 * 512,
            chunk_frames=1,
            warmup_frames=ANCHORS,
            output_lag_frames=steps - 1,
            denoising_steps=(steps,),
            efforts=(1.0,),
            conditions=("prompt", "strength"),
            default_strength=1 - style.t_index[0] / ORIGINAL_STEPS,
            resets_in_flight=True,
            options=options_of(style.guidance, dict(self._loras.defaults)),
        )

    # -- the interface
    # ----------------------------------------------------------------------------------------------------

    def nbytes(self, size: tuple[int, int]) -> int:
        """Return the bytes `open(size)` will allocate for `size = (width, height)`."""
        guidance = self.components.style.guidance
        live = self._batch.nbytes(self._schedule(None), *latent_size(size), guidance=guidance, tokens=self._tokens)
        return live + picture_nbytes(size)

    def open(self, size: tuple[int, int], *, seed: int = 0) -> StreamState:
        """Allocate one stream's state; compiles and records its steps, depending on the mode.

        Raises:
            ControlError: a size the model cannot do.
            CapacityError: not enough memory on the device.
        """
        return self.device.call(self._open, size, seed)

    def _open(self, size: tuple[int, int], seed: int) -> StreamState:
        self.spec.check_size(size)
        height, width = latent_size(size)
        guidance = self.components.style.guidance
        with self._on_device(size):
            live = self._batch.open(
                self._schedule(None), height, width, seed=seed, guidance=guidance, tokens=self._tokens
            )
            state = StreamState(
                self.components, self._batch, live, size, self.device, mode=self._mode, timer=self.timer
            )
            state.prepare()
            state.seed = seed
            if guidance == "initialize":
                self._batch.set_guidance(live, 1.0, 0.0, self._to_device(self._encode_negative("").embeds))
        return state

    def encode_prompt(self, text: str) -> Prompt:
        """Return a prompt encoded under the style's template; cached."""
        return self.device.call(self.components.prompts.encode, text)

    def encode_control(self, name: str, value: str) -> Prompt:  # noqa: ARG002  (the only encoded control)
        """Return an encoded negative prompt."""
        return self._encode_negative(value)

    def _encode_negative(self, text: str) -> Prompt:
        return self.device.call(self.components.prompts.encode_negative, text)

    def step(self, states: Sequence[StreamState], chunks: Sequence[Chunk]) -> list[StepResult]:
        """Return the pictures of each stream after one more frame; none while its first frames are in the rows.

        Raises:
            StepError: numbers that are not finite; the state must be reset.
            CapacityError: the device ran out of memory.
        """
        return self.device.call(self._step, states, chunks)

    def reset(self, state: StreamState, *, keep: Keep = "nothing", seed: int | None = None) -> None:
        """Reset the memory of one stream in place, for coming frames or entirely."""
        self.device.call(self._reset, state, keep, seed)

    def _reset(self, state: StreamState, keep: Keep, seed: int | None) -> None:
        with self._on_device(state.size):
            if keep == "inside":
                state.begin_scene()
            else:
                state.reset()
            if seed is not None and seed != state.seed:
                self._batch.set_seed(state.live, seed)
                state.seed = seed

    # -- a step --------------------------------------------------------------------------------------------------------

    @torch.inference_mode()
    def _step(self, states: Sequence[StreamState], chunks: Sequence[Chunk]) -> list[StepResult]:
        with self._on_device(states[0].size):
            return self._advance(states, chunks)

    def _advance(self, states: Sequence[StreamState], chunks: Sequence[Chunk]) -> list[StepResult]:
        for state, chunk in zip(states, chunks, strict=True):
            self._enter(state, chunk)
        if self._mode == "eager" and len(states) > 1 and len({state.size for state in states}) == 1:
            with self.timer("unet"):
                self._batch.denoise([state.live for state in states])
        else:
            for state in states:
                state.denoise()
        results = []
        for state in states:
            ready = state.live.ready
            width, height = state.size
            rgb = state.show()[None] if ready else np.zeros((0, height, width, 3), np.uint8)
            results.append(StepResult(rgb))
        return results

    def _enter(self, state: StreamState, chunk: Chunk) -> None:
        chunk.check(state.size)
        options = {option.name: chunk.options.get(option.name, option.default) for option in self.spec.options}
        self._weigh_loras(state, chunk.options)
        text = self._steer(state, chunk, options)
        state.take_in(chunk.rgb[0], look_at_depth=state.wants_depth(int(options["depth_every"])))
        self._batch.enter(state.live, text)

    def _steer(self, state: StreamState, chunk: Chunk, options: Mapping[str, Any]) -> torch.Tensor | None:
        """Apply changed controls to the state; return the prompt's embedding if it has changed."""
        live, sent = state.live, state.sent
        live.weights_version = self._loras.version
        live.clock.every = int(options["anchor_every"])
        live.clock.joint = bool(options["anchor_joint"])
        if "anchor" in chunk.events:
            live.clock.ask()
        if chunk.strength != sent.strength:
            self._batch.set_schedule(live, self._schedule(chunk.strength))
            sent.strength = chunk.strength
        if live.guidance != "none":
            self._guide(state, chunk, options)
        offset_px = (0.0, 0.0)
        if options["follow_camera"]:
            offset_px = state.motion.update(thumbnail_of(chunk, 0), cell_px(state.size))
        self._batch.shift_noise(live, shift_of(offset_px))
        if sent.embeds is chunk.embeds:
            return None
        same = sent.embeds is not None and np.array_equal(sent.embeds, chunk.embeds)
        sent.embeds = chunk.embeds
        return None if same else self._to_device(chunk.embeds)

    def _guide(self, state: StreamState, chunk: Chunk, options: Mapping[str, Any]) -> None:
        sent, negative = state.sent, None
        if (wished := chunk.options.get("negative_prompt")) is not sent.negative:
            sent.negative = wished
            negative = self._to_device((wished or self._encode_negative("")).embeds)
        scale, delta = float(options["guidance_scale"]), float(options["guidance_delta"])
        self._batch.set_guidance(state.live, scale, delta, negative)

    def _weigh_loras(self, state: StreamState, options: Mapping[str, Any]) -> None:
        """Apply the LoRA weights that a stream has newly requested; the latest request wins for all streams."""
        version = self._loras.version
        state.sent.loras = self._loras.ask(options, state.sent.loras)
        if self._loras.version != version:
            self.components.prompts.forget()

    # -- within --------------------------------------------------------------------------------------------------------

    def _to_device(self, embeds: NDArray[np.float32]) -> torch.Tensor:
        return torch.tensor(embeds, device=self.device.torch)

    def _schedule(self, strength: float | None) -> LcmSchedule:
        t_index = self.components.style.t_index
        return schedule_by_index(t_index if strength is None else t_index_at(t_index, strength))

    @contextmanager
    def _on_device(self, size: tuple[int, int]) -> Iterator[None]:
        """Select the model's device for this thread, and report memory requirements if memory runs out."""
        with memory_for(self, size), self.device.current():
            yield
