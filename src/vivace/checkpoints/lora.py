"""LoRA files in kohya's naming, merged into weights (Hu et al., LoRA, 2021).

A layer's change is `weight * (alpha / rank) * up @ down`. The reference ignores `alpha / rank` for style LoRAs; its
pictures are had with `scaling="reference"`. A stack keeps the original of every weight it touches, so that weights of
LoRAs change while a stream runs, to exactly what a fresh merge would give, and into the same memory. Originals wait in
main memory, where there is more room than on a GPU. LoRAs that never change are merged as the weights are read.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from vivace.checkpoints.derived import refresh
from vivace.checkpoints.profile import LoraScaling as Scaling
from vivace.checkpoints.tensors import describe
from vivace.errors import CheckpointError

UNET_PREFIX = "lora_unet_"
TEXT_PREFIX = "lora_te_"
_KEY = re.compile(r"(?P<layer>.+)\.(?P<part>lora_down\.weight|lora_up\.weight|alpha)")


@dataclass(frozen=True, slots=True)
class LoraLayer:
    """The change of one weight."""

    down: Tensor
    """`[rank in]`, with the kernel behind it for a convolution."""
    up: Tensor
    """`[out rank]`, likewise."""
    alpha: float | None

    def change(self, weight: Tensor, scaling: Scaling) -> Tensor:
        """Return what is added to `weight` at full strength, in its shape, float32."""
        up, down = (part.to(weight.device).flatten(1).float() for part in (self.up, self.down))
        product = up @ down
        if scaling == "alpha" and self.alpha is not None:
            product = product * (self.alpha / len(self.down))
        return product.reshape(weight.shape)

    def fits(self, weight: Tensor) -> bool:
        """Tell whether the change has the shape of `weight`."""
        rank = len(self.down)
        shape = (self.up.shape[0], *self.down.shape[1:])
        matrix = self.up.flatten(1).shape[1] == rank
        return matrix and shape[0] == len(weight) and self.down[0].numel() == weight[0].numel()


def parse_lora(tensors: Mapping[str, Tensor], name: str = "the file") -> dict[str, LoraLayer]:
    """Return the layers of a kohya LoRA file by their names in it, as `lora_unet_mid_block_attentions_0_proj_in`.

    Raises:
        CheckpointError: not a kohya LoRA, or one with half a layer.
    """
    parts: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        match = _KEY.fullmatch(key)
        if not match or not match["layer"].startswith((UNET_PREFIX, TEXT_PREFIX)):
            raise CheckpointError(
                f"{name} is not a LoRA in kohya's naming: it has {key!r}; it looks like {describe(tensors)}"
            )
        parts.setdefault(match["layer"], {})[match["part"]] = tensor
    if not parts:
        raise CheckpointError(f"{name} is not a LoRA in kohya's naming: it is empty")
    layers = {}
    for layer, found in parts.items():
        if missing := {"lora_down.weight", "lora_up.weight"} - found.keys():
            raise CheckpointError(f"{name} is damaged: {layer}.{min(missing)} is missing")
        alpha = float(found["alpha"]) if "alpha" in found else None
        layers[layer] = LoraLayer(found["lora_down.weight"], found["lora_up.weight"], alpha)
    return layers


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
    for merge in merges:
        if key.endswith(".weight") and layer in merge.layers and merge.weight:
            value = value.float() + merge.weight * merge.layers[layer].change(value, merge.scaling)
    return value


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
                f"LoRA {name!r} was made for another model: {key} changes {[len(layer.up), *layer.down.shape[1:]]},"
                f" not {list(target.shape)}"
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
            weight = self._originals[key].to(target.device).float()
            for name, (layers, scaling) in self._loras.items():
                if key in layers and self._weights[name]:
                    weight = weight + self._weights[name] * layers[key].change(weight, scaling)
            target.copy_(weight)
        refresh(self._module)
