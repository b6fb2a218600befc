"""Work of one call of the Live2Diff network, counted by torch from shapes alone.

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
