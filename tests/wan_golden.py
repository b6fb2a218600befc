"""The recorded runs of the Wan family's references, and networks with their weights.

`VIVACE_WAN_GOLDEN` names another folder of recordings to run the same tests against.
"""

from __future__ import annotations

import json
import os
from functools import cache
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor

from vivace.models.wan.network import WanConfig, WanNetwork
from vivace.models.wan.rope import Rotary

FOLDER = Path(os.environ.get("VIVACE_WAN_GOLDEN") or Path(__file__).parent / "golden" / "wan")
MODEL = "model."


@cache
def config(case: str) -> dict[str, Any]:
    """Return every setting of a case."""
    settings: dict[str, Any] = json.loads((FOLDER / f"{case}.json").read_text("utf-8"))["config"]
    return settings


@cache
def tensors(case: str) -> dict[str, Tensor]:
    """Return every tensor of a case."""
    return load_file(FOLDER / f"{case}.safetensors")


def weights(case: str, prefix: str = MODEL) -> dict[str, Tensor]:
    """Return the weights in a case, under the network's own names."""
    return {key.removeprefix(prefix): value for key, value in tensors(case).items() if key.startswith(prefix)}


def network(case: str) -> WanNetwork:
    """Return the network of a case, with the weights it shares and those of its own."""
    told = config(case)["model"]
    cfg = WanConfig(
        dim=told["dim"],
        ffn_dim=told["ffn_dim"],
        freq_dim=told["freq_dim"],
        text_dim=told["text_dim"],
        text_len=told["text_len"],
        in_channels=told["in_dim"],
        out_channels=told["out_dim"],
        heads=told["num_heads"],
        layers=told["num_layers"],
        patch=told["patch_size"][-1],
        eps=told["eps"],
    )
    model = WanNetwork(cfg)
    model.load_state_dict(weights("causal_wan") | weights(case))
    return model.requires_grad_(False).eval()


def rotary(model: WanNetwork, latents: Tensor) -> Rotary:
    """Return positions of the tokens of latents `[… h w]`."""
    return Rotary(model.cfg.head_dim, model.grid(*latents.shape[-2:]))


NETWORK, CHAINED = 2e-5, 5e-5
"""Largest difference of one call, and of a run of calls, in numbers of a scale of about one."""


def error(found: Tensor, recorded: Tensor) -> float:
    """Return the largest difference, as a share of the recorded numbers' scale where that is above one."""
    assert found.shape == recorded.shape
    return ((found - recorded).abs().max() / recorded.abs().std().clamp(min=1)).item()
