"""Loading the embedded model from the files that ship inside the package."""

from __future__ import annotations

import hashlib
from pathlib import Path

from vivace.checkpoints.profile import Profile, check_conventions
from vivace.errors import BackendUnavailableError, CheckpointError, UsageError, install_extra
from vivace.models.base import StreamModel
from vivace.models.loading import LoadOptions
from vivace.models.mini.config import WORKING_MULTIPLE_PX, MiniConfig
from vivace.models.mini.model import SPEC, MiniModel
from vivace.models.mini.state import MiniState
from vivace.models.mini.text import TextEncoder
from vivace.models.mini.weights import read_files


def load(profile: Profile, *, runtime: str | None, threads: int | None, options: LoadOptions) -> StreamModel[MiniState]:
    """Load the embedded model.

    Raises:
        UsageError: an option this model does not have.
        CheckpointError: its files are missing or damaged, or its profile is of other weights.
        BackendUnavailableError: the eager runtime is not installed.
    """
    _check_options(options)
    _check_files(profile)
    cfg = MiniConfig()
    computed = {
        "denoising_steps": list(SPEC.denoising_steps),
        "anchor_slots": cfg.anchor_slots,
        "window_slots": cfg.window_slots,
        "max_age": cfg.max_age,
        "working_multiple_px": WORKING_MULTIPLE_PX,
    }
    check_conventions(profile, computed)
    if runtime in (None, "openvino"):
        from vivace.runtime.exported.openvino import OpenVinoNetwork

        files = read_files()
        network = OpenVinoNetwork(files.graph, files.constants, threads=threads)
        return MiniModel(network, TextEncoder.load())
    try:
        from vivace.models.mini.checkpoint import load_net
        from vivace.models.mini.graph import GRAPH_OUTPUTS, StepGraph
        from vivace.runtime.exported.eager import EagerNetwork
    except ModuleNotFoundError as error:
        raise BackendUnavailableError(f"the eager runtime needs {error.name}; {install_extra('train')}") from error
    oracle = EagerNetwork(StepGraph(load_net()), GRAPH_OUTPUTS, threads=threads)
    return MiniModel(oracle, TextEncoder.load())


def _check_options(options: LoadOptions) -> None:
    given = options.given()
    if given.pop("device", "cpu") != "cpu":
        raise UsageError(f"model 'mini' runs on the CPU, not on {options.device!r}")
    if given:
        raise UsageError(f"model 'mini' has no option {min(given)!r}; it is one of the large models'")


def _check_files(profile: Profile) -> None:
    for spec in profile.files.values():
        path = Path(profile.path) / spec.path
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
        except OSError as error:
            raise CheckpointError(f"cannot read {path} ({error.strerror}); reinstall vivace") from error
        if found != spec.sha256:
            raise CheckpointError(
                f"{path} is not the file that profile {profile.name!r} names (sha256 {found[:12]}…, not "
                f"{str(spec.sha256)[:12]}…); reinstall vivace, or write your own weights with "
                f"`vivace train export --install`"
            )
