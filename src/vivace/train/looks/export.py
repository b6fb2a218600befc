"""Export of mini2: from a run's averaged weights to a folder that `vivace run --model FOLDER/mini2.toml` serves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vivace.models.mini.textures import STROKE_COUNT
from vivace.models.mini2.config import (
    BLOCK_AREA,
    BLOCK_PX,
    CODE_DIM,
    FIELDS,
    INPUT_CHANNELS,
    MAP_CHANNELS,
    SCALES,
    STEP_NUMBERS,
    Mini2Config,
)
from vivace.models.mini2.drawing import MAPS_OUTPUTS, DrawingGraph
from vivace.models.mini2.family import PICTURE_PX
from vivace.models.mini2.graph import PLAIN, StepGraph, example_inputs, output_names
from vivace.models.mini2.load import CODES, CONVENTIONS, DRAWING_FORMAT, FORMAT, NET, TILES_FORMAT, drawing_name
from vivace.models.mini2.looks import LOOK_KEYS
from vivace.models.mini2.model import SPEC
from vivace.models.mini2.network import Mini2Net
from vivace.models.mini2.pictures import FORMAT as PICTURE_FORMAT
from vivace.models.mini2.tile_graph import TILE_OUTPUTS, TileGraph
from vivace.models.mini2.tiles import TileMemory
from vivace.runtime.exported.openvino import import_openvino
from vivace.train.export import convert, shipped_weights, write_graph
from vivace.train.looks import packages
from vivace.train.looks.fit import TRAINED, read_weights
from vivace.train.looks.student import Student

PROFILE = "mini2.toml"
PICTURE_CARD = {
    "source": f"{packages.PACKAGES[0]} {packages.PICTURE_CODE}",
    "notice": "Magenta's arbitrary image stylization, style prediction network, Apache-2.0",
}
"""Origin of the picture network, recorded in its file."""
_SIZE = (96, 64)


def export(
    student: Student, pictures: Any, folder: Path, card: dict[str, str], *, profile: Path | None = None
) -> dict[str, str]:
    """Write the network and the picture network into `folder`, and their profile; return sha256 by file name.

    Args:
        student: trained weights.
        pictures: OpenVINO model of the picture network, see `picture_network`.
        folder: where to.
        card: entries of the metadata about the training.
        profile: its file; by default it lies beside the others.
    """
    net, codes = student.net.eval(), student.codes.state_dict()
    state = shipped_weights(net)
    example = example_inputs(net, _SIZE)
    shapes = [[1, -1, -1, INPUT_CHANNELS], *(list(value.shape) for value in list(example.values())[1:])]
    model = convert(StepGraph(net), example, shapes, output_names(PLAIN))
    tensors = {NET + name: value for name, value in state.items()}
    tensors |= {name: codes[name.removeprefix("codes.")].float() for name in CODES.values()}
    hashes = write_graph(model, tensors, folder, "mini2", {"format": FORMAT, "looks": json.dumps(LOOK_KEYS), **card})
    hashes |= export_tiles(net, tensors, folder)
    hashes |= export_drawing(folder)
    hashes |= write_graph(pictures, {}, folder, "picture", {"format": PICTURE_FORMAT, **PICTURE_CARD}, halves=False)
    (profile or folder / PROFILE).write_text(_profile(hashes, net.cfg))
    return hashes


def export_tiles(net: Mini2Net, tensors: Mapping[str, Tensor], folder: Path) -> dict[str, str]:
    """Write the network's graph on tiles into `folder`; its weights are `tensors` of the network's own file."""
    memory = TileMemory(_SIZE, net.cfg)
    tiles = np.arange(0, memory.count, 2)
    blocks = np.zeros((1, *(side // BLOCK_PX for side in _SIZE[::-1]), INPUT_CHANNELS), np.uint8)
    conditions = {"code": np.zeros((1, CODE_DIM), np.float32), "step": np.zeros((1, STEP_NUMBERS), np.float32)}
    memory.write(tiles, len(tiles), blocks, np.zeros((*blocks.shape[:3], MAP_CHANNELS), np.uint8))
    given = memory.inputs(len(tiles))
    example = {name: torch.from_numpy(array) for name, array in (conditions | given).items()}
    # How many tiles there are, and of how many the picture consists, is any number.
    shapes = [
        list(value.shape)
        if name in conditions
        else [-1, -1, value.shape[2]]
        if name == "tokens"
        else [-1, *value.shape[1:]]
        for name, value in example.items()
    ]
    model = convert(TileGraph(net.eval()), example, shapes, TILE_OUTPUTS)
    return write_graph(model, {}, folder, "tiles", {"format": TILES_FORMAT}, shared=tensors)


def export_drawing(folder: Path) -> dict[str, str]:
    """Write the graphs that compute the maps of a picture, one for each scale, into `folder`."""
    hashes: dict[str, str] = {}
    for scale in SCALES:
        width, height = _SIZE[0] // BLOCK_PX, _SIZE[1] // BLOCK_PX
        grid = 1, height // scale, width // scale
        inputs = {
            "blocks": torch.zeros(1, height, width, INPUT_CHANNELS, dtype=torch.uint8),
            "strokes": torch.zeros(*grid, STROKE_COUNT * BLOCK_AREA, dtype=torch.uint8),
            "flows": torch.zeros(*grid, (FIELDS - STROKE_COUNT) * BLOCK_AREA, dtype=torch.uint8),
        }
        shapes = [[1, -1, -1, value.shape[3]] for value in inputs.values()]
        model = convert(DrawingGraph(scale), inputs, shapes, MAPS_OUTPUTS)
        hashes |= write_graph(model, {}, folder, drawing_name(scale), {"format": DRAWING_FORMAT}, halves=False)
    return hashes


def picture_network(teachers: Path) -> Any:
    """Return the teacher's network that reads style pictures: from `picture uint8 [1 256 256 3]` to `numbers`.

    Raises:
        CheckpointError: the package is not in the folder.
    """
    from openvino.preprocess import PrePostProcessor

    ov = import_openvino()
    model = ov.Core().read_model(str(packages.find(teachers, packages.PICTURE_CODE)))
    model.reshape([1, PICTURE_PX, PICTURE_PX, 3])
    ports = PrePostProcessor(model)
    ports.input().tensor().set_element_type(ov.Type.u8)
    ports.input().preprocess().convert_element_type(ov.Type.f32).scale(255.0)
    model = ports.build()
    model.inputs[0].get_tensor().set_names({"picture"})
    model.outputs[0].get_tensor().set_names({"numbers"})
    return model


def training_card(path: Path) -> dict[str, str]:
    """Return how far a checkpoint or an exported file was trained, for the metadata of the exported one."""
    if path.suffix == ".safetensors":
        told: dict[str, Any] = read_weights(path)[1]
    else:
        told = torch.load(path, map_location="cpu", weights_only=True)["progress"]
    return {TRAINED + name: str(value) for name, value in told.items()}


def _profile(hashes: dict[str, str], cfg: Mini2Config) -> str:
    def table(name: str, values: Mapping[str, Any]) -> str:
        return f"[{name}]\n" + "".join(f"{json.dumps(key)} = {json.dumps(value)}\n" for key, value in values.items())

    about = {key: getattr(SPEC, key) for key in ("name", "family", "summary", "licence")}
    tables = {"files": hashes, "network.body": asdict(cfg), "conventions": CONVENTIONS}
    head = "".join(f"{key} = {json.dumps(value)}\n" for key, value in about.items())
    return "\n".join([head, *(table(name, values) for name, values in tables.items())])
