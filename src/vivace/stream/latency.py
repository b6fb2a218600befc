"""What a stream cost and lost: times per stage and end to end, drops by reason, in constant memory.

Times go into histograms with logarithmic buckets, so that a stream of a year is accounted for in the space and time of
a stream of a second, and a percentile is right to about 1 %.

| time | from | to |
|---|---|---|
| `capture` | the frame is asked of a file, or arrives at a camera | it is handed over, at the output's size |
| `prepare` | the session takes it | the cut check is done, controls are read |
| `denoise` | | the model has painted it |
| `refine` | | strength and mask are applied |
| `encode` | the consumer takes the output frame | it comes back for the next one |
| latency | `capture_time_s` | the consumer has taken the output frame and come back, waits between stages included |

`push` has no consumer that comes back: there `encode` stays empty and latency ends with the call.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from dataclasses import dataclass, field
from threading import Lock

from vivace.models.base import RuntimeInfo
from vivace.stream.deadline import Decision
from vivace.stream.stats import Stats, peak_memory_mib

STAGES = ("capture", "prepare", "denoise", "refine", "encode")

_LOWEST_MS = 0.001
_RATIO = 1.02
_BUCKETS = 1 + math.ceil(math.log(3_600_000 / _LOWEST_MS, _RATIO))


class Histogram:
    """Counts of times in buckets of 2 % from a microsecond to an hour. Not thread-safe."""

    def __init__(self) -> None:
        self.count = 0
        self._counts = [0] * _BUCKETS
        self._min_ms = math.inf
        self._max_ms = 0.0

    def add(self, time_ms: float) -> None:
        """Count one time; a negative one (clocks of two machines) counts as 0."""
        time_ms = max(0.0, time_ms)
        bucket = 0 if time_ms <= _LOWEST_MS else min(_BUCKETS - 1, 1 + int(math.log(time_ms / _LOWEST_MS, _RATIO)))
        self._counts[bucket] += 1
        self.count += 1
        self._min_ms = min(self._min_ms, time_ms)
        self._max_ms = max(self._max_ms, time_ms)

    def percentile(self, share: float) -> float | None:
        """Return the time that `share` (0 to 1) of the times do not exceed, to about 1 %; None if there are none."""
        if self.count == 0:
            return None
        wanted = max(1, math.ceil(share * self.count))
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                middle = 0.0 if bucket == 0 else _LOWEST_MS * _RATIO ** (bucket - 0.5)
                return min(max(middle, self._min_ms), self._max_ms)
        raise AssertionError("a histogram counts what it holds")

    def summary(self, *shares: int) -> dict[str, float | None]:
        """Return percentiles by name, e.g. `summary(50, 95)` gives `{"p50": …, "p95": …}`, in ms to a microsecond."""
        values = {f"p{share}": self.percentile(share / 100) for share in shares}
        return {name: None if value is None else round(value, 3) for name, value in values.items()}


@dataclass(slots=True)
class Painting:
    """What one step of a session cost, per frame."""

    prepare_ms: float
    denoise_ms: float | None
    """None if the model was not needed."""
    refine_ms: float
    frames: int
    effort: float = 1.0
    """What was asked of the model, of its full work."""
    work: float = 1.0
    """What it really did of it."""


class SessionObserver:
    """Is told what a session does; this one does not listen."""

    def painted(self, painting: Painting) -> None:
        """Frames were made."""

    def prompt_taken(self, update_index: int, arrived_s: float) -> None:
        """Frames from now on are made with the prompt of this update."""

    def cut(self) -> None:
        """A scene cut was seen."""

    def was_reset(self, reason: str) -> None:
        """The memory was begun anew."""

    def failed(self, error: str) -> None:
        """The model failed on a frame."""


@dataclass(slots=True)
class _Counts:
    frames_in: int = 0
    frames_out: int = 0
    untouched: int = 0
    drops: Counter[str] = field(default_factory=Counter)
    effort_frames: Counter[float] = field(default_factory=Counter)
    work: float = 0.0
    """Sum over the painted frames."""
    resets: Counter[str] = field(default_factory=Counter)
    cuts: int = 0
    last_error: str | None = None


class Meter(SessionObserver):
    """Collects what `Stats` reports. Thread-safe; constant time per call and constant memory."""

    RECENT = 64

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts = _Counts()
        self._stages = {stage: Histogram() for stage in STAGES}
        self._latency = Histogram()
        self._prompt_to_pixel = Histogram()
        self._began_s: float | None = None
        self._ttff_ms: float | None = None
        self._out_s: deque[float] = deque(maxlen=self.RECENT)
        self._first_out_s: float | None = None
        self._earlier_s = 0.0
        self._earlier_frames = 0
        self._run_frames = 0
        self._prompts: deque[tuple[int, float]] = deque(maxlen=self.RECENT)

    def begin(self, now_s: float) -> None:
        """A run begins; the pause since the last one does not count."""
        with self._lock:
            self._close_run()
            if self._began_s is None:
                self._began_s = now_s

    def _close_run(self) -> None:
        if self._first_out_s is not None and self._out_s:
            self._earlier_s += self._out_s[-1] - self._first_out_s
            self._earlier_frames += self._run_frames - 1
        self._first_out_s = None
        self._run_frames = 0
        self._out_s.clear()

    def received(self, lost: int = 0) -> None:
        """A frame came from the source, after `lost` that the source lost."""
        with self._lock:
            self._counts.frames_in += 1 + lost
            if lost:
                self._counts.drops["source"] += lost

    def dropped(self, reason: str, frames: int = 1) -> None:
        """Frames were let go of."""
        with self._lock:
            self._counts.drops[reason] += frames

    def stage(self, name: str, time_ms: float) -> None:
        """A frame took so long in a stage."""
        with self._lock:
            self._stages[name].add(time_ms)

    def painted(self, painting: Painting) -> None:
        """A session made frames."""
        with self._lock:
            for _ in range(painting.frames):
                self._stages["prepare"].add(painting.prepare_ms)
                self._stages["refine"].add(painting.refine_ms)
                if painting.denoise_ms is not None:
                    self._stages["denoise"].add(painting.denoise_ms)
            if painting.denoise_ms is None:
                self._counts.untouched += painting.frames
            else:
                self._counts.effort_frames[painting.effort] += painting.frames
                self._counts.work += painting.work * painting.frames

    def prompt_taken(self, update_index: int, arrived_s: float) -> None:
        """Frames from now on are made with the prompt of this update."""
        with self._lock:
            self._prompts.append((update_index, arrived_s))

    def shown(self, control_index: int, now_s: float) -> None:
        """The consumer got a frame."""
        with self._lock:
            self._counts.frames_out += 1
            self._run_frames += 1
            if self._ttff_ms is None and self._began_s is not None:
                self._ttff_ms = (now_s - self._began_s) * 1e3
            if self._first_out_s is None:
                self._first_out_s = now_s
            self._out_s.append(now_s)
            while self._prompts and self._prompts[0][0] <= control_index:
                self._prompt_to_pixel.add((now_s - self._prompts.popleft()[1]) * 1e3)

    def finished(self, latency_ms: float) -> None:
        """A frame has left the stream, so long after its capture."""
        with self._lock:
            self._latency.add(latency_ms)

    def cut(self) -> None:
        """A scene cut was seen."""
        with self._lock:
            self._counts.cuts += 1

    def was_reset(self, reason: str) -> None:
        """A session's memory was begun anew."""
        with self._lock:
            self._counts.resets[reason] += 1

    def failed(self, error: str) -> None:
        """The model failed on a frame."""
        with self._lock:
            self._counts.last_error = error

    def stats(
        self,
        *,
        model: str,
        runtime: RuntimeInfo,
        size: tuple[int, int] | None,
        prompt: str | None,
        budget_ms: float | None,
        decisions: tuple[Decision, ...],
    ) -> Stats:
        """Return everything so far."""
        with self._lock:
            counts = self._counts
            efforts = dict(sorted(counts.effort_frames.items(), reverse=True))
            painted = sum(efforts.values())
            span_s, intervals = self._earlier_s, self._earlier_frames
            if self._first_out_s is not None:
                span_s += self._out_s[-1] - self._first_out_s
                intervals += self._run_frames - 1
            recent_s = self._out_s[-1] - self._out_s[0] if self._out_s else 0.0
            return Stats(
                model=model,
                runtime=runtime,
                size=size,
                frames_in=counts.frames_in,
                frames_out=counts.frames_out,
                frames_untouched=counts.untouched,
                drops={reason: counts.drops[reason] for reason in ("source", "late", "unread")},
                fps=intervals / span_s if span_s > 0 else None,
                recent_fps=(len(self._out_s) - 1) / recent_s if recent_s > 0 else None,
                latency_ms=self._latency.summary(50, 95, 99),
                stages_ms={stage: times.summary(50, 95, 99) for stage, times in self._stages.items()},
                time_to_first_frame_ms=self._ttff_ms,
                prompt_to_pixel_ms=self._prompt_to_pixel.summary(50, 95, 99),
                work_share=counts.work / painted if painted else None,
                effort_frames=efforts,
                decisions=decisions,
                budget_ms=budget_ms,
                cuts=counts.cuts,
                resets=dict(counts.resets),
                last_error=counts.last_error,
                prompt=prompt,
                peak_memory_mib=peak_memory_mib(),
            )
