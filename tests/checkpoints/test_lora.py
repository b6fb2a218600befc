"""LoRAs of any network: merged for good or to be weighed anew, and refused where they belong to another."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from vivace.checkpoints.filling import fill
from vivace.checkpoints.lora import LoraStack, Merge, parse_lora
from vivace.checkpoints.tensors import Stored, TensorFile
from vivace.errors import CheckpointError

Tensors = dict[str, Tensor]
ONE, TWO = "lora_unet_attention_to_q", "lora_unet_attention_to_k"


class Attention(nn.Module):
    """Two weights, and a table that follows from one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.to_q = nn.Linear(24, 32, bias=False)
        self.to_k = nn.Linear(24, 32, bias=False)
        self.refresh_tables()

    def refresh_tables(self) -> None:
        self.table = self.to_q.weight.detach().sum(1)


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(9)
            self.attention = Attention()
            self.conv = nn.Conv2d(4, 6, 3)


def lora(key: str, rank: int, shape: tuple[int, int]) -> Tensors:
    generator = torch.Generator().manual_seed(3)
    return {
        f"{key}.lora_down.weight": torch.randn(rank, shape[1], generator=generator),
        f"{key}.lora_up.weight": torch.randn(shape[0], rank, generator=generator),
        f"{key}.alpha": torch.tensor(rank / 2),
    }


def test_weights_change_live_without_a_trace() -> None:
    network = Network()
    stack = LoraStack(network, "lora_unet_")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    target = network.attention.to_q.weight
    original, place = target.detach().clone(), target.data_ptr()
    first, second = (parse_lora(lora(ONE, rank, (32, 24))) for rank in (2, 4))
    stack.add("first", first)
    once = target.detach().clone()
    stack.add("second", second, weight=0.3)
    both = target.detach().clone()
    for weight in (0.1, 0.7, -2.0, 0.3):
        stack.set_weights({"second": weight})
    assert torch.equal(target, both)
    stack.set_weights({"second": 0})
    assert torch.equal(target, once)
    assert torch.allclose(once, original + 0.5 * first[ONE].up @ first[ONE].down)
    stack.set_weights({"first": 0})
    assert torch.equal(target, original)
    assert target.data_ptr() == place
    stack.add("first", parse_lora(lora(TWO, 2, (32, 24))))
    assert torch.equal(target, original), "what the replaced LoRA changed is as it was"
    stack.remove("first")
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    with pytest.raises(ValueError, match="no LoRA is called 'third'"):
        stack.set_weights({"third": 1})


def test_what_follows_from_a_weight_follows_the_lora() -> None:
    network = Network()
    before = network.attention.table
    LoraStack(network, "lora_unet_").add("style", parse_lora(lora(ONE, 2, (32, 24))))
    assert not torch.equal(network.attention.table, before)
    assert torch.equal(network.attention.table, network.attention.to_q.weight.sum(1))


def test_one_that_stays_is_merged_as_the_weights_are_read() -> None:
    weights, network = Network().state_dict(), Network()
    file = TensorFile("", {key: value.shape for key, value in weights.items()}, weights.__getitem__)
    layers = parse_lora(lora(ONE, 2, (32, 24)))
    merge = Merge("fast", layers, 0.5)
    fill(network, {key: Stored(file, key) for key in weights}, merges=[merge], prefix="lora_unet_")
    change = 0.5 * layers[ONE].change(network.attention.to_q.weight, "alpha")
    assert torch.allclose(network.attention.to_q.weight, weights["attention.to_q.weight"] + change)
    assert torch.equal(network.attention.to_k.weight, weights["attention.to_k.weight"])
    assert torch.equal(network.attention.table, network.attention.to_q.weight.sum(1))


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"unet.down.lora_A.weight": torch.zeros(1)}, "not a LoRA in kohya's naming"),
        ({}, "it is empty"),
        ({f"{ONE}.lora_up.weight": torch.zeros(32, 2)}, "lora_down.weight is missing"),
        (lora("lora_unet_no_such_layer", 2, (32, 24)), "has no layer lora_unet_no_such_layer"),
        (lora(ONE, 2, (32, 40)), r"\[32, 40\], not \[32, 24\]"),
        (lora(ONE, 2, (40, 24)), r"\[40, 24\], not \[32, 24\]"),
    ],
)
def test_one_of_another_model_is_refused(tensors: Tensors, words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        LoraStack(Network(), "lora_unet_").add("style", parse_lora(tensors))
