"""The baseline of the Wan family gives the numbers that ours does, and its work is what a counter finds."""

from __future__ import annotations

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import wan_mirror as toy
from tolerance import near
from vivace.bench.speed.flops import wan_flops
from vivace.bench.systems.plain_wan import PLAIN, make_plain
from vivace.memory.ring import Ring
from vivace.models.wan.network import WanConfig, WanNetwork
from vivace.models.wan.ring import KvBuffers, RollingMemory, RowsAttention
from vivace.models.wan.rope import Rotary

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def open_memory(network: WanNetwork) -> RollingMemory:
    rotary = Rotary(network.cfg.head_dim, network.grid(4, 6))
    buffers = KvBuffers(network.cfg, 6, rotary.grid.tokens, dtype=torch.float32, device="cpu")
    return RollingMemory(Ring(1, 5), "window", rotary, buffers)


@torch.inference_mode()
def test_the_plain_form_gives_the_same_numbers() -> None:
    ours, plain = toy.transformer(), toy.transformer()
    make_plain(plain)
    assert {type(module) for module in plain.modules()} >= {*PLAIN.values()}
    memories = {network: open_memory(network) for network in (ours, plain)}
    generator = torch.Generator().manual_seed(9)
    embeds = torch.randn(1, 5, ours.cfg.text_dim, generator=generator)
    for _ in range(4):
        latents = torch.randn(1, 3, 16, 4, 6, generator=generator)
        flows = []
        for network, memory in memories.items():
            attention = RowsAttention([memory.chunk(3)])
            flows.append(network(latents, torch.full((1, 3), 500.0), network.encode_text(embeds), attention))
            memory.advance(3)
        assert flows[0].abs().max() > 0.1
        assert near(flows[1], flows[0])


def test_the_work_of_a_call_is_what_a_counter_finds() -> None:
    cfg = WanConfig(**toy.NETWORK["transformer"])
    with torch.device("meta"):
        network = WanNetwork(cfg)
        make_plain(network)
        text = network.encode_text(torch.empty(1, 5, cfg.text_dim))
    memory = open_memory(network)
    memory.buffers.layers = [layer.to("meta") for layer in memory.buffers.layers]
    memory.rotary = Rotary(cfg.head_dim, network.grid(4, 6), "meta")
    memory.advance(3)
    with FlopCounterMode(display=False) as counter:
        network(
            torch.empty(1, 3, 16, 4, 6, device="meta"),
            torch.empty(1, 3, device="meta"),
            text,
            RowsAttention([memory.chunk(3)]),
        )
    assert counter.get_total_flops() == wan_flops(cfg, 6, 3, 6)
