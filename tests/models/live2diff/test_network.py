"""Optimisations of the network change nothing: shared matrices, the ring written in place, layouts, half precision."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tolerance import deviation, near
from vivace.checkpoints.lora import UNET_PREFIX, LoraStack, parse_lora
from vivace.models.live2diff import layers
from vivace.models.live2diff.layers import Conv, Projections
from vivace.models.live2diff.motion import ClipContext, KvCache, StreamContext, TemporalAttention
from vivace.models.live2diff.ring import (
    HEADS,
    compiled_ring_attention,
    one_pass_ring_attention,
    plain_ring_attention,
    ring_attention,
)
from vivace.models.live2diff.unet import Live2DiffUNet
from vivace.models.live2diff.window import SLOTS, Window, join_windows, window_at

H, W = 4, 6
ROUNDING = 2e-5
MakeUNet = Callable[[], Live2DiffUNet]


def inputs(rows: int, text_channels: int, seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    latents, depth = torch.randn((2, rows, 4, H, W), generator=generator)
    text = torch.randn((rows, 5, text_channels), generator=generator)
    return latents, depth, torch.tensor([499, 399, 299, 199][:rows]), text


def filled_cache(unet: Live2DiffUNet, rows: int, seed: int = 0) -> KvCache:
    generator = torch.Generator().manual_seed(seed)
    cache = unet.open_cache(rows, H, W)
    for layer in cache.layers:
        layer.copy_(torch.randn(layer.shape, generator=generator))
    return cache


def projections(module: nn.Module) -> list[Projections]:
    return [child for child in module.modules() if isinstance(child, Projections)]


def assert_tied(module: nn.Module) -> None:
    for child in projections(module):
        weights = [getattr(child, name).weight for name in child.fused_names]
        assert torch.equal(torch.cat(weights), child.fused)
        storages = {weight.untyped_storage().data_ptr() for weight in weights}
        assert storages == {child.fused.untyped_storage().data_ptr()}


# -- shared matrices ---------------------------------------------------------------------------------------------------


@torch.inference_mode()
def test_a_shared_matrix_gives_what_its_layers_give(tiny_unet: Live2DiffUNet) -> None:
    block = tiny_unet.down_blocks[0].attentions[0].transformer_blocks[0]
    x, text = torch.randn((2, 12, 32), generator=torch.Generator().manual_seed(0)), inputs(2, 8)[3]
    for attention, source, arguments in ((block.attn1, x, (x,)), (block.attn2, text, (x, text))):
        parts = (attention.to_q(x), attention.to_k(source), attention.to_v(source))
        q, k, v = (part.unflatten(-1, (attention.heads, -1)).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        assert near(attention(*arguments), attention.to_out[0](mixed))


def test_the_keys_are_those_of_the_public_files() -> None:
    """686 of Stable Diffusion 1.5, 560 of the motion modules, 16 of the depth encoder."""
    with torch.device("meta"):
        keys = Live2DiffUNet().state_dict().keys()
    motion = sum(".motion_modules." in key for key in keys)
    depth = sum(key.startswith("flow_conv_in.") for key in keys)
    assert (len(keys) - motion - depth, motion, depth) == (686, 560, 16)


def test_layers_stay_views_of_their_matrix(make_recorded_unet: MakeUNet) -> None:
    """After any operation on the network: another type, another memory format, files, copies."""
    unet = make_recorded_unet()
    assert len(projections(unet)) == 40 + 2 * 16
    assert_tied(unet)
    state = {key: value + 1 for key, value in unet.state_dict().items()}
    unet.load_state_dict(state)
    assert_tied(unet)
    assert torch.equal(
        unet.state_dict()["mid_block.attentions.0.transformer_blocks.0.attn1.to_k.weight"],
        state["mid_block.attentions.0.transformer_blocks.0.attn1.to_k.weight"],
    )
    assert_tied(copy.deepcopy(unet))
    assert_tied(unet.to(torch.bfloat16).to(memory_format=torch.channels_last))
    with torch.device("meta"):
        empty = Live2DiffUNet(unet.cfg)
    empty.load_state_dict(state, assign=True)
    assert_tied(empty)
    for attention in empty.temporal_attentions():
        assert torch.equal(attention.k_table, attention.to_k(attention.pos_encoder.pe[0, :SLOTS]))


@torch.inference_mode()
def test_a_lora_reaches_the_shared_matrix(make_recorded_unet: MakeUNet) -> None:
    unet, generator = make_recorded_unet(), torch.Generator().manual_seed(3)
    stack = LoraStack(unet, UNET_PREFIX)
    attention = unet.down_blocks[0].attentions[0].transformer_blocks[0].attn1
    name = UNET_PREFIX + "down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_v"
    down, up = torch.randn((4, 32), generator=generator), torch.randn((32, 4), generator=generator)
    before, place = attention.fused.clone(), attention.fused.data_ptr()
    stack.add("style", parse_lora({f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}))
    assert torch.equal(attention.fused[:64], before[:64])
    assert near(attention.fused[64:], before[64:] + up @ down)
    stack.set_weights({"style": 0.0})
    assert torch.equal(attention.fused, before)
    assert attention.fused.data_ptr() == place


@torch.inference_mode()
def test_position_tables_stay_where_they_are(make_recorded_unet: MakeUNet) -> None:
    """A recorded graph reads them at their address."""
    attention = make_recorded_unet().temporal_attentions()[0]
    place = attention.tables.data_ptr()
    attention.to_v.weight.mul_(2)
    attention.refresh_tables()
    assert attention.tables.data_ptr() == place
    assert torch.equal(attention.v_table, attention.to_v(attention.pos_encoder.pe[0, :SLOTS]))


# -- the ring ----------------------------------------------------------------------------------------------------------


@torch.inference_mode()
def test_only_the_rows_own_slots_change_and_in_place(tiny_unet: Live2DiffUNet) -> None:
    cache, window = filled_cache(tiny_unet, 3), window_at(29, 3)
    before, places = [layer.clone() for layer in cache.layers], [layer.data_ptr() for layer in cache.layers]
    tiny_unet(*inputs(3, 8), StreamContext([cache], window))
    assert [layer.data_ptr() for layer in cache.layers] == places
    assert len(set(window.slots.tolist())) == 3
    for old, new in zip(before, cache.layers, strict=True):
        for row, written in enumerate(window.slots.tolist()):
            for slot in range(SLOTS):
                assert torch.equal(old[row, :, :, slot], new[row, :, :, slot]) == (slot != written)


@pytest.mark.parametrize("call", [0, 5, 40])
def test_the_ring_attends_as_if_positions_had_been_added(call: int) -> None:
    """Compared with explicit attention, with positions added to queries, keys and values, in float64."""
    rows, pixels, channels = 2, 5, 32
    generator = torch.Generator().manual_seed(call)
    ring = torch.randn((rows, 2, pixels, SLOTS, channels), generator=generator)
    qkv = torch.randn((rows, pixels, 3 * channels), generator=generator)
    tables = torch.randn((SLOTS, 3 * channels), generator=generator)
    window = window_at(call, rows)
    held = ring.clone()
    found = ring_attention(qkv, ring, tables, window)
    for row in range(rows):
        slot = int(window.slots[row])
        held[row, 0, :, slot], held[row, 1, :, slot] = qkv[row, :, channels:].chunk(2, -1)
        q_table, k_table, v_table = tables[window.positions[row]].double().chunk(3, -1)
        q = qkv[row, :, None, :channels].double() + q_table[slot]
        k, v = held[row, 0].double() + k_table, held[row, 1].double() + v_table
        q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(1, 2) for part in (q, k, v))
        expected = F.scaled_dot_product_attention(q, k, v, attn_mask=window.visible[row : row + 1]).transpose(1, 2)
        assert (found[row] - expected.flatten(1)).abs().max() <= ROUNDING
    assert torch.equal(ring, held)


@torch.inference_mode()
def test_streams_in_one_call_are_what_they_are_alone(tiny_unet: Live2DiffUNet) -> None:
    rows = [1, 3, 2]
    given = [inputs(n, 8, seed) for seed, n in enumerate(rows)]
    windows = [window_at(call, n) for call, n in zip([2, 30, 9], rows, strict=True)]
    alone = [filled_cache(tiny_unet, n, seed) for seed, n in enumerate(rows)]
    together = [filled_cache(tiny_unet, n, seed) for seed, n in enumerate(rows)]
    expected = [tiny_unet(*i, StreamContext([c], w)) for i, c, w in zip(given, alone, windows, strict=True)]
    joined = (torch.cat(parts) for parts in zip(*given, strict=True))
    found = tiny_unet(*joined, StreamContext(together, join_windows(windows)))
    assert (found - torch.cat(expected)).abs().max() <= ROUNDING
    for one, other in zip(alone, together, strict=True):
        assert all((a - b).abs().max() <= ROUNDING for a, b in zip(one.layers, other.layers, strict=True))


@torch.inference_mode()
def test_a_row_may_see_its_own_slot_alone() -> None:
    """It then gets its own value back, whatever else is in the ring."""
    ring = torch.full((1, 2, 3, SLOTS, 16), 7.0)
    qkv = torch.randn((1, 3, 48), generator=torch.Generator().manual_seed(0))
    visible = torch.arange(SLOTS)[None] == 4
    window = Window(visible, torch.arange(SLOTS)[None], torch.tensor([4]))
    found = ring_attention(qkv, ring, torch.zeros(SLOTS, 48), window)
    assert near(found, qkv[..., 32:])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_forms_of_ring_attention_agree(dtype: torch.dtype) -> None:
    """The matrix-product form, and the one that is meant for a compiler."""
    generator = torch.Generator().manual_seed(0)
    ring = torch.randn((3, 2, 5, SLOTS, 64), generator=generator).to(dtype)
    qkv, tables = (torch.randn(shape, generator=generator).to(dtype) for shape in ((3, 5, 192), (SLOTS, 192)))
    rings, window = [ring.clone(), ring.clone()], window_at(9, 3)
    found = plain_ring_attention(qkv, rings[0], tables, window)
    expected = one_pass_ring_attention(qkv, rings[1], tables, window)
    assert torch.equal(*rings)
    assert (found.float() - expected.float()).abs().max() <= 64 * torch.finfo(dtype).eps


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Trace functions without a compiler, and run graphs as they are; return their sizes."""
    graphs: list[int] = []

    def record(graph: torch.fx.GraphModule, _: list[Tensor]) -> Callable[..., object]:
        graphs.append(len(graph.graph.nodes))
        return graph.forward

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=record))
    compiled_ring_attention.cache_clear()
    torch._dynamo.reset()
    yield graphs
    compiled_ring_attention.cache_clear()
    torch._dynamo.reset()


@torch.inference_mode()
def test_a_compiled_ring_is_the_ring_for_any_number_of_rows_and_pixels(
    make_recorded_unet: MakeUNet, recorder: list[int]
) -> None:
    """One graph per width: the widths of the network are 32, 64 and 96."""
    unet = make_recorded_unet()
    cases = [(inputs(rows, 32), window_at(20, rows)) for rows in (2, 3, 4)]
    expected = [unet(*given, StreamContext([filled_cache(unet, len(given[2]))], window)) for given, window in cases]
    unet.compile_ring()
    assert len(recorder) == 3
    for (given, window), noise in zip(cases, expected, strict=True):
        cache = filled_cache(unet, len(given[2]))
        places = [layer.data_ptr() for layer in cache.layers]
        assert (unet(*given, StreamContext([cache], window)) - noise).abs().max() <= ROUNDING
        assert [layer.data_ptr() for layer in cache.layers] == places
    # The smallest level has one pixel, a size that no other shares.
    assert len(recorder) == 4


# -- layouts and precision ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [7, 40])
@torch.inference_mode()
def test_attention_in_half_precision_on_a_cpu_is_attention(monkeypatch: pytest.MonkeyPatch, keys: int) -> None:
    """By matrix products, in one piece and in several."""
    generator = torch.Generator().manual_seed(2)
    q, k, v = (torch.randn((2, 3, n, 8), generator=generator) for n in (24, keys, keys))
    expected = F.scaled_dot_product_attention(q, k, v)
    halved = [part.bfloat16() for part in (q, k, v)]
    whole = layers.attend(*halved)
    monkeypatch.setattr(layers, "SCORES_BYTES", 2 * 2 * 3 * keys * 5)
    # The last bit of eight may depend on the size of a piece.
    assert deviation(layers.attend(*halved), whole) <= torch.finfo(torch.bfloat16).eps
    assert (whole.float() - expected).abs().max() <= 0.03
    assert torch.equal(layers.attend(q, k, v), expected)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [(4, 4), (5, 7), (1, 1)])
@torch.inference_mode()
def test_a_convolution_as_a_product_is_the_convolution(stride: int, size: tuple[int, int]) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        conv = Conv(6, 64, stride=stride)
    x = torch.randn((2, 6, *size), generator=torch.Generator().manual_seed(0))
    expected = nn.Conv2d.forward(conv, x)
    found = conv.to(memory_format=torch.channels_last)(x.to(memory_format=torch.channels_last))
    assert near(found, expected)


@torch.inference_mode()
def test_the_order_in_memory_changes_nothing(make_recorded_unet: MakeUNet) -> None:
    unet = make_recorded_unet()
    given, context = inputs(2, 32), StreamContext([filled_cache(unet, 2)], window_at(20, 2))
    expected = unet(*given, context)
    found = unet.to(memory_format=torch.channels_last)(*given, StreamContext([filled_cache(unet, 2)], window_at(20, 2)))
    assert (found - expected).abs().max() <= ROUNDING


@torch.inference_mode()
def test_half_precision_stays_near(make_recorded_unet: MakeUNet) -> None:
    """bf16 keeps eight bits: a relative error of 2^-9 per operation, of which there are hundreds in a row."""
    unet = make_recorded_unet()
    given, window = inputs(2, 32), window_at(20, 2)
    expected = unet(*given, StreamContext([filled_cache(unet, 2)], window))
    unet = unet.to(torch.bfloat16).to(memory_format=torch.channels_last)
    latents, depth, timesteps, text = given
    halved = (latents.bfloat16(), depth.bfloat16(), timesteps, text.bfloat16())
    found = unet(*halved, StreamContext([filled_cache(unet, 2)], window)).float()
    relative = (found - expected).square().mean().sqrt() / expected.square().mean().sqrt()
    assert relative <= 0.05


@torch.inference_mode()
def test_a_clip_and_a_stream_agree_on_what_is_cached(tiny_unet: Live2DiffUNet) -> None:
    """The first frame of a clip of one, and a live row that sees only its own slot, are the same frame."""
    given = inputs(1, 8)
    clip, live = tiny_unet.open_cache(1, H, W), tiny_unet.open_cache(1, H, W)
    expected = tiny_unet(*given, ClipContext(1, cache=clip, row=0))
    only = torch.arange(SLOTS)[None] == 0
    found = tiny_unet(*given, StreamContext([live], Window(only, torch.arange(SLOTS)[None], torch.tensor([0]))))
    assert (found - expected).abs().max() <= ROUNDING
    assert all((a - b).abs().max() <= ROUNDING for a, b in zip(clip.layers, live.layers, strict=True))
    assert all(isinstance(attention, TemporalAttention) for attention in tiny_unet.temporal_attentions())
