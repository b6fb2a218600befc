"""Controls for the weights of LoRAs, common to all families."""

from __future__ import annotations

from vivace.models.controls import ControlSpec

LORA_OPTION = "lora_"


def lora_option(name: str, weight: float) -> ControlSpec:
    """Return the control for the weight of a LoRA."""
    return ControlSpec(
        name=f"{LORA_OPTION}{name}", help=f"Weight of the LoRA {name}.", default=weight, low=-2, high=2, shared=True
    )
