"""The depth detector: equal to transformers', from both files, at any shape."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from tolerance import deviation, near
from vivace.errors import CheckpointError
from vivace.models.live2diff.depth import depth_pictures
from vivace.models.live2diff.detector import DepthDetector, DetectorConfig, load_detector, midas_name

TINY = DetectorConfig(
    stem=8,
    stages=(16, 24, 32),
    depths=(1, 1, 2),
    groups=4,
    width=32,
    inner=48,
    layers=4,
    heads=2,
    hooks=(2, 3),
    fusion=16,
    side=64,
)


def make(cfg: DetectorConfig = TINY) -> DepthDetector:
    """Return a detector with random weights, as trained: nothing precomputed."""
    detector = DepthDetector(cfg)
    generator = torch.Generator().manual_seed(2)
    for parameter in detector.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) * 0.2
    detector.net.head.head[4].bias.data.fill_(1)
    return detector.requires_grad_(False).eval()


@pytest.fixture(scope="module")
def trained() -> DepthDetector:
    return make()


@pytest.fixture(scope="module")
def placed() -> DepthDetector:
    return make().place("cpu", torch.float32)


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    return torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(3)) * 2 - 1


def original(detector: DepthDetector) -> dict[str, Tensor]:
    """Return the tensors under the names of the original file, with its additional ones."""
    tensors: dict[str, Tensor] = {}
    state = detector.net.state_dict()
    for key, value in state.items():
        if ".attention.attention." not in key:
            tensors[midas_name(key)] = value.clone()
    for index in range(detector.cfg.layers):
        for leaf in ("weight", "bias"):
            parts = [
                state[f"dpt.encoder.layer.{index}.attention.attention.{part}.{leaf}"]
                for part in ("query", "key", "value")
            ]
            tensors[f"pretrained.model.blocks.{index}.attn.qkv.{leaf}"] = torch.cat(parts)
    return tensors | {"pretrained.model.head.weight": torch.ones(10, 32), "pretrained.model.head.bias": torch.ones(10)}


# -- what is computed --------------------------------------------------------------------------------------------------


def test_depth_is_that_of_transformers(trained: DepthDetector, placed: DepthDetector, pictures: Tensor) -> None:
    expected = trained.net(pictures).predicted_depth
    assert expected.std() > 0.01 * expected.mean(), "the picture has a say"
    assert near(trained(pictures), expected)
    assert near(placed(pictures), expected)


def test_depth_is_never_negative(pictures: Tensor) -> None:
    detector = make()
    detector.net.head.head[4].bias.data.fill_(-1e3)
    assert detector.place("cpu", torch.float32)(pictures).max() == 0


@pytest.mark.parametrize("size", [(32, 32), (64, 96), (96, 32)])
def test_any_multiple_of_32_px_is_taken(size: tuple[int, int], placed: DepthDetector) -> None:
    seen = torch.rand(1, 3, *size) * 2 - 1
    depth = placed(seen)
    assert depth.shape == (1, *size)
    assert depth.min() >= 0


def test_positions_are_stretched_to_the_picture(trained: DepthDetector) -> None:
    larger = make(DetectorConfig(**{name: getattr(TINY, name) for name in DetectorConfig.__slots__} | {"side": 96}))
    state = trained.net.state_dict()
    key = "dpt.embeddings.position_embeddings"
    first, grid = state[key][:, :1], state[key][:, 1:].reshape(1, 4, 4, -1).permute(0, 3, 1, 2)
    grid = F.interpolate(grid, size=(6, 6), mode="bilinear").flatten(2).transpose(1, 2)
    larger.net.load_state_dict(state | {key: torch.cat([first, grid], 1)})
    seen = torch.rand(1, 3, 96, 96) * 2 - 1
    assert near(trained(seen), larger.net(seen).predicted_depth)


@pytest.mark.parametrize("size", [(64, 72), (48, 64), (8, 8)])
def test_other_sizes_are_refused(size: tuple[int, int], placed: DepthDetector) -> None:
    with pytest.raises(ValueError, match="multiples of 32 px"):
        placed(torch.zeros(1, 3, *size))


def test_frames_do_not_see_each_other(placed: DepthDetector, pictures: Tensor) -> None:
    alone = torch.cat([placed(picture[None]) for picture in pictures])
    assert near(placed(pictures), alone)


def test_depth_stays_fine_in_a_half_format(trained: DepthDetector, pictures: Tensor) -> None:
    detector = make().place("cpu", torch.bfloat16)
    depth = detector(pictures.bfloat16())
    assert depth.dtype == torch.float32
    assert deviation(depth, trained(pictures)) < 0.05
    assert len(depth.unique()) > len(depth.bfloat16().unique())


def test_no_pass_waits_for_its_own_numbers() -> None:
    """On a meta device any look at its numbers fails; looking would stop a recorded graph."""
    detector = make().place("meta", torch.bfloat16)
    assert detector(torch.empty(1, 3, 64, 96, device="meta")).shape == (1, 64, 96)


@pytest.mark.gpu
@pytest.mark.parametrize(("dtype", "share"), [(torch.float32, 1e-2), (torch.float16, 0.1)])
def test_a_gpu_gives_the_same(dtype: torch.dtype, share: float, placed: DepthDetector, pictures: Tensor) -> None:
    found = make().place("cuda", dtype)(pictures.cuda()).cpu()
    assert deviation(found, placed(pictures)) < share


def test_placing_again_changes_nothing(pictures: Tensor) -> None:
    detector = make().place("cpu", torch.float32)
    before = detector(pictures)
    assert torch.equal(detector.place("cpu", torch.float32)(pictures), before)


def test_frames_of_any_size_have_depth(placed: DepthDetector) -> None:
    grey = depth_pictures(torch.rand(1, 3, 40, 72) * 2 - 1, placed)
    assert grey.shape == (1, 3, 40, 72)
    assert grey.min() >= -1
    assert grey.max() <= 1


# -- files -------------------------------------------------------------------------------------------------------------


def test_the_file_of_transformers_is_read(
    trained: DepthDetector, placed: DepthDetector, pictures: Tensor, tmp_path: Path
) -> None:
    trained.net.save_pretrained(tmp_path)
    for path in (tmp_path, tmp_path / "model.safetensors"):
        assert torch.equal(load_detector(path, TINY)(pictures), placed(pictures))


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_original_file_is_read(
    wrapped: bool, trained: DepthDetector, placed: DepthDetector, pictures: Tensor, tmp_path: Path
) -> None:
    tensors = original(trained)
    torch.save({"optimizer": {"state": {}}, "model": tensors} if wrapped else tensors, tmp_path / "dpt.pt")
    assert torch.equal(load_detector(tmp_path / "dpt.pt", TINY)(pictures), placed(pictures))


def test_what_no_pass_reads_may_be_missing(
    trained: DepthDetector, placed: DepthDetector, pictures: Tensor, tmp_path: Path
) -> None:
    unused = ("dpt.layernorm", "neck.fusion_stage.layers.0.residual_layer1")
    tensors = {key: value for key, value in trained.net.state_dict().items() if not key.startswith(unused)}
    assert len(tensors) == len(trained.net.state_dict()) - 6
    save_file(tensors, tmp_path / "model.safetensors")
    assert torch.equal(load_detector(tmp_path, TINY)(pictures), placed(pictures))


def test_half_files_are_read(trained: DepthDetector, pictures: Tensor, tmp_path: Path) -> None:
    torch.save({key: value.half() for key, value in original(trained).items()}, tmp_path / "dpt.pt")
    found = load_detector(tmp_path / "dpt.pt", TINY)
    assert {parameter.dtype for parameter in found.parameters()} == {torch.float32}
    assert deviation(found(pictures), trained(pictures)) < 0.01


def test_published_names_are_covered() -> None:
    """Names at the true size, from a list written after the structure of MiDaS and timm."""
    with torch.device("meta"):
        state = DepthDetector().net.state_dict()
    assert len(state) == 414
    model, backbone = "pretrained.model", "pretrained.model.patch_embed.backbone"
    both = [f"{backbone}.stem.norm", f"{model}.patch_embed.proj", f"{model}.norm"]
    weights = [f"{backbone}.stem.conv", *(f"scratch.layer{index}_rn" for index in (1, 2, 3, 4))]
    for stage, depth in enumerate((3, 4, 9)):
        for index in range(depth):
            block = f"{backbone}.stages.{stage}.blocks.{index}"
            places = ["downsample.{}"] if index == 0 else []
            weights += [f"{block}.{place.format('conv')}" for place in [*places, "{}1", "{}2", "{}3"]]
            both += [f"{block}.{place.format('norm')}" for place in [*places, "{}1", "{}2", "{}3"]]
    for index in range(12):
        both += [f"{model}.blocks.{index}.{part}" for part in "norm1 attn.qkv attn.proj norm2 mlp.fc1 mlp.fc2".split()]
    both += [f"pretrained.act_postprocess{part}" for part in ("3.0.project.0", "3.3", "4.0.project.0", "4.3", "4.4")]
    for index in (1, 2, 3, 4):
        units = [f"resConfUnit{unit}.conv{conv}" for unit in (1, 2) for conv in (1, 2)]
        both += [f"scratch.refinenet{index}.{part}" for part in [*units, "out_conv"]]
    both += [f"scratch.output_conv.{index}" for index in (0, 2, 4)]
    expected = {f"{model}.cls_token", f"{model}.pos_embed"} | {f"{name}.weight" for name in weights + both}
    assert {midas_name(key) for key in state} == expected | {f"{name}.bias" for name in both}
    shapes = {midas_name(key): list(value.shape) for key, value in state.items()}
    assert shapes["scratch.layer2_rn.weight"] == [256, 512, 3, 3]
    assert shapes["pretrained.model.pos_embed"] == [1, 577, 768]
    assert shapes["pretrained.act_postprocess4.4.weight"] == [768, 768, 3, 3]
    with pytest.raises(ValueError, match="no tensor of the depth detector"):
        midas_name("conv_in.weight")


# -- refusals ----------------------------------------------------------------------------------------------------------


def test_wrong_and_damaged_files_are_refused(trained: DepthDetector, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"MiDaS DPT-Hybrid: it has none of model\.safetensors"):
        load_detector(tmp_path, TINY)
    with pytest.raises(CheckpointError, match="is missing"):
        load_detector(tmp_path / "dpt.pt", TINY)
    path = tmp_path / "dpt.pt"
    tensors = original(trained)
    missing = "pretrained.model.blocks.1.attn.qkv.weight"
    torch.save({key: value for key, value in tensors.items() if key != missing}, path)
    with pytest.raises(CheckpointError, match=rf"1 of .* missing, the first being {missing}; it looks like a depth"):
        load_detector(path, TINY)
    torch.save(tensors | {"pretrained.model.blocks.4.norm1.bias": torch.zeros(32)}, path)
    with pytest.raises(CheckpointError, match=r"do not belong to it, the first being pretrained\.model\.blocks\.4"):
        load_detector(path, TINY)
    torch.save(tensors | {"scratch.layer1_rn.weight": torch.zeros(16, 8, 3, 3)}, path)
    with pytest.raises(CheckpointError, match=r"layer1_rn\.weight with \[16, 8, 3, 3\], not \[16, 16, 3, 3\]"):
        load_detector(path, TINY)
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(CheckpointError, match="damaged"):
        load_detector(path, TINY)
    torch.save({"encoder.conv_in.weight": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="looks like an autoencoder"):
        load_detector(path, TINY)


def test_another_detector_is_refused(tmp_path: Path) -> None:
    """DPT-Large has no convolutions ahead of its transformer."""
    tensors = {"pretrained.model.patch_embed.proj.weight": torch.zeros(32, 3, 16, 16)}
    torch.save(tensors, tmp_path / "dpt_large.pt")
    with pytest.raises(CheckpointError, match="is not the depth detector MiDaS DPT-Hybrid"):
        load_detector(tmp_path / "dpt_large.pt", TINY)
