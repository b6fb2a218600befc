"""Model families, and the profiles that name their checkpoints."""

from __future__ import annotations

import difflib
import hashlib
import tomllib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from vivace.errors import BackendUnavailableError, CheckpointError, UnknownModelError, UsageError
from vivace.models.base import Chunk, ModelSpec, Prompt, StreamModel

__all__ = ["Chunk", "ModelSpec", "Profile", "Prompt", "StreamModel", "describe", "list_models", "load_model"]

RUNTIMES = ("openvino", "eager")


@dataclass(frozen=True, slots=True)
class Profile:
    """What a checkpoint is, where its files come from, and every convention that is silently wrong when guessed."""

    name: str
    family: str
    summary: str
    licence: str
    files: dict[str, str]
    """sha256 by file name."""
    conventions: dict[str, Any]
    path: str
    """Folder the files are in."""


def list_models() -> list[Profile]:
    """Return the profiles of all models, by name."""
    folder = resources.files("vivace.models") / "profiles"
    return [
        _parse(tomllib.loads(p.read_text()))
        for p in sorted(folder.iterdir(), key=lambda p: p.name)
        if p.name.endswith(".toml")
    ]


def describe(name: str) -> Profile:
    """Return the profile of a model.

    Raises:
        UnknownModelError: there is none; the message names the nearest.
    """
    profiles = {profile.name: profile for profile in list_models()}
    if name not in profiles:
        near = difflib.get_close_matches(name, profiles, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UnknownModelError(
            f"no model {name[:80]!r}; {hint}known: {', '.join(profiles)} (see `vivace models list`)"
        )
    return profiles[name]


def load_model(name: str = "mini", *, runtime: str | None = None, threads: int | None = None) -> StreamModel:
    """Load a model.

    Args:
        name: a profile, see `list_models`.
        runtime: `openvino` (the default on a CPU) or `eager` (needs the `train` extra).
        threads: CPU threads; all by default.

    Raises:
        UnknownModelError: no such profile.
        CheckpointError: its files are missing or do not fit.
        BackendUnavailableError: the runtime is not installed.
    """
    profile = describe(name)
    if runtime is not None and runtime not in RUNTIMES:
        raise UsageError(f"no runtime {runtime!r}; known: {', '.join(RUNTIMES)}")
    if profile.family != "mini":
        raise CheckpointError(f"profile {name!r} is of family {profile.family!r}, which this version cannot load")
    _check_files(profile)
    return _load_mini(runtime or "openvino", threads)


def _check_files(profile: Profile) -> None:
    for name, expected in profile.files.items():
        path = Path(profile.path) / name
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise CheckpointError(f"cannot read {path} ({error.strerror}); reinstall vivace") from error
        if found != expected:
            raise CheckpointError(
                f"{path} is not the file that profile {profile.name!r} names (sha256 {found[:12]}…, not "
                f"{expected[:12]}…); reinstall vivace, or write your own weights with `vivace train export --install`"
            )


def _load_mini(runtime: str, threads: int | None) -> StreamModel:
    from vivace.models.mini.model import MiniModel
    from vivace.models.mini.text import TextEncoder
    from vivace.models.mini.weights import read_files

    if runtime == "openvino":
        from vivace.runtime.openvino import OpenVinoNetwork

        files = read_files()
        network = OpenVinoNetwork(files.graph, files.constants, threads=threads)
        return MiniModel(network, network.info, TextEncoder.load())
    try:
        from vivace.models.mini.checkpoint import load_net
        from vivace.models.mini.graph import GRAPH_OUTPUTS, StepGraph
        from vivace.runtime.eager import EagerNetwork
    except ModuleNotFoundError as error:
        raise BackendUnavailableError(
            f"the eager runtime needs {error.name}; install it with `pip install 'vivace[train]'`"
        ) from error
    oracle = EagerNetwork(StepGraph(load_net()), GRAPH_OUTPUTS, threads=threads)
    return MiniModel(oracle, oracle.info, TextEncoder.load())


def _parse(table: dict[str, Any]) -> Profile:
    folder = resources.files("vivace.models") / table["family"]
    return Profile(
        name=table["name"],
        family=table["family"],
        summary=table["summary"],
        licence=table["licence"],
        files=dict(table["files"]),
        conventions=dict(table["conventions"]),
        path=str(folder),
    )
