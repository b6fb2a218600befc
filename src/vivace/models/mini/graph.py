"""One step of the embedded model from bytes to bytes: the graph that is exported, and tests every runtime."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivace.models.mini.network import Conditions, Memory, MiniNet

GRAPH_INPUTS = (
    "source", "x_t", "previous", "screens", "textures", "fine_screens", "fine_strokes",
    "embeds", "t", "log_scale", "keys", "values", "ages",
)  # fmt: skip
"""Names of the graph's inputs, in order; `models.mini.state` describes their shapes."""
GRAPH_OUTPUTS = ("picture", "small", "new_keys", "new_values")


def resize(x: Tensor, size: torch.Size | list[int]) -> Tensor:
    """Return `[b c h w]` resized; for half the size this is the mean of 2 x 2."""
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)


class StepGraph(nn.Module):
    """`MiniNet` between uint8 pictures; the working size follows from the shape of `x_t`."""

    def __init__(self, net: MiniNet) -> None:
        super().__init__()
        self.net = net

    def forward(
        self,
        source: Tensor,
        x_t: Tensor,
        previous: Tensor,
        screens: Tensor,
        textures: Tensor,
        fine_screens: Tensor,
        fine_strokes: Tensor,
        embeds: Tensor,
        t: Tensor,
        log_scale: Tensor,
        keys: Tensor,
        values: Tensor,
        ages: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the picture `uint8 [b H W 3]`, the same at working size `[b 3 h w]` in [-1, 1], keys and values."""
        fine = source.permute(0, 3, 1, 2).to(x_t.dtype) * (1 / 127.5) - 1
        pictures = torch.cat([x_t, resize(fine, x_t.shape[-2:]), previous], 1)
        picture, new_keys, new_values = self.net(
            pictures, screens, textures, fine, fine_screens, fine_strokes,
            Conditions(embeds, t, log_scale), Memory(keys, values, ages),
        )  # fmt: skip
        picture = picture.clamp(-1, 1)
        small = resize(picture, x_t.shape[-2:])
        pixels = ((picture + 1) * 127.5 + 0.5).to(torch.uint8).permute(0, 2, 3, 1)
        return pixels, small, new_keys, new_values
