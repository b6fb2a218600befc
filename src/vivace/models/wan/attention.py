"""Scaled dot-product attention, in the form that is fastest on a device.

Shapes: b rows, h heads of d channels, n queries, m keys.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

MAX_SCORES = 2**22
"""Scores that are held at once on a CPU: 8 MiB in bf16."""


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return the attention `[b h n d]` of queries to keys and values `[b h m d]`.

    On a CPU, outside of training and of compiled programs, a head is two products of matrices around a softmax: in
    bf16 these run at the full rate of a product, and torch's fused kernel at a third of it.
    """
    if q.device.type != "cpu" or torch.is_grad_enabled() or torch.compiler.is_compiling():
        return F.scaled_dot_product_attention(q, k, v)
    (b, h, n, d), out = q.shape, torch.empty_like(q.transpose(1, 2), memory_format=torch.contiguous_format)
    rows, nothing = max(1, MAX_SCORES // k.shape[2]), q.new_zeros(())
    for row in range(b):
        for head in range(h):
            keys, values = k[row, head].T, v[row, head]
            for begin in range(0, n, rows):
                part = slice(begin, begin + rows)
                scores = torch.addmm(nothing, q[row, head, part], keys, beta=0, alpha=d**-0.5)
                torch.softmax(scores, -1, out=scores)
                torch.mm(scores, values, out=out[row, part, head])
    return out.transpose(1, 2)


def attend_padded(q: Tensor, k: Tensor, v: Tensor, padding: int) -> Tensor:
    """Return the attention `[b h n d]` to keys and values of which the last stands for `padding` equal ones.

    Equal keys share their weight: `p` of them are one whose score is `log p` higher. For few keys, whose scores are
    held in float32.
    """
    scores = (q @ k.mT).float() * q.shape[-1] ** -0.5
    scores[..., -1] += math.log(padding)
    return scores.softmax(-1).to(v.dtype) @ v
