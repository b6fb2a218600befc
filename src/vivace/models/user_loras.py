"""LoRAs that a user loads with a model and reweights while streams run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from vivace.checkpoints.lora import LoraStack
from vivace.checkpoints.profile import unique_names
from vivace.checkpoints.tensors import file_in
from vivace.errors import CheckpointError, UsageError
from vivace.models.lora_controls import LORA_OPTION, lora_option

LORA_FILES = ("pytorch_lora_weights.safetensors", "pytorch_lora_weights.bin")
"""File names that diffusers gives the LoRA in a folder."""


def given_loras(loras: Mapping[str, float]) -> dict[str, tuple[Path, float]]:
    """Return the file and weight of each LoRA, by the name of its control.

    Raises:
        CheckpointError: a file does not exist.
        UsageError: a LoRA is given twice.
        ControlError: a weight is out of range.
    """
    given: list[Path] = []
    for text in loras:
        if not Path(text).exists():
            raise CheckpointError(f"the LoRA {text} does not exist; check the path")
        file = file_in(Path(text), LORA_FILES, "a LoRA")
        if any(file.samefile(other) for other in given):
            raise UsageError(f"the LoRA {text} is given twice; give it once, with one weight")
        given.append(file)
    names = unique_names(loras)
    for name, weight in zip(names, loras.values(), strict=True):
        lora_option(name, 1.0).check(weight)
    return dict(zip(names, zip(given, loras.values(), strict=True), strict=True))


class LoraWeights:
    """Weights of a model's LoRAs, shared by all streams: the latest request wins."""

    def __init__(self, stacks: Sequence[LoraStack]) -> None:
        """Control the LoRAs in `stacks`; one has the same name in each."""
        self._stacks = stacks
        self._weights = {name: weight for stack in stacks for name, weight in stack.weights.items()}
        self.defaults: Mapping[str, float] = dict(self._weights)
        """Initial weights by name."""
        self.version = 0
        """Number of changes."""

    def ask(self, options: Mapping[str, Any], before: Mapping[str, float]) -> dict[str, float]:
        """Apply the weights that a stream has newly requested; return its present requests.

        Args:
            options: options set by its user.
            before: its requests at the previous call.
        """
        asked = {name: float(value) for name, value in options.items() if name.startswith(LORA_OPTION)}
        for name, default in self.defaults.items():
            option = f"{LORA_OPTION}{name}"
            weight = asked.get(option, default)
            if weight == before.get(option, default) or weight == self._weights[name]:
                continue
            for stack in self._stacks:
                if name in stack.weights:
                    stack.set_weights({name: weight})
            self._weights[name] = weight
            self.version += 1
        return asked
