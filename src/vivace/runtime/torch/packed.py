"""Linear layers for a CPU: weights in the order that its products read, in bf16 or as integers of 8 bits."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_ROWS = 2**18
"""Numbers of a slice of tokens that are rounded at once in float32: 1 MiB, which a core's cache holds."""


class PackedLinear(nn.Module):
    """A linear layer whose weight is packed once; it can no longer be read or changed."""

    def __init__(self, linear: nn.Linear, gelu: nn.GELU | None = None) -> None:
        """Take over a layer, and the activation on its output."""
        super().__init__()
        self.bias = linear.bias
        self.nbytes = linear.weight.nbytes
        """Bytes of the weight."""
        self._weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight)
        self._activation = ("none", "") if gelu is None else ("gelu", gelu.approximate)

    def forward(self, x: Tensor) -> Tensor:
        """Return the output `[… out]` for `x [… in]`."""
        activation, algorithm = self._activation
        out: Tensor = torch.ops.mkldnn._linear_pointwise(x, self._weight, self.bias, activation, [], algorithm)
        return out


class Int8Linear(nn.Module):
    """A linear layer as a product of integers: a scale for each output channel, and one for each token of a call.

    Weights are rounded to -127 to 127, tokens too, and these are stored as 1 to 255 about a zero point of 128, since
    oneDNN's fast products take unsigned activations alone. A GELU is computed by the error function, whatever its form:
    torch computes it seven times as fast as by tanh, and they differ by 5e-4 at most, less than the rounding.
    """

    def __init__(self, linear: nn.Linear, gelu: nn.GELU | None = None) -> None:
        """Take over a layer, and the activation on its output."""
        super().__init__()
        weight = linear.weight.float()
        self._scales = _largest(weight)[:, 0] / 127
        levels = (weight / self._scales[:, None]).round_().to(torch.int8)
        self._weight = torch.ops.onednn.qlinear_prepack(levels, None)
        self._zeros = torch.zeros(len(levels), dtype=torch.int32)
        bias: Tensor | None = linear.bias
        self.bias = linear.weight.new_zeros(len(levels)) if bias is None else linear.bias
        self.nbytes = levels.nbytes
        """Bytes of the weight."""
        self._gelu = gelu is not None

    def forward(self, x: Tensor) -> Tensor:
        """Return the output `[… out]` for `x [… in]`."""
        tokens = x.flatten(0, -2)
        # At most 126 levels, so that the scale is exact in bf16, too, and nothing overflows.
        scales = _largest(tokens).float().div_(126).to(x.dtype)
        levels = torch.empty(tokens.shape, dtype=torch.int8)
        rows = max(1, _ROWS // tokens.shape[1])
        slices = (torch.split(each, rows) for each in (tokens, scales, levels))
        for part, scale, out in zip(*slices, strict=True):
            out.copy_((part.float() / scale).round_())
        product = self.product(levels.view(torch.uint8).bitwise_xor_(128), x.dtype)
        added = torch.addcmul(self.bias, product, scales, out=product)
        return (F.gelu(added) if self._gelu else added).view(*x.shape[:-1], -1)

    def product(self, levels: Tensor, dtype: torch.dtype) -> Tensor:
        """Return the product `[n out]` in `dtype` of the weight and tokens `uint8 [n in]` about 128, without bias."""
        result: Tensor = torch.ops.onednn.qlinear_pointwise(
            levels, 1.0, 128, self._weight, self._scales, self._zeros, None, 1.0, 0, dtype, "none", [], ""
        )
        return result


def _largest(rows: Tensor) -> Tensor:
    """Return the largest magnitude of each row `[n 1]`, above 0."""
    return rows.abs().amax(-1, keepdim=True).clamp_(min=1e-30)


Packed = PackedLinear | Int8Linear
PACKED: dict[str, type[Packed]] = {"bf16": PackedLinear, "int8": Int8Linear}
"""Packed layers by the precision that they are fastest in."""


@torch.no_grad()
def pack(module: nn.Module, layer: type[Packed] = PackedLinear) -> None:
    """Pack the linear layers of a module in place, one after the other, so that weights are never there twice."""
    for name, child in list(module.named_children()):
        if isinstance(child, nn.Linear):
            setattr(module, name, layer(child))
        elif isinstance(child, nn.Sequential):
            for at, (linear, gelu) in enumerate(pairwise(list(child))):
                if isinstance(linear, nn.Linear) and isinstance(gelu, nn.GELU):
                    child[at], child[at + 1] = layer(linear, gelu), nn.Identity()
            pack(child, layer)
        else:
            pack(child, layer)


def weights_nbytes(module: nn.Module) -> int:
    """Return the bytes of all weights, packed ones included."""
    packed = (part.nbytes for part in module.modules() if isinstance(part, Packed))
    return sum(parameter.nbytes for parameter in module.parameters()) + sum(packed)
