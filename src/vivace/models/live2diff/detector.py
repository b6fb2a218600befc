"""Depth detector of the published model: MiDaS v3 DPT-Hybrid (Ranftl et al., 2021), from either of its files.

The network is transformers'. This module adds its configuration, the tensor names of the original file, and a forward
pass for pictures of any shape (transformers' own takes only the training size). The weights of the convolutional half,
which are standardised at every pass in training, are standardised once at loading, which is equivalent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DPTConfig, DPTForDepthEstimation
from transformers.models.bit.modeling_bit import WeightStandardizedConv2d

from vivace.checkpoints.filling import fit
from vivace.checkpoints.tensors import file_in, read_tensors
from vivace.models.live2diff.depth import DETECTOR_MULTIPLE_PX, DETECTOR_SIDE_PX

DETECTOR = "the depth detector MiDaS DPT-Hybrid"
PATCH_PX = 16
LAST = 4
"""Index of the last layer in the head; only a ReLU follows."""
FOLDER_FILES = ("model.safetensors", "pytorch_model.bin")
# Parts of network and files that no forward pass reads; not every file has them.
_UNUSED = re.compile(
    r"dpt\.(layernorm|pooler)\.|neck\.fusion_stage\.layers\.0\.residual_layer1\."
    r"|pretrained\.model\.(norm|head)\.|scratch\.refinenet4\.resConfUnit1\."
)


@dataclass(frozen=True, slots=True)
class DetectorConfig:
    """Widths and depths; the defaults are DPT-Hybrid's."""

    stem: int = 64
    stages: tuple[int, ...] = (256, 512, 1024)
    depths: tuple[int, ...] = (3, 4, 9)
    groups: int = 32
    width: int = 768
    inner: int = 3072
    layers: int = 12
    heads: int = 12
    hooks: tuple[int, int] = (8, 11)
    """Transformer layers whose outputs are used."""
    fusion: int = 256
    side: int = DETECTOR_SIDE_PX
    """Side of the square that the positions were learned on, px."""


class DepthDetector(nn.Module):
    """Network that predicts inverse depth of pictures; random until loaded."""

    def __init__(self, cfg: DetectorConfig | None = None) -> None:
        super().__init__()
        self.cfg = cfg or DetectorConfig()
        self.net = DPTForDepthEstimation(_describe(self.cfg))

    def place(self, device: torch.device | str, dtype: torch.dtype) -> Self:
        """Move to a device and number format, ready to run; standardises the weights.

        The last layer stays in float32: half precision cannot resolve the steps of depth.
        """
        self._standardise()
        self.to(device=device, dtype=dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.net.head.head[LAST].float()
        return self.requires_grad_(False).eval()

    @torch.no_grad()
    def _standardise(self) -> None:
        for module in list(self.net.dpt.embeddings.backbone.modules()):
            for name, child in list(module.named_children()):
                if isinstance(child, WeightStandardizedConv2d):
                    setattr(module, name, StandardisedConv2d(child))

    def forward(self, pictures: Tensor) -> Tensor:
        """Return inverse depth `[f a b]`, float32, at least 0, of `pictures [f 3 a b]` in [-1, 1].

        a and b are multiples of 32.

        Raises:
            ValueError: another size.
        """
        height, width = pictures.shape[-2:]
        if height % DETECTOR_MULTIPLE_PX or width % DETECTOR_MULTIPLE_PX:
            raise ValueError(f"the detector takes multiples of {DETECTOR_MULTIPLE_PX} px, not {width}x{height}")
        dtype = self.net.dpt.embeddings.cls_token.dtype
        seen = pictures.to(dtype=dtype, memory_format=torch.channels_last)
        embedded = self.net.dpt.embeddings(seen, interpolate_pos_encoding=True)
        levels = list(embedded.intermediate_activations)
        x = embedded.last_hidden_states
        for index, layer in enumerate(self.net.dpt.encoder.layer[: self.cfg.hooks[-1] + 1]):
            x = layer(x)
            if index in self.cfg.hooks:
                levels.append(x)
        fused = self.net.neck(levels, height // PATCH_PX, width // PATCH_PX)[-1]
        head = self.net.head.head
        return head[LAST:](head[:LAST](fused).float()).squeeze(1)


class StandardisedConv2d(nn.Module):
    """Convolution with weights standardised to mean 0 and deviation 1 per output (Qiao et al., 2019)."""

    def __init__(self, trained: WeightStandardizedConv2d) -> None:
        super().__init__()
        flat = trained.weight.float().flatten(1)
        variance, mean = torch.var_mean(flat, 1, correction=0, keepdim=True)
        standardised = (flat - mean) * (variance + trained.eps).rsqrt()
        self.weight = nn.Parameter(standardised.reshape_as(trained.weight).to(trained.weight.dtype))
        self.pad: nn.Module | None = trained.pad
        self.stride, self.padding = trained.stride, trained.padding

    def forward(self, x: Tensor) -> Tensor:
        """Convolve `x [b c h w]`."""
        x = x if self.pad is None else self.pad(x)
        return F.conv2d(x, self.weight, None, self.stride, self.padding)


def _describe(cfg: DetectorConfig) -> DPTConfig:
    side = cfg.side // PATCH_PX
    return DPTConfig(
        is_hybrid=True,
        backbone_config={
            "model_type": "bit",
            "layer_type": "bottleneck",
            "global_padding": "same",
            "embedding_dynamic_padding": True,
            "embedding_size": cfg.stem,
            "hidden_sizes": list(cfg.stages),
            "depths": list(cfg.depths),
            "num_groups": cfg.groups,
            "out_features": [f"stage{index + 1}" for index in range(len(cfg.stages))],
        },
        backbone_featmap_shape=[1, cfg.stages[-1], side, side],
        image_size=cfg.side,
        patch_size=PATCH_PX,
        hidden_size=cfg.width,
        intermediate_size=cfg.inner,
        num_hidden_layers=cfg.layers,
        num_attention_heads=cfg.heads,
        # The original's value; transformers' configuration has 1e-12, which has no effect in half precision.
        layer_norm_eps=1e-6,
        backbone_out_indices=[0, 1, *cfg.hooks],
        neck_hidden_sizes=[*cfg.stages[:2], cfg.width, cfg.width],
        neck_ignore_stages=[0, 1],
        reassemble_factors=[1, 1, 1, 0.5],
        readout_type="project",
        fusion_hidden_size=cfg.fusion,
    )


# -- files -------------------------------------------------------------------------------------------------------------


def load_detector(path: Path, cfg: DetectorConfig | None = None) -> DepthDetector:
    """Return the detector, read from transformers' folder or file, or from the original `dpt_hybrid_384.pt`.

    Raises:
        CheckpointError: missing, damaged, or another network.
    """
    with torch.device("meta"):
        detector = DepthDetector(cfg)
    path = file_in(path, FOLDER_FILES, DETECTOR)
    expected = detector.net.state_dict()
    read = {key: value for key, value in expected.items() if not _UNUSED.match(key)}
    found = {key: value for key, value in read_tensors(path).items() if not _UNUSED.match(key)}
    if any(key.startswith("pretrained.") for key in found):
        found = _from_midas(found, read, path)
    found = fit(found, read, DETECTOR, path)
    # Unread parts need a value nevertheless.
    rest = {key: torch.zeros(value.shape) for key, value in expected.items() if key not in read}
    detector.net.load_state_dict(found | rest, assign=True)
    return detector.place("cpu", torch.float32)


_QKV = ("query", "key", "value")


def _from_midas(found: dict[str, Tensor], read: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return the original file's tensors under transformers' names.

    The original stores queries, keys and values as one matrix.
    """
    names = {key: midas_name(key) for key in read}
    shapes = {name: read[key] for key, name in names.items()}
    for name, part in shapes.items():
        if ".attn.qkv." in name:
            shapes[name] = part.new_empty(3 * len(part), *part.shape[1:])
    fitted = fit(found, shapes, DETECTOR, path)
    tensors = {}
    for key, name in names.items():
        parts = fitted[name].chunk(3) if ".attn.qkv." in name else None
        tensors[key] = fitted[name] if parts is None else parts[_QKV.index(key.split(".")[-2])].contiguous()
    return tensors


_BACKBONE = "pretrained.model.patch_embed.backbone"
_BLOCKS = r"pretrained.model.blocks.\1"
_MIDAS = (
    (r"dpt\.embeddings\.cls_token", "pretrained.model.cls_token"),
    (r"dpt\.embeddings\.position_embeddings", "pretrained.model.pos_embed"),
    (r"dpt\.embeddings\.projection", "pretrained.model.patch_embed.proj"),
    (r"dpt\.embeddings\.backbone\.bit\.embedder\.convolution", f"{_BACKBONE}.stem.conv"),
    (r"dpt\.embeddings\.backbone\.bit\.embedder\.norm", f"{_BACKBONE}.stem.norm"),
    (r"dpt\.embeddings\.backbone\.bit\.encoder\.stages\.(\d+)\.layers\.", rf"{_BACKBONE}.stages.\1.blocks."),
    (r"dpt\.encoder\.layer\.(\d+)\.attention\.attention\.(query|key|value)", f"{_BLOCKS}.attn.qkv"),
    (r"dpt\.encoder\.layer\.(\d+)\.attention\.output\.dense", f"{_BLOCKS}.attn.proj"),
    (r"dpt\.encoder\.layer\.(\d+)\.intermediate\.dense", f"{_BLOCKS}.mlp.fc1"),
    (r"dpt\.encoder\.layer\.(\d+)\.output\.dense", f"{_BLOCKS}.mlp.fc2"),
    (r"dpt\.encoder\.layer\.(\d+)\.layernorm_before", f"{_BLOCKS}.norm1"),
    (r"dpt\.encoder\.layer\.(\d+)\.layernorm_after", f"{_BLOCKS}.norm2"),
    (r"dpt\.layernorm", "pretrained.model.norm"),
    (r"head\.head", "scratch.output_conv"),
)


def midas_name(key: str) -> str:
    """Return the name in the original file of a tensor in transformers' naming."""
    if match := re.fullmatch(r"neck\.convs\.(\d)\.(.+)", key):
        return f"scratch.layer{int(match[1]) + 1}_rn.{match[2]}"
    if match := re.fullmatch(r"neck\.reassemble_stage\.(?:readout_projects|layers)\.(\d)\.(.+)\.(weight|bias)", key):
        part = {"0": "0.project.0", "projection": "3", "resize": "4"}[match[2]]
        return f"pretrained.act_postprocess{int(match[1]) + 1}.{part}.{match[3]}"
    if match := re.fullmatch(r"neck\.fusion_stage\.layers\.(\d)\.(.+)", key):
        # The original counts from fine to coarse, transformers in the order of computation.
        part = match[2].replace("residual_layer", "resConfUnit").replace("convolution", "conv")
        return f"scratch.refinenet{4 - int(match[1])}.{part.replace('projection', 'out_conv')}"
    for pattern, name in _MIDAS:
        if re.match(pattern, key):
            return re.sub(pattern, name, key, count=1)
    raise ValueError(f"{key!r} is no tensor of {DETECTOR}")
