"""Export of the network that follows key frames to the files that `vivace.models.keyframes` loads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from vivace.models.keyframes import graph
from vivace.models.keyframes.config import INPUT_CHANNELS
from vivace.models.keyframes.load import FOLLOW, FORMAT, REMEMBER, REMEMBERED
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
    """Write both graphs into a folder; return sha256 by file name.

    Weights are as exact as bf16, in halves, which compress better in a package. Those that both graphs have are in the
    file of the one that follows.
    """
    state = {name: value.bfloat16().half() for name, value in net.state_dict().items()}
    net.load_state_dict({name: value.float() for name, value in state.items()})
    follow = graph.follow_example(net, _SIZE)
    memory = [1, net.cfg.depth, -1, net.cfg.dim]
    parts: tuple[tuple[str, nn.Module, dict[str, torch.Tensor], list[list[int]], tuple[str, ...]], ...] = (
        (
            REMEMBER,
            graph.RememberGraph(net),
            graph.remember_example(_SIZE),
            [[1, -1, -1, 2 * PICTURE_CHANNELS]],
            REMEMBERED,
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
    following = {name: value for name, value in state.items() if not reads_key_frame(name)}
    reading = {name: value for name, value in state.items() if reads_key_frame(name)}
    for name, module, example, shapes, outputs in parts:
        model = convert(module, example, shapes, outputs)
        own, shared = (following, {}) if name == FOLLOW else (reading, following)
        hashes |= write_graph(model, own, folder, name, {"format": FORMAT, **card}, shared=shared)
    return hashes


def reads_key_frame(weight: str) -> bool:
    """Return True if a weight is needed only when a key frame is read."""
    parts = weight.split(".")
    return weight.startswith("pair") or (parts[0] == "blocks" and parts[2] in ("k", "k_position", "v"))
