"""TAEHV (Bohan, MIT): the tiny autoencoder for Wan's latents, small convolutions that see the frame before.

It takes and gives normalised latents, and pictures from 0 to 1. Four frames are one latent, from the first on. A stream
of Wan begins with a latent of one frame: three copies of that frame are put before it, and after decoding the first
three frames are dropped (`codec.TinyCodec`).

A stream keeps the last frame of each `MemBlock`, so that pieces are decoded exactly as in one go. Names are those the
weights are published with. Shapes: b streams, t frames or latents, c channels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivace.models.wan.vae import FRAMES, FeatureCache


@dataclass(frozen=True, slots=True)
class TaehvConfig:
    """Widths; the defaults are those of taew2_1."""

    encoder: int = 64
    decoder: tuple[int, ...] = (256, 128, 64, 64)
    latent_channels: int = 16


class MemBlock(nn.Module):
    """Three convolutions that see the frame before."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            _conv(2 * channels, channels),
            nn.ReLU(inplace=True),
            _conv(channels, channels),
            nn.ReLU(inplace=True),
            _conv(channels, channels),
        )

    def forward(self, x: Tensor, past: FeatureCache) -> Tensor:
        """Return features of frames `x [b t c h w]`."""
        before = past.frames.get(id(self))
        before = x.new_zeros(x[:, :1].shape) if before is None else before
        past.frames[id(self)] = x[:, -1:].clone()
        earlier = torch.cat([before, x[:, :-1]], 1)
        return F.relu_(_each(self.conv, torch.cat([x, earlier], 2)) + x)


class TemporalPool(nn.Module):
    """Merge several frames into one."""

    def __init__(self, channels: int, frames: int) -> None:
        super().__init__()
        self.frames = frames
        self.conv = nn.Conv2d(frames * channels, channels, 1, bias=False)

    def forward(self, x: Tensor, past: FeatureCache) -> Tensor:  # noqa: ARG002  (as its neighbours)
        """Return features of frames `x [b t c h w]`, a multiple of `frames`."""
        return _each(self.conv, x.unflatten(1, (-1, self.frames)).flatten(2, 3))


class TemporalGrow(nn.Module):
    """Expand a frame into several."""

    def __init__(self, channels: int, frames: int) -> None:
        super().__init__()
        self.frames = frames
        self.conv = nn.Conv2d(channels, frames * channels, 1, bias=False)

    def forward(self, x: Tensor, past: FeatureCache) -> Tensor:  # noqa: ARG002  (as its neighbours)
        """Return features of frames `x [b t c h w]`."""
        return _each(self.conv, x).unflatten(2, (self.frames, -1)).flatten(1, 2)


class Clamp(nn.Module):
    """A soft limit on latents."""

    def forward(self, x: Tensor) -> Tensor:
        """Return them between -3 and 3."""
        return torch.tanh(x / 3) * 3


class Taehv(nn.Module):
    """The autoencoder."""

    def __init__(self, cfg: TaehvConfig) -> None:
        super().__init__()
        c = cfg.encoder
        levels: list[nn.Module] = [_conv(3, c), nn.ReLU(inplace=True)]
        for frames in (2, 2, 1):
            levels += [
                TemporalPool(c, frames),
                nn.Conv2d(c, c, 3, 2, 1, bias=False),
                MemBlock(c),
                MemBlock(c),
                MemBlock(c),
            ]
        self.encoder = nn.Sequential(*levels, _conv(c, cfg.latent_channels))
        levels = [Clamp(), _conv(cfg.latent_channels, cfg.decoder[0]), nn.ReLU(inplace=True)]
        for c, following, frames in zip(cfg.decoder, cfg.decoder[1:], (1, 2, 2), strict=False):
            levels += [MemBlock(c), MemBlock(c), MemBlock(c), nn.Upsample(scale_factor=2.0)]
            levels += [TemporalGrow(c, frames), nn.Conv2d(c, following, 3, 1, 1, bias=False)]
        self.decoder = nn.Sequential(*levels, nn.ReLU(inplace=True), _conv(cfg.decoder[-1], 3))

    def encode(self, pictures: Tensor, past: FeatureCache) -> Tensor:
        """Return latents `[b t/4 c h/8 w/8]` of the next frames `[b t 3 h w]` of a stream, a multiple of four.

        Raises:
            ValueError: another number of frames.
        """
        if pictures.shape[1] % FRAMES:
            raise ValueError(f"{pictures.shape[1]} frames are encoded at once, not a multiple of {FRAMES}")
        return _run(self.encoder, pictures, past, FRAMES)

    def decode(self, latents: Tensor, past: FeatureCache) -> Tensor:
        """Return four frames `[b 4t 3 8h 8w]` for each of the next latents `[b t c h w]` of a stream.

        Pictures are 0 to 1, and a little beyond where colours are strong.
        """
        return _run(self.decoder, latents, past, 1)


def _run(parts: nn.Sequential, frames: Tensor, past: FeatureCache, piece: int) -> Tensor:
    """Return the output for `frames [b t c h w]`, a latent at a time: features of a whole chunk are much memory."""
    pieces = []
    for x in frames.split(piece, 1):
        for part in parts:
            x = part(x, past) if isinstance(part, MemBlock | TemporalPool | TemporalGrow) else _each(part, x)
        pieces.append(x)
    return torch.cat(pieces, 1)


def _each(part: nn.Module, x: Tensor) -> Tensor:
    """Return what a part makes of each picture of `x [b t c h w]`."""
    pictures: Tensor = part(x.flatten(0, 1))
    return pictures.unflatten(0, x.shape[:2])


def _conv(inputs: int, outputs: int) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=1)
