"""Laws of the network that follows key frames, with random weights."""

from __future__ import annotations

import pytest
import torch

from vivace.models.keyframes.config import EDIT, INPUT_CHANNELS, KEY, NOW, PAST, TRUST, KeyframeConfig
from vivace.models.keyframes.network import KeyframeNet, KeyMemory, Positions

SMALL = KeyframeConfig(eighth=16, dim=32, depth=2, fine=16)


@pytest.fixture(scope="module")
def net() -> KeyframeNet:
    torch.manual_seed(0)
    return KeyframeNet(SMALL).eval()


def blocks(seed: int = 0, height: int = 8, width: int = 12) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(1, INPUT_CHANNELS, height, width, generator=generator) * 2 - 1
    x[:, TRUST] = x[:, TRUST].abs()
    return x


def positions(height: int = 2, width: int = 3, trust: float = 1.0) -> Positions:
    rows, columns = torch.zeros(1, height, width), torch.zeros(1, height, width)
    return Positions(rows, columns, torch.full((1, height, width), trust))


@torch.no_grad()
def test_what_is_not_trusted_has_no_part_in_the_blend(net: KeyframeNet) -> None:
    x = blocks()
    x[:, TRUST] = 0
    x[:, KEY], x[:, EDIT], x[:, PAST] = x[:, NOW], x[:, NOW], x[:, NOW]
    silent = KeyframeNet(SMALL).eval()
    for layer in (silent.map.linear, silent.map.draw):
        layer.weight.zero_()
    assert torch.allclose(silent(x, positions(trust=0.0), None), x[:, NOW], atol=1e-5)


@torch.no_grad()
def test_the_memory_of_several_key_frames_is_their_tokens_together(net: KeyframeNet) -> None:
    x = blocks()
    first, second = (net.remember(blocks(seed)[:, NOW], blocks(seed)[:, KEY]) for seed in (1, 2))
    both = KeyMemory(*(torch.cat(pair, 2) for pair in zip(first, second, strict=True)))
    swapped = KeyMemory(*(torch.cat(pair, 2) for pair in zip(second, first, strict=True)))
    one, other, alone = (net(x, positions(), memory) for memory in (both, swapped, first))
    assert torch.allclose(one, other, atol=1e-4)
    assert not torch.allclose(one, alone, atol=1e-4)


@torch.no_grad()
def test_a_place_attends_to_its_own_position_where_looks_are_alike(net: KeyframeNet) -> None:
    """Two tokens of one appearance are told apart by the position that motion gives, only where it is trusted."""
    flat = torch.zeros(1, 48, 8, 12)
    edit = flat.clone()
    edit[..., :4] = 1.0
    memory = net.remember(flat, edit)
    x = torch.zeros(1, INPUT_CHANNELS, 8, 12)
    rows = torch.zeros(1, 2, 3)
    left, right = (
        net(x, Positions(rows, torch.full_like(rows, at), torch.ones_like(rows)), memory) for at in (-1.0, 1.0)
    )
    lost = [net(x, Positions(rows, torch.full_like(rows, at), torch.zeros_like(rows)), memory) for at in (-1.0, 1.0)]
    assert not torch.allclose(left, right, atol=1e-5)
    assert torch.equal(*lost)
