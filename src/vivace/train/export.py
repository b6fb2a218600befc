"""Export of the embedded model: from a training checkpoint to the two shipped files."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import Tensor, nn

from vivace.models.mini.config import MiniConfig
from vivace.models.mini.graph import GRAPH_INPUTS, GRAPH_OUTPUTS, StepGraph
from vivace.models.mini.network import MiniNet
from vivace.models.mini.styles import STYLE_KEYS
from vivace.models.mini.weights import FORMAT
from vivace.runtime.exported.constants import CONSTANTS, ROWS, rows_of
from vivace.runtime.exported.openvino import import_openvino


def example_inputs(
    working: tuple[int, int], output: tuple[int, int], cfg: MiniConfig, seed: int = 0
) -> dict[str, Tensor]:
    """Return random inputs of the exported graph for `working` and `output` sizes `(height, width)`."""
    generator = torch.Generator().manual_seed(seed)
    (h, w), (height, width) = working, output
    pooled = cfg.memory_tokens(h, w)
    blocks = len(cfg.temporal_blocks)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    inputs = {
        "source": torch.randint(0, 256, (1, height, width, 3), dtype=torch.uint8, generator=generator),
        "x_t": normal(1, 3, h, w),
        "previous": normal(1, 3, h, w).clamp(-1, 1),
        "screens": normal(1, cfg.screen_channels, h, w),
        "textures": normal(1, cfg.texture_channels, h // 2, w // 2),
        "fine_screens": normal(1, cfg.screen_channels, height, width),
        "fine_strokes": normal(1, 4 * cfg.stroke_channels, height // 2, width // 2),
        "embeds": torch.eye(cfg.styles)[:1],
        "t": torch.ones(1),
        "log_scale": torch.zeros(1),
        "keys": normal(1, blocks, cfg.ring.slots, pooled, cfg.dim),
        "values": normal(1, blocks, cfg.ring.slots, pooled, cfg.dim),
        "ages": torch.tensor([[5.0, 5.0, -1.0, 3.0, 2.0, 1.0]])[:, : cfg.ring.slots],
    }
    assert tuple(inputs) == GRAPH_INPUTS
    return inputs


def export(net: MiniNet, folder: Path, card: dict[str, str]) -> dict[str, str]:
    """Write `mini.xml` and `mini.safetensors` into `folder` and return their sha256 by file name.

    Args:
        net: trained weights.
        folder: output folder.
        card: metadata on the training, e.g. steps and minutes.
    """
    state = shipped_weights(net)
    example = example_inputs((64, 96), (64, 96), net.cfg)
    shapes = [[1] + [-1] * (value.dim() - 1) for value in example.values()]
    model = convert(StepGraph(net), example, shapes, GRAPH_OUTPUTS)
    return write_graph(model, state, folder, "mini", {"format": FORMAT, "styles": json.dumps(STYLE_KEYS), **card})


def shipped_weights(net: nn.Module) -> dict[str, Tensor]:
    """Return the weights as they ship, in float16; the network gets them, so that runtimes have the same numbers."""
    state = {name: value.half() for name, value in net.state_dict().items()}
    net.load_state_dict({name: value.float() for name, value in state.items()})
    return state


def convert(
    graph: nn.Module, example: Mapping[str, Tensor], shapes: Sequence[Sequence[int]], outputs: Sequence[str]
) -> Any:
    """Return the OpenVINO model of a module, with names at its inputs and outputs.

    Args:
        graph: module to trace.
        example: inputs by name, in order.
        shapes: shapes of the inputs; -1 is any length.
        outputs: names of the outputs, in order.
    """
    ov = import_openvino()
    with warnings.catch_warnings(), torch.no_grad():
        # Tracing warns about every shape it reads; dynamic dimensions are tested at other sizes.
        warnings.simplefilter("ignore")
        model = ov.convert_model(
            graph.eval(),
            example_input=tuple(example.values()),
            input=[ov.PartialShape(list(shape)) for shape in shapes],
        )
    for port, name in zip(model.inputs, example, strict=True):
        port.get_tensor().set_names({name})
    for port, name in zip(model.outputs, outputs, strict=True):
        port.get_tensor().set_names({name})
    return model


def write_graph(
    model: Any,
    state: Mapping[str, Tensor],
    folder: Path,
    name: str,
    metadata: Mapping[str, str],
    *,
    shared: Mapping[str, Tensor] = MappingProxyType({}),
    halves: bool = True,
) -> dict[str, str]:
    """Write an OpenVINO model and its weights into a folder, as `NAME.xml` and `NAME.safetensors`; return sha256s.

    Weights that are `shared` with another graph are in that one's file and not written again. Constants in 32 bits
    become halves, unless `halves` is False.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        import_openvino().save_model(model, Path(scratch) / "graph.xml", compress_to_fp16=halves)
        xml = canonical((Path(scratch) / "graph.xml").read_bytes(), f"vivace-{name}")
        constants = (Path(scratch) / "graph.bin").read_bytes()
    arrays = {key: value.contiguous().numpy() for key, value in state.items()}
    elsewhere = {key: value.contiguous().numpy() for key, value in shared.items()}
    layout, others = split_constants(xml, constants, {**arrays, **elsewhere})
    graph, weights = folder / f"{name}.xml", folder / f"{name}.safetensors"
    graph.write_bytes(xml)
    told = {**metadata, "graph_layout": json.dumps(layout, separators=(",", ":"))}
    save_file({**arrays, CONSTANTS: np.frombuffer(others, np.uint8)}, weights, told)
    # safetensors writes files that only their owner can read; a package is read by everyone.
    weights.chmod(0o644)
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in (graph, weights)}


def canonical(xml: bytes, name: str) -> bytes:
    """Return a graph with layers named by kind and number, without the converter's notes.

    The converter numbers names per process, so that two exports of the same weights would differ.
    """
    root = ET.fromstring(xml)
    root.set("name", name)
    for layer in root.iter("layer"):
        if layer.get("type") != "Parameter":
            layer.set("name", f"{layer.get('type')}_{layer.get('id')}")
            for port in layer.iter("port"):
                port.attrib.pop("names", None)
        for notes in layer.findall("rt_info"):
            layer.remove(notes)
    for notes in root.findall("rt_info"):
        root.remove(notes)
    text: bytes = ET.tostring(root, "utf-8")
    return text


def split_constants(xml: bytes, constants: bytes, parameters: dict[str, np.ndarray]) -> tuple[dict[str, object], bytes]:
    """Return the positions of the parameters among a graph's constants, and the constants that are no parameters."""
    by_bytes: dict[bytes, str] = {}
    for name, value in parameters.items():
        by_bytes.setdefault(value.tobytes(), name)
        if value.ndim == 4:
            by_bytes.setdefault(rows_of(value).tobytes(), name + ROWS)
    places: dict[int, int] = {}
    for data in ET.fromstring(xml).iter("data"):
        if "offset" in data.attrib:
            places[int(data.attrib["offset"])] = int(data.attrib["size"])
    found: list[tuple[str, int]] = []
    rest: list[tuple[int, int]] = []
    others = bytearray()
    for offset, size in sorted(places.items()):
        chunk = constants[offset : offset + size]
        parameter = by_bytes.get(chunk)
        if parameter is not None:
            found.append((parameter, offset))
        else:
            rest.append((offset, size))
            others += chunk
    return {"size": len(constants), "parameters": found, "others": rest}, bytes(others)


PROFILES = Path(str(resources.files("vivace.models"))) / "profiles"
MINI_PROFILE = PROFILES / "mini.toml"


def write_profile(hashes: dict[str, str], path: Path = MINI_PROFILE) -> None:
    """Write the sha256 of newly installed files into the profile of their model."""
    text = path.read_text()
    for name, sha256 in hashes.items():
        text = re.sub(rf'^"{re.escape(name)}" = ".*"$', f'"{name}" = "{sha256}"', text, flags=re.MULTILINE)
    path.write_text(text)
