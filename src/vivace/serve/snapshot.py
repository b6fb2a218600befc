"""The state of a server in numbers, for `/metrics` and the API: taken at once, changed by nobody."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass
from threading import Lock

from vivace.serve.room import Room
from vivace.serve.vitals import STAGES

BUCKETS_MS = (1, 2, 5, 10, 15, 20, 25, 30, 33.4, 40, 50, 66.7, 80, 100, 120, 150, 200, 350, 500, 1000)
"""Upper edges, dense around the frame budgets of 15 to 60 frames a second."""


@dataclass(frozen=True, slots=True)
class HistogramSnapshot:
    """Times of one stage since the server began."""

    counts: tuple[int, ...]
    """Per bucket of `BUCKETS_MS`, not cumulative; the last is what is above them all."""
    sum_ms: float

    @property
    def count(self) -> int:
        """How many times."""
        return sum(self.counts)


class StageTimes:
    """Histograms of all sessions' stages. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts = {stage: [0] * (len(BUCKETS_MS) + 1) for stage in STAGES}
        self._sums = dict.fromkeys(STAGES, 0.0)

    def add(self, stage: str, time_ms: float) -> None:
        """Count one time."""
        with self._lock:
            self._counts[stage][bisect_left(BUCKETS_MS, time_ms)] += 1
            self._sums[stage] += time_ms

    def snapshot(self) -> dict[str, HistogramSnapshot]:
        """Return all histograms by stage."""
        with self._lock:
            return {stage: HistogramSnapshot(tuple(self._counts[stage]), self._sums[stage]) for stage in STAGES}


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


def model_snapshot(room: Room) -> ModelSnapshot:
    """Return a room in numbers."""
    admission = room.admission
    return ModelSnapshot(
        name=room.name,
        slots=admission.slots,
        live=admission.live,
        waiting=admission.waiting,
        step_ms=admission.step_ms,
        state_bytes=admission.state_bytes,
        memory_limit_bytes=admission.memory_limit_bytes,
        engine_alive=room.engine.alive,
        step_in_progress_s=room.engine.busy_s(),
    )


@dataclass(frozen=True, slots=True)
class HubSnapshot:
    """The whole server."""

    draining: bool
    models: tuple[ModelSnapshot, ...]
    live: int
    waiting: int
    absent: int
    viewers: int
    recordings: int
    opened: int
    """Sessions since the server began."""
    ended: Mapping[str, int]
    """Sessions by the reason of their end."""
    drops: Mapping[str, int]
    """Frames by reason, of all sessions since the server began."""
    newest_frame_age_s: float | None
    """Since any live session gave a frame; None if none did."""
    stages: Mapping[str, HistogramSnapshot]
