"""LoRAs for Wan's transformer, under the names of the programs that make them.

| program | a layer's name |
|---|---|
| musubi-tuner, kohya | `lora_unet_blocks_0_self_attn_q.lora_down.weight` |
| diffusers | `transformer.blocks.0.attn1.to_q.lora_A.weight` |
| ComfyUI | `diffusion_model.blocks.0.self_attn.q.lora_A.weight` (or `lora_down`) |
| DiffSynth | `blocks.0.self_attn.q.lora_A.default.weight`, or behind `pipe.dit.` |
| peft, such as LongLive's | `base_model.model.blocks.0.self_attn.q.lora_A.weight` |

All of them become the first; what a file has that is no layer of the transformer is named, and never left out in
silence. DoRA, LoHa and LoKr are read by `checkpoints.lora` as of any other model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from vivace.checkpoints.lora import UNET_PREFIX, LoraLayer, lora_targets, own_layers, parse_lora
from vivace.checkpoints.tensors import TensorFile, open_tensors
from vivace.errors import CheckpointError
from vivace.models.wan.checkpoint import canonical_name

_BEFORE = re.compile(r"^(base_model\.model\.|transformer\.|(model\.)?diffusion_model\.|(pipe\.)?dit\.)+")
_LEAF = re.compile(
    r"\.(lora_[AB](\.default)?\.weight|lora_(up|down|mid)\.weight|lora_magnitude_vector(\.default)?(\.weight)?"
    r"|alpha|dora_scale|hada_\w+|lokr_\w+)$"
)
CONTAINERS = ("generator_lora", "state_dict", "model")


def open_lora(path: Path) -> TensorFile:
    """Open a LoRA's file; a pickle may have it under `generator_lora`."""
    return open_tensors(path, CONTAINERS)


def read_wan_lora(file: TensorFile, network: nn.Module) -> dict[str, LoraLayer]:
    """Return the layers of a LoRA by kohya's names, all of them the network's own.

    Raises:
        CheckpointError: it is no LoRA, or one of another model.
    """
    tensors = {}
    for name, tensor in file.tensors().items():
        renamed = _kohya(name)
        if renamed in tensors:
            raise CheckpointError(f"{file.path} has {renamed} twice, once as {name}")
        tensors[renamed] = tensor
    layers = parse_lora(tensors, str(file.path), file.metadata)
    own = own_layers(layers, lora_targets(network, UNET_PREFIX), UNET_PREFIX, file.path.name)
    if foreign := layers.keys() - own.keys():
        raise CheckpointError(f"LoRA {file.path.name!r} has {min(foreign)}, which is no layer of the transformer")
    return own


def _kohya(name: str) -> str:
    """Return kohya's name for a LoRA's tensor; one that is none stays as it is, for a message to quote."""
    leaf = _LEAF.search(name)
    if leaf is None or name.startswith(UNET_PREFIX):
        return name
    layer = canonical_name(_BEFORE.sub("", name[: leaf.start()]) + ".weight").removesuffix(".weight")
    part = re.sub(r"\.default(?=\.weight|$)", "", leaf[0])
    part = part.replace(".lora_A.", ".lora_down.").replace(".lora_B.", ".lora_up.")
    part = re.sub(r"^\.lora_magnitude_vector.*", ".magnitude", part)
    return layer_name(layer) + part


def layer_name(path: str) -> str:
    """Return the name in LoRA files of the layer at a path within the transformer, such as `blocks.0.ffn.2`."""
    return UNET_PREFIX + path.replace(".", "_")


def layer_names(layers: Mapping[str, LoraLayer]) -> str:
    """Say in words how many layers a LoRA changes."""
    return f"a LoRA on {len(layers)} layers of the transformer"
