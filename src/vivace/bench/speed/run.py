"""Cost of a frame, measured inside a fresh process; started by `benchmark`, which defines the figures."""

from __future__ import annotations

import math
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from threading import current_thread
from typing import TYPE_CHECKING, Any

from vivace.bench.job import Found, Job, Report
from vivace.bench.speed.memory import peak_resident_mib, resident_mib
from vivace.bench.stats.values import BLOCKS, Value, intervals_ms, over_blocks, percentile_values
from vivace.bench.systems.system import Clock, Request, Runner, soft_mask
from vivace.errors import StepError

if TYPE_CHECKING:
    from vivace.bench.inputs.loops import Cuttable
    from vivace.bench.speed.overhead import OverheadMeter
    from vivace.media.sink import Sink
    from vivace.models.base import StreamModel

WARMUP_FRAMES = 30
"""Frames left out while caches, kernels and the memory's window fill up."""
LEAST_FRAMES = 10
"""Fewest frames to time, however long they take."""
OVERHEAD = "overhead_ms_per_frame"
PROGRESS_S = 0.2

Watch = Callable[[int], None]
"""Callback with the number of frames output."""
Counters = dict[str, Callable[[], float]]
"""Counters of a run, by the metric of their increase per frame."""


def pace(job: Job, report: Report, *, clock: Clock = time.monotonic, counters: Counters | None = None) -> Found:
    """Time the whole stream from a clip to an mp4, cold, warm and steady, then the model alone.

    `job.settings`: `case`, `clip` (path), `size`, `fps`, `frames`, `warmup_frames`, `cold_frames`, `budget_s`,
    `steps_alone`, `masked`, `prompt` and `seed`.
    """
    from vivace.media.sink import NullSink

    settings = job.settings
    request = request_of(settings)
    case: str = settings["case"]
    frames, warmup, cold = (settings[name] for name in ("frames", "warmup_frames", "cold_frames"))
    total = cold + warmup + frames
    tell = throttled(report, total)
    programs = _Programs()
    system = job.system.load()
    loaded_s = clock()
    found = Found(system.about)

    cold_s, _ = _play(system.open(request, clock), _clip(settings), NullSink(), clock, tell, lambda done: done == cold)
    check_frames(job, min(len(cold_s), cold), cold)

    with ExitStack() as stack:
        overhead = None if counters is not None else _open_overhead(found, stack)
        counters = _open_counters(found, stack) if counters is None else counters
        if overhead is not None:
            counters[OVERHEAD] = overhead.read_ms
        metered = _Metered(counters, warmup, frames, settings["budget_s"], clock)
        sink = stack.enter_context(_mp4(stack.enter_context(tempfile.TemporaryDirectory(prefix="vivace-bench-"))))
        opened_s = clock()
        runner = system.open(request, clock)
        enough = _Enough(warmup, settings["budget_s"], clock)

        def watch(done: int) -> None:
            if overhead is not None:
                overhead.read_ms()  # before a thread ends, whose clock ends with it
            metered.at(done)
            tell(cold + done)

        times_s, stages = _play(runner, _clip(settings), sink, clock, watch, enough)
    resident = resident_mib()
    times_s = times_s[: enough.at]
    check_frames(job, len(times_s), enough.at or warmup + frames)
    apart = not stages
    if overhead is not None and system.model is not None and not overhead.network_calls and not apart:
        del counters[OVERHEAD]
        found.not_run[OVERHEAD] = f"it is told from the network where OpenVINO runs that, not of {system.about}"
    if apart:
        for metric in ("cpu_ms_per_frame", OVERHEAD):
            counters.pop(metric, None)
        found.not_run["CPU time and memory"] = f"{job.system.name} works in a process of its own"
        found.not_run["stages"] = f"{job.system.name} does not say what its stages take"
    steady_ms = intervals_ms(times_s[warmup:])
    found.series[f"frame_ms/{case}"] = steady_ms

    found.values += [
        Value("first_frame_cold_s", case, cold_s[0] - job.started_s),
        Value("start_load_s", case, loaded_s - job.started_s),
        Value("start_prepare_s", case, cold_s[0] - loaded_s),
        *(Value(f"start_{what}_s", case, spent_s) for what, spent_s in programs.spent_s().items()),
        Value("first_frame_warm_s", case, times_s[0] - opened_s),
        over_blocks("fps", case, steady_ms, lambda some: 1000.0 * len(some) / sum(some) if sum(some) > 0 else 0.0),
        *percentile_values("frame_ms", case, steady_ms),
        *(
            Value(f"stage_{stage}_ms_{name}", case, value)
            for stage, percentiles in stages.items()
            for name, value in percentiles.items()
        ),
        *metered.values(case),
    ]
    if system.model is None:
        found.not_run["model_step_ms"] = f"{job.system.name} has no model whose steps could be timed alone"
    elif settings["steps_alone"]:
        found.values += percentile_values("model_step_ms", case, _model_alone(system.model, request, frames, clock))
    if not apart:
        found.values.append(Value("resident_mib", case, resident))
        found.values.append(Value("peak_resident_mib", case, peak_resident_mib()))
    report(total, total)
    return found


def serve(job: Job, report: Report) -> Found:
    """Find the number of sessions that the model sustains at each frame rate.

    `job.settings`: `case`, `size`, `session_fps`, `session_s`, `session_searches`, `prompt`, `seed`.
    """
    from vivace.bench.speed.sessions import sessions_held

    settings = job.settings
    request, size = request_of(settings), settings["case"]
    system = job.system.load()
    found = Found(system.about)
    if system.model is None:
        found.not_run["sessions"] = f"{job.system.name} has no model whose sessions could be stepped together"
        return found
    rates: list[float] = settings["session_fps"]
    searches: int = settings["session_searches"]
    for number, fps in enumerate(rates):
        counts = []
        for search in range(searches):
            report(number * searches + search, len(rates) * searches)
            counts.append(float(sessions_held(system.model, request, fps, settings["session_s"])))
        case = f"{size}/{fps:g}fps"
        found.values.append(Value("sessions_held", case, sum(counts) / len(counts), counts if searches > 1 else []))
    report(len(rates) * searches, len(rates) * searches)
    return found


class _Enough:
    """Time limit of a run, as a function of the frames done."""

    def __init__(self, warmup: int, budget_s: float | None, clock: Clock) -> None:
        """Allow `budget_s` for the frames after `warmup`; None allows any time."""
        self.at: int | None = None
        """Frames that were enough, warm-up included; None if there was time for all."""
        self._warmup, self._budget_s, self._clock = warmup, budget_s, clock
        self._began_s = 0.0

    def __call__(self, done: int) -> bool:
        if done == self._warmup:
            self._began_s = self._clock()
        late = self._budget_s is not None and self._clock() - self._began_s > self._budget_s
        if late and done >= self._warmup + LEAST_FRAMES:
            self.at = done
        return self.at is not None


def _play(
    runner: Runner, source: Cuttable, sink: Sink, clock: Clock, watch: Watch, enough: Callable[[int], bool]
) -> tuple[list[float], dict[str, dict[str, float | None]]]:
    """Run every frame of a source through a session until there are `enough`, after which a few more come out.

    Returns the times at which frames were written, and percentiles of the stages.
    """
    times_s: list[float] = []
    with closing(runner):
        with closing(runner.run(source, live=False)) as frames:
            for frame in frames:
                sink.write(frame)
                times_s.append(clock())
                watch(len(times_s))
                if enough(len(times_s)):
                    source.end()  # frames inside are flushed: a remaining step would run beside the next measurement
        stats = runner.stats()
    stages = {} if stats is None else {stage: dict(times) for stage, times in stats.stages_ms.items()}
    return times_s, stages


def check_frames(job: Job, found: int, wanted: int) -> None:
    """Reject figures of a system that skips frames, which would reward dropping them."""
    if found != wanted:
        raise StepError(
            f"{job.system.name} put out {found} of {wanted} frames where every frame counts; time it with "
            "`vivace bench latency`, where frames may be dropped"
        )


def _model_alone(model: StreamModel[Any], request: Request, steps: int, clock: Clock) -> list[float]:
    """Return the times of single steps on the pictures of a moving scene, ms."""
    from vivace.bench.inputs.loops import render_loop
    from vivace.bench.speed.sessions import Session

    pictures = render_loop(request.size, seed=request.seed)
    session = Session(model, request, pictures)
    times_ms = []
    for number in range(WARMUP_FRAMES + steps):
        chunk = session.chunk(number)
        began_s = clock()
        model.step([session.state], [chunk])
        times_ms.append((clock() - began_s) * 1000.0)
    return times_ms[WARMUP_FRAMES:]


class _Metered:
    """Counters read at the ends of every stretch of a run."""

    def __init__(self, counters: Counters, first: int, frames: int, budget_s: float | None, clock: Clock) -> None:
        """Read `counters` at frame `first`, and then after every tenth of `frames` or of `budget_s`."""
        self._counters = counters
        self._first = first
        self._length = max(1, frames // BLOCKS)
        self._length_s = math.inf if budget_s is None else budget_s / BLOCKS
        self._clock = clock
        self._read_s = 0.0
        self._readings: list[tuple[int, dict[str, float]]] = []

    def at(self, done: int) -> None:
        """Read the counters if due."""
        if self._readings:
            due = done - self._readings[-1][0] >= self._length or self._clock() - self._read_s >= self._length_s
        else:
            due = done == self._first
        if due:
            self._read_s = self._clock()
            self._readings.append((done, {metric: read() for metric, read in self._counters.items()}))

    def values(self, case: str) -> list[Value]:
        """Return every counter's increase per frame."""
        if len(self._readings) < 2:
            return []
        (first, before), (last, after) = self._readings[0], self._readings[-1]
        values = []
        for metric in self._counters:
            blocks = [(b[metric] - a[metric]) / (end - start) for (start, a), (end, b) in pairwise(self._readings)]
            values.append(Value(metric, case, (after[metric] - before[metric]) / (last - first), blocks))
        return values


class _Programs:
    """Time spent on compiling and recording programs."""

    def __init__(self) -> None:
        self._before = self._now()

    def spent_s(self) -> dict[str, float]:
        """Return seconds by activity since creation; empty if there were none."""
        spent = {what: now_s - self._before.get(what, 0.0) for what, now_s in self._now().items()}
        return {what: s for what, s in spent.items() if s > 0}

    def _now(self) -> dict[str, float]:
        names = ("vivace.runtime.torch.graphs", "vivace.runtime.graphs")  # the second in older checkouts
        graphs = next((sys.modules[name] for name in names if name in sys.modules), None)
        return {} if graphs is None else graphs.spent_s()  # not loaded by runtimes without programs


def _open_counters(found: Found, stack: ExitStack) -> Counters:
    """Return the available counters of the machine's effort, closed with `stack`; note why others are missing."""
    from vivace.bench.speed.energy import open_cpu_meter, open_gpu_meter

    counters: Counters = {"cpu_ms_per_frame": cpu_ms}
    for metric, meter in (("energy_j_per_frame", open_cpu_meter()), ("gpu_energy_j_per_frame", open_gpu_meter())):
        if isinstance(meter, str):
            found.not_run[metric] = meter
        else:
            stack.callback(meter.close)
            counters[metric] = meter.read_j
    return counters


def _open_overhead(found: Found, stack: ExitStack) -> OverheadMeter | None:
    """Return an open overhead meter, closed with `stack`; note why if it is not available."""
    from vivace.bench.speed.overhead import OverheadMeter, thread_cpu_s

    try:
        thread_cpu_s(current_thread())
    except OSError as error:
        found.not_run[OVERHEAD] = str(error)
        return None
    return stack.enter_context(OverheadMeter())


def cpu_ms() -> float:
    """Return the CPU time of this process on all cores, ms."""
    return time.process_time() * 1000.0


def request_of(settings: Any) -> Request:
    """Return the request for sessions, from the settings of a job."""
    width, height = settings["size"]
    size = width, height
    mask = soft_mask(size) if settings["masked"] else None
    return Request(size, settings["fps"], settings["prompt"], settings["seed"], mask)


def _clip(settings: Any) -> Cuttable:
    from vivace.bench.inputs.loops import Cuttable
    from vivace.media import open_source

    return Cuttable(open_source(settings["clip"]))


def _mp4(folder: str) -> Sink:
    from vivace.media import open_sink

    return open_sink(Path(folder) / "out.mp4")


def throttled(report: Report, total: int) -> Watch:
    """Return a watch that reports a few times a second, by the wall clock."""
    told_s = -PROGRESS_S

    def watch(done: int) -> None:
        nonlocal told_s
        now_s = time.monotonic()
        if now_s - told_s >= PROGRESS_S:
            told_s = now_s
            report(done, total)

    return watch
