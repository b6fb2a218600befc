"""Wan's video autoencoder, causal in time: it encodes and decodes a stream piece by piece as it would a whole clip.

Every convolution in time keeps the last frames it saw of a stream in a `FeatureCache`, which belongs to the caller. The
first frame of a stream is a latent of its own, each later latent is four frames. The transformer takes latents that are
normalised channel by channel; some checkpoints were trained with a source that is not.

Names are those the weights are published with. Shapes: b streams, t frames, c channels, h x w px or latents.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MEAN = (
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
    0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
)  # fmt: skip
STD = (
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
    3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
)  # fmt: skip
"""Mean and standard deviation of each latent channel, as published with Wan 2.1."""
FRAMES = 4
"""Frames of a latent; the first latent of a stream is one frame."""
SIDE_PX = 8
"""Side of a latent's square, px."""


@dataclass(frozen=True, slots=True)
class VaeConfig:
    """Widths and depths; the defaults are those of Wan 2.1."""

    width: int = 96
    latent_channels: int = 16
    multipliers: tuple[int, ...] = (1, 2, 4, 4)
    blocks: int = 2
    """Residual blocks of a level of the encoder; the decoder has one more."""
    in_time: tuple[bool, ...] = (False, True, True)
    """Borders of levels that halve time as well, from the finest on."""


@dataclass(slots=True, eq=False)
class FeatureCache:
    """The last frames that each convolution in time has seen of one stream; empty at its begin."""

    frames: dict[int, Tensor] = field(default_factory=dict)
    """Features `[b c t h w]` (TAEHV: `[b t c h w]`), by `id` of the module."""
    begun: bool = False
    """True once the first frame has passed."""

    def forget(self) -> None:
        """Begin a stream anew."""
        self.frames.clear()
        self.begun = False

    @property
    def nbytes(self) -> int:
        """Bytes that are held at present."""
        return sum(frames.nbytes for frames in self.frames.values())


class CausalConv(nn.Conv3d):
    """A convolution that sees frames up to its own; before a stream begins there are zeros."""

    def __init__(self, inputs: int, outputs: int, kernel: int | tuple[int, int, int], *, stride: int = 1) -> None:
        size = (kernel, kernel, kernel) if isinstance(kernel, int) else kernel
        super().__init__(inputs, outputs, size, (stride, 1, 1), (0, size[1] // 2, size[2] // 2))
        self.reach = size[0] - 1

    def forward(self, x: Tensor, past: FeatureCache | None = None) -> Tensor:
        """Return the features of frames `x [b c t h w]`, which follow what `past` holds."""
        if self.reach:
            assert past is not None
            before = past.frames.get(id(self))
            if before is None:
                before = x.new_zeros(*x.shape[:2], self.reach, *x.shape[3:])
            x = torch.cat([before, x], 2)
            past.frames[id(self)] = x[:, :, -self.reach :].clone()
        return super().forward(x)


class Norm(nn.Module):
    """RMS norm over the channels of each pixel."""

    def __init__(self, channels: int, axes: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels, *[1] * axes))

    def forward(self, x: Tensor) -> Tensor:
        """Return `x [b c …]` normed."""
        return F.normalize(x, dim=1) * x.shape[1] ** 0.5 * self.gamma


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            Norm(inputs, 3), nn.SiLU(), CausalConv(inputs, outputs, 3),
            Norm(outputs, 3), nn.SiLU(), nn.Identity(), CausalConv(outputs, outputs, 3),
        )  # fmt: skip
        self.shortcut = CausalConv(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Tensor, past: FeatureCache) -> Tensor:
        """Return features of frames `x [b c t h w]`."""
        own = self.shortcut(x)
        for part in self.residual:
            x = part(x, past) if isinstance(part, CausalConv) else part(x)
        added: Tensor = x + own
        return added


class PictureAttention(nn.Module):
    """Self-attention among the pixels of each frame, one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = Norm(channels, 2)
        self.to_qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.proj = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, past: FeatureCache) -> Tensor:  # noqa: ARG002  (as its neighbours)
        """Return features of frames `x [b c t h w]`."""
        b, _, t, h, w = x.shape
        pictures = x.transpose(1, 2).flatten(0, 1)
        q, k, v = (
            part.flatten(2).transpose(1, 2)[:, None] for part in self.to_qkv(self.norm(pictures)).chunk(3, dim=1)
        )
        mixed = F.scaled_dot_product_attention(q, k, v)[:, 0].transpose(1, 2).unflatten(2, (h, w))
        added: Tensor = self.proj(mixed).unflatten(0, (b, t)).transpose(1, 2)
        return x + added


class Downsample(nn.Module):
    """Half the height and width, and half the frames where a level halves time."""

    def __init__(self, channels: int, *, in_time: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(channels, channels, 3, 2))
        self.time_conv = nn.Conv3d(channels, channels, (3, 1, 1), (2, 1, 1)) if in_time else None

    def forward(self, x: Tensor, past: FeatureCache) -> Tensor:
        """Return features of frames `x [b c t h w]`; the first frame of a stream stays one."""
        x = _each(self.resample, x)
        if self.time_conv is None:
            return x
        if (before := past.frames.get(id(self))) is None:
            past.frames[id(self)] = x[:, :, -1:].clone()
            return x
        past.frames[id(self)] = x[:, :, -1:].clone()
        halved: Tensor = self.time_conv(torch.cat([before, x], 2))
        return halved


class Upsample(nn.Module):
    """Twice the height and width, half the channels, and twice the frames where a level doubles time."""

    def __init__(self, channels: int, *, in_time: bool) -> None:
        super().__init__()
        self.resample = nn.Sequential(
            nn.Upsample(scale_factor=2.0, mode="nearest-exact"), nn.Conv2d(channels, channels // 2, 3, padding=1)
        )
        self.time_conv = CausalConv(channels, 2 * channels, (3, 1, 1)) if in_time else None

    def forward(self, x: Tensor, past: FeatureCache) -> Tensor:
        """Return features of frames `x [b c t h w]`; the first latent of a stream stays one frame, unseen by others."""
        if self.time_conv is not None and past.begun:
            both = self.time_conv(x, past).unflatten(1, (2, -1))
            x = torch.stack(both.unbind(1), 3).flatten(2, 3)
        return _each(self.resample, x)


def _each(part: nn.Module, x: Tensor) -> Tensor:
    """Return what a part makes of each picture of `x [b c t h w]`."""
    pictures: Tensor = part(x.transpose(1, 2).flatten(0, 1))
    return pictures.unflatten(0, (x.shape[0], -1)).transpose(1, 2)


def _middle(channels: int) -> nn.Sequential:
    return nn.Sequential(Residual(channels, channels), PictureAttention(channels), Residual(channels, channels))


def _head(channels: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(Norm(channels, 3), nn.SiLU(), CausalConv(channels, outputs, 3))


def _run(parts: nn.Sequential, x: Tensor, past: FeatureCache) -> Tensor:
    for part in parts:
        x = part(x) if isinstance(part, Norm | nn.SiLU) else part(x, past)
    return x


class Encoder(nn.Module):
    """From pictures to the mean and spread of latents."""

    def __init__(self, cfg: VaeConfig) -> None:
        super().__init__()
        self.conv1 = CausalConv(3, cfg.width, 3)
        levels: list[nn.Module] = []
        channels = cfg.width
        for level, multiplier in enumerate(cfg.multipliers):
            for _ in range(cfg.blocks):
                levels.append(Residual(channels, cfg.width * multiplier))
                channels = cfg.width * multiplier
            if level < len(cfg.in_time):
                levels.append(Downsample(channels, in_time=cfg.in_time[level]))
        self.downsamples = nn.Sequential(*levels)
        self.middle = _middle(channels)
        self.head = _head(channels, 2 * cfg.latent_channels)

    def forward(self, x: Tensor, past: FeatureCache) -> Tensor:
        """Return `[b 2c t' h/8 w/8]` of frames `x [b 3 t h w]`: the first of a stream alone, or four at a time."""
        x = self.conv1(x, past)
        for parts in (self.downsamples, self.middle, self.head):
            x = _run(parts, x, past)
        return x


class Decoder(nn.Module):
    """From latents to pictures."""

    def __init__(self, cfg: VaeConfig) -> None:
        super().__init__()
        channels = cfg.width * cfg.multipliers[-1]
        self.conv1 = CausalConv(cfg.latent_channels, channels, 3)
        self.middle = _middle(channels)
        levels: list[nn.Module] = []
        for level, multiplier in enumerate(reversed(cfg.multipliers)):
            for _ in range(cfg.blocks + 1):
                levels.append(Residual(channels, cfg.width * multiplier))
                channels = cfg.width * multiplier
            if level < len(cfg.in_time):
                levels.append(Upsample(channels, in_time=cfg.in_time[-1 - level]))
                channels //= 2
        self.upsamples = nn.Sequential(*levels)
        self.head = _head(channels, 3)

    def forward(self, x: Tensor, past: FeatureCache) -> Tensor:
        """Return frames `[b 3 t' 8h 8w]` of latents `x [b c t h w]`: the first of a stream alone, or any number."""
        x = self.conv1(x, past)
        for parts in (self.middle, self.upsamples, self.head):
            x = _run(parts, x, past)
        past.begun = True
        return x


class WanVae(nn.Module):
    """The autoencoder. Pictures are -1 to 1, or whatever range the diffusion model was trained on."""

    def __init__(self, cfg: VaeConfig) -> None:
        super().__init__()
        self.cfg = cfg
        self.encoder = Encoder(cfg)
        self.conv1 = CausalConv(2 * cfg.latent_channels, 2 * cfg.latent_channels, 1)
        self.conv2 = CausalConv(cfg.latent_channels, cfg.latent_channels, 1)
        self.decoder = Decoder(cfg)

    def encode(self, pictures: Tensor, past: FeatureCache) -> Tensor:
        """Return latents `[b n c h/8 w/8]` of the next frames of a stream `[b t 3 h w]`, before normalising.

        The first call takes 1 + 4 k frames, later ones a multiple of 4.

        Raises:
            ValueError: another number of frames.
        """
        x = pictures.transpose(1, 2)
        lead = 0 if past.begun else 1
        if (x.shape[2] - lead) % FRAMES or x.shape[2] < 1:
            raise ValueError(f"{x.shape[2]} frames are encoded at once; a call takes {lead} and a multiple of {FRAMES}")
        pieces = [x[:, :, :lead], x[:, :, lead:]]
        past.begun = True
        latents = torch.cat([self.encoder(piece, past) for piece in pieces if piece.shape[2]], 2)
        return self.conv1(latents).chunk(2, dim=1)[0].transpose(1, 2)

    def decode(self, latents: Tensor, past: FeatureCache) -> Tensor:
        """Return frames `[b t 3 8h 8w]` of the next latents of a stream `[b n c h w]`, denormalised.

        The first latent is one frame, each later one four.
        """
        x = self.conv2(latents.transpose(1, 2))
        lead = 0 if past.begun else 1
        pieces = [x[:, :, :lead], x[:, :, lead:]]
        return torch.cat([self.decoder(piece, past) for piece in pieces if piece.shape[2]], 2).transpose(1, 2)


def normalise(latents: Tensor) -> Tensor:
    """Return latents `[b n c h w]` of the autoencoder as the transformer takes them."""
    return (latents - _beside(MEAN, latents)) / _beside(STD, latents)


def denormalise(latents: Tensor) -> Tensor:
    """Return normalised latents as the autoencoder takes them."""
    return latents * _beside(STD, latents) + _beside(MEAN, latents)


def _beside(numbers: tuple[float, ...], x: Tensor) -> Tensor:
    return torch.tensor(numbers, dtype=x.dtype, device=x.device)[:, None, None]
