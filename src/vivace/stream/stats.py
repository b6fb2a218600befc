"""What a stream reports about itself, and the JSON document of `vivace run --stats`."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vivace.models.base import RuntimeInfo
from vivace.stream.deadline import Decision


@dataclass(frozen=True, slots=True)
class Stats:
    """What a stream has done so far. `to_dict()` is the document of `vivace run --stats`."""

    model: str
    runtime: RuntimeInfo
    size: tuple[int, int] | None
    frames_in: int
    """Frames the source produced, those it lost itself included."""
    frames_out: int
    """Frames the consumer got. What was neither put out nor dropped is on its way."""
    frames_untouched: int
    """Of these, how many show the source as it is (no prompt, strength 0, empty mask)."""
    drops: Mapping[str, int]
    """By reason: `source` (lost before they came here), `late` (a newer one came while the model was busy), `unread` (a
    newer one came before the consumer took it)."""
    fps: float | None
    """Output frames a second, over the whole run."""
    recent_fps: float | None
    """Output frames a second, over the last ones."""
    latency_ms: Mapping[str, float | None]
    latency_floor_ms: float | None
    """What `latency_ms` would be on a machine that computes in no time: a model of several frames a step has to wait
    for the last of them. None of one that takes and gives single frames, or where the source has no rate."""
    stages_ms: Mapping[str, Mapping[str, float | None]]
    time_to_first_frame_ms: float | None
    """From the beginning of `run` (or of the first `push`) to the first output frame."""
    prompt_to_pixel_ms: Mapping[str, float | None]
    """From the arrival of an update with a prompt to the first output frame made with it."""
    work_share: float | None
    """Share of its full work that the model did, mean over the painted frames."""
    effort_frames: Mapping[float, int]
    """Painted frames by effort."""
    decisions: tuple[Decision, ...]
    """The deadline controller's latest changes of effort."""
    budget_ms: float | None
    cuts: int
    resets: Mapping[str, int]
    """How often the memory was begun anew, by reason: `cut`, `seed`, `size`, `error`, `resumed`, `input`."""
    last_error: str | None
    """What the model last failed with, if it did."""
    prompt: str | None
    peak_memory_mib: float | None

    @property
    def dropped(self) -> int:
        """All drops."""
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
            "dropped": self.dropped,
            "drops": dict(self.drops),
            "fps": _rounded(self.fps),
            "latency_ms": dict(self.latency_ms),
            "latency_floor_ms": _rounded(self.latency_floor_ms),
            "stages_ms": {stage: dict(times) for stage, times in self.stages_ms.items()},
            "time_to_first_frame_ms": _rounded(self.time_to_first_frame_ms),
            "prompt_to_pixel_ms": dict(self.prompt_to_pixel_ms),
            "work_share": _rounded(self.work_share),
            "effort_frames": {f"{effort:g}": count for effort, count in self.effort_frames.items()},
            "effort_changes": [
                {"frame_index": d.frame_index, "before": d.before, "after": d.after, "reason": d.reason}
                for d in self.decisions
            ],
            "budget_ms": _rounded(self.budget_ms),
            "cuts": self.cuts,
            "resets": dict(self.resets),
            "last_error": self.last_error,
            "prompt": self.prompt,
            "peak_memory_mib": _rounded(self.peak_memory_mib),
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def peak_memory_mib() -> float | None:
    """Return the most memory this process has held, in MiB; None where the system does not say (Windows)."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return float(peak) / (1024 * 1024 if sys.platform == "darwin" else 1024)
