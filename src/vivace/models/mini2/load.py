"""Loading of `mini2` from the folder of its profile, as written by `vivace train looks export`."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vivace.checkpoints.profile import Profile, check_conventions
from vivace.errors import BackendUnavailableError, CheckpointError, install_extra
from vivace.models.edits.model import EditingModel
from vivace.models.keyframes.load import load as load_follower
from vivace.models.keyframes.model import KeyframeModel
from vivace.models.loading import LoadOptions
from vivace.models.mini2.codes import Codes
from vivace.models.mini2.config import (
    BLOCK_PX,
    CODE_DIM,
    DRAWN_MAPS,
    FIELDS,
    INPUT_CHANNELS,
    PICTURE_NUMBERS,
    SCALES,
    TOKEN_PX,
    Mini2Config,
)
from vivace.models.mini2.looks import LOOK_KEYS
from vivace.models.mini2.model import SPEC, Mini2Model, Networks
from vivace.models.mini2.pictures import FOLDER, PictureReader
from vivace.models.mini2.state import Mini2State
from vivace.models.packaged import check_files, check_options, check_precision
from vivace.runtime.exported import Network
from vivace.runtime.exported.files import GraphFiles, read_graph

FORMAT = "vivace-mini2-1"
TILES_FORMAT = "vivace-mini2-tiles-1"
DRAWING_FORMAT = "vivace-mini2-drawing-1"
CONVENTIONS: dict[str, Any] = {
    "denoising_steps": list(SPEC.denoising_steps),
    "block_px": BLOCK_PX,
    "token_px": TOKEN_PX,
    "input_channels": INPUT_CHANNELS,
    "drawn_maps": DRAWN_MAPS,
    "stroke_fields": FIELDS,
    "code_dim": CODE_DIM,
    "picture_numbers": PICTURE_NUMBERS,
}
CODES = {"table": "codes.table", "weight": "codes.picture.weight", "bias": "codes.picture.bias"}
"""Tensors of the weight file that are codes, by field of `Codes`."""
NET = "net."
"""Prefix of the network's tensor names."""


def load(
    profile: Profile, *, runtime: str | None, threads: int | None, options: LoadOptions
) -> KeyframeModel[Mini2State]:
    """Load a `mini2` model.

    Raises:
        UsageError: an option this model does not have, or a precision that the runtime does not compute in here.
        CheckpointError: files are missing or damaged, or the profile is for other weights.
        BackendUnavailableError: the eager runtime is not installed.
    """
    check_options(profile, options)
    check_files(profile, "reinstall vivace, or export the model again with `vivace train looks export`")
    check_conventions(profile, CONVENTIONS)
    folder = Path(profile.path)
    files = read_graph(folder, "mini2", FORMAT)
    tiles = read_graph(folder, "tiles", TILES_FORMAT, files.tensors)
    codes = _codes(files, folder)
    cfg = profile.widths(Mini2Config, "body")
    if runtime in (None, "openvino"):
        from vivace.runtime.exported.openvino import OpenVinoNetwork

        f32 = options.precision == "f32"
        whole, on_tiles = (
            OpenVinoNetwork(each.graph, each.constants, threads=threads, f32=f32) for each in (files, tiles)
        )
        networks = Networks(whole, on_tiles, drawing_networks(threads, folder, f32=f32), cfg)
    else:
        networks = _eager(files, cfg, threads)
    check_precision(options, networks.whole.info)
    return KeyframeModel(
        EditingModel(Mini2Model(networks, codes, PictureReader(folder)), threads=threads),
        partial(load_follower, threads=threads),
    )


def drawing_networks(threads: int | None, folder: Path = FOLDER, *, f32: bool = False) -> dict[int, Network]:
    """Return the graphs that compute the maps of a picture, by scale."""
    from vivace.runtime.exported.openvino import OpenVinoNetwork

    files = {scale: read_graph(folder, drawing_name(scale), DRAWING_FORMAT) for scale in SCALES}
    return {s: OpenVinoNetwork(each.graph, each.constants, threads=threads, f32=f32) for s, each in files.items()}


def drawing_name(scale: int) -> str:
    """Return the name of the graph that computes maps at a scale."""
    return f"drawing{scale}"


def _codes(files: GraphFiles, folder: Path) -> Codes:
    looks = tuple(json.loads(files.metadata.get("looks", "[]")))
    if looks != LOOK_KEYS:
        raise CheckpointError(
            f"{folder / 'mini2.safetensors'} was trained for other looks; export its checkpoint again, which adds the new"
        )
    try:
        found = {field: np.asarray(files.tensors[name], np.float32) for field, name in CODES.items()}
    except KeyError as error:
        raise CheckpointError(f"{folder / 'mini2.safetensors'} lacks {error}; export the model again") from error
    return Codes(**found)


def _eager(files: GraphFiles, cfg: Mini2Config, threads: int | None) -> Networks:
    try:
        import torch

        from vivace.models.mini2.drawing import MAPS_OUTPUTS, DrawingGraph
        from vivace.models.mini2.graph import PLAIN, StepGraph, output_names
        from vivace.models.mini2.network import Mini2Net
        from vivace.models.mini2.tile_graph import TILE_OUTPUTS, TileGraph
        from vivace.runtime.exported.eager import EagerNetwork
    except ModuleNotFoundError as error:
        raise BackendUnavailableError(f"the eager runtime needs {error.name}; {install_extra('train')}") from error

    def tensor(array: NDArray[np.generic]) -> torch.Tensor:
        return torch.from_numpy(np.array(array)).float()

    net = Mini2Net(cfg)
    weights = {name.removeprefix(NET): tensor(v) for name, v in files.tensors.items() if name.startswith(NET)}
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        raise CheckpointError(f"the weights do not fit the network: {error}") from error
    whole = EagerNetwork(StepGraph(net), output_names(PLAIN), threads=threads)
    drawing = {scale: EagerNetwork(DrawingGraph(scale), MAPS_OUTPUTS, threads=threads) for scale in SCALES}
    return Networks(whole, EagerNetwork(TileGraph(net), TILE_OUTPUTS, threads=threads), drawing, cfg)
