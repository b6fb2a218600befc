"""Classifier of all named looks (protocol 2): statistics of backbone features, and a small network on them.

A look is a matter of texture and colour, so that means, deviations and correlations of the features say which it is,
wherever they are in the picture. It is trained on the teachers' baked pictures alone, and judges clips that no teacher
and no network was trained on.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.numpy import save_file
from torch import Tensor, nn

from vivace.errors import CheckpointError, SourceNotFoundError
from vivace.models.mini2.looks import LOOK_KEYS
from vivace.runtime.exported.files import read_tensors
from vivace.train.looks.features import Features
from vivace.train.looks.losses import gram
from vivace.train.looks.targets import FRAMES, read_jpeg, read_painted, shard_paths

CLASSES = LOOK_KEYS[1:]
"""Classes: all named looks. A class for unpainted pictures would be everything that is painted less crisply than by a
teacher."""
SHIPPED = Path(__file__).with_name("classifier.safetensors")
FORMAT = "vivace-looks-classifier-1"
WIDTH = 192
STEPS = 1500
BATCH = 256
LEARNING_RATE = 2e-3
VIEWS = 2
"""Views of a baked picture that are learned from: whole, and a part of it in another exposure."""
_LEAST_PART = 0.6


class Classifier(nn.Module):
    """Network from a picture's description to a logit of each class."""

    def __init__(self, numbers: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(numbers))
        self.register_buffer("deviation", torch.ones(numbers))
        self.hidden = nn.Linear(numbers, WIDTH)
        self.dropout = nn.Dropout(0.3)
        self.classes = nn.Linear(WIDTH, len(CLASSES))

    def forward(self, described: Tensor) -> Tensor:
        """Return logits `[n classes]` of descriptions `[n numbers]`."""
        scaled = (described - self.get_buffer("mean")) / self.get_buffer("deviation")
        return self.classes(self.dropout(F.relu(self.hidden(scaled.clamp(-6, 6)))))


@torch.no_grad()
def describe(features: Features, pictures: Tensor) -> Tensor:
    """Return descriptions `[n numbers]` of pictures `[n 3 h w]` in [0, 1]: statistics of colours and of features."""
    parts = []
    for tap in (pictures, *features(pictures * 2 - 1)):
        mean = tap.mean((2, 3))
        deviation = tap.std((2, 3))
        slopes = [
            (tap[:, :, 1:] - tap[:, :, :-1]).abs().mean((2, 3)),
            (tap[..., 1:] - tap[..., :-1]).abs().mean((2, 3)),
        ]
        parts += [mean, torch.log(deviation + 1e-3), *(torch.log(slope + 1e-3) for slope in slopes)]
    colours = gram(pictures)
    rows, columns = torch.triu_indices(3, 3)
    return torch.cat([*parts, colours[:, rows, columns]], 1)


def read_samples(folder: Path, features: Features, report: Callable[[int, int], None]) -> tuple[Tensor, Tensor]:
    """Return descriptions `[n numbers]` of baked pictures of named looks, and their classes `[n]`.

    Raises:
        SourceNotFoundError: there is no shard.
    """
    paths = shard_paths(folder)
    if not paths:
        raise SourceNotFoundError(f"no baked targets in {folder}; make some: vivace train looks bake DATA")
    described, classes = [], []
    for number, path in enumerate(paths):
        rng = np.random.default_rng(number)
        for item in read_painted(path):
            known = [look for look in item if look in CLASSES]
            if not known:
                continue
            whole = torch.stack([read_jpeg(item[look])[int(rng.integers(FRAMES))] for look in known]).float() / 255
            for view in (whole, *(part(whole, rng) for _ in range(VIEWS - 1))):
                described.append(describe(features, view))
                classes += [CLASSES.index(look) for look in known]
        report(number + 1, len(paths))
    return torch.cat(described), torch.tensor(classes)


def part(pictures: Tensor, rng: np.random.Generator) -> Tensor:
    """Return a random square part of pictures `[n 3 h w]`, in a slightly other exposure and contrast."""
    side = int(pictures.shape[-1] * rng.uniform(_LEAST_PART, 1.0)) // 16 * 16
    top, left = (int(v) for v in rng.integers(0, pictures.shape[-1] - side + 1, 2))
    cut = pictures[..., top : top + side, left : left + side]
    return ((cut - 0.5) * float(rng.uniform(0.9, 1.1)) + 0.5 + float(rng.normal(0, 0.02))).clamp(0, 1)


def fit_classifier(described: Tensor, classes: Tensor, *, steps: int = STEPS, seed: int = 0) -> Classifier:
    """Return a classifier of descriptions `[n numbers]`, each class as frequent as any other."""
    torch.manual_seed(seed)
    net = Classifier(described.shape[1])
    net.get_buffer("mean").copy_(described.mean(0))
    net.get_buffer("deviation").copy_(described.std(0) + 1e-3)
    count = torch.bincount(classes, minlength=len(CLASSES)).clamp_min(1)
    weights = 1 / count[classes].double()
    optimiser = torch.optim.AdamW(net.parameters(), LEARNING_RATE, weight_decay=0.05)
    falling = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, steps)
    for _ in range(steps):
        chosen = torch.multinomial(weights, min(BATCH, len(weights)), replacement=True)
        loss = F.cross_entropy(net(described[chosen]), classes[chosen], label_smoothing=0.02)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        falling.step()
    return net.eval()


def save_classifier(net: Classifier, path: Path, pictures: int) -> None:
    """Write a classifier in half precision."""
    tensors = {name: value.numpy().astype(np.float16) for name, value in net.state_dict().items()}
    card = {"format": FORMAT, "classes": json.dumps(CLASSES), "pictures": str(pictures)}
    save_file(tensors, path, card)


def load_classifier(path: Path = SHIPPED) -> Classifier:
    """Read a classifier.

    Raises:
        CheckpointError: it is missing, damaged, or of other looks.
    """
    tensors, metadata = read_tensors(path, FORMAT)
    if tuple(json.loads(metadata["classes"])) != CLASSES:
        raise CheckpointError(f"{path} knows other looks; train it anew: vivace train looks classifier")
    net = Classifier(len(tensors["mean"]))
    net.load_state_dict({name: torch.from_numpy(np.array(value)).float() for name, value in tensors.items()})
    return net.eval()


class Judge:
    """Look that a picture is taken for."""

    def __init__(self, net: Classifier, features: Features) -> None:
        self._net = net
        self._features = features

    @torch.no_grad()
    def __call__(self, pictures: Tensor) -> list[str]:
        """Return the most probable class of each of the pictures `[n 3 h w]` in [0, 1], at the area of 256 x 256."""
        if pictures.shape[-1] > 256:
            pictures = F.interpolate(pictures, size=(256, 256), mode="area")
        return [CLASSES[int(k)] for k in self._net(describe(self._features, pictures)).argmax(1)]
