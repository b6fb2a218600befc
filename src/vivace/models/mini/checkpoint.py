"""The embedded model's weights as torch modules."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from vivace.errors import CheckpointError
from vivace.models.mini.config import MiniConfig
from vivace.models.mini.network import MiniNet
from vivace.models.mini.weights import FOLDER, read_tensors
from vivace.runtime.exported.constants import CONSTANTS


def load_net(
    path: Path = FOLDER / "mini.safetensors",
    *,
    cfg: MiniConfig | None = None,
    without: frozenset[str] = frozenset(),
) -> MiniNet:
    """Return the network with the weights of a shipped file, or of a training checkpoint (its moving average).

    `without` names parts to switch off.

    Raises:
        CheckpointError: the file does not match the network.
    """
    net = MiniNet(cfg, without=without)
    if path.suffix == ".safetensors":
        tensors, _ = read_tensors(path)
        state = {k: torch.from_numpy(np.array(v)).float() for k, v in tensors.items() if k != CONSTANTS}
    else:
        state = torch.load(path, map_location="cpu", weights_only=True)["ema"]
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise CheckpointError(f"{path} does not fit the embedded model: {error}") from error
    return net.eval()
