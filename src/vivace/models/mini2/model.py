"""Interface of `mini2` to a stream. Needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vivace.errors import StepError
from vivace.models.base import Cached, Chunk, Keep, Memory, ModelSpec, Prompt, StepResult
from vivace.models.capacity import memory_for
from vivace.models.effort_levels import EFFORT_SCALES, EFFORTS, executor_of
from vivace.models.mini2.blocks import to_picture
from vivace.models.mini2.codes import Codes
from vivace.models.mini2.config import Mini2Config
from vivace.models.mini2.family import AUDIT, OFF, OWN_CONTROLS, REGION_CACHE, STYLE_SHARE
from vivace.models.mini2.looks import LOOKS
from vivace.models.mini2.pictures import PictureReader
from vivace.models.mini2.prompts import encode
from vivace.models.mini2.state import EffortBuffers, Mini2State, nbytes_of, working_size
from vivace.models.mini2.tile_cache import TileCache
from vivace.models.prompt_cache import PromptCache
from vivace.models.thumbnail import cell_px, thumbnail_of
from vivace.runtime.exported import Network

SPEC = ModelSpec(
    name="mini2",
    family="mini2",
    summary="57 looks and any picture as a style, on a laptop CPU; faster than `mini` and still in training.",
    licence="Apache-2.0",
    size_multiple=2,
    min_size=(64, 64),
    max_size=(2048, 2048),
    default_area_px=512 * 512,
    chunk_frames=1,
    warmup_frames=0,
    output_lag_frames=0,
    denoising_steps=(1, 2, 4),
    efforts=EFFORTS,
    conditions=("prompt", "look"),
    styles=tuple(look.title for look in LOOKS if look.kind != "source"),
    options=OWN_CONTROLS,
    still_area_px=2048 * 2048,
)


AUDIT_FRAMES = 30
"""Frames painted with remembered tiles from one audit to the next."""
_CACHE = "region_cache."
"""Prefix of the region cache in a saved memory."""


class Networks(NamedTuple):
    """Network of a `mini2` model in the two forms that it runs in."""

    whole: Network
    """On whole pictures."""
    tiles: Network
    """On some tiles of a picture, the rest of which is remembered."""
    drawing: Mapping[int, Network]
    """Graphs that compute the maps of a picture, by scale."""
    cfg: Mini2Config


class Mini2Model:
    """Weights of a `mini2` model, which serve any number of streams.

    `encode_prompt`, `encode_control`, `open` and `nbytes` are thread-safe; so are `step` and `reset` for different
    states, but two simultaneous steps compete for cores.
    """

    def __init__(self, networks: Networks, codes: Codes, pictures: PictureReader) -> None:
        self.spec, self.runtime, self.device = SPEC, networks.whole.info, networks.whole.device
        self._networks = networks
        self._codes = codes
        self._pictures = pictures
        self._prompts = PromptCache(lambda text: encode(text, codes))
        self.follow_camera = True
        """True if strokes and cells move with the scene; false keeps them on the screen, as teachers paint them."""

    def nbytes(self, size: tuple[int, int]) -> int:
        """Return the bytes that a stream of `size = (width, height)` takes."""
        return nbytes_of(size, self._networks.cfg)

    def open(self, size: tuple[int, int], *, seed: int = 0) -> Mini2State:
        """Allocate one stream's state and compile the network for its size.

        Lower efforts are compiled by `prepare_efforts`, or by the first step that needs them.

        Raises:
            ControlError: a size that is odd, too small or too large.
            CapacityError: not enough memory.
        """
        SPEC.check_size(size)
        with memory_for(self, size):
            levels = tuple(EffortBuffers.open(working_size(size, scale), seed) for scale in EFFORT_SCALES)
            first = levels[0]
            first.cache = TileCache(
                first.blocks, first.maps.array, first.conditions, self._networks.cfg, self._networks.tiles
            )
        first.maps.prepare(self._networks.drawing)
        executor_of(levels[0], self._networks.whole)
        return Mini2State(size, seed, levels)

    def prepare_efforts(self, state: Mini2State) -> None:
        """Compile the network for all working sizes of a stream in parallel, and begin with the one on tiles."""
        state.prepare(self._networks.whole)
        for buffers in state.levels:
            buffers.maps.prepare(self._networks.drawing)
            if buffers.cache is not None:
                buffers.cache.prepare()

    def encode_prompt(self, text: str) -> Prompt:
        """Return a prompt in words, or the text of a saved look, encoded; the last few hundred are cached."""
        return self._prompts.encode(text)

    def encode_control(self, name: str, value: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the code `[64]` of a style picture `uint8 [256 256 3]`; not on the frame path."""
        del name  # the only encoded control
        return self._codes.of_picture(self._pictures.numbers(value))

    def compose(self, prompt: Prompt | None, options: Mapping[str, Any]) -> NDArray[np.float32] | None:
        """Return the code `[64]` of the look that a prompt and a picture ask for together; None for the source."""
        picture = options.get("style_image")
        if prompt is None or picture is None:
            return picture if prompt is None else prompt.embeds
        share = np.float32(options.get("style_share", STYLE_SHARE))
        return np.asarray(share * picture + (1 - share) * prompt.embeds, np.float32)

    def step(self, states: Sequence[Mini2State], chunks: Sequence[Chunk]) -> list[StepResult]:
        """Paint one frame of each stream entirely, or the tiles of it that have changed."""
        return [self._paint(state, chunk) for state, chunk in zip(states, chunks, strict=True)]

    def save(self, state: Mini2State) -> Memory:
        """Return copies of all that the next frame depends on at the effort in use; textures follow the camera."""
        buffers = state.levels[state.level]
        counts = np.array([state.level, buffers.has_estimate])
        cache = {} if buffers.cache is None else buffers.cache.save()
        return {
            "estimate": buffers.blocks.estimate.copy(),
            "counts": counts,
            **state.motion.save(),
            **{_CACHE + name: array for name, array in cache.items()},
        }

    def restore(self, state: Mini2State, memory: Memory) -> None:
        """Take what `save` returned, in a state of the same size and seed."""
        state.level, has_estimate = (int(number) for number in memory["counts"])
        buffers = state.levels[state.level]
        buffers.blocks.estimate[...] = memory["estimate"]
        buffers.has_estimate = bool(has_estimate)
        state.motion.restore(memory)
        cache = {name.removeprefix(_CACHE): array for name, array in memory.items() if name.startswith(_CACHE)}
        if cache and buffers.cache is not None:
            buffers.cache.restore(cache)

    def _paint(self, state: Mini2State, chunk: Chunk) -> StepResult:
        chunk.check(state.size)
        buffers = state.use(SPEC.level_of(chunk.effort))
        blocks = buffers.blocks
        width, height = blocks.size
        if self.follow_camera:
            down, right = state.motion.update(thumbnail_of(chunk, 0), cell_px(state.size))
            buffers.move_textures(down * height / state.size[1], right * width / state.size[0])
        source = resized(chunk.rgb[0], blocks.size)
        blocks.put_source(source)
        buffers.code[0] = chunk.embeds
        buffers.step[0] = 0.0, math.log2(chunk.denoising_steps), buffers.log_scale, buffers.has_estimate
        work = expected = None
        cache = self._cache_of(buffers, chunk)
        try:
            buffers.maps.draw(self._networks.drawing)
            tiles = None if cache is None else cache.choose(source)
            if cache is None or tiles is None:
                self._paint_whole(buffers, chunk.denoising_steps)
            else:
                if chunk.options.get(REGION_CACHE.name) == AUDIT and cache.frames % AUDIT_FRAMES == 0:
                    expected = np.array(executor_of(buffers, self._networks.whole).run()["picture"], np.uint8)[0]
                cache.paint(tiles)
                work = len(tiles) / cache.count
        except RuntimeError as error:
            raise StepError(f"the embedded model failed on a frame: {error}") from error
        buffers.has_estimate = True
        picture = to_picture(blocks.estimate[None], blocks.size)
        cached = None if cache is None else Cached(0.0 if work is None else 1 - work)
        if cached is not None and expected is not None:
            cached = Cached(cached.kept, True, psnr_db(blocks.estimate, expected))
        return StepResult(np.ascontiguousarray(resized(picture, state.size))[None], work=work, cached=cached)

    @staticmethod
    def _cache_of(buffers: EffortBuffers, chunk: Chunk) -> TileCache | None:
        """Return the region cache of a frame; None if it is to be painted without."""
        cache = buffers.cache
        if cache is not None and (chunk.denoising_steps > 1 or chunk.options.get(REGION_CACHE.name) == OFF):
            cache.forget()
            return None
        return cache

    def _paint_whole(self, buffers: EffortBuffers, steps: int) -> None:
        executor = executor_of(buffers, self._networks.whole)
        for done in range(steps):
            buffers.step[0] = done / steps, math.log2(steps), buffers.log_scale, buffers.has_estimate
            buffers.blocks.put_estimate(np.asarray(executor.run()["picture"], np.uint8))
            buffers.has_estimate = True

    def reset(self, state: Mini2State, *, keep: Keep = "nothing", seed: int | None = None) -> None:
        """Reset the memory of one stream in place."""
        del keep  # no picture is ever inside
        state.motion.reset()
        for buffers in state.levels:
            buffers.forget()
            if seed is not None and seed != state.seed:
                buffers.take_textures(seed)
        if seed is not None:
            state.seed = seed


def psnr_db(picture: NDArray[np.uint8], expected: NDArray[np.uint8]) -> float | None:
    """Return the PSNR of bytes, dB; None if they are equal."""
    error = np.square(picture.astype(np.float32) - expected).mean()
    return None if error == 0 else float(10 * np.log10(255**2 / error))


def resized(rgb: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return a picture `[h w 3]` at `(width, height)` px; the same array if it has that size."""
    if (rgb.shape[1], rgb.shape[0]) == size:
        return rgb
    return np.asarray(Image.fromarray(rgb).resize(size, Image.Resampling.BILINEAR), np.uint8)
