"""Frame statistics of a stream: time per stage, end-to-end latency, rates, drops by reason, effort.

A run, a server session, the server's metrics and the benchmark all read an `Account`, either since the beginning
(`stats`, `totals`) or over the last seconds (`lately`). Times are kept in histograms with logarithmic buckets: memory
and time per call are constant however long the stream runs, and percentiles are accurate to about 1 %.

| stage of a run | from | to |
|---|---|---|
| `capture` | a frame is requested from a file, or arrives from a camera | it is handed over, at the output's size |
| `prepare` | the processor takes it | the cut check is done, controls are read |
| `denoise` | | the model has painted it |
| `refine` | | strength and mask are applied |
| `finish` | | the finishers are done; only where a stream has some |
| `encode` | the consumer takes the output frame | it comes back for the next one |
| latency | `capture_time_s` | the consumer has taken the output frame and come back; includes waits between stages |

`push` has no consumer that comes back: its `encode` stays empty and its latency ends with the call.

The stages of a run are costs per frame: a step that makes several frames is divided evenly among them. The stages of a
served session are intervals between a frame's timestamps, so they add up to its latency, `server`: `receive` ends with
the push, `wait` when the engine takes the frame, `encode` and `server` when the transport reports the frame as sent.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import RLock

from vivace.media.frame import Frame
from vivace.models.base import Cached, RuntimeInfo
from vivace.stream.deadline import Decision
from vivace.stream.histogram import Histogram, merged
from vivace.stream.kept import KeptAccount, KeptStats, KeptTotals
from vivace.stream.stats import Stats, peak_memory_mib

PAINTING = ("prepare", "denoise", "refine")
"""Stages of one processor step."""
STAGES = ("capture", *PAINTING, "encode")
"""Stages of a run, in order."""
SERVED_STAGES = ("receive", "wait", *PAINTING, "encode")
"""Stages of a server session, in order."""
NOTES = 8
"""Notes of a model that are kept, the latest."""
WINDOW_S = 3.0
"""Length of the window that `lately` and the rates cover, s."""


class _Recent:
    """Timestamped values of recent events, newest last. Not thread-safe."""

    KEPT = 512
    """Most events kept: 3 s at 120 frames/s, with some to spare."""

    def __init__(self) -> None:
        self._items: deque[tuple[float, float]] = deque(maxlen=self.KEPT)

    def add(self, now_s: float, value: float = 0.0) -> None:
        self._items.append((now_s, value))

    def clear(self) -> None:
        self._items.clear()

    def since(self, from_s: float) -> list[float]:
        while self._items and self._items[0][0] < from_s:
            self._items.popleft()
        return [value for _, value in self._items]

    def rate(self, now_s: float) -> float | None:
        """Return events per second over the last `WINDOW_S`; None with fewer than two."""
        count = len(self.since(now_s - WINDOW_S))
        if count < 2:
            return None
        # The span ends at the last event, or now if the silence since is longer than usual, so that a stall shows at
        # once.
        usual_s = (self._items[-1][0] - self._items[0][0]) / (count - 1)
        silence_s = now_s - self._items[-1][0]
        span_s = (count - 1) * usual_s + max(0.0, silence_s - 2 * usual_s)
        return (count - 1) / span_s if span_s > 0 else None

    def rate_of_last(self, count: int) -> float | None:
        """Return events per second over the last `count` events, however long ago; None with fewer than two."""
        first = max(0, len(self._items) - count)
        span_s = self._items[-1][0] - self._items[first][0] if self._items else 0.0
        return (len(self._items) - 1 - first) / span_s if span_s > 0 else None


class _Times:
    """Times of one stage: all of them, and the recent ones."""

    def __init__(self) -> None:
        self.all = Histogram()
        self.recent = _Recent()

    def add(self, now_s: float, time_ms: float) -> None:
        self.all.add(time_ms)
        self.recent.add(now_s, time_ms)

    def since(self, from_s: float) -> Histogram:
        return Histogram(self.recent.since(from_s))


@dataclass(slots=True)
class Painting:
    """Cost per frame of one processor step."""

    prepare_ms: float
    denoise_ms: float | None
    """Time in the model; None if the step did not run it."""
    refine_ms: float
    frames: int
    effort: float = 1.0
    """Effort requested of the model, as a share of its full work."""
    work: float = 1.0
    """Share of its full work that the model really did, 0 to 1."""
    cached: Cached | None = None
    """Part that the model's region cache kept."""


class ProcessorObserver:
    """Callbacks for the events of a processor. This base class ignores them."""

    def painted(self, painting: Painting) -> None:
        """Record the cost of a step."""

    def finished(self, time_ms: float) -> None:
        """Record the time that the finishers took for one frame, ms."""

    def prompt_taken(self, update_index: int, arrived_s: float) -> None:
        """Record that frames from now on are made with the prompt of this update."""

    def cut(self) -> None:
        """Record a detected scene cut."""

    def was_reset(self, reason: str) -> None:
        """Record a reset of the model's memory."""

    def failed(self, error: str) -> None:
        """Record that the model failed on a frame."""

    def noted(self, note: str) -> None:
        """Record the model's note on its newest frame; empty if there is none."""


@dataclass(frozen=True, slots=True)
class Lately:
    """Statistics of the last `WINDOW_S` seconds."""

    fps_in: float | None
    fps_out: float | None
    """Output frames per second; None with fewer than two frames."""
    late_share: float
    """Late frames as a share of those received, 0 to 1."""
    stages: Mapping[str, Histogram]
    """Times by stage, ms; total latency is the entry `server`."""
    presented: Histogram
    """Glass-to-glass latency, ms, as reported by clients."""


class Account(ProcessorObserver):
    """Statistics of one stream. Thread-safe; constant time per call and constant memory."""

    RECENT = 64

    def __init__(
        self,
        stages: Sequence[str] = STAGES,
        clock: Callable[[], float] = time.monotonic,
        *,
        finishes: bool = False,
    ) -> None:
        """Start counting for frames that pass `stages`; streams with finishers have `finish` before the last one.

        `clock` is monotonic, in seconds.
        """
        stages = (*stages[:-1], "finish", stages[-1]) if finishes else stages
        self._clock = clock
        self._lock = RLock()
        self._drops: Counter[str] = Counter()
        self._absent: Counter[str] = Counter()
        self.frame_index = -1
        """Index of the newest output frame; -1 before the first."""
        self.newest_out_s: float | None = None
        """Time at which the newest frame was output, s."""
        self.age_ms: float | None = None
        """Age of the newest frame when it was output, ms."""
        self.prompt_to_pixel_ms: float | None = None
        """Latency of the last prompt change, from its arrival to the first frame made with it, ms."""
        self._frames_in = self._frames_out = self._untouched = self._cuts = 0
        self._effort_frames: Counter[float] = Counter()
        self._work = 0.0
        """Sum of `Painting.work` over all painted frames."""
        self._kept = KeptAccount()
        self._resets: Counter[str] = Counter()
        self._last_error: str | None = None
        self.note = ""
        """Model's note on its newest frame."""
        self._notes: deque[str] = deque(maxlen=NOTES)
        self._stages = {stage: _Times() for stage in stages}
        self._latency, self._presented = _Times(), _Times()
        self._prompt_to_pixel = Histogram()
        self._in, self._out, self._late = _Recent(), _Recent(), _Recent()
        self._sent = False
        """True once a transport reports sent frames."""
        self._prompts: deque[tuple[int, float]] = deque(maxlen=self.RECENT)
        self._began_s: float | None = None
        self._ttff_ms: float | None = None
        self._first_out_s: float | None = None
        """Time at which the last frame of the run's first step was output, s."""
        self._first_made_s: float | None = None
        self._earlier_s = 0.0
        self._earlier_frames = 0
        self._run_frames = 0

    # Recording

    def begin(self, now_s: float) -> None:
        """Begin a run; the pause since the previous one does not count towards the rate."""
        with self._lock:
            self._close_run()
            if self._began_s is None:
                self._began_s = now_s

    def _close_run(self) -> None:
        if self._first_out_s is not None and self.newest_out_s is not None:
            self._earlier_s += self.newest_out_s - self._first_out_s
            self._earlier_frames += self._run_frames - 1
        self._first_out_s = None
        self._run_frames = 0
        self._out.clear()

    def received(self, lost: int = 0) -> None:
        """Count a frame received from the source, and `lost` frames that the source itself dropped before it."""
        with self._lock:
            self._frames_in += 1 + lost
            self._in.add(self._clock())
            if lost:
                self._drops["source"] += lost

    def dropped(self, reason: str, frames: int = 1) -> None:
        """Count dropped frames."""
        with self._lock:
            self._drops[reason] += frames
            if reason == "late":
                self._late.add(self._clock())

    def stage(self, name: str, time_ms: float) -> None:
        """Record the time a frame spent in a stage."""
        with self._lock:
            self._stages[name].add(self._clock(), time_ms)

    def painted(self, painting: Painting) -> None:
        """Record the cost of a processor step."""
        with self._lock:
            now_s = self._clock()
            for _ in range(painting.frames):
                self._stages["prepare"].add(now_s, painting.prepare_ms)
                self._stages["refine"].add(now_s, painting.refine_ms)
                if painting.denoise_ms is not None:
                    self._stages["denoise"].add(now_s, painting.denoise_ms)
            if painting.denoise_ms is None:
                self._untouched += painting.frames
            else:
                self._effort_frames[painting.effort] += painting.frames
                self._work += painting.work * painting.frames
                if painting.cached is not None:
                    self._kept.add(painting.cached, painting.denoise_ms)

    def prompt_taken(self, update_index: int, arrived_s: float) -> None:
        """Record that frames from now on are made with the prompt of this update."""
        with self._lock:
            self._prompts.append((update_index, arrived_s))

    def prompt_shown(self, time_ms: float) -> None:
        """Record the latency of a prompt change, from its arrival to the first frame made with it, ms."""
        with self._lock:
            self.prompt_to_pixel_ms = time_ms
            self._prompt_to_pixel.add(time_ms)

    def shown(self, frame: Frame, now_s: float) -> None:
        """Record an output frame of the stream."""
        with self._lock:
            self.frame_index, self.newest_out_s = frame.index, now_s
            self.age_ms = (now_s - frame.capture_time_s) * 1e3
            self._frames_out += 1
            self._absent.update(frame.absent)
            made_s = frame.marks.get("refine")
            if self._first_out_s is None or (made_s is not None and made_s == self._first_made_s):
                # The rate is measured from the end of the first step, whose frames all appear at once.
                self._first_out_s, self._first_made_s, self._run_frames = now_s, made_s, 0
                self._out.clear()
            self._run_frames += 1
            self._out.add(now_s)
            if self._ttff_ms is None and self._began_s is not None:
                self._ttff_ms = (now_s - self._began_s) * 1e3
            while self._prompts and self._prompts[0][0] <= frame.control_index:
                self.prompt_shown((now_s - self._prompts.popleft()[1]) * 1e3)

    def finished(self, time_ms: float) -> None:
        """Record the time that the finishers took for one frame, ms."""
        self.stage("finish", time_ms)

    def delivered(self, latency_ms: float) -> None:
        """Record the latency of a frame from capture until it left the stream, ms."""
        with self._lock:
            self._latency.add(self._clock(), latency_ms)

    def left(self, frame: Frame, now_s: float) -> None:
        """Record an output frame of a served session; its stages are the intervals between its timestamps."""
        before_s = frame.capture_time_s
        with self._lock:
            self.shown(frame, now_s)
            for stage, times in self._stages.items():
                after_s = frame.marks.get(stage)
                if after_s is not None:
                    times.add(now_s, (after_s - before_s) * 1e3)
                    before_s = after_s
            if not self._sent:
                self._latency.add(now_s, self.age_ms or 0.0)

    def sent(self, frame: Frame, sent_s: float) -> None:
        """Record that a transport has encoded and sent a frame; from the first call on, latency ends here."""
        ready_s = max(frame.marks.values(), default=frame.capture_time_s)
        with self._lock:
            self._sent = True
            self._stages["encode"].add(sent_s, (sent_s - ready_s) * 1e3)
            self._latency.add(sent_s, (sent_s - frame.capture_time_s) * 1e3)

    def presented(self, times_ms: Iterable[float]) -> None:
        """Record glass-to-glass latencies that a client measured, ms."""
        with self._lock:
            now_s = self._clock()
            for time_ms in times_ms:
                if 0 <= time_ms < 3_600_000:  # client values are untrusted; this also drops NaN
                    self._presented.add(now_s, time_ms)

    def cut(self) -> None:
        """Record a detected scene cut."""
        with self._lock:
            self._cuts += 1

    def was_reset(self, reason: str) -> None:
        """Record a reset of the model's memory."""
        with self._lock:
            self._resets[reason] += 1

    def failed(self, error: str) -> None:
        """Record that the model failed on a frame."""
        with self._lock:
            self._last_error = error

    def noted(self, note: str) -> None:
        """Record the model's note on its newest frame."""
        with self._lock:
            self.note = note
            if note and note not in self._notes:
                self._notes.append(note)

    # Reading

    def lately(self) -> Lately:
        """Return the statistics of the last `WINDOW_S` seconds."""
        with self._lock:
            now_s = self._clock()
            from_s = now_s - WINDOW_S
            arrived, late = len(self._in.since(from_s)), len(self._late.since(from_s))
            return Lately(
                fps_in=self._in.rate(now_s),
                fps_out=self._out.rate(now_s),
                late_share=late / arrived if arrived else 0.0,
                stages={stage: times.since(from_s) for stage, times in self._with_latency().items()},
                presented=self._presented.since(from_s),
            )

    @property
    def drops(self) -> Counter[str]:
        """Number of dropped frames so far, by reason."""
        with self._lock:
            return self._drops.copy()

    @property
    def frames_out(self) -> int:
        """Frames that came out so far."""
        with self._lock:
            return self._frames_out

    @property
    def kept(self) -> KeptStats | None:
        """Statistics of the model's region cache; None where there is none."""
        with self._lock:
            return self._kept.stats()

    def kept_totals(self) -> KeptTotals:
        """Return the totals of the model's region cache."""
        with self._lock:
            return self._kept.totals()

    def totals(self) -> dict[str, Histogram]:
        """Return the histograms of all stages so far, with latency as `server`."""
        with self._lock:
            return merged([{stage: times.all for stage, times in self._with_latency().items()}])

    def _with_latency(self) -> dict[str, _Times]:
        return {**self._stages, "server": self._latency}

    def stats(
        self,
        *,
        model: str,
        runtime: RuntimeInfo,
        size: tuple[int, int] | None,
        prompt: str | None,
        budget_ms: float | None,
        latency_floor_ms: float | None = None,
        decisions: tuple[Decision, ...],
    ) -> Stats:
        """Return all statistics so far."""
        with self._lock:
            efforts = dict(sorted(self._effort_frames.items(), reverse=True))
            painted = sum(efforts.values())
            span_s, intervals = self._earlier_s, self._earlier_frames
            if self._first_out_s is not None and self.newest_out_s is not None:
                span_s += self.newest_out_s - self._first_out_s
                intervals += self._run_frames - 1
            return Stats(
                model=model,
                runtime=runtime,
                size=size,
                frames_in=self._frames_in,
                frames_out=self._frames_out,
                frames_untouched=self._untouched,
                absent=dict(self._absent),
                drops={reason: self._drops[reason] for reason in ("source", "late", "unread")},
                fps=intervals / span_s if span_s > 0 else None,
                recent_fps=self._out.rate_of_last(self.RECENT),
                latency_ms=self._latency.all.summary(50, 95, 99),
                latency_floor_ms=latency_floor_ms,
                stages_ms={stage: times.all.summary(50, 95, 99) for stage, times in self._stages.items()},
                time_to_first_frame_ms=self._ttff_ms,
                prompt_to_pixel_ms=self._prompt_to_pixel.summary(50, 95, 99),
                work_share=self._work / painted if painted else None,
                effort=sum(effort * count for effort, count in efforts.items()) / painted if painted else None,
                effort_frames=efforts,
                region_cache=self._kept.stats(),
                decisions=decisions,
                budget_ms=budget_ms,
                cuts=self._cuts,
                resets=dict(self._resets),
                last_error=self._last_error,
                notes=tuple(self._notes),
                prompt=prompt,
                peak_memory_mib=peak_memory_mib(),
            )
