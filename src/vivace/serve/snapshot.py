"""The state of a server in numbers, for `/metrics` and the API: taken at once, changed by nobody."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from vivace.serve.served_model import ServedModel
from vivace.stream.histogram import Histogram
from vivace.stream.kept import KeptTotals


@dataclass(frozen=True, slots=True)
class ModelSnapshot:
    """One loaded model."""

    name: str
    slots: int
    live: int
    waiting: int
    step_ms: float
    """Median at full effort and the default size."""
    state_bytes: int
    memory_limit_bytes: int
    engine_alive: bool
    step_in_progress_s: float
    """0 between steps; long means that the model hangs."""


def model_snapshot(served: ServedModel) -> ModelSnapshot:
    """Return a model's figures."""
    admission = served.admission
    return ModelSnapshot(
        name=served.name,
        slots=admission.slots,
        live=admission.live,
        waiting=admission.waiting,
        step_ms=admission.costs.step_ms,
        state_bytes=admission.state_bytes,
        memory_limit_bytes=admission.memory_limit_bytes,
        engine_alive=served.engine.alive,
        step_in_progress_s=served.engine.busy_s(),
    )


@dataclass(frozen=True, slots=True)
class ServerSnapshot:
    """The whole server."""

    draining: bool
    models: tuple[ModelSnapshot, ...]
    live: int
    waiting: int
    absent: int
    recordings: int
    opened: int
    """Sessions since the server began."""
    refused: Mapping[str, int]
    """Requests that ask for what is not painted, by reason."""
    ended: Mapping[str, int]
    """Sessions by the reason of their end."""
    drops: Mapping[str, int]
    """Frames by reason, of all sessions since the server began."""
    kept: KeptTotals
    """Totals of the region caches of all sessions since the server began."""
    newest_frame_age_s: float | None
    """Since any live session gave a frame; None if none did."""
    stages: Mapping[str, Histogram]
    """Times of every stage, and `server` of all of them, of all sessions since the server began."""
