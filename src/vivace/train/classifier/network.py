"""Network of the style classifier: a few convolutions, and statistics of their features over an area."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from vivace.models.style.classifier import CLASSES

WIDTHS = (16, 32, 64, 96)
"""Channels at 1/2, 1/4, 1/8 and 1/16 of the picture's side."""
HIDDEN = 96
EPS = 1e-4


def convolution(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Return a 3x3 convolution with its normalisation."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outputs, momentum=0.02)
    )


def statistics(x: Tensor, area: Tensor) -> Tensor:
    """Return mean and deviation `[b 2c]` of features `[b c h w]` over `area [b 1 h w]` ≥ 0."""
    weight = area / (area.sum((2, 3), keepdim=True) + EPS)
    mean = (x * weight).sum((2, 3), keepdim=True)
    variance = ((x - mean) ** 2 * weight).sum((2, 3), keepdim=True)
    return torch.cat([mean, torch.sqrt(variance + EPS)], 1).flatten(1)


class StyleNet(nn.Module):
    """Network from a picture and an area in it to the share of every class.

    A style is a matter of texture and colour, so the head sees statistics of features, not their positions: any size
    fits, and an area of any shape is judged by weighting the statistics, without crop or filled-in border.
    """

    def __init__(self) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = WIDTHS
        self.grain = convolution(12, half, 1)
        self.strokes = convolution(half, quarter, 2)
        self.marks = convolution(quarter, eighth, 2)
        self.shapes = convolution(eighth, sixteenth, 2)
        self.around = convolution(sixteenth, sixteenth, 1)
        found = 2 * (quarter + eighth + sixteenth)
        # Means and deviations, and features of different depth, differ greatly in scale.
        self.scale: nn.BatchNorm1d | nn.Identity = nn.BatchNorm1d(found, momentum=0.02)
        self.hidden = nn.Linear(found, HIDDEN)
        self.dropout = nn.Dropout(0.1)
        self.classes = nn.Linear(HIDDEN, len(CLASSES))

    def forward(self, picture: Tensor, area: Tensor) -> Tensor:
        """Return logits `[b classes]` of `picture [b 3 h w]` in [0, 1], judged inside `area [b 1 h w]` in [0, 1].

        Sides are multiples of 16 px.
        """
        x = F.relu(self.grain(F.pixel_unshuffle(picture * 2 - 1, 2)))
        strokes = F.relu(self.strokes(x))
        marks = F.relu(self.marks(strokes))
        shapes = F.relu(self.shapes(marks))
        shapes = F.relu(shapes + self.around(shapes))
        found = [statistics(y, F.avg_pool2d(area, k)) for y, k in ((strokes, 4), (marks, 8), (shapes, 16))]
        return self.classes(self.dropout(F.relu(self.hidden(self.scale(torch.cat(found, 1))))))

    @torch.no_grad()
    def folded(self) -> StyleNet:
        """Return the same function for inference, with normalisation folded into the convolutions."""
        other = StyleNet()
        other.load_state_dict(self.state_dict())
        other.eval()
        for name in ("grain", "strokes", "marks", "shapes", "around"):
            conv, norm = getattr(other, name)
            setattr(other, name, fuse_conv_bn_eval(conv, norm))
        assert isinstance(other.scale, nn.BatchNorm1d)
        fuse_into_linear(other.scale, other.hidden)
        other.scale = nn.Identity()
        return other


def fuse_into_linear(norm: nn.BatchNorm1d, linear: nn.Linear) -> None:
    """Fold a normalisation, in evaluation, into the linear layer that follows it, in place."""
    variance, mean = norm.get_buffer("running_var"), norm.get_buffer("running_mean")
    gain = norm.get_parameter("weight") / torch.sqrt(variance + norm.eps)
    shift = norm.get_parameter("bias") - mean * gain
    linear.bias += linear.weight @ shift
    linear.weight *= gain


class StyleGraph(nn.Module):
    """Exported graph: bytes in, probabilities out."""

    def __init__(self, net: StyleNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, picture: Tensor, area: Tensor) -> Tensor:
        """Return the share of each class `[1 classes]` of `picture`, `uint8 [1 h w 3]`, in `area [1 1 h w]`."""
        return torch.softmax(self.net(picture.permute(0, 3, 1, 2).float() / 255, area), 1)
