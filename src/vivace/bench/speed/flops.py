"""Work of one call of a denoising network, of Live2Diff's counted by torch on shapes alone, of Wan's by a formula.

Counted are convolutions and matrix products, including those of attention, a multiply-add as 2, always in the plain
form of the network: position tables, cached text projections, recomputation and padding change nothing, so that rates
of different forms are comparable.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.utils.flop_counter import FlopCounterMode

from vivace.bench.systems.plain import make_plain
from vivace.models.live2diff.motion import StreamContext
from vivace.models.live2diff.unet import Live2DiffUNet, UNetConfig
from vivace.models.live2diff.window import window_at
from vivace.models.wan.network import WanConfig


def unet_flops(cfg: UNetConfig, latents: Sequence[int], text: Sequence[int]) -> int:
    """Return the floating-point operations of one live call of the network.

    Args:
        cfg: widths of the network.
        latents: shape of its pictures, `[r c h w]`.
        text: shape of its prompts, `[r l c]`.
    """
    rows, _, height, width = latents
    with torch.device("meta"):
        unet = Live2DiffUNet(cfg)
        make_plain(unet)
        pictures, context = (
            torch.empty(*latents),
            StreamContext([unet.open_cache(rows, height, width)], window_at(0, rows)),
        )
        with FlopCounterMode(display=False) as counter:
            unet(pictures, pictures, torch.empty(rows), torch.empty(*text), context)
    return int(counter.get_total_flops())


def wan_flops(cfg: WanConfig, tokens: int, frames: int, window: int) -> int:
    """Return the floating-point operations of one call of a Wan transformer on a chunk.

    Args:
        cfg: its widths.
        tokens: of a latent frame.
        frames: latent frames of the chunk.
        window: latent frames attended to, those of the chunk among them.
    """
    n, d, side = frames * tokens, cfg.dim, cfg.patch**2
    # q, k, v and o; q and o of cross-attention, whose keys and values are computed once for a prompt; feed-forward
    linear = n * d * (4 * d + 2 * d + 2 * cfg.ffn_dim)
    attention = 2 * n * d * (window * tokens + cfg.text_len)
    ends = n * d * side * (cfg.in_channels + cfg.out_channels)
    times = frames * d * (cfg.freq_dim + d + 6 * d)
    return 2 * (cfg.layers * (linear + attention) + ends + times)
