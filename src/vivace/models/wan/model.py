"""The causal Wan family behind the contract of `models.base`: a specification and four verbs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from vivace.diffusion.shifted_flow import FlowSchedule
from vivace.models.base import Chunk, Keep, ModelSpec, Prompt, RuntimeInfo, StepResult
from vivace.models.capacity import memory_for, out_of_memory
from vivace.models.controls import ControlSpec
from vivace.models.lora_controls import lora_option
from vivace.models.user_loras import LoraWeights
from vivace.models.wan.codec import past_nbytes
from vivace.models.wan.components import Checkpoint, Components
from vivace.models.wan.controls import FADE_CHUNKS, FADED, MASK_CACHE, MASK_SHARE, REGION_CACHE, SWITCH
from vivace.models.wan.painter import Painter
from vivace.models.wan.sampler import Sampler
from vivace.models.wan.stream_state import (
    WanStream,
    first_latents,
    open_stream,
    rows_of,
    stream_nbytes,
)
from vivace.models.wan.vae import FRAMES, SIDE_PX
from vivace.runtime.torch.device import TorchDevice
from vivace.runtime.torch.graphs import Mode
from vivace.runtime.torch.stages import StageTimer

SIZE_MULTIPLE_PX = 2 * SIDE_PX
MIN_SIDE_PX, MAX_SIDE_PX = 64, 1664
TRAINED_AREA_PX = 832 * 480


class WanModel:
    """One set of weights, ready to serve any number of streams.

    `encode_prompt`, `open` and `nbytes` are safe from any thread; `step` and `reset` belong into the device's turn. On
    a CPU all of it happens in the device's thread, whoever asks.
    """

    def __init__(self, components: Components, device: TorchDevice, *, info: RuntimeInfo, mode: Mode = "eager") -> None:
        """Serve `components`, which are on `device`; `mode` is that of the transformer over a full ring."""
        self.components, self.device, self.runtime = components, device, info
        self.timer = StageTimer(device.torch)
        """Times of the stages `encode`, `prompt`, `denoise`, `context` and `decode`, when enabled."""
        self._sampler = Sampler(components.network, FlowSchedule(components.checkpoint.sampling.shift))
        self._past_nbytes = past_nbytes(components.autoencoder, device.torch)
        self._mode = mode
        self._loras = LoraWeights(components.loras)
        self.spec = _describe(components.checkpoint, self._loras.defaults)
        defaults = {option.name: option.default for option in self.spec.options}
        self._painter = Painter(components, self._sampler, self.timer, defaults)

    # -- the four verbs ------------------------------------------------------------------------------------------------

    def nbytes(self, size: tuple[int, int]) -> int:
        """Return the most bytes that a stream of `size = (width, height)` takes."""
        return stream_nbytes(self.components, size, self._past_nbytes, self._mode)

    def open(self, size: tuple[int, int], *, seed: int = 0) -> WanStream:
        """Allocate one stream's state; compiles and records the transformer for its size, where it is compiled.

        Raises:
            ControlError: a size the model cannot do.
            CapacityError: not enough memory on the device.
        """
        self.spec.check_size(size)
        return self.device.call(self._open, size, seed)

    def _open(self, size: tuple[int, int], seed: int) -> WanStream:
        free = self.device.free_bytes()
        if free is not None and free < self.nbytes(size):
            raise out_of_memory(self, size)
        with self._on_device(size):
            return open_stream(self.components, self._sampler, size, seed, self.device, self._mode)

    def encode_prompt(self, text: str) -> Prompt:
        """Encode a prompt; cached.

        Raises:
            ControlError: a text that is longer than any prompt.
        """
        return self.device.call(self.components.prompts.encode, text)

    def step(self, states: Sequence[WanStream], chunks: Sequence[Chunk]) -> list[StepResult]:
        """Advance each stream by one chunk.

        Raises:
            StepError: numbers that are not finite; the state must be reset.
            CapacityError: the device ran out of memory.
        """
        return self.device.call(self._step, states, chunks)

    def reset(self, state: WanStream, *, keep: Keep = "nothing", seed: int | None = None) -> None:
        """Forget the past of one stream in place.

        Raises:
            ValueError: asked to keep what is inside, which this model does not.
        """
        if keep != "nothing":
            raise ValueError("this model does not reset in flight")
        self.device.call(self._reset, state, seed)

    def _reset(self, state: WanStream, seed: int | None) -> None:
        state.forget()
        state.seed = state.seed if seed is None else seed

    @torch.inference_mode()
    def _step(self, states: Sequence[WanStream], chunks: Sequence[Chunk]) -> list[StepResult]:
        for state, chunk in zip(states, chunks, strict=True):
            chunk.check(state.size, self.spec.frames_of_chunk(state.chunk))
        with self._on_device(states[0].size):
            for state, chunk in zip(states, chunks, strict=True):
                state.loras = self._loras.ask(chunk.options, state.loras)
            for state in states:
                state.prompt.check_weights(self._loras.version)
            painted = self._painter.paint(states, chunks)
            return [
                StepResult(_shown(pictures, state.size), work=work)
                for (pictures, work), state in zip(painted, states, strict=True)
            ]

    @contextmanager
    def _on_device(self, size: tuple[int, int]) -> Iterator[None]:
        """Make the model's device the thread's own, and say what a stream needs where memory runs out."""
        with memory_for(self, size), self.device.current():
            yield


def _describe(checkpoint: Checkpoint, loras: Mapping[str, float]) -> ModelSpec:
    sampling = checkpoint.sampling
    noised = checkpoint.source == "noised"
    return ModelSpec(
        name=checkpoint.name,
        family="wan",
        summary=checkpoint.summary,
        licence=checkpoint.licence,
        size_multiple=SIZE_MULTIPLE_PX,
        min_size=(MIN_SIDE_PX, MIN_SIDE_PX),
        max_size=(MAX_SIDE_PX, MAX_SIDE_PX),
        default_area_px=TRAINED_AREA_PX,
        chunk_frames=FRAMES * sampling.chunk,
        # The first latent of a stream is one frame.
        first_chunk_frames=FRAMES * (first_latents(checkpoint) - 1) + 1,
        warmup_frames=FRAMES * sampling.anchors,
        output_lag_frames=FRAMES * (rows_of(checkpoint) - 1),
        denoising_steps=(len(sampling.steps),),
        efforts=(1.0,),
        conditions=("prompt", "strength") if noised else ("prompt",),
        prompt_change="switch",
        default_strength=sampling.noise_scale if noised else 1.0,
        options=(*_options(checkpoint), *(lora_option(name, weight) for name, weight in loras.items())),
    )


def _options(checkpoint: Checkpoint) -> tuple[ControlSpec, ...]:
    if checkpoint.sampling.context is None:
        return FADED, FADE_CHUNKS
    masks = (MASK_CACHE, MASK_SHARE) if checkpoint.source == "channels" else ()
    return (SWITCH, FADE_CHUNKS, REGION_CACHE, *masks)


def _shown(pictures: Tensor | None, size: tuple[int, int]) -> np.ndarray:
    """Return pictures as a stream takes them; none while a stream batch fills up."""
    return np.zeros((0, size[1], size[0], 3), np.uint8) if pictures is None else pictures.cpu().contiguous().numpy()
