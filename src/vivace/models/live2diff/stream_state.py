"""Path of a picture through the components: encode, estimate depth, denoise, decode.

    rgb ─▶ encode ─▶ latents ─┐
     └───▶ depth ──▶ encode ──┴─▶ stream batch ─▶ decode ─▶ rgb, t - 1 frames later

Each of the four is a function without arguments over buffers at fixed addresses, so that it can be recorded once and
replayed (`runtime.torch.graphs`). Encoding and depth are independent and run in parallel on a GPU. The device is not
synchronised with until the finished picture is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vivace.errors import StepError
from vivace.models.base import Prompt
from vivace.models.camera_motion import CameraMotion
from vivace.models.live2diff.batch import StreamBatch
from vivace.models.live2diff.components import Components
from vivace.models.live2diff.depth import RunningBounds, depth_pictures
from vivace.models.live2diff.noise import LATENT_PX
from vivace.models.live2diff.state import LiveState
from vivace.runtime.torch.device import TorchDevice
from vivace.runtime.torch.graphs import WARM_UP_CALLS, Mode, Program
from vivace.runtime.torch.stages import StageTimer

Picture = NDArray[np.uint8]


@dataclass(slots=True)
class SentControls:
    """Control values last uploaded; unchanged ones are skipped."""

    embeds: NDArray[np.float32] | None = None
    negative: Prompt | None = None
    strength: float | None = None
    loras: Mapping[str, float] = field(default_factory=dict)


class StepBuffers:
    """Buffers of a stream's steps, and the steps that are recorded over them.

    Separate from the state, whose programs refer to it: a reference cycle would keep a closed stream's memory until
    garbage collection.
    """

    def __init__(self, components: Components, batch: StreamBatch, live: LiveState, size: tuple[int, int]) -> None:
        """Allocate the buffers for pictures of `(width, height)` px."""
        width, height = size
        self.live = live
        self.bounds = RunningBounds(device=batch.device)
        self.rgb = torch.zeros((height, width, 3), dtype=torch.uint8, device=batch.device)
        self.painted = torch.zeros_like(self.rgb)
        self.finite = torch.ones((), dtype=torch.bool, device=batch.device)
        self._components, self._batch = components, batch

    def _pictures(self) -> Tensor:
        return self.rgb.permute(2, 0, 1)[None].float() / 127.5 - 1

    def encode(self) -> None:
        """Encode the picture."""
        self.live.entering[0].copy_(self._components.autoencoder.encode(self._pictures())[0])

    def depth(self) -> None:
        """Estimate the picture's depth, and encode it."""
        grey = depth_pictures(self._pictures(), self._components.detector, bounds=self.bounds)
        self.live.entering[1].copy_(self._components.autoencoder.encode(grey)[0])

    def denoise(self) -> None:
        """Run the stream batch."""
        self._batch.denoise([self.live])

    def decode(self) -> None:
        """Decode the frame that left the last row."""
        finished = self.live.finished
        picture = self._components.autoencoder.decode(finished[None])[0].float()
        self.finite.copy_(torch.isfinite(picture).all())
        self.painted.copy_(((picture.clamp(-1, 1) + 1) * 127.5).round().permute(1, 2, 0))


class StreamState:
    """State of one stream: its memory, picture buffers, and the recorded steps between them."""

    def __init__(
        self,
        components: Components,
        batch: StreamBatch,
        live: LiveState,
        size: tuple[int, int],
        device: TorchDevice,
        *,
        mode: Mode,
        timer: StageTimer,
    ) -> None:
        """Paint pictures of `(width, height)` px with the memory `live`."""
        width, height = size
        pinned = device.torch.type == "cuda"
        self.size = size
        self.live = live
        self.motion = CameraMotion()
        self.sent = SentControls()
        self.seed = 0
        self.mode = mode
        self._frames_with_depth = 0
        self._batch, self._timer = batch, timer
        self._device = device
        self._step_buffers = step_buffers = StepBuffers(components, batch, live, size)
        self._given = torch.zeros((height, width, 3), dtype=torch.uint8, pin_memory=pinned)
        self._side = torch.cuda.Stream(device.torch) if pinned else None
        # Depth runs in parallel with the others and must not share their memory.
        main_pool, side_pool = device.pools if mode == "graph" else (None, None)
        self._encode = Program(step_buffers.encode, device=device.torch, mode=mode, pool=main_pool)
        self._depth = Program(step_buffers.depth, device=device.torch, mode=mode, pool=side_pool)
        self._denoise = Program(step_buffers.denoise, device=device.torch, mode=mode, pool=main_pool)
        self._decode = Program(step_buffers.decode, device=device.torch, mode=mode, pool=main_pool)

    @property
    def nbytes(self) -> int:
        """Size of all buffers, bytes."""
        return self.live.nbytes + picture_nbytes(self.size)

    @torch.inference_mode()
    def prepare(self) -> None:
        """Compile and record as the mode requires, so that the first frame does not wait for it; forgets every frame.

        May take minutes for a size that is new to the process. Only the recording takes the device's turn: recorded
        programs share their memory with other streams.
        """
        if self.mode == "eager":
            return
        for _ in range(WARM_UP_CALLS):
            self._run_programs()
        self._device.in_turn(self._run_programs)
        self._device.in_turn(self.reset)

    def _run_programs(self) -> None:
        for program in (self._encode, self._depth, self._denoise, self._decode):
            program()

    # -- a frame -------------------------------------------------------------------------------------------------------

    def take_in(self, rgb: Picture, *, look_at_depth: bool) -> None:
        """Encode a picture `uint8 [h w 3]`, and its depth unless the last one is reused."""
        self._given.numpy()[...] = rgb
        # Waits for the copy, or the next picture could overwrite its source.
        self._step_buffers.rgb.copy_(self._given)
        if not look_at_depth:
            with self._timer("encode"):
                self._encode()
            return
        if self._side is None:
            with self._timer("encode"):
                self._encode()
            with self._timer("depth"):
                self._depth()
            return
        here = torch.cuda.current_stream(self._device.torch)
        self._side.wait_stream(here)
        with torch.cuda.stream(self._side), self._timer("depth"):
            self._depth()
        with self._timer("encode"):
            self._encode()
        here.wait_stream(self._side)

    def denoise(self) -> None:
        """Run the stream batch on this stream alone."""
        with self._timer("unet"):
            self._denoise()

    def show(self) -> Picture:
        """Return the picture of the frame that left the last row, `uint8 [h w 3]`; waits for the device.

        Raises:
            StepError: numbers that are not finite.
        """
        with self._timer("decode"):
            self._decode()
        picture: Picture = self._step_buffers.painted.cpu().numpy()
        if not bool(self._step_buffers.finite):
            raise StepError("the network returned numbers that are not finite, so the stream is reset")
        # On a CPU this would be the buffer itself.
        return picture.copy() if self._device.torch.type == "cpu" else picture

    # -- resets
    # -----------------------------------------------------------------------------------------------------------

    def begin_scene(self) -> None:
        """Forget the past for coming frames; frames in the rows continue."""
        self._batch.begin_scene(self.live)
        self._forget_sight()

    def reset(self) -> None:
        """Forget every frame."""
        self._batch.reset(self.live)
        self.sent.embeds = None  # the buffers of the rows are empty again
        self._forget_sight()

    def wants_depth(self, every: int) -> bool:
        """Return whether a frame's depth is due, which is every `every`-th frame of a scene; counts the frame."""
        due = self._frames_with_depth % every == 0
        self._frames_with_depth += 1
        return due

    def _forget_sight(self) -> None:
        self._step_buffers.bounds.reset()
        self.motion.reset()
        self._frames_with_depth = 0


def picture_nbytes(size: tuple[int, int]) -> int:
    """Return the bytes of a state's picture buffers: input, device copy, output."""
    return 3 * 3 * size[0] * size[1]


def latent_size(size: tuple[int, int]) -> tuple[int, int]:
    """Return height and width in latents of a picture of `(width, height)` px."""
    return size[1] // LATENT_PX, size[0] // LATENT_PX
