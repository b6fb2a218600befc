"""The networks of a loaded model, and the settings of its checkpoint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from vivace.checkpoints.lora import LoraStack
from vivace.models.base import Prompt
from vivace.models.wan.codec import Autoencoder
from vivace.models.wan.network import WanNetwork
from vivace.models.wan.profile import Sampling


class PromptEncoder(Protocol):
    """Text to features."""

    def encode(self, text: str) -> Prompt:
        """Return the prompt with `embeds` float32 `[t d]`; `message` says what was cut off, if anything was."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Settings of a checkpoint besides its weights."""

    name: str
    """For people, e.g. `causal-forcing/framewise`."""
    summary: str
    licence: str
    source: Literal["noised", "channels"]
    sampling: Sampling
    normalised_in: bool = True
    """True where the transformer takes normalised latents of the source."""


@dataclass(frozen=True, slots=True)
class Components:
    """Weights of one model, on their device, ready to run."""

    network: WanNetwork
    autoencoder: Autoencoder
    prompts: PromptEncoder
    checkpoint: Checkpoint
    loras: tuple[LoraStack, ...] = ()
    """Those that can be weighed anew, all in one stack."""
