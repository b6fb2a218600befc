"""Ablations of `mini2`: the trained network with one part switched off at a time, and what that part costs.

A part is replaced by zeros before the graph is made, so that whatever only it needed is left out, and its time with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vivace.models.mini2.config import PICTURE_CHANNELS
from vivace.models.mini2.graph import PLAIN
from vivace.models.mini2.looks import LOOK_KEYS
from vivace.models.mini2.network import Attention, Mini2Net
from vivace.train.looks.evaluate import measure
from vivace.train.looks.speed import WARM_UP, compile_variant
from vivace.train.looks.student import Student
from vivace.train.looks.targets import Painter

SIZE = (512, 512)
"""Size at which the time of a step is taken, px."""
ROUNDS = 15


class Zeros(nn.Module):
    """Part that is switched off: zeros `[b c ...]`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, x: Tensor) -> Tensor:
        """Return zeros at the places of `x [b c ...]`."""
        return torch.zeros(x.shape[0], self.channels, *x.shape[2:], dtype=x.dtype, device=x.device)


class NoAttention(nn.Module):
    """Attention that is switched off, in the form of `Attention`."""

    def write(self, x: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
        """Return keys and values that nobody reads."""
        del height, width
        return x, x

    def forward(self, x: Tensor, *_: object) -> Tensor:
        """Return zeros `[b l d]`."""
        return torch.zeros_like(x)


def _no_trunk(net: Mini2Net) -> None:
    # The mean of the tokens, which shifts colours, is left out with them.
    net.from_tokens = Zeros(4 * net.cfg.sixteenth)  # type: ignore[assignment]
    net.whole = Zeros(net.cfg.dim)  # type: ignore[assignment]


def _no_coarse(net: Mini2Net) -> None:
    _no_trunk(net)
    net.from_sixteenth = Zeros(4 * net.cfg.eighth)  # type: ignore[assignment]


def _no_local_map(net: Mini2Net) -> None:
    net.map.local = Zeros(4 * net.cfg.fine)  # type: ignore[assignment]


def _no_pen(net: Mini2Net) -> None:
    net.pen.local = Zeros(net.pen.local.out_channels)  # type: ignore[assignment]


def _no_attention(net: Mini2Net) -> None:
    for block in net.trunk.blocks:
        block.frame = NoAttention()


def _not_pooled(net: Mini2Net) -> None:
    net.cfg = net.trunk.cfg = replace(net.cfg, pool=1)
    for module in net.modules():
        if isinstance(module, Attention):
            module.pool = 1


def _no_inputs(channels: slice) -> Callable[[Mini2Net], None]:
    @torch.no_grad()
    def change(net: Mini2Net) -> None:
        for layer in (net.to_eighth, net.map.basis):
            layer.weight[:, channels] = 0

    return change


@dataclass(frozen=True, slots=True)
class Ablation:
    """One row: a change of the network, in place, or another number of steps."""

    name: str
    change: Callable[[Mini2Net], None] = lambda _: None
    steps: int = 1


ABLATIONS = (
    Ablation("whole, 1 step"),
    Ablation("whole, 2 steps", steps=2),
    Ablation("whole, 4 steps", steps=4),
    Ablation("nothing coarser than 1/8", _no_coarse),
    Ablation("no tokens at 1/32", _no_trunk),
    Ablation("no attention", _no_attention),
    Ablation("keys and values not pooled", _not_pooled),
    Ablation("no local map, one by the code alone", _no_local_map),
    Ablation("nothing drawn with maps of lines, light and strokes", _no_pen),
    Ablation("no textures", _no_inputs(slice(2 * PICTURE_CHANNELS, None))),
    Ablation("no previous output", _no_inputs(slice(PICTURE_CHANNELS, 2 * PICTURE_CHANNELS))),
)


@dataclass(frozen=True, slots=True)
class Row:
    """Findings of one ablation, means over looks and clips."""

    name: str
    psnr_db: float
    flicker_source: float
    sharpness: float
    step_ms: float
    """Median time of the network for a frame of `SIZE`, all steps."""


def ablate(student: Student, painter: Painter, clips: Path, looks: Sequence[str] = LOOK_KEYS[1:]) -> list[Row]:
    """Return a row for each of `ABLATIONS`, at 256x256 px and times at `SIZE`, taken in turn.

    Raises:
        SourceError: no video in the folder, or none that is long enough.
    """
    changed: list[Student] = []
    for each in ABLATIONS:
        changed.append(deepcopy(student))
        each.change(changed[-1].net)
    times = _times([student.net for student in changed])
    rows = []
    for each, other, step_ms in zip(ABLATIONS, changed, times, strict=True):
        scores = [score.row() for score in measure(other, painter, clips, looks=looks, steps=each.steps).values()]
        means = {name: float(np.mean([score[name] for score in scores])) for name in scores[0]}
        kept = {name: means[name] for name in ("psnr_db", "flicker_source", "sharpness")}
        rows.append(Row(each.name, **kept, step_ms=step_ms * each.steps))
    return rows


def _times(nets: Sequence[Mini2Net]) -> list[float]:
    requests = [compile_variant(net, SIZE, PLAIN) for net in nets]
    taken: list[list[float]] = [[] for _ in nets]
    for turn in range(ROUNDS + WARM_UP):
        for request, into in zip(requests, taken, strict=True):
            begin = time.perf_counter()
            request.infer()
            if turn >= WARM_UP:
                into.append((time.perf_counter() - begin) * 1e3)
    return [float(np.median(times)) for times in taken]
