"""Export of the style classifier: from a checkpoint to the two shipped files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch

from vivace.models.style.classifier import CLASSES, FORMAT, PROFILE, StyleClassifier
from vivace.runtime.exported.openvino import read_bytes
from vivace.train.classifier.network import StyleGraph, StyleNet
from vivace.train.export import convert, shipped_weights, write_graph, write_profile


def export(net: StyleNet, folder: Path, version: str, card: dict[str, str]) -> dict[str, str]:
    """Write `style.xml` and `style.safetensors` into `folder` and return their sha256 by file name.

    Args:
        net: trained weights.
        folder: output folder.
        version: version of the weights; a new one whenever they change.
        card: metadata on the training.
    """
    net = net.folded()
    state = shipped_weights(net)
    example = {"picture": torch.zeros(1, 64, 96, 3, dtype=torch.uint8), "area": torch.ones(1, 1, 64, 96)}
    model = convert(StyleGraph(net), example, [[1, -1, -1, 3], [1, 1, -1, -1]], ["shares"])
    metadata = {"format": FORMAT, "version": version, "classes": json.dumps(CLASSES), **card}
    return write_graph(model, state, folder, "style", metadata)


def install_profile(hashes: dict[str, str], version: str) -> None:
    """Write version and sha256 of newly installed files into the classifier's profile."""
    text = re.sub(r'^version = ".*"$', f'version = "{version}"', PROFILE.read_text(), flags=re.MULTILINE)
    PROFILE.write_text(text)
    write_profile(hashes, PROFILE)


def load_unversioned(folder: Path) -> StyleClassifier:
    """Return the classifier of an export that is not installed, whose sha256 is not recorded yet.

    Raises:
        CheckpointError: a file is missing or damaged.
    """
    weights = read_bytes(folder / "style.safetensors")
    return StyleClassifier.of(read_bytes(folder / "style.xml"), weights, str(folder / "style.safetensors"))
