"""Conversion of the perception networks to the files that ship, from TensorFlow Lite to OpenVINO's IR."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vivace.regions.networks import FORMAT, NETWORKS
from vivace.runtime.exported.openvino import import_openvino
from vivace.train.export import write_graph
from vivace.train.regions import packages

SOURCES = {
    "person": packages.PERSON,
    "person_wide": packages.PERSON_WIDE,
    "faces": packages.FACES,
    "far_faces": packages.FAR_FACES,
    "face_mesh": packages.FACE_MESH,
    "bodies": packages.BODIES,
}
"""Source file, in the packages, of each network of `vivace.regions.networks`."""


def convert_networks(teachers: Path, folder: Path) -> dict[str, str]:
    """Write all perception networks into a folder and return their sha256 by file name.

    Args:
        teachers: folder with the packages.
        folder: output folder.

    Raises:
        CheckpointError: a file is missing or another one than expected.
    """
    hashes: dict[str, str] = {}
    for name, source in SOURCES.items():
        model = convert(packages.find(teachers, source), *NETWORKS[name].offset_and_scale)
        for port, output in zip(model.outputs, NETWORKS[name].outputs, strict=True):
            port.get_tensor().set_names({output})
        card = {
            "format": FORMAT,
            "source": f"{packages.PACKAGES[0]} {source}",
            "source_sha256": packages.SHA256[source],
            "licence": "Apache-2.0, Google LLC (MediaPipe)",
        }
        hashes |= write_graph(model, {}, folder, name, card)
    return hashes


def convert(path: Path, offset: float, scale: float) -> Any:
    """Return a network that takes bytes, `picture` `uint8 [1 h w 3]`, and scales them to `(byte - offset) * scale`."""
    ov = import_openvino()
    from openvino import opset13 as op
    from openvino.frontend import FrontEndManager

    frontend = FrontEndManager().load_by_framework("tflite")
    model = frontend.convert_partially(frontend.load(str(path)))
    for node in model.get_ordered_ops():
        if node.get_type_name() == "TFFrameworkNode":
            _replace(node, _transposed_convolution(op, *(port.get_source_output() for port in node.inputs())))
    (parameter,) = model.get_parameters()
    picture = op.parameter(list(parameter.output(0).shape), ov.Type.u8)
    picture.output(0).get_tensor().set_names({"picture"})
    floats = op.multiply(
        op.subtract(op.convert(picture, "f32"), op.constant(offset, ov.Type.f32)), op.constant(scale, ov.Type.f32)
    )
    _replace(parameter, floats)
    taken = ov.Model([result.input(0).get_source_output() for result in model.get_results()], [picture])
    frontend.normalize(taken)
    return taken


def _transposed_convolution(op: Any, image: Any, weights: Any, bias: Any) -> Any:
    """Build MediaPipe's custom last layer, unknown to OpenVINO: a transposed convolution, 2x2, stride 2, with bias."""
    channels_first = op.transpose(image, op.constant([0, 3, 1, 2]))
    kernel = op.transpose(weights, op.constant([3, 0, 1, 2]))
    zeros, twos = [0, 0], [2, 2]
    doubled = op.convolution_backprop_data(
        channels_first, kernel, twos, pads_begin=zeros, pads_end=zeros, dilations=[1, 1]
    )
    return op.add(op.transpose(doubled, op.constant([0, 2, 3, 1])), bias)


def _replace(node: Any, by: Any) -> None:
    for port in list(node.output(0).get_target_inputs()):
        port.replace_source_output(by.output(0))
