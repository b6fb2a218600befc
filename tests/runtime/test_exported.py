"""The exported graph compared with eager torch, the oracle."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vivace.models.mini.checkpoint import load_net
from vivace.models.mini.graph import GRAPH_OUTPUTS, StepGraph
from vivace.models.mini.weights import FOLDER, read_files
from vivace.runtime.exported.openvino import OpenVinoNetwork
from vivace.train.export import example_inputs, export

SIZES = [((64, 96), (64, 96)), ((96, 64), (180, 130)), ((64, 64), (128, 128))]


@pytest.fixture(scope="module")
def files():
    return read_files()


@pytest.fixture(scope="module")
def oracle():
    return StepGraph(load_net()).eval()


def run(network: OpenVinoNetwork, inputs: dict[str, torch.Tensor]) -> dict[str, np.ndarray]:
    arrays = {name: value.numpy() for name, value in inputs.items()}
    return {name: np.array(value) for name, value in network.executor(arrays).run().items()}


@pytest.mark.parametrize(("working", "output"), SIZES)
def test_exported_equals_torch_in_f32(files, oracle, working, output):
    inputs = example_inputs(working, output, oracle.net.cfg, seed=3)
    got = run(OpenVinoNetwork(files.graph, files.constants, f32=True), inputs)
    with torch.no_grad():
        expected = dict(zip(GRAPH_OUTPUTS, oracle(*inputs.values()), strict=True))
    for name in ("small", "new_keys", "new_values"):
        np.testing.assert_allclose(got[name], expected[name].numpy(), atol=5e-3, rtol=5e-3, err_msg=name)
    # Bytes may differ by one where a value is at the edge of rounding.
    assert np.abs(got["picture"].astype(int) - expected["picture"].numpy().astype(int)).max() <= 1


def test_the_precision_a_stream_runs_in_stays_close_to_torch(files, oracle):
    inputs = example_inputs((128, 128), (128, 128), oracle.net.cfg, seed=4)
    # A picture, not noise: the effect of rounding on a real frame.
    ramp = torch.linspace(0, 255, 128)
    inputs["source"] = torch.stack(
        [ramp[None].expand(128, -1), ramp[:, None].expand(-1, 128), ramp.flip(0)[None].expand(128, -1)], -1
    )
    inputs["source"] = inputs["source"].to(torch.uint8)[None].contiguous()
    got = run(OpenVinoNetwork(files.graph, files.constants), inputs)["picture"].astype(float)
    with torch.no_grad():
        expected = oracle(*inputs.values())[0].numpy().astype(float)
    assert 10 * np.log10(255**2 / np.mean((got - expected) ** 2)) > 32


def test_the_shipped_files_are_reproduced_by_the_export_command(tmp_path):
    export(load_net(), tmp_path, {})
    again, shipped = read_files(tmp_path), read_files(FOLDER)
    np.testing.assert_array_equal(again.constants, shipped.constants)
    assert again.graph == shipped.graph
