"""LoRA files and their kin, merged into weights.

| kind | a layer's change at full strength, `s` being `alpha / rank` |
|---|---|
| LoRA (Hu et al., 2021), LoCon | `s * up @ down`; with a core (Tucker) `s * core x up x down` |
| LoHa (Hyeon-Woo et al., FedPara, 2022) | `s * (w1_a @ w1_b) * (w2_a @ w2_b)` |
| LoKr (Yeh et al., LyCORIS, 2024) | `s * kron(w1, w2)`, either also as a product; without `s` if neither is one |
| DoRA (Liu et al., 2024), of any of them | `magnitude * v / norm(v) - weight`, where `v = weight + change` |

Layers are named as kohya does, `lora_unet_mid_block_attentions_0_proj_in`; diffusers' names, old and new, are brought
to that. Live2Diff's reference ignores `alpha / rank` for style LoRAs; its pictures are had with `scaling="reference"`.

A stack keeps the original of every weight it touches, so that weights of LoRAs change while a stream runs, to exactly
what a fresh merge would give, and into the same memory. Every change is one to the original, whatever else is there.
Originals wait in main memory, where there is more room than on a GPU. LoRAs that never change are merged as the weights
are read.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from vivace.checkpoints.derived import refresh
from vivace.checkpoints.profile import LoraScaling as Scaling
from vivace.checkpoints.tensors import TensorFile, describe
from vivace.errors import CheckpointError

UNET_PREFIX = "lora_unet_"
TEXT_PREFIX = "lora_te_"

# Other programs' names, applied one after the other.
_RENAMED = [
    (re.compile(pattern), name)
    for pattern, name in (
        (r"^lora_te1_", TEXT_PREFIX),  # Stable Diffusion XL has two; some programs count those of 1.5, too
        (r"^text_encoder\.", TEXT_PREFIX),
        (r"^(unet\.)?(?=(down_blocks|mid_block|up_blocks|conv_in|conv_out|time_embedding)\.)", UNET_PREFIX),
        (r"\.processor\.to_([qkv])_lora\.", r".to_\1.lora."),
        (r"\.processor\.to_out_lora\.", ".to_out.0.lora."),
        (r"\.to_([qkv])_lora\.", r".\1_proj.lora."),
        (r"\.to_out_lora\.", ".out_proj.lora."),
        (r"\.lora(_linear_layer)?\.(down|up)\.weight$", r".lora_\2.weight"),
        (r"\.lora(_linear_layer)?\.alpha$", ".alpha"),
        (r"\.lora_A(\.default)?\.weight$", ".lora_down.weight"),
        (r"\.lora_B(\.default)?\.weight$", ".lora_up.weight"),
        (r"\.to_out\.lora_", ".to_out.0.lora_"),
        (r"\.lora_magnitude_vector(\.default)?(\.weight)?$", ".magnitude"),
    )
]
_KEY = re.compile(
    rf"(?P<layer>({UNET_PREFIX}|{TEXT_PREFIX}).+?)\."
    r"(?P<part>lora_(up|down|mid)(?=\.weight$)|hada_(w[12]_[ab]|t[12])|lokr_(w[12](_[ab])?|t2)|alpha|dora_scale|magnitude)"
    r"(\.weight)?"
)


@dataclass(frozen=True, slots=True)
class LoraLayer:
    """The change of one weight."""

    factors: Mapping[str, Tensor]
    """Factors of the change, by their names in files: `lora_up [out rank]` and `lora_down [rank in]`, those of a LoHa,
    or those of a LoKr; a kernel is behind the inputs."""
    alpha: float | None = None
    magnitude: Tensor | None = None
    """Lengths of the rows of the changed weight, `[out 1]`, or of its columns, `[1 in]`, for DoRA."""

    def change(self, weight: Tensor, scaling: Scaling) -> Tensor:
        """Return what is added to `weight` at full strength, in its shape, float32."""
        product, rank = self._product(weight.device)
        if scaling == "alpha" and self.alpha is not None and rank:
            product = product * (self.alpha / rank)
        product = product.reshape(weight.shape)
        if self.magnitude is None:
            return product
        changed = weight.float() + product
        magnitude = self.magnitude.to(changed).reshape(*self.magnitude.shape, *[1] * (weight.ndim - 2))
        along = [axis for axis, length in enumerate(magnitude.shape) if length == 1]
        length = torch.linalg.vector_norm(changed, dim=along, keepdim=True) + torch.finfo(torch.float32).eps
        difference: Tensor = changed * (magnitude / length) - weight.float()
        return difference

    @property
    def shape(self) -> torch.Size:
        """Shape of the change; a kernel may be spread out behind the inputs."""
        return self._product(torch.device("meta"))[0].shape

    @property
    def rank(self) -> int | None:
        """Divisor of `alpha`; None for a LoKr of whole factors.

        Raises:
            KeyError: a factor is missing.
            RuntimeError: the factors do not belong together.
        """
        return self._product(torch.device("meta"))[1]

    def fits(self, weight: Tensor) -> bool:
        """Tell whether the change has the shape of `weight`."""
        lengths = None if self.magnitude is None else tuple(self.magnitude.shape)
        spread = lengths in (None, (len(weight), 1), (1, weight.shape[1]))
        return spread and self.shape[0] == len(weight) and self.shape.numel() == weight.numel()

    def _product(self, device: torch.device) -> tuple[Tensor, int | None]:
        """Return the product of the factors and their rank, None where they are whole."""
        part = {name: factor.to(device).float() for name, factor in self.factors.items()}
        if any(name.startswith("lora_") for name in part):
            up, down = part["lora_up"].flatten(1), part["lora_down"].flatten(1)
            return _joined(up, down, part.get("lora_mid")), len(down)
        if any(name.startswith("hada_") for name in part):
            first, second = (_factor(part, f"hada_w{number}", f"hada_t{number}") for number in "12")
            return first * second, len(part["hada_w1_b"])
        first, second = _factor(part, "lokr_w1", ""), _factor(part, "lokr_w2", "lokr_t2")
        rank = next((len(part[name]) for name in ("lokr_w1_b", "lokr_w2_b") if name in part), None)
        return torch.kron(first.reshape(*first.shape, *[1] * (second.ndim - 2)), second.contiguous()), rank


def _factor(part: Mapping[str, Tensor], name: str, core: str) -> Tensor:
    """Return a factor of LyCORIS, whole or from its parts; those beside a core are stored the other way round."""
    if name in part:
        return part[name]
    first, second = part[f"{name}_a"], part[f"{name}_b"]
    return _joined(first.T, second, part[core]) if core in part else first @ second


def _joined(up: Tensor, down: Tensor, core: Tensor | None) -> Tensor:
    """Return the product `[out in …]` of `up [out r]`, a core `[r r …]` if there is one, and `down [r in]`."""
    return up @ down if core is None else torch.einsum("ij...,oi,jn->on...", core, up, down)


def read_lora(file: TensorFile) -> dict[str, LoraLayer]:
    """Return the layers of a LoRA file, see `parse_lora`."""
    return parse_lora(file.tensors(), str(file.path), file.metadata)


def parse_lora(
    tensors: Mapping[str, Tensor], name: str = "the file", metadata: Mapping[str, str] | None = None
) -> dict[str, LoraLayer]:
    """Return the layers of a LoRA file by kohya's names, as `lora_unet_mid_block_attentions_0_proj_in`.

    Args:
        tensors: all of the file; one that is nothing of a LoRA is an error.
        name: of the file, for messages.
        metadata: of the file, where diffusers keeps a common `alpha`.

    Raises:
        CheckpointError: not a LoRA of a kind known here, or one with half a layer, or with numbers that are not finite.
    """
    parts: dict[str, dict[str, Tensor]] = {}
    paths: dict[str, str] = {}
    for key, tensor in tensors.items():
        renamed = key
        for pattern, new in _RENAMED:
            renamed = pattern.sub(new, renamed)
        match = _KEY.fullmatch(renamed)
        if not match:
            raise CheckpointError(
                f"{name} is no LoRA that can be used: it has {key!r}; it looks like {describe(tensors)}. LoRA, LoCon, "
                "LoHa, LoKr and DoRA for Stable Diffusion 1.5 can be, with the names of kohya's scripts or of diffusers"
            )
        layer = match["layer"].replace(".", "_")
        found = parts.setdefault(layer, {})
        paths[layer] = match["layer"]
        if match["part"] in found:
            raise CheckpointError(f"{name} has {match['part']} of {layer} twice, under two names")
        if not tensor.float().isfinite().all():
            raise CheckpointError(f"{name} is damaged: {key} holds numbers that are not finite")
        found[match["part"]] = tensor
    if not parts:
        raise CheckpointError(f"{name} is no LoRA: it is empty")
    try:
        settings = json.loads((metadata or {}).get("lora_adapter_metadata", "{}"))
        return {layer: _layer(found, settings, paths[layer]) for layer, found in parts.items()}
    except (ValueError, TypeError, AttributeError, re.error) as error:
        raise CheckpointError(f"{name} is damaged: {error}") from error


def _layer(found: Mapping[str, Tensor], settings: Mapping[str, Any], path: str) -> LoraLayer:
    """Return the layer that has these parts; ValueError where they are none."""
    factors = {name: part for name, part in found.items() if name not in ("alpha", "dora_scale", "magnitude")}
    if len({name[:4] for name in factors}) != 1:
        raise ValueError(f"{path} has {', '.join(found)}, which is no kind of layer")
    magnitude = found.get("dora_scale")
    if magnitude is not None:
        magnitude = magnitude.reshape(len(magnitude), -1)
    elif "magnitude" in found:
        magnitude = found["magnitude"].reshape(-1, 1)
    layer = LoraLayer(factors, float(found["alpha"]) if "alpha" in found else None, magnitude)
    try:
        rank = layer.rank
    except KeyError as error:
        raise ValueError(f"{path}.{error.args[0]} is missing") from error
    except RuntimeError as error:
        shapes = ", ".join(f"{name} {list(factor.shape)}" for name, factor in factors.items())
        raise ValueError(f"{path} has {shapes}, which do not belong together") from error
    if layer.alpha is None and rank:
        return replace(layer, alpha=_stated_alpha(settings, path, rank))
    return layer


def _stated_alpha(settings: Mapping[str, Any], path: str, rank: int) -> float | None:
    """Return the alpha of a layer where diffusers' metadata states it for all, or for those of a pattern."""
    network = "unet" if path.startswith(UNET_PREFIX) else "text_encoder"
    alpha = settings.get(f"{network}.lora_alpha")
    for pattern, own in (settings.get(f"{network}.alpha_pattern") or {}).items():
        if re.fullmatch(rf"lora_[a-z]+_(.*\.)?({pattern})", path):
            alpha = own
    if alpha is None:
        return None
    return float(alpha) * (math.sqrt(rank) if settings.get(f"{network}.use_rslora") else 1)


@dataclass(frozen=True, slots=True)
class Merge:
    """A LoRA that is added to the weights as they are read, and stays."""

    name: str
    layers: Mapping[str, LoraLayer]
    weight: float = 1.0
    scaling: Scaling = "alpha"


def merged(value: Tensor, key: str, merges: Sequence[Merge], prefix: str) -> Tensor:
    """Return the weight of a network's `key` with all LoRAs in it, in float32 where there are any."""
    layer = prefix + key.removesuffix(".weight").replace(".", "_")
    changed = value
    for merge in merges:
        if key.endswith(".weight") and layer in merge.layers and merge.weight:
            changed = changed.float() + merge.weight * merge.layers[layer].change(value, merge.scaling)
    return changed


def lora_targets(module: nn.Module, prefix: str) -> dict[str, Tensor]:
    """Return the weights that LoRAs may change, by the layers' names in LoRA files."""
    return {
        prefix + name.replace(".", "_"): child.weight
        for name, child in module.named_modules()
        if isinstance(child, (nn.Linear, nn.Conv2d))
    }


def own_layers(
    layers: Mapping[str, LoraLayer], targets: Mapping[str, Tensor], prefix: str, name: str
) -> dict[str, LoraLayer]:
    """Return the layers of a LoRA that are a module's own; those of another prefix are another module's.

    Raises:
        CheckpointError: a layer that the module does not have, or of another shape.
    """
    own = {key: layer for key, layer in layers.items() if key.startswith(prefix)}
    for key, layer in own.items():
        target = targets.get(key)
        if target is None:
            raise CheckpointError(f"LoRA {name!r} was made for another model: this one has no layer {key}")
        if not layer.fits(target):
            raise CheckpointError(
                f"LoRA {name!r} was made for another model: {key} changes {list(layer.shape)}, not {list(target.shape)}"
            )
    return own


class LoraStack:
    """Any number of LoRAs on one module, each with a weight that may change at any time between two calls."""

    def __init__(self, module: nn.Module, prefix: str) -> None:
        self._module = module
        self._prefix = prefix
        self._targets = lora_targets(module, prefix)
        self._loras: dict[str, tuple[dict[str, LoraLayer], Scaling]] = {}
        self._weights: dict[str, float] = {}
        self._originals: dict[str, Tensor] = {}

    @property
    def weights(self) -> Mapping[str, float]:
        """Weight of every LoRA, by name."""
        return dict(self._weights)

    def add(
        self, name: str, layers: Mapping[str, LoraLayer], *, weight: float = 1.0, scaling: Scaling = "alpha"
    ) -> None:
        """Add a LoRA under a name, or replace the one of that name.

        Layers of the other prefix are left to the other module's stack.

        Raises:
            CheckpointError: a layer that this module does not have, or of another shape.
        """
        own = own_layers(layers, self._targets, self._prefix, name)
        for key in own:
            self._originals.setdefault(key, self._targets[key].detach().to("cpu", copy=True))
        replaced = self._loras.get(name, ({}, scaling))[0]
        self._loras[name] = (own, scaling)
        self._weights[name] = weight
        self._merge(own.keys() | replaced.keys())

    def remove(self, name: str) -> None:
        """Take a LoRA out again, without a trace."""
        self._check(name)
        self.set_weights({name: 0.0})
        del self._loras[name], self._weights[name]

    def set_weights(self, weights: Mapping[str, float]) -> None:
        """Give LoRAs other weights; those not named keep theirs. Zero is exactly the original."""
        for name in weights:
            self._check(name)
        self._weights.update(weights)
        self._merge({key for name in weights for key in self._loras[name][0]})

    def _check(self, name: str) -> None:
        if name not in self._loras:
            raise ValueError(f"no LoRA is called {name!r}; there are {sorted(self._loras)}")

    @torch.no_grad()
    def _merge(self, keys: set[str]) -> None:
        for key in keys:
            target = self._targets[key]
            original = weight = self._originals[key].to(target.device).float()
            for name, (layers, scaling) in self._loras.items():
                if key in layers and self._weights[name]:
                    weight = weight + self._weights[name] * layers[key].change(original, scaling)
            target.copy_(weight)
        refresh(self._module)
