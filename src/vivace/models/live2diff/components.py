"""Networks of a loaded model, and the settings of its style."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from vivace.checkpoints.lora import LoraStack
from vivace.models.base import Prompt
from vivace.models.live2diff.controls import Guidance
from vivace.models.live2diff.depth import Detector
from vivace.models.live2diff.unet import Live2DiffUNet


class Autoencoder(Protocol):
    """Autoencoder between pictures and latents, both scaled as the UNet was trained."""

    def encode(self, pictures: Tensor) -> Tensor:
        """Return latents `[f 4 h/8 w/8]` of `pictures [f 3 h w]` in [-1, 1]; h and w are multiples of 8."""

    def decode(self, latents: Tensor) -> Tensor:
        """Return pictures `[f 3 h w]`, about [-1, 1], of `latents [f 4 h/8 w/8]`."""


class PromptEncoder(Protocol):
    """Encoder of texts, including the style's template and learned words."""

    def encode(self, text: str) -> Prompt:
        """Return the prompt with `embeds` float32 `[77 768]`; `message` says what was truncated, if anything."""

    def encode_negative(self, text: str) -> Prompt:
        """Return a prompt without the style's template; an empty text is allowed."""

    def forget(self) -> None:
        """Drop cached prompts, because weights have changed."""


@dataclass(frozen=True, slots=True)
class StyleInfo:
    """Settings of a style besides weights."""

    name: str
    """Name of profile and style for people, e.g. `live2diff/felted`."""
    summary: str
    licence: str
    t_index: tuple[int, ...]
    """Indices into the 50 timesteps of LCM, rising; one per denoising row."""
    guidance: Guidance = "none"


@dataclass(frozen=True, slots=True)
class Components:
    """Weights of one model, on their device, ready to run."""

    unet: Live2DiffUNet
    autoencoder: Autoencoder
    detector: Detector
    prompts: PromptEncoder
    style: StyleInfo
    loras: tuple[LoraStack, ...] = ()
    """LoRAs of the UNet and of the text encoder; a LoRA has the same name in both."""
