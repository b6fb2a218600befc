"""The networks a loaded model is made of, and what its style settles."""

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
    """Pictures to latents and back; both scaled as the UNet was trained."""

    def encode(self, pictures: Tensor) -> Tensor:
        """Return latents `[f 4 h/8 w/8]` of `pictures [f 3 h w]` in [-1, 1]; h and w are multiples of 8."""

    def decode(self, latents: Tensor) -> Tensor:
        """Return pictures `[f 3 h w]`, about [-1, 1], of `latents [f 4 h/8 w/8]`."""


class PromptEncoder(Protocol):
    """Text to embeddings, template and learned words included."""

    def encode(self, text: str) -> Prompt:
        """Return the prompt with `embeds` float32 `[77 768]`; `message` says what was cut off, if anything was."""

    def encode_negative(self, text: str) -> Prompt:
        """Return a prompt without the style's template; an empty text is fine."""

    def forget(self) -> None:
        """Drop what was encoded, since weights have changed."""


@dataclass(frozen=True, slots=True)
class StyleInfo:
    """What a style settles besides weights."""

    name: str
    """Of the profile and style, for people, e.g. `live2diff/felted`."""
    summary: str
    licence: str
    t_index: tuple[int, ...]
    """Indices into the 50 timesteps of LCM, rising; as many as there are denoising rows."""
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
    """Of the UNet and of the text encoder; a LoRA has the same name in both."""
