"""Pictures to normalised latents and back, as a stream of Wan has them: the first latent is one frame, others four.

Both autoencoders stand behind one interface. The tiny one knows normalised latents and pictures from 0 to 1; the full
one is given the range that the transformer was trained on, and its latents are normalised here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
from torch import Tensor

from vivace.models.wan.taehv import Taehv
from vivace.models.wan.vae import FRAMES, SIDE_PX, Past, WanVae, normalised, spread_out


@dataclass(slots=True, eq=False)
class Codec:
    """What one stream's autoencoder remembers."""

    seen: Past = field(default_factory=Past)
    """On the way in."""
    shown: Past = field(default_factory=Past)
    """On the way out."""

    def forget(self) -> None:
        """Be at the begin of a stream again."""
        self.seen.forget()
        self.shown.forget()


class Autoencoder(Protocol):
    """Pictures to latents and back."""

    def encode(self, rgb: Tensor, codec: Codec) -> Tensor:
        """Return normalised latents `[1 n c h w]` of the next frames `uint8 [t h w 3]`: 1 + 4 k at first, then 4 k."""

    def decode(self, latents: Tensor, codec: Codec) -> Tensor:
        """Return the frames `uint8 [t h w 3]` of the next normalised latents `[1 n c h w]`."""


class FullCodec:
    """Wan's own autoencoder."""

    def __init__(self, vae: WanVae, pixel_range: Literal["signed", "unit"] = "signed") -> None:
        """Give it pictures in the range that the transformer was trained on."""
        self.vae = vae
        self._signed = pixel_range == "signed"
        self._dtype = vae.conv1.weight.dtype

    def encode(self, rgb: Tensor, codec: Codec) -> Tensor:
        """Return latents, see `Autoencoder`."""
        unit = rgb.float() / 255
        pictures = (unit * 2 - 1 if self._signed else unit).permute(0, 3, 1, 2)[None]
        return normalised(self.vae.encode(pictures.to(self._dtype), codec.seen).float())

    def decode(self, latents: Tensor, codec: Codec) -> Tensor:
        """Return frames, see `Autoencoder`."""
        pictures = self.vae.decode(spread_out(latents).to(self._dtype), codec.shown)[0].float()
        return _bytes(pictures / 2 + 0.5 if self._signed else pictures)


class TinyCodec:
    """TAEHV, made to begin as Wan's own does."""

    def __init__(self, taehv: Taehv, pixel_range: Literal["signed", "unit"] = "signed") -> None:
        """Mean the same pictures as the full one would with this range."""
        self.taehv = taehv
        self._signed = pixel_range == "signed"
        self._dtype = next(taehv.parameters()).dtype

    def encode(self, rgb: Tensor, codec: Codec) -> Tensor:
        """Return latents, see `Autoencoder`; the first frame comes with copies, so that it is a latent of its own."""
        unit = (rgb.float() / 255).permute(0, 3, 1, 2)[None]
        # Pictures from 0 to 1 given to an autoencoder of -1 to 1 are pale ones, to both.
        unit = unit if self._signed else unit / 2 + 0.5
        if not codec.seen.begun:
            codec.seen.begun = True
            unit = torch.cat([unit[:, :1].expand(-1, FRAMES - 1, -1, -1, -1), unit], 1)
        return self.taehv.encode(unit.to(self._dtype), codec.seen).float()

    def decode(self, latents: Tensor, codec: Codec) -> Tensor:
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
    """Return the bytes that a stream's autoencoder remembers, for each pixel of a frame: measured on a small one."""
    side, codec = 8 * SIDE_PX, Codec()
    rgb = torch.zeros((1 + FRAMES, side, side, 3), dtype=torch.uint8, device=device)
    with torch.inference_mode():
        autoencoder.decode(autoencoder.encode(rgb, codec), codec)
    return (codec.seen.nbytes + codec.shown.nbytes) / side**2
