"""Judges: quality measures that need optional packages or weights.

They report what is missing, and never invent a value.
"""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from vivace.bench.metrics.footage import Footage, Reading, Series
from vivace.errors import BackendUnavailableError


class Judge(Protocol):
    """Provider of one or more readings, if its requirements are installed."""

    @property
    def name(self) -> str:
        """Name, e.g. `CLIP ViT-B/32`."""

    @property
    def readings(self) -> tuple[Reading, ...]:
        """Readings that it provides."""

    def reason(self) -> str | None:
        """Return what is missing to run it, or None. Cheap: nothing is loaded or downloaded."""

    def measure(self, footage: Footage) -> dict[str, Series]:
        """Return the readings whose needs the footage meets, by key, one value per frame.

        Raises:
            BackendUnavailableError: a requirement is missing.
            CheckpointError: weights that do not match the network.
        """


@dataclass(frozen=True, slots=True)
class Unavailable:
    """Measure that others report and this benchmark cannot provide; listed so that its absence is visible."""

    name: str
    needed: str
    readings: tuple[Reading, ...] = ()

    def reason(self) -> str | None:
        """Return the reason for its absence."""
        return self.needed

    def measure(self, footage: Footage) -> dict[str, Series]:
        """Return nothing."""
        del footage
        return {}


def missing_packages(*names: str) -> list[str]:
    """Return the packages that cannot be imported."""
    return [name for name in names if importlib.util.find_spec(name) is None]


def hub_folder(repo: str, weights: Path | None) -> Path | None:
    """Return the folder of a Hugging Face model on this machine: in `weights`, or in the hub's cache.

    Args:
        repo: e.g. `openai/clip-vit-base-patch32`.
        weights: user's folder that may hold it, under the second part of its name.
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
    """Base of judges that run a Hugging Face network through transformers, from files on this machine."""

    repo: ClassVar[str]
    """Repository, e.g. `openai/clip-vit-base-patch32`."""
    short: ClassVar[str]
    """Short name, e.g. `CLIP`."""

    def __init__(self, weights: Path | None = None) -> None:
        """Look for the network in `weights`, in a folder named like the repository, and in the hub's cache."""
        self._weights = weights

    def reason(self) -> str | None:
        """Return what is missing."""
        packages = missing_packages("transformers", "torch")
        how = f"hf download {self.repo}, or put a copy of it into WEIGHTS/{self.repo.split('/')[1]}"
        return needs(packages, f"{self.short} ({self.repo})", hub_folder(self.repo, self._weights), how)

    def folder(self) -> Path:
        """Return the folder of the network.

        Raises:
            BackendUnavailableError: the network or a package for it is missing.
        """
        folder = hub_folder(self.repo, self._weights)
        if (reason := self.reason()) or folder is None:
            raise BackendUnavailableError(f"{self.short} {reason}")
        return folder


def transformers() -> Any:
    """Return the package, with its progress bars disabled."""
    package = importlib.import_module("transformers")
    package.utils.logging.disable_progress_bar()
    return package


def _is_whole(folder: Path) -> bool:
    names = ("model.safetensors", "pytorch_model.bin", "model.safetensors.index.json")
    return (folder / "config.json").is_file() and any((folder / name).is_file() for name in names)


def checkpoint_file(name: str, weights: Path | None) -> Path | None:
    """Return a weight file on this machine: in `weights`, or in the cache of torch.hub."""
    folders = [] if weights is None else [weights]
    if not missing_packages("torch"):
        import torch

        folders.append(Path(torch.hub.get_dir()) / "checkpoints")
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


def needs(packages: list[str], what: str, found: Path | None, how: str) -> str | None:
    """Return a sentence that says what is missing, or None.

    Args:
        packages: missing packages.
        what: name of the weights.
        found: path of the weights.
        how: instructions to get them.
    """
    wanted = []
    if packages:
        wanted.append(f"pip install {' '.join(packages)}")
    if found is None:
        wanted.append(how)
    return f"needs {what}: {'; '.join(wanted)}" if wanted else None
