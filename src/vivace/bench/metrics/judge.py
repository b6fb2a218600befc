"""Judges: measures of quality that need something which may not be here. They say what, and never make up a value."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from vivace.bench.metrics.footage import Footage, Reading, Series
from vivace.errors import BackendUnavailableError


class Judge(Protocol):
    """Something that takes one or more readings, if what it needs is installed."""

    @property
    def name(self) -> str:
        """What it is, e.g. `CLIP ViT-B/32`."""

    @property
    def readings(self) -> tuple[Reading, ...]:
        """What it measures."""

    def reason(self) -> str | None:
        """Return what is needed to run it, or None if all is here. Cheap: nothing is loaded, nothing downloaded."""

    def measure(self, footage: Footage) -> dict[str, Series]:
        """Return the readings whose needs the footage meets, by key, one value a frame.

        Raises:
            BackendUnavailableError: what it needs is not here.
            CheckpointError: weights that do not fit.
        """


@dataclass(frozen=True, slots=True)
class Unavailable:
    """A measure others quote and this benchmark cannot take; listed so that its absence is seen."""

    name: str
    needed: str
    readings: tuple[Reading, ...] = ()

    def reason(self) -> str | None:
        """Return why it is not taken."""
        return self.needed

    def measure(self, footage: Footage) -> dict[str, Series]:
        """Return nothing."""
        del footage
        return {}


def missing_packages(*names: str) -> list[str]:
    """Return which of some packages cannot be imported."""
    return [name for name in names if importlib.util.find_spec(name) is None]


def hub_folder(repo: str, weights: Path | None) -> Path | None:
    """Return the folder of a model of the Hugging Face hub on this machine: in `weights`, or in the hub's cache.

    Args:
        repo: e.g. `openai/clip-vit-base-patch32`.
        weights: folder of the user's that may hold it, under the second part of its name.
    """
    if weights is not None and _is_whole(weights / repo.split("/")[1]):
        return weights / repo.split("/")[1]
    if missing_packages("huggingface_hub"):
        return None
    from huggingface_hub import try_to_load_from_cache

    config = try_to_load_from_cache(repo, "config.json")
    folder = Path(config).parent if isinstance(config, str) else None
    return folder if folder is not None and _is_whole(folder) else None


class HubJudge:
    """What judges share that run a network of the Hugging Face hub through transformers, from files on this machine."""

    repo: ClassVar[str]
    """E.g. `openai/clip-vit-base-patch32`."""
    short: ClassVar[str]
    """What people call it, e.g. `CLIP`."""

    def __init__(self, weights: Path | None = None) -> None:
        """Look for the network in `weights`, in a folder of the name of the repository, and in the hub's cache."""
        self._weights = weights

    def reason(self) -> str | None:
        """Return what is missing."""
        packages = missing_packages("transformers", "torch")
        how = f"hf download {self.repo}, or put a copy of it into WEIGHTS/{self.repo.split('/')[1]}"
        return needs(packages, f"{self.short} ({self.repo})", hub_folder(self.repo, self._weights), how)

    def folder(self) -> Path:
        """Return where the network is.

        Raises:
            BackendUnavailableError: it is not here, or what runs it is not.
        """
        folder = hub_folder(self.repo, self._weights)
        if (reason := self.reason()) or folder is None:
            raise BackendUnavailableError(f"{self.short} {reason}")
        return folder


def transformers() -> Any:
    """Return the package, told not to draw progress bars of its own."""
    package = importlib.import_module("transformers")
    package.utils.logging.disable_progress_bar()
    return package


def _is_whole(folder: Path) -> bool:
    names = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json")
    return (folder / "config.json").is_file() and any((folder / name).is_file() for name in names)


def checkpoint_file(name: str, weights: Path | None) -> Path | None:
    """Return a file of weights on this machine: in `weights`, or in the cache of torch.hub."""
    folders = [] if weights is None else [weights]
    if not missing_packages("torch"):
        import torch

        folders.append(Path(torch.hub.get_dir()) / "checkpoints")
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def needs(packages: list[str], what: str, found: Path | None, how: str) -> str | None:
    """Return the sentence that says what is needed, or None.

    Args:
        packages: those that are missing.
        what: the weights' name.
        found: where they are.
        how: how to get them.
    """
    wanted = []
    if packages:
        wanted.append(f"pip install {' '.join(packages)}")
    if found is None:
        wanted.append(how)
    return f"needs {what}: {'; '.join(wanted)}" if wanted else None
