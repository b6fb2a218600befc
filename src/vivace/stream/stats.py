"""Statistics of a stream, and the JSON document of `vivace run --stats`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from vivace.models.base import RuntimeInfo
from vivace.stream.deadline import Decision
from vivace.stream.kept import KeptStats


@dataclass(frozen=True, slots=True)
class Stats:
    """Statistics of a stream so far. `to_dict()` is the document of `vivace run --stats`."""

    model: str
    runtime: RuntimeInfo
    size: tuple[int, int] | None
    frames_in: int
    """Frames the source produced, including those it lost itself."""
    frames_out: int
    """Frames the consumer got. Frames neither output nor dropped are still in the stream."""
    frames_untouched: int
    """Output frames that show the source unchanged (no prompt, strength 0, empty mask)."""
    absent: Mapping[str, int]
    """Output frames in which a place that the prompt changes was not found, by place."""
    drops: Mapping[str, int]
    """Dropped frames by reason: `source` (lost by the source), `late` (a newer one arrived while the model was busy),
    `unread` (a newer one arrived before the consumer took it)."""
    fps: float | None
    """Output frames per second over the whole run."""
    recent_fps: float | None
    """Output frames per second over the last ones."""
    latency_ms: Mapping[str, float | None]
    latency_floor_ms: float | None
    """Latency on an infinitely fast machine, ms: a model of several frames per step has to wait for the last of them.
    None for a model of single frames, or if the source has no rate."""
    stages_ms: Mapping[str, Mapping[str, float | None]]
    time_to_first_frame_ms: float | None
    """Time from the start of `run` (or the first `push`) to the first output frame."""
    prompt_to_pixel_ms: Mapping[str, float | None]
    """Time from the arrival of a prompt update to the first output frame made with it, by percentile."""
    work_share: float | None
    """Share of its full work that the model did, 0 to 1, mean over the painted frames."""
    effort: float | None
    """Effort requested of the model, 0 to 1, mean over the painted frames."""
    effort_frames: Mapping[float, int]
    """Painted frames by effort."""
    region_cache: KeptStats | None
    """Statistics of the model's region cache; None where it has none."""
    decisions: tuple[Decision, ...]
    """Latest effort changes by the deadline controller."""
    budget_ms: float | None
    cuts: int
    resets: Mapping[str, int]
    """Memory resets by reason: `cut`, `seed`, `size`, `error`, `resumed`, `input`."""
    last_error: str | None
    """Latest error of the model, if any."""
    notes: tuple[str, ...]
    """Notes of the model for people, the latest."""
    prompt: str | None
    peak_memory_mib: float | None

    @property
    def dropped(self) -> int:
        """Total dropped frames."""
        return sum(self.drops.values())

    def to_dict(self) -> dict[str, Any]:
        """Return the statistics as a JSON document."""
        return {
            "model": self.model,
            "runtime": self.runtime.runtime,
            "device": self.runtime.device,
            "precision": self.runtime.precision,
            "size": None if self.size is None else list(self.size),
            "frames_in": self.frames_in,
            "frames_out": self.frames_out,
            "frames_untouched": self.frames_untouched,
            "absent": dict(self.absent),
            "dropped": self.dropped,
            "drops": dict(self.drops),
            "fps": _rounded(self.fps),
            "latency_ms": dict(self.latency_ms),
            "latency_floor_ms": _rounded(self.latency_floor_ms),
            "stages_ms": {stage: dict(times) for stage, times in self.stages_ms.items()},
            "time_to_first_frame_ms": _rounded(self.time_to_first_frame_ms),
            "prompt_to_pixel_ms": dict(self.prompt_to_pixel_ms),
            "work_share": _rounded(self.work_share),
            "effort": _rounded(self.effort),
            "region_cache": None
            if self.region_cache is None
            else {name: _rounded(value) for name, value in asdict(self.region_cache).items()},
            "effort_frames": {f"{effort:g}": count for effort, count in self.effort_frames.items()},
            "effort_changes": [
                {"frame_index": d.frame_index, "before": d.before, "after": d.after, "reason": d.reason}
                for d in self.decisions
            ],
            "budget_ms": _rounded(self.budget_ms),
            "cuts": self.cuts,
            "resets": dict(self.resets),
            "last_error": self.last_error,
            "notes": list(self.notes),
            "prompt": self.prompt,
            "peak_memory_mib": _rounded(self.peak_memory_mib),
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def peak_memory_mib() -> float | None:
    """Return the peak resident memory of this process, MiB; None where the system does not report it (Windows)."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) / (1024 * 1024 if sys.platform == "darwin" else 1024)
