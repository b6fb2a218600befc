"""LoRA files in kohya's naming, merged into weights (Hu et al., LoRA, 2021).

A layer's change is `weight * (alpha / rank) * up @ down`. The reference ignores `alpha / rank` for style LoRAs; its
pictures are had with `scaling="reference"`. A stack keeps the original of every weight it touches, so that weights of
LoRAs change while a stream runs, to exactly what a fresh merge would give, and into the same memory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from vivace.errors import CheckpointError
from vivace.models.live2diff.motion import TemporalAttention

Scaling = Literal["alpha", "reference"]
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
        product = self.up.flatten(1).float() @ self.down.flatten(1).float()
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
            raise CheckpointError(f"{name} is not a LoRA in kohya's naming: it has {key!r}")
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


class LoraStack:
    """Any number of LoRAs on one module, each with a weight that may change at any time between two calls."""

    def __init__(self, module: nn.Module, prefix: str) -> None:
        self._module = module
        self._prefix = prefix
        self._targets = {
            prefix + name.replace(".", "_"): child.weight
            for name, child in module.named_modules()
            if isinstance(child, (nn.Linear, nn.Conv2d))
        }
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
        own = {key: layer for key, layer in layers.items() if key.startswith(self._prefix)}
        for key, layer in own.items():
            target = self._targets.get(key)
            if target is None:
                raise CheckpointError(f"LoRA {name!r} was made for another model: this one has no layer {key}")
            if not layer.fits(target):
                raise CheckpointError(
                    f"LoRA {name!r} was made for another model: {key} changes {[len(layer.up), *layer.down.shape[1:]]},"
                    f" not {list(target.shape)}"
                )
        for key in own:
            self._originals.setdefault(key, self._targets[key].detach().clone())
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
            merged = self._originals[key].float()
            for name, (layers, scaling) in self._loras.items():
                if key in layers and self._weights[name]:
                    change = layers[key].change(merged, scaling).to(merged.device)
                    merged = merged + self._weights[name] * change
            self._targets[key].copy_(merged)
        for attention in self._module.modules():
            if isinstance(attention, TemporalAttention):
                attention.refresh_tables()
