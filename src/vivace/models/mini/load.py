"""Loading of the embedded model from the files inside the package."""

from __future__ import annotations

from functools import partial

from vivace.checkpoints.profile import Profile, check_conventions
from vivace.errors import BackendUnavailableError, install_extra
from vivace.models.edits.model import EditingModel
from vivace.models.keyframes.load import load as load_follower
from vivace.models.keyframes.model import KeyframeModel
from vivace.models.loading import LoadOptions
from vivace.models.mini.config import WORKING_MULTIPLE_PX, MiniConfig
from vivace.models.mini.model import SPEC, MiniModel
from vivace.models.mini.state import MiniState
from vivace.models.mini.text import TextEncoder
from vivace.models.mini.weights import read_files
from vivace.models.packaged import check_files, check_options, check_precision


def load(
    profile: Profile, *, runtime: str | None, threads: int | None, options: LoadOptions
) -> KeyframeModel[MiniState]:
    """Load the embedded model.

    Raises:
        UsageError: an option this model does not have, or a precision that the runtime does not compute in here.
        CheckpointError: files are missing or damaged, or the profile is for other weights.
        BackendUnavailableError: the eager runtime is not installed.
    """
    check_options(profile, options)
    check_files(profile, "reinstall vivace, or write your own weights with `vivace train export --install`")
    cfg = MiniConfig()
    computed = {
        "denoising_steps": list(SPEC.denoising_steps),
        "anchor_slots": cfg.anchor_slots,
        "window_slots": cfg.window_slots,
        "max_age": cfg.max_age,
        "working_multiple_px": WORKING_MULTIPLE_PX,
    }
    check_conventions(profile, computed)
    follower = partial(load_follower, threads=threads)
    if runtime in (None, "openvino"):
        from vivace.runtime.exported.openvino import OpenVinoNetwork

        files = read_files()
        network = OpenVinoNetwork(files.graph, files.constants, threads=threads, f32=options.precision == "f32")
        check_precision(options, network.info)
        return KeyframeModel(EditingModel(MiniModel(network, TextEncoder.load()), threads=threads), follower)
    try:
        from vivace.models.mini.checkpoint import load_net
        from vivace.models.mini.graph import GRAPH_OUTPUTS, StepGraph
        from vivace.runtime.exported.eager import EagerNetwork
    except ModuleNotFoundError as error:
        raise BackendUnavailableError(f"the eager runtime needs {error.name}; {install_extra('train')}") from error
    oracle = EagerNetwork(StepGraph(load_net()), GRAPH_OUTPUTS, threads=threads)
    check_precision(options, oracle.info)
    return KeyframeModel(EditingModel(MiniModel(oracle, TextEncoder.load()), threads=threads), follower)
