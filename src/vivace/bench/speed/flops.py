"""Work of one call of the Live2Diff network, in closed form.

Counted is what the network is defined to do, a multiplication with its addition as 2: convolutions, linear layers and
both products of every attention. How it is run changes nothing of it: position tables, projections of the text that are
kept, recomputation and padding are neither added nor taken off, so that rates of different forms compare.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from vivace.models.live2diff.unet import UNetConfig
from vivace.models.live2diff.window import SLOTS


@dataclass(frozen=True, slots=True)
class Call:
    """The shapes of one live call."""

    rows: int
    """Frames in it: streams x denoising rows."""
    height: int
    """Of the latents, an eighth of the picture's."""
    width: int
    text_tokens: int = 77


def unet_flops(cfg: UNetConfig, call: Call) -> int:
    """Return the floating-point operations of one live call of the network."""
    return call.rows * _row(cfg, call)


def _row(cfg: UNetConfig, call: Call) -> int:
    sizes = [(call.height, call.width)]
    for _ in cfg.channels[1:]:
        sizes.append((-(-sizes[-1][0] // 2), -(-sizes[-1][1] // 2)))
    pixels = [height * width for height, width in sizes]
    first, last = cfg.channels[0], len(cfg.channels) - 1

    total = _linear(first, cfg.time_channels) + _linear(cfg.time_channels, cfg.time_channels)
    total += pixels[0] * (_conv(cfg.latent_channels, first) + _depth_encoder(cfg) + _conv(first, cfg.latent_channels))
    skips, width = [first], first
    for level, channels in enumerate(cfg.channels):
        for _ in range(cfg.layers):
            total += _layer(cfg, call, width, channels, pixels[level], attends=level < last)
            width = channels
            skips.append(width)
        if level < last:
            total += pixels[level + 1] * _conv(channels, channels)
            skips.append(width)
    total += 2 * _resnet(cfg, width, width, pixels[-1]) + _spatial(cfg, call, width, pixels[-1])
    for level, channels in reversed(list(enumerate(cfg.channels))):
        for _ in range(cfg.layers + 1):
            total += _layer(cfg, call, width + skips.pop(), channels, pixels[level], attends=level < last)
            width = channels
        if level > 0:
            total += pixels[level - 1] * _conv(channels, channels)
    return total


def _layer(cfg: UNetConfig, call: Call, channels_in: int, channels: int, pixels: int, *, attends: bool) -> int:
    spatial = _spatial(cfg, call, channels, pixels) if attends else 0
    return _resnet(cfg, channels_in, channels, pixels) + spatial + _motion(channels, pixels)


def _resnet(cfg: UNetConfig, channels_in: int, channels: int, pixels: int) -> int:
    shortcut = _linear(channels_in, channels) if channels_in != channels else 0
    convolutions = _conv(channels_in, channels) + _conv(channels, channels) + shortcut
    return pixels * convolutions + _linear(cfg.time_channels, channels)


def _spatial(cfg: UNetConfig, call: Call, channels: int, pixels: int) -> int:
    to_itself = 4 * _linear(channels, channels) + _attention(channels, pixels)
    to_text = 2 * _linear(channels, channels) + _attention(channels, call.text_tokens)
    text = call.text_tokens * 2 * _linear(cfg.text_channels, channels)
    return pixels * (2 * _linear(channels, channels) + to_itself + to_text + _feed_forward(channels)) + text


def _motion(channels: int, pixels: int) -> int:
    attention = 4 * _linear(channels, channels) + _attention(channels, SLOTS)
    return pixels * (2 * _linear(channels, channels) + 2 * attention + _feed_forward(channels))


def _depth_encoder(cfg: UNetConfig) -> int:
    widths = cfg.depth_channels
    blocks = sum(_conv(width, width) + _conv(width, wider) for width, wider in itertools.pairwise(widths))
    return _conv(cfg.latent_channels, widths[0]) + blocks + _conv(widths[-1], cfg.channels[0])


def _feed_forward(channels: int) -> int:
    """Return the work on a token: to eight times the width, of which half is a gate, and back from four times."""
    return _linear(channels, 8 * channels) + _linear(4 * channels, channels)


def _attention(channels: int, attended: int) -> int:
    """Return the work of one query over all heads: scores, and the mixture of values."""
    return 2 * 2 * attended * channels


def _conv(channels_in: int, channels: int) -> int:
    """Return the work of a 3x3 convolution at one pixel it puts out."""
    return 9 * _linear(channels_in, channels)


def _linear(channels_in: int, channels: int) -> int:
    return 2 * channels_in * channels
