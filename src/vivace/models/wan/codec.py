"""Pictures to normalised latents and back: the first latent of a stream is one frame, each later one four.

Both autoencoders have one interface. The tiny one takes pictures from 0 to 1 and gives normalised latents; the full one
is given the pixel range that the transformer was trained with, and its latents are normalised here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor

from vivace.models.wan.taehv import Taehv
from vivace.models.wan.vae import FRAMES, SIDE_PX, FeatureCache, WanVae, denormalise, normalise


@dataclass(slots=True, eq=False)
class CodecState:
    """The feature caches of one stream's autoencoder."""

    seen: FeatureCache = field(default_factory=FeatureCache)
    """Cache of the encoder."""
    shown: FeatureCache = field(default_factory=FeatureCache)
    """Cache of the decoder."""

    def forget(self) -> None:
        """Begin a stream anew."""
        self.seen.forget()
        self.shown.forget()


class Autoencoder(Protocol):
    """Pictures to latents and back."""

    def encode(self, rgb: Tensor, codec: CodecState) -> Tensor:
        """Return normalised latents `[1 n c h w]` of the next frames `uint8 [t h w 3]`: 1 + 4 k at first, then 4 k."""

    def decode(self, latents: Tensor, codec: CodecState) -> Tensor:
        """Return the frames `uint8 [t h w 3]` of the next normalised latents `[1 n c h w]`."""


class FullCodec:
    """Wan's own autoencoder."""

    def __init__(self, vae: WanVae, pixel_range: Literal["signed", "unit"] = "signed") -> None:
        """Encode pictures in the pixel range that the transformer was trained with: -1 to 1, or 0 to 1."""
        self.vae = vae
        self._signed = pixel_range == "signed"
        self._dtype = vae.conv1.weight.dtype

    def encode(self, rgb: Tensor, codec: CodecState) -> Tensor:
        """Return latents, see `Autoencoder`."""
        unit = rgb.float() / 255
        pictures = (unit * 2 - 1 if self._signed else unit).permute(0, 3, 1, 2)[None]
        return normalise(self.vae.encode(pictures.to(self._dtype), codec.seen).float())

    def decode(self, latents: Tensor, codec: CodecState) -> Tensor:
        """Return frames, see `Autoencoder`."""
        pictures = self.vae.decode(denormalise(latents).to(self._dtype), codec.shown)[0].float()
        return _bytes(pictures / 2 + 0.5 if self._signed else pictures)


class TinyCodec:
    """TAEHV, with a first latent of one frame as Wan's own autoencoder has."""

    def __init__(self, taehv: Taehv, pixel_range: Literal["signed", "unit"] = "signed") -> None:
        """Give the latents that the full one would in this pixel range."""
        self.taehv = taehv
        self._signed = pixel_range == "signed"
        self._dtype = next(taehv.parameters()).dtype

    def encode(self, rgb: Tensor, codec: CodecState) -> Tensor:
        """Return latents, see `Autoencoder`; the first frame comes with copies, so that it is a latent of its own."""
        unit = (rgb.float() / 255).permute(0, 3, 1, 2)[None]
        # Pictures from 0 to 1 given to an autoencoder of -1 to 1 are pale ones, to both.
        unit = unit if self._signed else unit / 2 + 0.5
        if not codec.seen.begun:
            codec.seen.begun = True
            unit = torch.cat([unit[:, :1].expand(-1, FRAMES - 1, -1, -1, -1), unit], 1)
        return self.taehv.encode(unit.to(self._dtype), codec.seen).float()

    def decode(self, latents: Tensor, codec: CodecState) -> Tensor:
        """Return frames, see `Autoencoder`."""
        unit = self.taehv.decode(latents.to(self._dtype), codec.shown)[0].float()
        if not codec.shown.begun:
            codec.shown.begun = True
            unit = unit[FRAMES - 1 :]
        return _bytes(unit if self._signed else unit * 2 - 1)


def _bytes(pictures: Tensor) -> Tensor:
    """Return pictures `[t 3 h w]`, 0 to 1, as `uint8 [t h w 3]`."""
    return (pictures.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def past_nbytes(autoencoder: Autoencoder, device: torch.device) -> float:
    """Return the bytes of a stream's feature caches for each pixel of a frame, measured on a small frame."""
    side, codec = 8 * SIDE_PX, CodecState()
    rgb = torch.zeros((1 + FRAMES, side, side, 3), dtype=torch.uint8, device=device)
    with torch.inference_mode():
        autoencoder.decode(autoencoder.encode(rgb, codec), codec)
    return (codec.seen.nbytes + codec.shown.nbytes) / side**2
