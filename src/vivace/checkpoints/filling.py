"""Networks filled from files: everything must fit, by name and shape, before anything is read.

Then one tensor is read after the other, LoRAs that stay merged on the way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch import nn

from vivace.checkpoints.derived import refresh
from vivace.checkpoints.lora import Merge, merged
from vivace.checkpoints.tensors import Stored, describe
from vivace.errors import CheckpointError


class Shaped(Protocol):
    """Anything with a shape: a tensor, or one that is still in its file."""

    @property
    def shape(self) -> torch.Size:
        """Its shape."""


ShapedT = TypeVar("ShapedT", bound=Shaped)
ModuleT = TypeVar("ModuleT", bound=nn.Module)
ConfigT = TypeVar("ConfigT")


def empty(
    kind: Callable[[ConfigT], ModuleT],
    cfg: ConfigT,
    device: torch.device,
    dtype: torch.dtype,
    layout: torch.memory_format = torch.preserve_format,
) -> ModuleT:
    """Return a network with memory of its own on its device and in its type, not filled yet.

    Never is there a second copy of the weights, in another type or elsewhere.
    """
    with torch.device("meta"):
        module = kind(cfg)
    module = module.to(dtype=dtype).to_empty(device=device)
    module.to(memory_format=layout)  # type: ignore[call-overload]
    return module.requires_grad_(False).eval()


def fit(found: Mapping[str, ShapedT], expected: Mapping[str, Shaped], what: str, path: Path) -> dict[str, ShapedT]:
    """Return `found` if it is exactly what is expected, by name and shape.

    Raises:
        CheckpointError: naming what was expected, what the file seems to be, and the first difference.
    """
    missing = [key for key in expected if key not in found]
    extra = [key for key in found if key not in expected]
    shaped = [key for key in expected if key in found and found[key].shape != expected[key].shape]
    if missing:
        problem = f"{len(missing)} of {len(expected)} tensors are missing, the first being {missing[0]}"
    elif extra:
        problem = f"{len(extra)} tensors do not belong to it, the first being {extra[0]}"
    elif shaped:
        has, wanted = list(found[shaped[0]].shape), list(expected[shaped[0]].shape)
        problem = f"{len(shaped)} tensors have another shape, the first being {shaped[0]} with {has}, not {wanted}"
    else:
        return dict(found)
    raise CheckpointError(f"{path} is not {what}: {problem}; it looks like {describe(found)}")


@torch.no_grad()
def fill(module: nn.Module, stored: Mapping[str, Stored], *, merges: Sequence[Merge] = (), prefix: str = "") -> None:
    """Read every tensor into its place in the network, in the network's own type and on its device.

    Args:
        module: with memory of its own, whatever is in it.
        stored: a tensor for each of its keys.
        merges: LoRAs that stay, added in float32 before the type is changed.
        prefix: of the module's layers in LoRA files.
    """
    for key, target in module.state_dict().items():
        value = stored[key].read().reshape(target.shape).to(target.device)
        target.copy_(merged(value, key, merges, prefix))
    refresh(module)
