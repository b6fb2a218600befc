"""LoRAs of any network: merged permanently or with an adjustable weight, and refused for another network."""

from __future__ import annotations

import functools
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from vivace.checkpoints.filling import fill
from vivace.checkpoints.lora import LoraStack, Merge, parse_lora, read_lora
from vivace.checkpoints.tensors import Stored, TensorFile, open_tensors
from vivace.errors import CheckpointError

Tensors = dict[str, Tensor]
ONE, TWO = "lora_unet_attention_to_q", "lora_unet_attention_to_k"


class Attention(nn.Module):
    """Module with two weights, and a table computed from one of them."""

    def __init__(self) -> None:
        super().__init__()
        self.to_q = nn.Linear(24, 32, bias=False)
        self.to_k = nn.Linear(24, 32, bias=False)
        self.refresh_tables()

    def refresh_tables(self) -> None:
        self.table = self.to_q.weight.detach().sum(1)


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(9)
            self.attention = Attention()
            self.conv = nn.Conv2d(4, 6, 3)


def lora(key: str, rank: int, shape: tuple[int, int]) -> Tensors:
    generator = torch.Generator().manual_seed(3)
    return {
        f"{key}.lora_down.weight": torch.randn(rank, shape[1], generator=generator),
        f"{key}.lora_up.weight": torch.randn(shape[0], rank, generator=generator),
        f"{key}.alpha": torch.tensor(rank / 2),
    }


def test_weights_change_live_without_a_trace() -> None:
    network = Network()
    stack = LoraStack(network, "lora_unet_")
    before = {key: value.clone() for key, value in network.state_dict().items()}
    target = network.attention.to_q.weight
    original, place = target.detach().clone(), target.data_ptr()
    first, second = (parse_lora(lora(ONE, rank, (32, 24))) for rank in (2, 4))
    stack.add("first", first)
    once = target.detach().clone()
    stack.add("second", second, weight=0.3)
    both = target.detach().clone()
    for weight in (0.1, 0.7, -2.0, 0.3):
        stack.set_weights({"second": weight})
    assert torch.equal(target, both)
    stack.set_weights({"second": 0})
    assert torch.equal(target, once)
    factors = first[ONE].factors
    assert torch.allclose(once, original + 0.5 * factors["lora_up"] @ factors["lora_down"])
    stack.set_weights({"first": 0})
    assert torch.equal(target, original)
    assert target.data_ptr() == place
    stack.add("first", parse_lora(lora(TWO, 2, (32, 24))))
    assert torch.equal(target, original), "what the replaced LoRA changed is as it was"
    stack.remove("first")
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    with pytest.raises(ValueError, match="no LoRA is called 'third'"):
        stack.set_weights({"third": 1})


def test_what_follows_from_a_weight_follows_the_lora() -> None:
    network = Network()
    before = network.attention.table
    LoraStack(network, "lora_unet_").add("style", parse_lora(lora(ONE, 2, (32, 24))))
    assert not torch.equal(network.attention.table, before)
    assert torch.equal(network.attention.table, network.attention.to_q.weight.sum(1))


def test_one_that_stays_is_merged_as_the_weights_are_read() -> None:
    weights, network = Network().state_dict(), Network()
    file = TensorFile("", {key: value.shape for key, value in weights.items()}, weights.__getitem__)
    layers = parse_lora(lora(ONE, 2, (32, 24)))
    merge = Merge("fast", layers, 0.5)
    fill(network, {key: Stored(file, key) for key in weights}, merges=[merge], prefix="lora_unet_")
    change = 0.5 * layers[ONE].change(network.attention.to_q.weight, "alpha")
    assert torch.allclose(network.attention.to_q.weight, weights["attention.to_q.weight"] + change)
    assert torch.equal(network.attention.to_k.weight, weights["attention.to_k.weight"])
    assert torch.equal(network.attention.table, network.attention.to_q.weight.sum(1))


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"base_model.model.attention.to_q.lora_A.weight": torch.zeros(1)}, "PEFT's own form of a LoRA"),
        ({f"{ONE}.weight": torch.zeros(24), f"{ONE}.on_input": torch.tensor(True)}, "an IA3 adapter"),
        ({f"{ONE}.diff": torch.zeros(32, 24), "lora_te_x.diff_b": torch.zeros(24)}, "whole differences of weights"),
        ({f"{ONE}.oft_blocks": torch.zeros(4, 8, 8)}, "an OFT adapter"),
        ({f"{ONE}.a1.weight": torch.zeros(4, 8)}, "a GLoRA"),
        ({f"lora_te2_{ONE}.lora_up.weight": torch.zeros(4, 8)}, "Stable Diffusion XL"),
        ({"transformer.x.lora_A.weight": torch.zeros(4, 8)}, "a LoRA for a transformer"),
        ({"bundle_emb.wool.string_to_param.*": torch.zeros(4, 8)}, "together with learned words"),
        (lora(ONE, 2, (32, 24)) | {f"{ONE}.lora_B.bias": torch.zeros(32)}, f"it has '{ONE}.lora_B.bias'"),
        ({}, "it is empty"),
        ({f"{ONE}.lora_up.weight": torch.zeros(32, 2)}, "lora_down is missing"),
        ({f"{ONE}.hada_w1_a": torch.zeros(32, 2)}, "hada_w1_b is missing"),
        ({f"{ONE}.alpha": torch.tensor(1.0)}, "has alpha, which is no kind of layer"),
        (lora(ONE, 2, (32, 24)) | {f"{ONE}.lokr_w1": torch.zeros(2, 2)}, "which is no kind of layer"),
        (lora(ONE, 2, (32, 24)) | {f"{ONE}.alpha": torch.ones(2)}, "is damaged"),
        (
            lora(ONE, 2, (32, 24)) | {f"{ONE}.lora_up.weight": torch.zeros(32, 3)},
            r"lora_up \[32, 3\].* not belong together",
        ),
        (lora(ONE, 2, (32, 24)) | {f"{ONE}.alpha": torch.tensor(torch.nan)}, "alpha holds numbers that are not finite"),
        (lora(ONE, 2, (32, 24)) | {"unet.down_blocks.x.lora_A.weight": torch.zeros(2, 24)}, "lora_up is missing"),
        (lora("lora_te_x", 2, (32, 24)) | lora("lora_te1_x", 2, (32, 24)), "twice, under two names"),
        (lora(ONE, 2, (32, 24)) | {f"{ONE}.dora_scale": torch.ones(1, 32)}, "was made for another model"),
        (lora("lora_unet_no_such_layer", 2, (32, 24)), "has no layer lora_unet_no_such_layer"),
        (lora(ONE, 2, (32, 40)), r"\[32, 40\], not \[32, 24\]"),
        (lora(ONE, 2, (40, 24)), r"\[40, 24\], not \[32, 24\]"),
    ],
)
def test_one_of_another_model_is_refused(tensors: Tensors, words: str) -> None:
    with pytest.raises(CheckpointError, match=words):
        LoraStack(Network(), "lora_unet_").add("style", parse_lora(tensors))


# -- kinds, against their papers' formulas -----------------------------------------------------------------------------

CONV = "lora_unet_conv"


def numbers(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def change(key: str, tensors: Tensors, metadata: dict[str, str] | None = None) -> tuple[Tensor, Tensor]:
    """Return a network's weight before, and the change that a LoRA made to it."""
    network = Network()
    target = network.conv.weight if key == CONV else network.attention.to_q.weight
    before = target.detach().clone()
    stack = LoraStack(network, "lora_unet_")
    stack.add("style", parse_lora(tensors, metadata=metadata))
    return before, target.detach() - before


def near(found: Tensor, wanted: Tensor) -> bool:
    return (found - wanted).abs().max() <= 1e-5 * wanted.abs().max()


def test_a_convolution_of_a_locon_is_the_two_after_one_another() -> None:
    down, up = numbers(2, 4, 3, 3), numbers(6, 2, 1, 1)
    _, found = change(CONV, {f"{CONV}.lora_down.weight": down, f"{CONV}.lora_up.weight": up})
    picture = numbers(1, 4, 9, 9)
    both = nn.functional.conv2d(nn.functional.conv2d(picture, down), up)
    assert near(nn.functional.conv2d(picture, found), both)


def test_a_core_of_a_locon_is_a_convolution_between_the_two() -> None:
    down, core, up = numbers(2, 4, 1, 1), numbers(2, 2, 3, 3), numbers(6, 2, 1, 1)
    parts = {"lora_down.weight": down, "lora_mid.weight": core, "lora_up.weight": up, "alpha": torch.tensor(1.0)}
    _, found = change(CONV, {f"{CONV}.{part}": tensor for part, tensor in parts.items()})
    picture = numbers(1, 4, 9, 9)
    three = nn.functional.conv2d(nn.functional.conv2d(nn.functional.conv2d(picture, down), core), up)
    assert near(nn.functional.conv2d(picture, found), 0.5 * three)


def test_a_loha_is_the_product_by_elements_of_two_products() -> None:
    w1_a, w1_b, w2_a, w2_b = numbers(32, 2), numbers(2, 24), numbers(32, 2) + 1, numbers(2, 24) - 1
    parts = {"hada_w1_a": w1_a, "hada_w1_b": w1_b, "hada_w2_a": w2_a, "hada_w2_b": w2_b, "alpha": torch.tensor(3.0)}
    _, found = change(ONE, {f"{ONE}.{part}": tensor for part, tensor in parts.items()})
    assert near(found, 3 / 2 * (w1_a @ w1_b) * (w2_a @ w2_b))
    flat = {
        f"{CONV}.hada_w{n}_{part}": numbers(*shape) for n in "12" for part, shape in (("a", (6, 2)), ("b", (2, 36)))
    }
    product = (flat[f"{CONV}.hada_w1_a"] @ flat[f"{CONV}.hada_w1_b"]) ** 2
    assert near(change(CONV, flat)[1], product.reshape(6, 4, 3, 3))


def test_cores_of_a_loha_are_joined_with_their_outer_factors() -> None:
    tensors, products = {}, []
    for number in (1, 2):
        core, out, into = numbers(2, 2, 3, 3) + number, numbers(2, 6) + number, numbers(2, 4) + number
        tensors |= {f"{CONV}.hada_t{number}": core, f"{CONV}.hada_w{number}_a": out, f"{CONV}.hada_w{number}_b": into}
        product = torch.zeros(6, 4, 3, 3)
        for i in range(2):
            for j in range(2):
                product += out[i][:, None, None, None] * into[j][None, :, None, None] * core[i, j]
        products.append(product)
    assert near(change(CONV, tensors)[1], products[0] * products[1])


def test_a_lokr_is_the_product_of_blocks() -> None:
    small, large = numbers(4, 3), numbers(8, 8)
    blocks = torch.cat([torch.cat([value * large for value in row], 1) for row in small])
    whole = {f"{ONE}.lokr_w1": small, f"{ONE}.lokr_w2": large, f"{ONE}.alpha": torch.tensor(1e9)}
    assert near(change(ONE, whole)[1], blocks), "whole factors have no rank, so alpha means nothing"
    a, b = numbers(8, 2), numbers(2, 8)
    parts = {f"{ONE}.lokr_w1": small, f"{ONE}.lokr_w2_a": a, f"{ONE}.lokr_w2_b": b, f"{ONE}.alpha": torch.tensor(1.0)}
    blocks = torch.cat([torch.cat([value * (a @ b) for value in row], 1) for row in small])
    assert near(change(ONE, parts)[1], blocks / 2)


@pytest.mark.parametrize("form", ["whole", "parts", "core"])
def test_a_lokr_of_a_convolution_repeats_the_kernel(form: str) -> None:
    small = numbers(2, 2)
    core, out, into = numbers(2, 2, 3, 3), numbers(2, 3), numbers(2, 2)
    flat = numbers(3, 2) @ numbers(2, 18)
    kernel, parts = {
        "whole": (numbers(3, 2, 3, 3), {"w2": numbers(3, 2, 3, 3)}),
        "parts": (flat.reshape(3, 2, 3, 3), {"w2_a": numbers(3, 2), "w2_b": numbers(2, 18)}),
        "core": (torch.einsum("ijkl,io,jn->onkl", core, out, into), {"t2": core, "w2_a": out, "w2_b": into}),
    }[form]
    found = change(CONV, {f"{CONV}.lokr_{part}": tensor for part, tensor in (parts | {"w1": small}).items()})[1]
    for out_block in range(2):
        for in_block in range(2):
            block = found[3 * out_block : 3 * out_block + 3, 2 * in_block : 2 * in_block + 2]
            assert (block - small[out_block, in_block] * kernel).abs().max() <= 1e-5 * found.abs().max()


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("key", [ONE, CONV])
def test_a_dora_sets_lengths_of_rows_or_columns(key: str, axis: int) -> None:
    shape = (6, 4, 3, 3) if key == CONV else (32, 24)
    lengths = numbers(shape[axis]).abs() + 1
    spread = lengths.reshape([-1 if at == axis else 1 for at in range(len(shape))])
    tensors = {
        f"{key}.lora_down.weight": numbers(2, *shape[1:]),
        f"{key}.lora_up.weight": numbers(shape[0], 2, *[1] * (len(shape) - 2)),
        f"{key}.dora_scale": spread,
    }
    before, found = change(key, tensors)
    after = before + found
    assert near(after.movedim(axis, 0).flatten(1).norm(dim=1), lengths)
    product = (tensors[f"{key}.lora_up.weight"].flatten(1) @ tensors[f"{key}.lora_down.weight"].flatten(1)).reshape(
        shape
    )
    length = functools.partial(torch.linalg.vector_norm, keepdim=True)
    others = [at for at in range(len(shape)) if at != axis]
    direction = (before + product) / length(before + product, dim=others)
    assert near(after / length(after, dim=others), direction)


def test_changes_add_up_whatever_their_order() -> None:
    """A DoRA's norms are those of the original weights."""
    dora = lora(ONE, 2, (32, 24)) | {f"{ONE}.dora_scale": numbers(32, 1).abs()}
    files = {"dora": parse_lora(dora), "plain": parse_lora(lora(ONE, 4, (32, 24)))}
    found = []
    for order in (("dora", "plain"), ("plain", "dora")):
        network = Network()
        stack = LoraStack(network, "lora_unet_")
        for name in order:
            stack.add(name, files[name])
        found.append(network.attention.to_q.weight.detach())
    assert near(*found)


# -- names, alphas, types ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "layer"),
    [
        ("unet.mid_block.attn1.processor.to_q_lora.{down,up}.weight", "lora_unet_mid_block_attn1_to_q"),
        ("down_blocks.0.attn1.processor.to_out_lora.{down,up}.weight", "lora_unet_down_blocks_0_attn1_to_out_0"),
        ("unet.up_blocks.1.attn2.to_v.lora.{down,up}.weight", "lora_unet_up_blocks_1_attn2_to_v"),
        ("unet.up_blocks.1.proj_in.lora_{A,B}.weight", "lora_unet_up_blocks_1_proj_in"),
        ("unet.up_blocks.1.proj_in.lora_{A,B}.default.weight", "lora_unet_up_blocks_1_proj_in"),
        ("text_encoder.layers.0.self_attn.to_k_lora.{down,up}.weight", "lora_te_layers_0_self_attn_k_proj"),
        ("text_encoder.layers.0.self_attn.to_out_lora.{down,up}.weight", "lora_te_layers_0_self_attn_out_proj"),
        ("text_encoder.layers.0.fc1.lora_linear_layer.{down,up}.weight", "lora_te_layers_0_fc1"),
        ("lora_te1_layers_0_fc1.lora_{down,up}.weight", "lora_te_layers_0_fc1"),
    ],
)
def test_names_of_other_programs_are_brought_to_kohyas(names: str, layer: str) -> None:
    before, _, rest = names.partition("{")
    pair, _, after = rest.partition("}")
    down, up = (f"{before}{part}{after}" for part in pair.split(","))
    layers = parse_lora({down: numbers(2, 24), up: numbers(32, 2)})
    assert list(layers) == [layer]
    assert torch.equal(layers[layer].change(torch.zeros(32, 24), "alpha"), numbers(32, 2) @ numbers(2, 24))


def test_a_dora_of_diffusers_is_that_of_kohya() -> None:
    path = "unet.mid_block.proj"
    for shape, magnitude in (((6, 4), numbers(6)), ((6, 4, 3, 3), numbers(6).reshape(1, 6, 1, 1))):
        down, up = numbers(2, *shape[1:]), numbers(6, 2, *[1] * (len(shape) - 2))
        theirs = {
            f"{path}.lora_A.weight": down,
            f"{path}.lora_B.weight": up,
            f"{path}.lora_magnitude_vector": magnitude,
        }
        (layer,) = parse_lora(theirs).values()
        changed = numbers(*shape) + layer.change(numbers(*shape), "alpha")
        assert layer.fits(changed)
        assert near(changed.flatten(1).norm(dim=1), numbers(6).abs())


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({}, 1.0),
        ({"unet.lora_alpha": 4, "unet.r": 8}, 2.0),
        ({"text_encoder.lora_alpha": 4}, 1.0),
        ({"unet.lora_alpha": 4, "unet.alpha_pattern": {"attn.to_q": 6.0, "to_k": 1.0}}, 3.0),
        ({"unet.lora_alpha": 4, "unet.alpha_pattern": {"tn.to_q": 6.0}}, 2.0),
        ({"unet.lora_alpha": 4, "unet.use_rslora": True}, 4 / 2**0.5),
    ],
)
def test_the_alpha_that_diffusers_notes_beside_the_tensors_counts(settings: dict[str, object], scale: float) -> None:
    tensors = {
        "unet.mid_block.attn.to_q.lora_A.weight": numbers(2, 24),
        "unet.mid_block.attn.to_q.lora_B.weight": numbers(32, 2),
    }
    metadata = {"lora_adapter_metadata": json.dumps(settings), "ss_network_dim": "8"}
    (layer,) = parse_lora(tensors, metadata=metadata).values()
    assert near(layer.change(torch.zeros(32, 24), "alpha"), scale * numbers(32, 2) @ numbers(2, 24))
    with pytest.raises(CheckpointError, match="is damaged"):
        parse_lora(tensors, metadata={"lora_adapter_metadata": "{"})


def test_every_layer_has_its_own_rank_and_alpha() -> None:
    tensors = lora(ONE, 2, (32, 24)) | lora(TWO, 4, (32, 24)) | {f"{TWO}.alpha": torch.tensor([8.0])}
    network = Network()
    before = network.attention.to_q.weight.detach().clone(), network.attention.to_k.weight.detach().clone()
    LoraStack(network, "lora_unet_").add("style", parse_lora(tensors))
    for weight, was, key, scale in zip(
        (network.attention.to_q.weight, network.attention.to_k.weight), before, (ONE, TWO), (0.5, 2.0), strict=True
    ):
        product = tensors[f"{key}.lora_up.weight"] @ tensors[f"{key}.lora_down.weight"]
        assert near(weight.detach() - was, scale * product)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2])
def test_numbers_of_few_bits_are_read_from_a_file_with_notes(dtype: torch.dtype, tmp_path: Path) -> None:
    tensors = {key: tensor.to(dtype) for key, tensor in lora(ONE, 2, (32, 24)).items()}
    save_file(tensors, tmp_path / "style.safetensors", metadata={"ss_network_module": "networks.lora"})
    (layer,) = read_lora(open_tensors(tmp_path / "style.safetensors")).values()
    product = tensors[f"{ONE}.lora_up.weight"].float() @ tensors[f"{ONE}.lora_down.weight"].float()
    assert near(layer.change(torch.zeros(32, 24), "alpha"), 0.5 * product)


def test_a_pickle_is_read_for_tensors_alone(tmp_path: Path) -> None:
    torch.save(lora(ONE, 2, (32, 24)), tmp_path / "style.pt")
    assert list(read_lora(open_tensors(tmp_path / "style.pt"))) == [ONE]
    torch.save({"style": Network()}, tmp_path / "code.pt")
    with pytest.raises(CheckpointError, match="is not opened, since that would run its code"):
        open_tensors(tmp_path / "code.pt")
    torch.save([numbers(2, 2)], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match="holds a list, not tensors by name"):
        open_tensors(tmp_path / "list.pt")
