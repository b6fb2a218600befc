"""Laws of `mini2`: blocks, textures, the network, its graph."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vivace.models.mini.textures import make_textures, screens
from vivace.models.mini2.blocks import BlockBuffer, padded, to_picture
from vivace.models.mini2.config import CODE_DIM, Mini2Config
from vivace.models.mini2.graph import EVERYTHING, PLAIN, StepGraph, Variant, example_inputs, output_names
from vivace.models.mini2.network import Conditions, Extras, Memory, Mini2Net, pooled
from vivace.models.mini2.textures import block_textures, make_cells
from vivace.train.export import convert
from vivace.train.looks.student import from_blocks, to_blocks

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def net() -> Mini2Net:
    torch.manual_seed(0)
    return Mini2Net(Mini2Config(eighth=32, sixteenth=32, dim=64, heads=2, depth=2, fine=48)).eval()


@pytest.mark.parametrize("size", [(64, 64), (96, 128), (96, 80), (100, 96), (130, 70), (250, 98)])
def test_pictures_come_back_from_blocks_as_they_went_in(size: tuple[int, int]) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    buffer = BlockBuffer(size)
    buffer.put_source(rgb)
    blocks = np.ascontiguousarray(buffer.array[..., :48])
    assert np.array_equal(to_picture(blocks, size), rgb)
    width, height = padded(size)
    repeated = np.pad(rgb, ((0, height - size[1]), (0, width - size[0]), (0, 0)), mode="edge")
    assert np.array_equal(to_picture(blocks, (width, height)), repeated)
    assert (buffer.array[..., 48:] == 128).all()
    buffer.put_estimate(blocks)
    assert np.array_equal(buffer.array[..., 48:96], blocks)
    assert (buffer.array[..., 96:] == 128).all()
    buffer.put_estimate(None)
    assert (buffer.array[..., 48:] == 128).all()


def test_the_host_and_training_agree_on_the_order_in_a_block() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    buffer = BlockBuffer((96, 64))
    buffer.put_source(rgb)
    x = torch.from_numpy(rgb).permute(2, 0, 1)[None].float()
    blocks = to_blocks(x)
    assert torch.equal(blocks[0].permute(1, 2, 0), torch.from_numpy(buffer.array[0, :, :, :48]).float())
    assert torch.equal(from_blocks(blocks), x)


@pytest.mark.parametrize("scale", [1, 2])
def test_textures_are_periodic_and_windows_agree_with_the_torus(scale: int) -> None:
    fields, cells = make_textures(64, 96, 3), make_cells(64, 96, 3)
    whole = block_textures(fields, cells, scale)
    assert whole.shape == (64 * scale // 4, 96 * scale // 4, 32)
    part = block_textures(fields.window(48, 80, 32, 48), cells.window(48, 80, 32, 48), scale)
    step = scale * 16 // 4
    rolled = np.roll(whole, (-3 * step, -5 * step), (0, 1))
    assert np.array_equal(part, rolled[: part.shape[0], : part.shape[1]])
    dither = screens(64, 96)[0][:: 4 // scale, :: 4 // scale]
    assert np.abs((whole[..., 28].astype(float) - 128) / 128 - dither).max() < 0.02


def test_cells_know_their_centre_and_border() -> None:
    cells = make_cells(64, 64, 0)
    assert len(np.unique(cells.number)) == 16
    assert cells.edge.min() >= 0
    ahead = cells.number != np.roll(cells.number, 1, 1)
    assert cells.edge[ahead].max() < 1.1
    assert cells.edge.max() > 3


def test_the_network_begins_as_the_identity() -> None:
    x = torch.rand(1, 128, 16, 24) * 2 - 1
    x[:, 48:] = 0
    maps = torch.rand(1, 80, 16, 24)
    found = net()(x, maps, Conditions(torch.randn(1, CODE_DIM), torch.zeros(1, 4)))
    assert (found.picture - x[:, :48]).abs().mean() < 0.1 * x[:, :48].abs().mean()
    assert found[1:] == (None, None, None, None)


def test_optional_inputs_change_the_picture_only_where_they_are_given() -> None:
    body = net()
    inputs = example_inputs(body, (64, 64), EVERYTHING)
    everything = dict(zip(output_names(EVERYTHING), StepGraph(body, EVERYTHING)(*inputs.values()), strict=True))
    plain = StepGraph(body, PLAIN)(*list(inputs.values())[:4])
    assert len(plain) == 1
    assert everything["picture"].shape == plain[0].shape == (1, 16, 16, 48)
    assert not torch.equal(everything["picture"], plain[0])
    assert everything["edit"].shape == (1, 1, 16, 16)
    assert everything["displacement"].shape == (1, 2, 8, 8)
    assert everything["new_keys"].shape == (1, 1, 1, 64)


def test_means_of_an_odd_grid_are_of_what_there_is() -> None:
    grid = torch.arange(15.0).view(1, 1, 3, 5)
    assert pooled(grid, 2).flatten().tolist() == [3.0, 5.0, 6.5, 10.5, 12.5, 14.0]


def test_a_slot_that_is_masked_is_not_seen() -> None:
    body = net()
    variant = Variant(memory=True)
    inputs = example_inputs(body, (64, 64), variant, memory_frames=2)
    bias = torch.tensor([[0.0, -1e4]])
    graph = StepGraph(body, variant)
    first = graph(*(inputs | {"bias": bias}).values())[0]
    inputs["keys"][:, :, 1] += 3
    inputs["values"][:, :, 1] += 3
    assert torch.equal(graph(*(inputs | {"bias": bias}).values())[0], first)
    assert not torch.equal(graph(*inputs.values())[0], first)


def test_gradients_reach_every_weight_of_what_is_asked_for() -> None:
    body = net().train()
    inputs = example_inputs(body, (64, 64), EVERYTHING)
    x, maps = ((inputs[name].float() / 128 - 1).permute(0, 3, 1, 2) for name in ("blocks", "maps"))
    memory = Memory(*(inputs[n] for n in ("keys", "values", "rows", "columns", "bias")))
    regions = inputs["regions"].permute(0, 3, 1, 2) / 255
    found = body(
        x,
        maps,
        Conditions(inputs["code"], inputs["step"]),
        Extras(regions, memory),
        edit=True,
        displacement=True,
        remember=True,
    )
    sum(value.square().sum() for value in found if value is not None).backward()
    assert [name for name, p in body.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("variant", [PLAIN, EVERYTHING], ids=["plain", "everything"])
def test_the_converted_graph_computes_what_torch_computes(variant: Variant) -> None:
    import openvino as ov

    body = net()
    size = (96, 64)
    inputs = example_inputs(body, size, variant, seed=4)
    with torch.no_grad():
        expected = StepGraph(body, variant)(*inputs.values())
    compiled = ov.Core().compile_model(
        convert(StepGraph(body, variant), inputs, [list(v.shape) for v in inputs.values()], output_names(variant)),
        "CPU",
        {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1},
    )
    found = compiled({name: value.numpy() for name, value in inputs.items()})
    for name, value in zip(output_names(variant), expected, strict=True):
        wanted = value.numpy().astype(np.float32)
        error = np.abs(found[name].astype(np.float32) - wanted)
        assert error.max() <= (1 if name == "picture" else 2e-3 * max(1.0, np.abs(wanted).max())), name
