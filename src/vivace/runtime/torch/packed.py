"""Linear layers for a CPU with bf16: weights in the order that its products read, a GELU within the product."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn


class PackedLinear(nn.Module):
    """A linear layer whose weight is packed once; it can no longer be read or changed."""

    def __init__(self, linear: nn.Linear, gelu: nn.GELU | None = None) -> None:
        """Take over a layer, and the activation on its output."""
        super().__init__()
        self.bias = linear.bias
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight)
        self._activation = ("none", "") if gelu is None else ("gelu", gelu.approximate)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output `[… out]` for `x [… in]`."""
        activation, algorithm = self._activation
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self.bias, activation, [], algorithm)
        return out


@torch.no_grad()
def pack(module: nn.Module) -> None:
    """Pack the linear layers of a module in place, one after the other, so that weights are never there twice."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear):
            setattr(module, name, PackedLinear(child))
        elif isinstance(child, nn.Sequential):
            for at, (linear, gelu) in enumerate(pairwise(list(child))):
                if isinstance(linear, nn.Linear) and isinstance(gelu, nn.GELU):
                    child[at], child[at + 1] = PackedLinear(linear, gelu), nn.Identity()
            pack(child)
        else:
            pack(child)
