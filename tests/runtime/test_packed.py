"""Packed linear layers compute what the layers did, and leave no weight behind."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tolerance import near
from vivace.errors import BackendUnavailableError
from vivace.runtime.torch import precision
from vivace.runtime.torch.packed import Int8Linear, Packed, PackedLinear, pack, weights_nbytes

pytestmark = pytest.mark.usefixtures("one_torch_thread")


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.into = nn.Linear(16, 24)
        self.ffn = nn.Sequential(nn.Linear(24, 40), nn.GELU("tanh"), nn.Linear(40, 24))
        self.out = nn.Sequential(nn.SiLU(), nn.Linear(24, 8, bias=False))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.ffn(self.into(x)))


def layers_and_tokens() -> tuple[Layers, torch.Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return Layers(), torch.randn(2, 5, 16)


def distance(found: torch.Tensor, wanted: torch.Tensor) -> float:
    return float((found - wanted).norm() / wanted.norm())


@pytest.mark.parametrize("layer", [PackedLinear, Int8Linear])
@torch.inference_mode()
def test_packed_layers_compute_the_same(layer: type[Packed]) -> None:
    layers, x = layers_and_tokens()
    expected, nbytes = layers(x), weights_nbytes(layers)
    pack(layers, layer)
    found = layers(x)
    # Products of integers are rounded more where a processor lacks VNNI.
    assert near(found, expected) if layer is PackedLinear else 0 < distance(found, expected) < 0.05
    assert near(layers(x[:, :1]), found[:, :1])
    assert sum(isinstance(part, layer) for part in layers.modules()) == 4
    assert not any(isinstance(part, nn.Linear) for part in layers.modules())
    biases = 4 * (24 + 40 + 24)
    weights = nbytes - biases if layer is PackedLinear else (nbytes - biases) / 4
    assert weights_nbytes(layers) == biases + weights


@torch.inference_mode()
def test_each_token_and_channel_of_integers_has_a_scale_of_its_own() -> None:
    layers, x = layers_and_tokens()
    wide = nn.Linear(16, 24)
    wide.weight.copy_(layers.into.weight * torch.logspace(-3, 3, 24)[:, None])
    wide.bias.zero_()
    tokens = x * torch.logspace(-4, 4, 5)[:, None]
    tokens[0, 2] = 0
    found, expected = Int8Linear(wide)(tokens), wide(tokens)
    assert torch.equal(found[0, 2], expected[0, 2])
    rows = (found - expected)[1].norm(dim=-1) / expected[1].norm(dim=-1)
    columns = (found - expected).norm(dim=(0, 1)) / expected.norm(dim=(0, 1))
    assert rows.max() < 0.05
    assert columns.max() < 0.05


@torch.inference_mode()
def test_numbers_that_are_not_finite_stay_so_in_integers() -> None:
    layers, x = layers_and_tokens()
    x[0, 1, 3], x[1, 2, 5] = float("nan"), float("inf")
    found = Int8Linear(layers.into)(x).isfinite().all(-1)
    assert found.tolist() == [[True, False, True, True, True], [True, True, False, True, True]]


@pytest.mark.parametrize(
    ("device", "native", "has", "said"),
    [
        ("cpu", False, True, "no AVX-512 VNNI; give another precision"),
        ("cuda", True, True, "int8 does not run on cuda"),
        ("cpu", True, False, "this model has no int8"),
    ],
)
def test_integers_are_refused_where_they_are_not_fast(
    device: str, native: bool, has: bool, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "native_int8", lambda: native)
    with pytest.raises(BackendUnavailableError, match=said):
        precision.choose_precision(torch.device(device), on_cuda="f16", asked="int8", int8=has)
