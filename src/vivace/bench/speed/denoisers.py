"""The denoising network of a model: its stage of a step, its work, and the memory that a stream cannot do without."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar, cast

from vivace.errors import UsageError

if TYPE_CHECKING:
    import torch

    from vivace.models.base import StreamModel
    from vivace.models.live2diff.model import Live2DiffModel
    from vivace.models.wan.model import WanModel
    from vivace.runtime.torch.stages import StageTimer


class Denoiser(ABC):
    """The denoising network of one model."""

    stages: tuple[str, ...]
    """Stages that the model's timer knows."""
    main: str
    """The stage of the denoising network; its metrics begin with this."""
    plain_options: ClassVar[Mapping[str, bool]] = {}
    """Options under which the plain form costs the same and warms up sooner."""
    timer: StageTimer

    @property
    @abstractmethod
    def device(self) -> torch.device:
        """Device of the weights."""

    @abstractmethod
    def warmup_steps(self, asked: int, *, plain: bool) -> int:
        """Return the steps until each costs what it always will, `asked` being the benchmark's setting."""

    @abstractmethod
    def watch(self) -> AbstractContextManager[object]:
        """Return what looks at the shapes of calls while it is entered."""

    @abstractmethod
    def flops(self) -> int:
        """Return the floating-point operations of the main stage of a step."""

    def needed_nbytes(self, size: tuple[int, int]) -> int | None:
        """Return the bytes of the weights and of a stream's KV ring; None where that is not asked for."""
        del size
        return None


class Live2DiffDenoiser(Denoiser):
    """The UNet of Live2Diff."""

    stages = ("depth", "encode", "unet", "decode")
    main = "unet"
    plain_options: ClassVar[Mapping[str, bool]] = {"anchor_joint": False}

    def __init__(self, model: Live2DiffModel) -> None:
        self.timer = model.timer
        self._unet = model.components.unet
        self._lag = model.spec.output_lag_frames
        self._shapes: tuple[torch.Size, torch.Size] | None = None

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self._unet.conv_in.weight.device

    def warmup_steps(self, asked: int, *, plain: bool) -> int:
        """Return the steps asked for; the plain form has nothing to compile, its steps cost the same from the first."""
        return 2 + self._lag if plain else asked

    def watch(self) -> AbstractContextManager[object]:
        """Look at the shapes of calls."""

        def look(module: object, inputs: tuple[Any, ...]) -> None:
            del module
            latents, _, _, text, _ = inputs
            self._shapes = latents.shape, text.shape

        return self._unet.register_forward_pre_hook(look)

    def flops(self) -> int:
        """Return the work of the last call that was watched."""
        from vivace.bench.speed.flops import unet_flops

        assert self._shapes is not None, "the network was not called"
        return unet_flops(self._unet.cfg, *self._shapes)


class WanDenoiser(Denoiser):
    """The transformer of the causal Wan family."""

    stages = ("encode", "denoise", "context", "decode")
    main = "denoise"

    def __init__(self, model: WanModel, size: tuple[int, int]) -> None:
        self.timer = model.timer
        self._network, self._sampling = model.components.network, model.components.checkpoint.sampling
        self._size = size
        self._calls: list[int] = []

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return self._network.patch_embedding.weight.device

    def warmup_steps(self, asked: int, *, plain: bool) -> int:
        """Return the chunks before the first that sees a full window, and the rows of a stream batch."""
        del asked, plain
        sampling = self._sampling
        return -(-sampling.window // sampling.chunk) - 1 + len(sampling.steps) * sampling.stream_batch

    def watch(self) -> AbstractContextManager[object]:
        """Do nothing: all shapes are known."""
        return nullcontext()

    def flops(self) -> int:
        """Return the work of all steps of a chunk, the context call apart, over a full window."""
        from vivace.bench.speed.flops import wan_flops
        from vivace.models.wan.stream_state import latent_size

        sampling = self._sampling
        grid = self._network.grid(*latent_size(self._size))
        return len(sampling.steps) * wan_flops(self._network.cfg, grid.tokens, sampling.chunk, sampling.window)

    def needed_nbytes(self, size: tuple[int, int]) -> int | None:
        """Return the bytes of the transformer's weights and of the rings of a stream."""
        from vivace.models.wan.ring import ring_nbytes
        from vivace.models.wan.stream_state import latent_size
        from vivace.runtime.torch.packed import weights_nbytes

        dtype = self._network.patch_embedding.weight.dtype
        rows = len(self._sampling.steps) if self._sampling.stream_batch else 1
        grid = self._network.grid(*latent_size(size))
        return weights_nbytes(self._network) + rows * ring_nbytes(self._network.cfg, self._sampling.window, grid, dtype)


def denoiser_of(model: StreamModel[Any], size: tuple[int, int]) -> Denoiser:
    """Return the denoising network of a model that paints pictures of `size = (width, height)` px.

    Raises:
        UsageError: a family that is not looked into.
    """
    match model.spec.family:
        case "live2diff":
            return Live2DiffDenoiser(cast("Live2DiffModel", model))
        case "wan":
            return WanDenoiser(cast("WanModel", model), size)
    raise UsageError(f"the steps of the family {model.spec.family!r} are not looked into")
