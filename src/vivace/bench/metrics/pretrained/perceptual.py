"""LPIPS: perceptual distance of two pictures, by a network that was fitted to human judgement."""

from __future__ import annotations

import importlib
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from vivace.bench.metrics.footage import Footage, Frames, Reading, Series
from vivace.bench.metrics.judge import checkpoint_file, missing_packages, needs
from vivace.bench.metrics.pretrained.tensors import BATCH
from vivace.errors import BackendUnavailableError, CheckpointError

TRUNK = "alexnet-owt-7be5be79.pth"
TRUNK_URL = f"https://download.pytorch.org/models/{TRUNK}"

_SOURCE = "Zhang et al. 2018, AlexNet, v0.1"

READINGS = (
    Reading(
        key="lpips",
        title="LPIPS to the exact run",
        unit="",
        direction="lower",
        needs=("exact",),
        source=f"{_SOURCE}; acceleration fidelity as of SANA-Streaming",
        meaning="0: looks the same as without short cuts; the larger, the more different to people.",
        low=0.0,
    ),
    Reading(
        key="edit_lpips",
        title="LPIPS to the edit asked for",
        unit="",
        direction="lower",
        needs=("reference",),
        source=_SOURCE,
        meaning="0: looks the same as the exact edit; the larger, the more different to people.",
        low=0.0,
    ),
    Reading(
        key="untouched_lpips",
        title="LPIPS outside the mask",
        unit="",
        direction="lower",
        needs=("mask",),
        source=f"{_SOURCE}; background preservation as of FiVE",
        meaning="0: what was not to be edited looks the same.",
        low=0.0,
    ),
)


class Lpips:
    """LPIPS with AlexNet through the package `lpips`, from files on this machine."""

    name = "LPIPS"
    readings = READINGS

    def __init__(self, weights: Path | None = None) -> None:
        """Look for AlexNet's weights in `weights` and in the cache of torch.hub; LPIPS' own are in its package."""
        self._weights = weights

    def reason(self) -> str | None:
        """Return what is missing."""
        how = f"put {TRUNK_URL} into WEIGHTS or the cache of torch.hub"
        found = checkpoint_file(TRUNK, self._weights)
        return needs(missing_packages("lpips", "torch"), "LPIPS (AlexNet)", found, how)

    def measure(self, footage: Footage) -> dict[str, Series]:
        """Return the distance to the exact run, to the requested edit, and to the source outside the mask.

        For the last, the source's own pixels are put inside the mask, so that nothing differs there.
        """
        found = {}
        if footage.exact is not None:
            found["lpips"] = self._compare(footage.output, footage.exact)
        if footage.reference is not None:
            found["edit_lpips"] = self._compare(footage.output, footage.reference)
        if footage.mask is not None:
            outside = np.where(footage.mask[..., None], footage.source, footage.output)
            found["untouched_lpips"] = self._compare(outside, footage.source)
        return found

    def _compare(self, a: Frames, b: Frames) -> Series:
        import torch

        def tensor(frames: Frames) -> torch.Tensor:
            return torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2).float() / 127.5 - 1

        found = []
        with torch.inference_mode():
            for start in range(0, len(a), BATCH):
                part = slice(start, start + BATCH)
                found.append(self._network(tensor(a[part]), tensor(b[part])).flatten().double().numpy())
        return np.concatenate(found)

    @cached_property
    def _network(self) -> Any:
        trunk = checkpoint_file(TRUNK, self._weights)
        if (reason := self.reason()) or trunk is None:
            raise BackendUnavailableError(f"LPIPS {reason}")
        import torch

        # With pnet_rand the package does not download the trunk; its weights are loaded here.
        network = importlib.import_module("lpips").LPIPS(net="alex", pnet_rand=True, verbose=False)
        state = torch.load(trunk, map_location="cpu", weights_only=True)
        with torch.no_grad():
            for name, parameter in network.net.named_parameters():
                # A layer is named by its place in AlexNet: slice2.3.weight is features.3.weight.
                key = "features." + ".".join(name.split(".")[1:])
                if key not in state or state[key].shape != parameter.shape:
                    raise CheckpointError(f"{trunk} is not AlexNet: it has no fitting {key}; get it from {TRUNK_URL}")
                parameter.copy_(state[key])
        return network.eval()
