"""Laws of the embedded network, with random weights: training and streaming compute the same."""

from __future__ import annotations

import pytest
import torch

from tolerance import near
from vivace.models.mini.config import MiniConfig
from vivace.models.mini.network import PARTS, ClipMemory, Conditions, Memory, MiniNet
from vivace.train.export import example_inputs

FRAMES = 4


@pytest.fixture(scope="module")
def net() -> MiniNet:
    torch.manual_seed(0)
    net = MiniNet().eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    return net


def clip(net: MiniNet, seed: int = 0) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(FRAMES, *shape, generator=generator)

    return {
        "pictures": normal(9, 64, 64),
        "screens": normal(6, 64, 64),
        "textures": normal(net.cfg.texture_channels, 32, 32),
        "fine_source": normal(3, 64, 64),
        "fine_screens": normal(6, 64, 64),
        "fine_strokes": normal(4 * net.cfg.stroke_channels, 32, 32),
    }


def conditions(count: int, net: MiniNet) -> Conditions:
    return Conditions(torch.eye(net.cfg.styles)[3].expand(count, -1), torch.ones(count), torch.zeros(count))


def causal_ages() -> torch.Tensor:
    frame = torch.arange(FRAMES)
    age = (frame[:, None] - frame[None, :]).float()
    return torch.where(age > 0, age.clamp(max=5), -1.0)[None]


@torch.no_grad()
def test_a_clip_at_once_equals_its_frames_one_after_the_other(net):
    inputs = clip(net)
    together, _, _ = net(*inputs.values(), conditions(FRAMES, net), ClipMemory(causal_ages()))
    blocks, slots, tokens = len(net.cfg.temporal_blocks), net.cfg.ring.slots, 4
    keys = torch.zeros(1, blocks, slots, tokens, net.cfg.dim)
    values = torch.zeros_like(keys)
    for i in range(FRAMES):
        ages = torch.tensor([[float(i - j) if j < i else -1.0 for j in range(slots)]])
        frame = {name: value[i : i + 1] for name, value in inputs.items()}
        alone, k, v = net(*frame.values(), conditions(1, net), Memory(keys, values, ages))
        torch.testing.assert_close(alone, together[i : i + 1], atol=1e-4, rtol=1e-4)
        keys[:, :, i], values[:, :, i] = k, v


@torch.no_grad()
def test_later_frames_never_change_earlier_ones(net):
    inputs = clip(net)
    before, _, _ = net(*inputs.values(), conditions(FRAMES, net), ClipMemory(causal_ages()))
    inputs["pictures"][-1] += 3
    inputs["fine_source"][-1] += 3
    after, _, _ = net(*inputs.values(), conditions(FRAMES, net), ClipMemory(causal_ages()))
    assert near(after[:-1], before[:-1])
    assert not torch.allclose(after[-1], before[-1])


@torch.no_grad()
def test_the_past_changes_the_present(net):
    inputs = clip(net)
    before, _, _ = net(*inputs.values(), conditions(FRAMES, net), ClipMemory(causal_ages()))
    inputs["pictures"][0] += 3
    after, _, _ = net(*inputs.values(), conditions(FRAMES, net), ClipMemory(causal_ages()))
    assert not torch.allclose(after[-1], before[-1], atol=1e-5)


@torch.no_grad()
def test_empty_slots_count_for_nothing(net):
    example = example_inputs((64, 64), (64, 64), net.cfg)
    frame = {name: value[:1] for name, value in clip(net).items()}
    ages = torch.full((1, net.cfg.ring.slots), -1.0)
    stale, _, _ = net(*frame.values(), conditions(1, net), Memory(example["keys"], example["values"], ages))
    empty, _, _ = net(*frame.values(), conditions(1, net), Memory(example["keys"] * 0, example["values"] * 0, ages))
    torch.testing.assert_close(stale, empty)


@torch.no_grad()
@pytest.mark.parametrize("part", PARTS)
def test_every_named_part_can_be_switched_off_and_matters(net, part):
    inputs = clip(net)
    inputs["fine_source"] = torch.nn.functional.interpolate(inputs["fine_source"], scale_factor=2)
    inputs["fine_screens"] = torch.nn.functional.interpolate(inputs["fine_screens"], scale_factor=2)
    inputs["fine_strokes"] = torch.nn.functional.interpolate(inputs["fine_strokes"], scale_factor=2)
    whole, _, _ = net(*inputs.values(), conditions(FRAMES, net), ClipMemory(causal_ages()))
    ablated = MiniNet(net.cfg, without=frozenset({part})).eval()
    ablated.load_state_dict(net.state_dict())
    without, _, _ = ablated(*inputs.values(), conditions(FRAMES, net), ClipMemory(causal_ages()))
    assert without.shape == whole.shape
    assert not torch.allclose(without, whole, atol=1e-4)


def test_an_unknown_part_is_refused_by_name():
    with pytest.raises(ValueError, match="magic"):
        MiniNet(without=frozenset({"magic"}))


def test_temporal_keys_are_a_quarter_of_the_tokens(net):
    frame = {name: value[:1] for name, value in clip(net).items()}
    _, keys, values = net(*frame.values(), conditions(1, net), None)
    tokens = (64 // 16) ** 2
    assert keys.shape == values.shape == (1, len(MiniConfig().temporal_blocks), tokens // 4, net.cfg.dim)
