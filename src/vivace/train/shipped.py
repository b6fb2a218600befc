"""Embedded models, as used in training: their parts that paint whole pictures."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from vivace.errors import UsageError
from vivace.models import describe, load_model
from vivace.models.keyframes.model import KeyframeModel
from vivace.models.mini.model import MiniModel
from vivace.models.mini.styles import STYLE_COUNT, STYLE_KEYS
from vivace.models.mini2.model import Mini2Model

EMBEDDED = ("mini", "mini2")
"""Families of the embedded models."""


def embedded_painter(name: str, threads: int | None = None) -> MiniModel | Mini2Model:
    """Return the part of an embedded model, a profile's name or path, that paints whole pictures.

    Raises:
        UsageError: a model of another family.
        VivaceError: those of `load_model`.
    """
    if (family := describe(name).family) not in EMBEDDED:
        raise UsageError(f"{name} is of the family {family}; the embedded models are {' and '.join(EMBEDDED)}")
    model = cast("KeyframeModel[Any]", load_model(name, threads=threads))
    return cast("MiniModel | Mini2Model", model.painter.painter)


def shipped_painter(threads: int | None = None) -> MiniModel:
    """Return the part of `mini` that paints whole pictures, by a mixture of styles `[16]`."""
    return cast(MiniModel, embedded_painter("mini", threads))


def style_embeds(model: MiniModel | Mini2Model, style: str) -> NDArray[np.float32]:
    """Return what an embedded model paints a style with, one of `STYLE_KEYS`, unmixed."""
    if isinstance(model, MiniModel):
        return np.eye(STYLE_COUNT, dtype=np.float32)[STYLE_KEYS.index(style)]
    return model.encode_prompt(style).embeds
