"""Shipped embedded model, as used in training."""

from __future__ import annotations

from typing import cast

from vivace.models import load_model
from vivace.models.edits.model import EditingModel
from vivace.models.mini.model import MiniModel
from vivace.models.mini.state import MiniState


def shipped_painter(threads: int | None = None) -> MiniModel:
    """Return its part that paints whole pictures, by a mixture of styles `[16]`; errors are those of `load_model`."""
    return cast(MiniModel, cast("EditingModel[MiniState]", load_model("mini", threads=threads)).painter)
