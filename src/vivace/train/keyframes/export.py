"""Export of the network that follows key frames to the files that `vivace.models.keyframes` loads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from vivace.models.keyframes import graph
from vivace.models.keyframes.config import INPUT_CHANNELS
from vivace.models.keyframes.load import FOLLOW, FORMAT, REMEMBER
from vivace.models.keyframes.network import KeyframeNet
from vivace.models.mini2.config import PICTURE_CHANNELS
from vivace.train.export import convert, write_graph
from vivace.train.processes import restoring

_SIZE = (96, 64)


def load_net(checkpoint: Path) -> tuple[KeyframeNet, dict[str, str]]:
    """Return the averaged weights of a run and how far they were trained, as metadata.

    Raises:
        CheckpointError: the checkpoint is damaged or of another architecture.
    """
    net = KeyframeNet()
    with restoring(checkpoint):
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        net.load_state_dict(state["ema"])
    return net.eval(), {f"trained_{name}": str(round(value)) for name, value in state["progress"].items()}


def export(net: KeyframeNet, folder: Path, card: Mapping[str, str]) -> dict[str, str]:
    """Write both graphs into a folder; return sha256 by file name."""
    state = {name: value.half() for name, value in net.state_dict().items()}
    net.load_state_dict({name: value.float() for name, value in state.items()})
    follow = graph.follow_example(net, _SIZE)
    memory = [1, net.cfg.depth, -1, net.cfg.dim]
    parts: tuple[tuple[str, nn.Module, dict[str, torch.Tensor], list[list[int]], tuple[str, ...]], ...] = (
        (
            REMEMBER,
            graph.RememberGraph(net),
            graph.remember_example(_SIZE),
            [[1, -1, -1, 2 * PICTURE_CHANNELS]],
            graph.REMEMBERED,
        ),
        (
            FOLLOW,
            graph.FollowGraph(net),
            follow,
            [[1, -1, -1, INPUT_CHANNELS], *([[1, -1, -1]] * 3), memory, memory],
            graph.FOLLOWED,
        ),
    )
    hashes: dict[str, str] = {}
    for name, module, example, shapes, outputs in parts:
        model = convert(module, example, shapes, outputs)
        hashes |= write_graph(model, used(name, state), folder, name, {"format": FORMAT, **card})
    return hashes


def used(name: str, state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Return the weights that a graph needs; those of the appearance are in both."""
    reading = ("appearance.", "pair")

    def needed(key: str) -> bool:
        in_block = key.startswith("blocks.")
        reads = in_block and key.split(".")[2] in ("k", "k_position", "v")
        if name == REMEMBER:
            return key.startswith(reading) or reads
        return key.startswith("appearance.") or not (key.startswith(reading) or reads)

    return {key: value for key, value in state.items() if needed(key)}
