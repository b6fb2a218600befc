"""The state of a stream: its feature caches, the memory of earlier chunks, and its prompt."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from torch import Tensor

from vivace.memory.ring import Ring
from vivace.models.wan.anchor_memory import AnchorMemory, AnchorRules
from vivace.models.wan.codec import CodecState
from vivace.models.wan.components import Checkpoint, Components
from vivace.models.wan.mask_cache import MaskCache
from vivace.models.wan.motion import MotionScale
from vivace.models.wan.noise import draw_noise
from vivace.models.wan.program import FlowProgram, program_nbytes
from vivace.models.wan.prompt_state import PromptState
from vivace.models.wan.region_cache import RegionCache
from vivace.models.wan.ring import KvBuffers, RollingMemory, ring_nbytes
from vivace.models.wan.rope import Rotary
from vivace.models.wan.sampler import Sampler
from vivace.models.wan.stream_batch import StreamBatch
from vivace.models.wan.vae import FRAMES, SIDE_PX
from vivace.runtime.torch.device import TorchDevice
from vivace.runtime.torch.graphs import Mode

FIRST_LATENTS_OF_A_BATCH = 2
"""Latents of the first chunk of a stream batch, which takes all steps in turn."""


@dataclass(slots=True, eq=False)
class WanStream:
    """One stream of `(width, height)` px."""

    size: tuple[int, int]
    seed: int
    memories: list[RollingMemory] | list[AnchorMemory]
    """One, or one for every row of a stream batch."""
    mask_cache: MaskCache
    region_cache: RegionCache
    motion: MotionScale
    batch: StreamBatch | None
    program: FlowProgram | None
    """The transformer over a full ring, where it is compiled."""
    codec: CodecState = field(default_factory=CodecState)
    prompt: PromptState = field(default_factory=PromptState)
    clean: deque[Tensor] = field(default_factory=deque)
    """Inputs of the context call for the last latent frames, `[1 1 c h w]` each, at most a window of them."""
    loras: Mapping[str, float] = field(default_factory=dict)
    """LoRA weights that its user has asked for, by option."""
    chunk: int = 0
    """Number of the next chunk since the stream began or forgot."""

    def forget(self) -> None:
        """Forget every frame; the prompt stays."""
        self.codec.forget()
        self.clean.clear()
        self.chunk = 0
        self.motion.forget()
        self.mask_cache.forget()
        self.region_cache.forget()
        if self.batch is not None:
            self.batch.forget()
        else:
            for memory in self.memories:
                memory.forget()
        self.prompt.end_fade()

    def noise(self, index: int, like: Tensor) -> Tensor:
        """Return one of the present chunk's draws."""
        return draw_noise(self.seed, self.chunk, index, tuple(like.shape), like.device)

    def remember(self, latents: Tensor, most: int) -> None:
        """Keep inputs of the context call `[1 f c h w]`, at most those of the last `most` latent frames."""
        self.clean.extend(latents.split(1, 1))
        while len(self.clean) > most:
            self.clean.popleft()


def open_stream(
    components: Components,
    sampler: Sampler,
    size: tuple[int, int],
    seed: int,
    device: TorchDevice,
    mode: Mode = "eager",
) -> WanStream:
    """Allocate a stream's state; compiles and records its program, where it has one."""
    network, checkpoint = components.network, components.checkpoint
    sampling = checkpoint.sampling
    height, width = latent_size(size)
    rotary = Rotary(network.cfg.head_dim, network.grid(height, width), device.torch)
    dtype = network.patch_embedding.weight.dtype
    rows = rows_of(checkpoint)
    buffers = [
        KvBuffers(network.cfg, sampling.window, rotary.grid.tokens, dtype=dtype, device=device.torch)
        for _ in range(rows)
    ]
    motion, batch, program = MotionScale(sampling.noise_scale), None, None
    memories: list[RollingMemory] | list[AnchorMemory]
    if sampling.stream_batch:
        rules = AnchorRules(sampling.window, sampling.anchors, sampling.anchors_renewed_below)
        memories = [AnchorMemory(rotary, each, rules) for each in buffers]
        steps = sampler.schedule.steps(sampling.steps, warped=sampling.warped)
        batch = StreamBatch(sampler, steps, memories)
    else:
        ring = Ring(sampling.anchors, sampling.window - sampling.anchors)
        memories = [RollingMemory(ring, sampling.positions, rotary, each) for each in buffers]
        if mode != "eager":
            program = FlowProgram(network, buffers[0], (sampling.chunk, height, width), device, mode)
            program.prepare()
    return WanStream(size, seed, memories, MaskCache(), RegionCache(size), motion, batch, program)


def stream_nbytes(components: Components, size: tuple[int, int], past_nbytes: float, mode: Mode = "eager") -> int:
    """Return the most bytes that a stream takes; `past_nbytes` is what its autoencoder remembers for each pixel."""
    network, checkpoint = components.network, components.checkpoint
    sampling, cfg = checkpoint.sampling, network.cfg
    height, width = latent_size(size)
    dtype = network.patch_embedding.weight.dtype
    grid = network.grid(height, width)
    ring = rows_of(checkpoint) * ring_nbytes(cfg, sampling.window, grid, dtype)
    text = 2 * cfg.layers * cfg.text_len * cfg.dim * dtype.itemsize
    clean = 4 * sampling.window * cfg.in_channels * height * width
    pruned = cfg.layers * sampling.chunk * grid.tokens * cfg.dim * dtype.itemsize
    masked = pruned if checkpoint.source == "channels" else 0
    frames = 3 * FRAMES * (sampling.chunk + 1) * size[0] * size[1]
    program = 0 if mode == "eager" else text + program_nbytes(cfg, sampling.window * grid.tokens)
    past = RegionCache.nbytes_of(size) + int(past_nbytes * size[0] * size[1])
    return program + ring + text + clean + masked + frames + past


def first_latents(checkpoint: Checkpoint) -> int:
    """Return the latents of the first chunk of a stream."""
    sampling = checkpoint.sampling
    return FIRST_LATENTS_OF_A_BATCH if sampling.stream_batch else sampling.first_chunk or sampling.chunk


def rows_of(checkpoint: Checkpoint) -> int:
    """Return the number of memories of a stream: one for each row of a stream batch."""
    return len(checkpoint.sampling.steps) if checkpoint.sampling.stream_batch else 1


def latent_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return height and width in latents of a picture of `(width, height)` px."""
    return size[1] // SIDE_PX, size[0] // SIDE_PX
