"""One step of `mini2` from bytes to bytes, exported in variants with the inputs and outputs that a session needs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vivace.models.mini2.config import CODE_DIM, INPUT_CHANNELS, MAP_CHANNELS, STEP_NUMBERS
from vivace.models.mini2.network import Conditions, Extras, Memory, Mini2Net


@dataclass(frozen=True, slots=True)
class Variant:
    """Optional inputs and outputs of a graph. Those that a variant lacks are not computed."""

    regions: bool = False
    """True for region maps, and the edit mask derived from them."""
    memory: bool = False
    """True for keys and values of key frames and the window as inputs, and this frame's own as outputs."""
    displacement: bool = False


PLAIN = Variant()
EVERYTHING = Variant(True, True, True)


class StepGraph(nn.Module):
    """Network between byte blocks."""

    def __init__(self, net: Mini2Net, variant: Variant = PLAIN) -> None:
        super().__init__()
        self.net = net
        self.variant = variant

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs of `output_names` for the inputs of `example_inputs`, in order."""
        left = list(inputs)
        blocks, maps, code, step = (left.pop(0) for _ in range(4))
        regions = left.pop(0).permute(0, 3, 1, 2) / 255 if self.variant.regions else None
        memory = Memory(*left) if self.variant.memory else None
        found = self.net(
            *((part.float() * (1 / 128) - 1).permute(0, 3, 1, 2) for part in (blocks, maps)),
            Conditions(code, step),
            Extras(regions, memory),
            edit=self.variant.regions,
            displacement=self.variant.displacement,
            remember=self.variant.memory,
        )
        picture = (found.picture * 128 + 128.5).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1)
        return (picture, *(value for value in found[1:] if value is not None))


def output_names(variant: Variant) -> tuple[str, ...]:
    """Return the names of a graph's outputs, in order."""
    return (
        "picture",
        *(("edit",) if variant.regions else ()),
        *(("displacement",) if variant.displacement else ()),
        *(("new_keys", "new_values") if variant.memory else ()),
    )


def example_inputs(
    net: Mini2Net, size: tuple[int, int], variant: Variant = PLAIN, *, memory_frames: int = 6, seed: int = 0
) -> dict[str, Tensor]:
    """Return random inputs by name for a padded `size = (width, height)`, with a memory of `memory_frames` frames."""
    generator = torch.Generator().manual_seed(seed)
    cfg = net.cfg
    h, w = size[1] // 4, size[0] // 4
    tokens = math.prod(-(-side // (8 * cfg.pool)) for side in (h, w)) * memory_frames

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    def byte(*shape: int) -> Tensor:
        return torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)

    inputs = {
        "blocks": byte(1, h, w, INPUT_CHANNELS),
        "maps": byte(1, h, w, MAP_CHANNELS),
        "code": normal(1, CODE_DIM),
        "step": torch.zeros(1, STEP_NUMBERS),
    }
    if variant.regions:
        inputs["regions"] = byte(1, h // 2, w // 2, cfg.regions)
    if variant.memory:
        shape = (1, len(cfg.memory_blocks), tokens, cfg.dim)
        inputs |= {"keys": normal(*shape), "values": normal(*shape)}
        inputs |= {"rows": torch.rand(1, tokens, generator=generator) * h / 8, "columns": torch.zeros(1, tokens)}
        inputs["bias"] = torch.zeros(1, tokens)
    return inputs
