"""UNet of Stable Diffusion 1.5 with a depth encoder and motion modules.

    latents ─▶ conv_in ─▶ (+) ─▶ down blocks ─▶ mid block ─▶ up blocks ─▶ conv_out ─▶ noise
    depth ─▶ depth encoder ┘        └── skips ──────────────────┘

Frames are rows of the batch, `[(r f) c h w]`, except in the motion modules, the only ones that mix frames. Attribute
names are the keys of the public checkpoints: 686 tensors of Stable Diffusion 1.5 as the diffusers library stores it,
560 of the motion modules, 16 of the depth encoder (`flow_conv_in`: the name says flow, it takes depth).

The network holds no state: caches come with the context and are written in place.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivace.models.live2diff.layers import Conv, FeedForward, Projections, attend, features_of, tokens_of
from vivace.models.live2diff.motion import Context, KvCache, MotionModule, TemporalAttention
from vivace.models.live2diff.ring import compiled_ring_attention
from vivace.models.live2diff.window import SLOTS, window_at


@dataclass(frozen=True, slots=True)
class UNetConfig:
    """Widths and depths; the defaults are Stable Diffusion 1.5."""

    channels: tuple[int, ...] = (320, 640, 1280, 1280)
    """Channels of each level, each at half the size of the previous one; all but the last have spatial attention."""
    layers: int = 2
    """Residual blocks per level on the way down; one more on the way up."""
    groups: int = 32
    heads: int = 8
    text_channels: int = 768
    latent_channels: int = 4
    depth_channels: tuple[int, ...] = (16, 32, 96, 256)
    """Hidden widths of the depth encoder."""

    @property
    def time_channels(self) -> int:
        """Width of the time embedding."""
        return 4 * self.channels[0]


def time_vector(timesteps: Tensor, channels: int) -> Tensor:
    """Return sinusoids `[r c]` of `timesteps [r]`, float32, cosines first (Ho et al., DDPM, 2020)."""
    half = channels // 2
    frequency = torch.exp(torch.arange(half, device=timesteps.device) * (-math.log(10000.0) / half))
    angle = timesteps.float()[:, None] * frequency
    return torch.cat([angle.cos(), angle.sin()], -1)


class TimeEmbedding(nn.Module):
    """Two linear layers on the time vector."""

    def __init__(self, cfg: UNetConfig) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(cfg.channels[0], cfg.time_channels)
        self.linear_2 = nn.Linear(cfg.time_channels, cfg.time_channels)

    def forward(self, vector: Tensor) -> Tensor:
        """Embed `[r c]`."""
        return self.linear_2(F.silu(self.linear_1(vector)))


class DepthEncoder(nn.Module):
    """Convolutions at full latent size, from depth latents to a term added to the first features."""

    def __init__(self, cfg: UNetConfig) -> None:
        super().__init__()
        widths = cfg.depth_channels
        self.conv_in = Conv(cfg.latent_channels, widths[0])
        blocks: list[nn.Module] = []
        for width, wider in itertools.pairwise(widths):
            blocks += [Conv(width, width), Conv(width, wider)]
        self.blocks = nn.ModuleList(blocks)
        self.conv_out = Conv(widths[-1], cfg.channels[0])

    def forward(self, depth: Tensor) -> Tensor:
        """Encode `depth [b 4 h w]`."""
        x = F.silu(self.conv_in(depth))
        for conv in self.blocks:
            x = F.silu(conv(x))
        return self.conv_out(x)


class ResnetBlock(nn.Module):
    """Residual block of two convolutions, with the time embedding added in between."""

    def __init__(self, cfg: UNetConfig, channels_in: int, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.GroupNorm(cfg.groups, channels_in)
        self.conv1 = Conv(channels_in, channels)
        self.time_emb_proj = nn.Linear(cfg.time_channels, channels)
        self.norm2 = nn.GroupNorm(cfg.groups, channels)
        self.conv2 = Conv(channels, channels)
        if channels_in != channels:
            self.conv_shortcut = nn.Conv2d(channels_in, channels, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """Transform `x [b c h w]` with `time [b d]`, the activated embedding."""
        y = self.conv1(F.silu(self.norm1(x)))
        y = y + self.time_emb_proj(time)[:, :, None, None]
        y = self.conv2(F.silu(self.norm2(y)))
        return y + (self.conv_shortcut(x) if hasattr(self, "conv_shortcut") else x)


class Attention(Projections):
    """Attention within a frame, to itself or to the text."""

    def __init__(self, channels: int, source_channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q = nn.Linear(channels, channels, bias=False)
        self.to_k = nn.Linear(source_channels, channels, bias=False)
        self.to_v = nn.Linear(source_channels, channels, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def mix(self, *projected: Tensor) -> Tensor:
        """Attend with queries, keys and values `[b l c]`."""
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in projected)
        return self.to_out[0](attend(q, k, v).transpose(1, 2).flatten(2))


class SelfAttention(Attention):
    """Attention of a frame's tokens to each other."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__(channels, channels, heads)
        self.fuse("to_q", "to_k", "to_v")

    def forward(self, x: Tensor) -> Tensor:
        """Attend within `x [b l c]`."""
        return self.mix(*F.linear(x, self.fused).chunk(3, -1))


class TextAttention(Attention):
    """Attention of a frame's tokens to the text."""

    def __init__(self, channels: int, text_channels: int, heads: int) -> None:
        super().__init__(channels, text_channels, heads)
        self.fuse("to_k", "to_v")

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """Attend from `x [b l c]` to `text [b m d]`."""
        return self.mix(self.to_q(x), *F.linear(text, self.fused).chunk(2, -1))


class SpatialBlock(nn.Module):
    """Spatial self-attention, attention to the text, feed-forward."""

    def __init__(self, cfg: UNetConfig, channels: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels)
        self.attn1 = SelfAttention(channels, cfg.heads)
        self.norm2 = nn.LayerNorm(channels)
        self.attn2 = TextAttention(channels, cfg.text_channels, cfg.heads)
        self.norm3 = nn.LayerNorm(channels)
        self.ff = FeedForward(channels)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """Transform `x [b l c]` with `text [b m d]`."""
        x = x + self.attn1(self.norm1(x))
        x = x + self.attn2(self.norm2(x), text)
        return x + self.ff(self.norm3(x))


def per_pixel(conv: nn.Conv2d, tokens: Tensor) -> Tensor:
    """Apply a 1x1 convolution to `tokens [b l c]`."""
    return F.linear(tokens, conv.weight.flatten(1), conv.bias)


class SpatialTransformer(nn.Module):
    """Spatial block between 1x1 convolutions, residual."""

    def __init__(self, cfg: UNetConfig, channels: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(cfg.groups, channels, eps=1e-6)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.transformer_blocks = nn.ModuleList([SpatialBlock(cfg, channels)])
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor, text: Tensor) -> Tensor:
        """Transform `x [b c h w]`."""
        tokens = per_pixel(self.proj_in, tokens_of(self.norm(x)))
        for block in self.transformer_blocks:
            tokens = block(tokens, text)
        return x + features_of(per_pixel(self.proj_out, tokens), *x.shape[-2:])


class Resample(nn.Module):
    """Convolution after upsampling, or with downsampling."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv = Conv(channels, channels, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve `x [b c h w]`."""
        return self.conv(x)


@dataclass(frozen=True, slots=True)
class Inputs:
    """Inputs of every block besides its features; one row per frame."""

    time: Tensor
    """Activated time embedding `[b d]`."""
    text: Tensor
    """Prompt embeddings `[b m d]`."""
    context: Context


class UNetBlock(nn.Module):
    """Layers at one size: residual block, spatial attention, motion module."""

    def __init__(self, cfg: UNetConfig, widths_in: list[int], channels: int, *, attends: bool) -> None:
        super().__init__()
        self.resnets = nn.ModuleList([ResnetBlock(cfg, width, channels) for width in widths_in])
        if attends:
            self.attentions = nn.ModuleList([SpatialTransformer(cfg, channels) for _ in widths_in])
        self.motion_modules = nn.ModuleList([MotionModule(channels) for _ in widths_in])

    def layer(self, index: int, x: Tensor, inputs: Inputs) -> Tensor:
        """Run one layer on `x [b c h w]`."""
        x = self.resnets[index](x, inputs.time)
        if hasattr(self, "attentions"):
            x = self.attentions[index](x, inputs.text)
        return self.motion_modules[index](x, inputs.context)


class DownBlock(UNetBlock):
    """Block on the way down; every layer's output is a skip connection."""

    def __init__(self, cfg: UNetConfig, widths_in: list[int], channels: int, *, attends: bool, resamples: bool) -> None:
        super().__init__(cfg, widths_in, channels, attends=attends)
        self.downsamplers = nn.ModuleList([Resample(channels, 2)] if resamples else [])

    def forward(self, x: Tensor, inputs: Inputs, skips: list[Tensor]) -> Tensor:
        """Transform `x [b c h w]` and append to `skips`."""
        for index in range(len(self.resnets)):
            x = self.layer(index, x, inputs)
            skips.append(x)
        for downsampler in self.downsamplers:
            x = downsampler(x)
            skips.append(x)
        return x


class UpBlock(UNetBlock):
    """Block on the way up; every layer takes one skip connection."""

    def __init__(self, cfg: UNetConfig, widths_in: list[int], channels: int, *, attends: bool, resamples: bool) -> None:
        super().__init__(cfg, widths_in, channels, attends=attends)
        self.upsamplers = nn.ModuleList([Resample(channels, 1)] if resamples else [])

    def forward(self, x: Tensor, inputs: Inputs, skips: list[Tensor]) -> Tensor:
        """Transform `x [b c h w]`, taking from the end of `skips`."""
        for index in range(len(self.resnets)):
            x = self.layer(index, torch.cat([x, skips.pop()], 1), inputs)
        for upsampler in self.upsamplers:
            # Halving rounds up, so an odd size is taken from the skip rather than doubled.
            x = upsampler(F.interpolate(x, size=skips[-1].shape[-2:], mode="nearest"))
        return x


class MidBlock(nn.Module):
    """Block at the smallest size: two residual blocks around spatial attention."""

    def __init__(self, cfg: UNetConfig) -> None:
        super().__init__()
        channels = cfg.channels[-1]
        self.resnets = nn.ModuleList([ResnetBlock(cfg, channels, channels) for _ in range(2)])
        self.attentions = nn.ModuleList([SpatialTransformer(cfg, channels)])

    def forward(self, x: Tensor, inputs: Inputs) -> Tensor:
        """Transform `x [b c h w]`."""
        x = self.attentions[0](self.resnets[0](x, inputs.time), inputs.text)
        return self.resnets[1](x, inputs.time)


class Live2DiffUNet(nn.Module):
    """Network that predicts the noise in latents, frame by frame, attending to earlier frames."""

    def __init__(self, cfg: UNetConfig | None = None) -> None:
        super().__init__()
        self.cfg = cfg = cfg or UNetConfig()
        first, last = cfg.channels[0], len(cfg.channels) - 1
        self.conv_in = Conv(cfg.latent_channels, first)
        self.flow_conv_in = DepthEncoder(cfg)
        self.time_embedding = TimeEmbedding(cfg)
        self.down_blocks = nn.ModuleList()
        width, skips = first, [first]
        for level, channels in enumerate(cfg.channels):
            widths_in = [width, *[channels] * (cfg.layers - 1)]
            down = DownBlock(cfg, widths_in, channels, attends=level < last, resamples=level < last)
            self.down_blocks.append(down)
            skips += [channels] * (cfg.layers + (level < last))
            width = channels
        self.mid_block = MidBlock(cfg)
        self.up_blocks = nn.ModuleList()
        for level, channels in reversed(list(enumerate(cfg.channels))):
            widths_in = [before + skips.pop() for before in (width, *[channels] * cfg.layers)]
            self.up_blocks.append(UpBlock(cfg, widths_in, channels, attends=level < last, resamples=level > 0))
            width = channels
        self.conv_norm_out = nn.GroupNorm(cfg.groups, first)
        self.conv_out = Conv(first, cfg.latent_channels)
        for index, attention in enumerate(self.temporal_attentions()):
            attention.layer = index

    def temporal_attentions(self) -> list[TemporalAttention]:
        """Return the temporal attention layers in the order of a cache: down, then up."""
        levels = [*self.down_blocks, *self.up_blocks]
        return [found for level in levels for found in level.modules() if isinstance(found, TemporalAttention)]

    def compile_ring(self) -> None:
        """Compile attention to the ring on a CPU, the one part that torch has no fast operation for.

        Takes seconds for each width; see `compiled_ring_attention`. The rest gains nothing from a compiler there.
        """
        like = self.conv_in.weight
        attend = compiled_ring_attention()
        for attention in self.temporal_attentions():
            attention.ring_attention = attend
        rows, pixels = 3, 5  # values that differ from each other and from the fixed sizes
        for channels in sorted(set(self.cfg.channels)):
            # Compiled code depends on which tensors are inference tensors: state and weights are not.
            ring, tables = like.new_zeros(rows, 2, pixels, SLOTS, channels), like.new_zeros(SLOTS, 3 * channels)
            with torch.inference_mode():
                attend(like.new_zeros(rows, pixels, 3 * channels), ring, tables, window_at(0, rows))

    def cache_shapes(self, rows: int, height: int, width: int) -> list[tuple[int, int, int, int, int]]:
        """Return the shape `[t 2 p 16 c]` of every layer's cache for latents of `height` x `width`."""
        sizes = [(height, width)]
        for _ in self.cfg.channels[1:]:
            sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
        levels = list(zip(sizes, self.cfg.channels, strict=True))
        layers = [level for level in levels for _ in range(2 * self.cfg.layers)]
        layers += [level for level in reversed(levels) for _ in range(2 * self.cfg.layers + 2)]
        return [(rows, 2, size[0] * size[1], SLOTS, channels) for size, channels in layers]

    def open_cache(self, rows: int, height: int, width: int) -> KvCache:
        """Return an empty cache in the type and on the device of the weights."""
        like = self.conv_in.weight
        shapes = self.cache_shapes(rows, height, width)
        return KvCache(tuple(torch.zeros(shape, dtype=like.dtype, device=like.device) for shape in shapes))

    def forward(self, latents: Tensor, depth: Tensor, timesteps: Tensor, text: Tensor, context: Context) -> Tensor:
        """Return the noise `[(r f) 4 h w]` in `latents`, given `depth` of the same shape.

        `timesteps [r]` and `text [r m d]` are shared by the frames of a row.
        """
        frames = context.frames
        time = self.time_embedding(time_vector(timesteps, self.cfg.channels[0]).to(latents.dtype))
        inputs = Inputs(F.silu(time).repeat_interleave(frames, 0), text.repeat_interleave(frames, 0), context)
        x = self.conv_in(latents) + self.flow_conv_in(depth)
        skips = [x]
        for level in self.down_blocks:
            x = level(x, inputs, skips)
        x = self.mid_block(x, inputs)
        for level in self.up_blocks:
            x = level(x, inputs, skips)
        return self.conv_out(F.silu(self.conv_norm_out(x)))
