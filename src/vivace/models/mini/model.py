"""Interface of the embedded model to a stream. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from vivace.diffusion.flow import denoising_times, euler_step
from vivace.errors import StepError
from vivace.models.base import Chunk, Keep, Memory, ModelSpec, Prompt, StepResult
from vivace.models.capacity import memory_for
from vivace.models.effort_levels import EFFORT_SCALES, EFFORTS, executor_of
from vivace.models.mini.config import MiniConfig
from vivace.models.mini.moving import MovingTextures
from vivace.models.mini.state import (
    MAX_AGE,
    MiniState,
    geometry,
    open_buffers,
    textures_at_rest,
)
from vivace.models.mini.styles import STYLES
from vivace.models.mini.text import TextEncoder
from vivace.models.prompt_cache import PromptCache
from vivace.models.thumbnail import cell_px, thumbnail_of
from vivace.runtime.exported import Arrays, Network

SPEC = ModelSpec(
    name="mini",
    family="mini",
    summary="The embedded model: 16 styles by free text, on a laptop CPU, nothing to download.",
    licence="Apache-2.0",
    size_multiple=2,
    min_size=(64, 64),
    max_size=(2048, 2048),
    default_area_px=512 * 512,
    chunk_frames=1,
    warmup_frames=2,
    output_lag_frames=0,
    denoising_steps=(1, 2, 4),
    efforts=EFFORTS,
    conditions=("prompt",),
    styles=tuple(style.title for style in STYLES),
    still_area_px=2048 * 2048,
)


class MiniModel:
    """Weights of the embedded model, which serve any number of streams.

    `encode_prompt`, `open` and `nbytes` are thread-safe; so are `step` and `reset` for different states, but two
    simultaneous steps compete for cores.
    """

    def __init__(self, network: Network, text: TextEncoder, cfg: MiniConfig | None = None) -> None:
        self.spec, self.runtime, self.device = SPEC, network.info, network.device
        self._network = network
        self._cfg = cfg or MiniConfig()
        self._prompts = PromptCache(text.encode)
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="mini-textures")
        self.follow_camera = True
        """True if strokes and grain move with the scene; false keeps them on the screen, as the teachers paint them."""

    def nbytes(self, size: tuple[int, int]) -> int:
        """Return the most bytes that a stream of `size = (width, height)` takes, which is with a moving camera."""
        return sum(geometry(size, scale).nbytes(self._cfg) for scale in EFFORT_SCALES)

    def open(self, size: tuple[int, int], *, seed: int = 0) -> MiniState:
        """Allocate one stream's state and compile the network for its size.

        Lower efforts are compiled by `prepare_efforts`, or by the first step that needs them.

        Raises:
            ControlError: a size that is odd, too small or too large.
            CapacityError: not enough memory.
        """
        SPEC.check_size(size)
        with memory_for(self, size):
            levels = tuple(open_buffers(geometry(size, scale), seed, self._cfg, self._ahead) for scale in EFFORT_SCALES)
        executor_of(levels[0], self._network)
        return MiniState(size, seed, levels)

    def prepare_efforts(self, state: MiniState) -> None:
        """Compile the network for all working sizes of a stream in parallel."""
        state.prepare(self._network)

    def encode_prompt(self, text: str) -> Prompt:
        """Return an encoded prompt; the last few hundred are cached."""
        return self._prompts.encode(text)

    def step(self, states: Sequence[MiniState], chunks: Sequence[Chunk]) -> list[StepResult]:
        """Paint one frame of each stream entirely."""
        return [StepResult(self._paint(state, chunk)) for state, chunk in zip(states, chunks, strict=True)]

    def save(self, state: MiniState) -> Memory:
        """Return the state that the next frame depends on at the present effort; motion determines the textures."""
        buffers = state.levels[state.level]
        kept = {"keys": buffers.ring.keys, "values": buffers.ring.values, "previous": buffers.inputs["previous"]}
        copies = {name: array.copy() for name, array in kept.items()}
        return {**copies, "counts": np.array([state.level, buffers.ring.frames]), **state.motion.save()}

    def restore(self, state: MiniState, memory: Memory) -> None:
        """Restore what `save` returned."""
        state.level, frames = (int(number) for number in memory["counts"])
        buffers = state.levels[state.level]
        buffers.ring.keys[...], buffers.ring.values[...] = memory["keys"], memory["values"]
        buffers.ring.frames = frames
        buffers.inputs["previous"][...] = memory["previous"]
        state.motion.restore(memory)

    def _paint(self, state: MiniState, chunk: Chunk) -> NDArray[np.uint8]:
        chunk.check(state.size)
        buffers = state.use(SPEC.level_of(chunk.effort))
        inputs = buffers.inputs
        inputs["source"][...] = chunk.rgb
        inputs["embeds"][0] = chunk.embeds
        inputs["ages"][...] = buffers.ring.ages(MAX_AGE)
        if self.follow_camera:
            buffers.move_textures(state.motion.update(thumbnail_of(chunk, 0), cell_px(state.size)))
        buffers.begin()
        executor = executor_of(buffers, self._network)
        times = denoising_times(chunk.denoising_steps)
        outputs: Arrays = {}
        for t, t_next in zip(times, (*times[1:], 0.0), strict=True):
            inputs["t"][...] = t
            try:
                outputs = executor.run()
            except RuntimeError as error:
                raise StepError(f"the embedded model failed on a frame: {error}") from error
            small = np.asarray(outputs["small"], np.float32)
            if t_next > 0:
                buffers.go_on(euler_step(buffers.x_t, small, t, t_next))
        if not np.isfinite(small.sum()):
            raise StepError("the embedded model returned numbers that are not finite; reset the stream")
        buffers.ring.write(np.asarray(outputs["new_keys"], np.float32), np.asarray(outputs["new_values"], np.float32))
        inputs["previous"][...] = small
        buffers.textures.look_ahead()
        return np.array(outputs["picture"], np.uint8)

    def reset(self, state: MiniState, *, keep: Keep = "nothing", seed: int | None = None) -> None:
        """Reset the memory of one stream in place."""
        del keep  # no picture is ever inside
        state.motion.reset()
        for buffers in state.levels:
            buffers.forget()
            if seed is not None and seed != state.seed:
                buffers.change_textures(MovingTextures(textures_at_rest(buffers.geometry, seed), self._ahead))
        if seed is not None:
            state.seed = seed
