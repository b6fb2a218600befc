"""Attention in its forms gives what torch's own does."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tolerance import near
from vivace.models.wan import attention
from vivace.models.wan.attention import attend, attend_padded


def qkv(queries: int, keys: int) -> tuple[torch.Tensor, ...]:
    """Return heads-first views of tokens-first memory, as projections give them."""
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(2, n, 3, 8, generator=generator).transpose(1, 2) for n in (queries, keys, keys))


@pytest.mark.parametrize("scores", [2**22, 70, 1])
def test_head_by_head_is_attention(monkeypatch: pytest.MonkeyPatch, scores: int) -> None:
    """However few scores are held at once."""
    monkeypatch.setattr(attention, "MAX_SCORES", scores)
    q, k, v = qkv(13, 17)
    assert near(attend(q, k, v), F.scaled_dot_product_attention(q, k, v))


@pytest.mark.parametrize("padding", [1, 5, 500])
def test_one_key_stands_for_equal_ones(padding: int) -> None:
    q, k, v = qkv(7, 4)
    written_out = (torch.cat([x, x[:, :, -1:].expand(-1, -1, padding - 1, -1)], 2).double() for x in (k, v))
    assert near(attend_padded(q, k, v, padding), F.scaled_dot_product_attention(q.double(), *written_out).float())
