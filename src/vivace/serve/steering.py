"""Controls on their way from a message to the control board, and the answer on its way back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from vivace import messages
from vivace.errors import ControlError
from vivace.models.base import ModelSpec
from vivace.serve.limits import check_pixels, read_mask
from vivace.stream.fit import Size, choose_size

SAME_ASPECT = 0.03
"""Pictures whose aspect ratios differ by less keep the output size: a sender that adapts to its network rounds."""


def changes_of(controls: messages.Controls, spec: ModelSpec, max_px: int) -> dict[str, Any]:
    """Return the controls of a message by the names the stream knows, pictures decoded; what was left out is missing.

    Raises:
        ControlError: a picture or size beyond `max_px` pixels, or one this model has no use for.
    """
    given = {name: value for name in type(controls).model_fields if (value := getattr(controls, name)) is not None}
    if (prompt := given.get("prompt")) is not None and not prompt.strip():
        given["prompt"] = None
    if (mask := given.get("mask")) is not None:
        given["mask"] = read_mask(mask, max_px) if mask else None
    if given.pop("reference", ""):
        raise ControlError(f"{spec.name} takes no reference picture; describe the look in the prompt")
    if (size := given.get("size")) is not None:
        check_pixels("the output", size, max_px)
    return given


def output_size(source: Size, area_px: int, spec: ModelSpec) -> Size:
    """Return the output size of `area_px` pixels for a source, by its aspect alone.

    Senders change their resolution with the network; what is painted must not follow them.
    """
    ample = 4 * max(spec.max_size)  # so that only the area limits it
    scale = -(-ample // max(1, min(source)))
    return choose_size((source[0] * scale, source[1] * scale), replace(spec, default_area_px=area_px))


def same_aspect(one: Size, other: Size) -> bool:
    """Tell whether two pictures have about the same shape."""
    return abs(one[0] * other[1] / (one[1] * other[0]) - 1) < SAME_ASPECT
