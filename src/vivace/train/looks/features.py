"""First stages of EfficientNet-Lite0 as features for a perceptual loss; frozen."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vivace.train.looks import packages

_EPSILON = 1e-3
"""Epsilon of the batch norms, as trained in TensorFlow."""


class _Stage(NamedTuple):
    repeats: int
    kernel: int
    stride: int
    channels: int
    expand: int


_STEM = 32
_STAGES = (_Stage(1, 3, 1, 16, 1), _Stage(2, 3, 2, 24, 6), _Stage(2, 5, 2, 40, 6))
"""Stages down to 1/8; deeper ones tell objects, not brush strokes."""


def _same(x: Tensor, conv: nn.Conv2d) -> Tensor:
    """Convolve with TensorFlow's padding: the odd px goes to the right and below."""
    k, s = conv.kernel_size[0], conv.stride[0]
    pads = [max(0, (-(-size // s) - 1) * s + k - size) for size in x.shape[-2:]]
    return conv(F.pad(x, (pads[1] // 2, pads[1] - pads[1] // 2, pads[0] // 2, pads[0] - pads[0] // 2)))


class _Inverted(nn.Module):
    """Inverted residual: expand, depthwise, project. Batch norms are folded into the convolutions."""

    def __init__(self, inside: int, outside: int, stage: _Stage, stride: int) -> None:
        super().__init__()
        wide = inside * stage.expand
        self.expand = nn.Conv2d(inside, wide, 1) if stage.expand > 1 else None
        self.depthwise = nn.Conv2d(wide, wide, stage.kernel, stride, groups=wide)
        self.project = nn.Conv2d(wide, outside, 1)
        self.skip = stride == 1 and inside == outside

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(_same(y, self.depthwise)))
        return x + y if self.skip else y


class Features(nn.Module):
    """Features of the network at 1/2 (twice), 1/4 and 1/8, for pictures `[b 3 h w]` in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, _STEM, 3, 2)
        self.stages = nn.ModuleList()
        inside = _STEM
        for stage in _STAGES:
            blocks = []
            for i in range(stage.repeats):
                blocks.append(_Inverted(inside, stage.channels, stage, stage.stride if i == 0 else 1))
                inside = stage.channels
            self.stages.append(nn.Sequential(*blocks))
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the features, finest first."""
        y = F.relu6(_same(x, self.stem))
        taps = [y]
        for stage in self.stages:
            y = stage(y)
            taps.append(y)
        return taps


def load_features(folder: Path) -> Features:
    """Read the features from a folder of packages.

    Raises:
        CheckpointError: the file is missing or another one.
    """
    state = torch.load(packages.find(folder, packages.FEATURES), map_location="cpu", weights_only=True)
    net = Features()
    fold(net, state)
    return net.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]


@torch.no_grad()
def fold(net: Features, state: dict[str, Tensor]) -> None:
    """Load a checkpoint's weights into the convolutions, with batch norms folded in."""

    def put(conv: nn.Conv2d, weight: str, norm: str) -> None:
        gain = state[f"{norm}.weight"] / torch.sqrt(state[f"{norm}.running_var"] + _EPSILON)
        conv.weight.copy_(state[f"{weight}.weight"].reshape(conv.weight.shape) * gain.view(-1, 1, 1, 1))
        assert conv.bias is not None
        conv.bias.copy_(state[f"{norm}.bias"] - state[f"{norm}.running_mean"] * gain)

    put(net.stem, "_conv_stem", "_bn0")
    number = 0
    for stage in net.stages:
        assert isinstance(stage, nn.Sequential)
        for block in stage:
            assert isinstance(block, _Inverted)
            name = f"_blocks.{number}"
            if block.expand is not None:
                put(block.expand, f"{name}._expand_conv", f"{name}._bn0")
            put(block.depthwise, f"{name}._depthwise_conv", f"{name}._bn1")
            put(block.project, f"{name}._project_conv", f"{name}._bn2")
            number += 1
