"""Packed linear layers compute what the layers did, and leave no weight behind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tolerance import near
from vivace.runtime.torch.packed import PackedLinear, pack

pytestmark = pytest.mark.usefixtures("one_torch_thread")


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Linear(16, 24)
        self.ffn = nn.Sequential(nn.Linear(24, 40), nn.GELU("tanh"), nn.Linear(40, 24))
        self.out = nn.Sequential(nn.SiLU(), nn.Linear(24, 8, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.ffn(self.into(x)))


@torch.inference_mode()
def test_packed_layers_compute_the_same() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        layers, x = Layers(), torch.randn(2, 5, 16)
    expected = layers(x)
    pack(layers)
    assert near(layers(x), expected)
    assert near(layers(x[:, :1]), expected[:, :1])
    assert sum(isinstance(part, PackedLinear) for part in layers.modules()) == 4
    assert not any(isinstance(part, nn.Linear) for part in layers.modules())
    assert [name for name, _ in layers.named_parameters()] == ["into.bias", "ffn.0.bias", "ffn.2.bias"]
